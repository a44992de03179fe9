"""Objects of the surveys and what hangs on them."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Int64Text, ResponseModel, UtcOfMjd, UtcOfMjdOrNone
from graph.model import Survey


class ObjectResponse(ResponseModel):
    """Detections at one place in one survey."""

    survey: Survey = Field(description="The survey that saw it.", examples=["ztf"])
    object_id: str = Field(description="The survey's own identifier.", examples=["ZTF20abbiixp"])
    ra_deg: float = Field(description="Right ascension [deg], ICRS.", examples=[213.0427])
    dec_deg: float = Field(description="Declination [deg], ICRS.", examples=[60.9052])
    healpix29: Int64Text = Field(
        description="HEALPix pixel of order 29, NESTED, ICRS, as text.", examples=["1287436498113"]
    )
    first_midpoint_time: UtcOfMjd = Field(
        validation_alias="first_midpoint_mjd_tai", description="First detection, UTC."
    )
    first_midpoint_mjd_tai: float = Field(description="First detection, MJD [d, TAI].", examples=[58993.3])
    last_midpoint_time: UtcOfMjd = Field(validation_alias="last_midpoint_mjd_tai", description="Last detection, UTC.")
    last_midpoint_mjd_tai: float = Field(description="Last detection, MJD [d, TAI].", examples=[58994.3])
    first_mag: float | None = Field(
        description="AB magnitude of the first detection; null where packets no longer had it.", examples=[19.6]
    )
    first_band: str | None = Field(description="Band of the first detection.", examples=["r"])
    last_limit_time: UtcOfMjdOrNone = Field(
        validation_alias="last_limit_mjd_tai", description="Last visit without a detection before the first one, UTC."
    )
    last_limit_mjd_tai: float | None = Field(description="The same, MJD [d, TAI].", examples=[58990.3])
    last_limit_mag: float | None = Field(description="Its 5 sigma limiting AB magnitude.", examples=[20.4])
    last_limit_band: str | None = Field(description="Its band.", examples=["g"])
    latest_mag: float | None = Field(description="AB magnitude of the newest positive detection.", examples=[19.3])
    latest_band: str | None = Field(description="Band of that detection.", examples=["g"])
    top_class: str | None = Field(description="Most probable class.", examples=["SN Ia"])
    class_probability: float | None = Field(description="Its calibrated probability.", examples=[0.91])


class ClassificationResponse(ResponseModel):
    """What one classifier said of an object."""

    class_name: str = Field(description="The class.", examples=["SN Ia"])
    classifier: str = Field(description="Who says so.", examples=["early_snia"])
    version: str = Field(description="Its version.", examples=["1.0"])
    probability: float = Field(description="Calibrated probability.", examples=[0.91])
    std: float | None = Field(description="Standard deviation of the probability.", examples=[0.04])
    n_points: int | None = Field(description="Points of the light curve that it used.", examples=[7])
    midpoint_mjd_tai: float | None = Field(
        description="Newest detection that it used, MJD [d, TAI].", examples=[58994.3]
    )
    out_of_distribution: bool | None = Field(
        description="Whether the object is unlike all that the classifier was trained on.", examples=[False]
    )


class MatchResponse(ResponseModel):
    """A catalogue entry at an object's place."""

    source_key: str = Field(description="`catalog:name`.", examples=["gcvs:RR Lyr"])
    catalog: str = Field(description="The catalogue.", examples=["gcvs"])
    name: str = Field(description="The entry's name.", examples=["RR Lyr"])
    ra_deg: float = Field(description="Right ascension of the entry [deg], ICRS.", examples=[291.3663])
    dec_deg: float = Field(description="Declination of the entry [deg], ICRS.", examples=[42.7844])
    object_type: str | None = Field(description="Type that the catalogue gives.", examples=["RRAB"])
    separation_arcsec: float = Field(description="Angle between object and entry [arcsec].", examples=[0.4])
    probability: float | None = Field(description="Probability that they are the same.", examples=[0.99])


class SameObjectResponse(ResponseModel):
    """An object of another survey that is the same."""

    survey: Survey = Field(description="The survey that saw it.", examples=["lsst"])
    object_id: str = Field(description="That survey's identifier.", examples=["313853517998456838"])
    separation_arcsec: float = Field(description="Angle between the two [arcsec].", examples=[0.21])
    probability: float = Field(description="Probability that they are one.", examples=[0.999])


class ObjectDetailResponse(ResponseModel):
    """An object with its classifications, catalogue matches and the same object in other surveys."""

    object: ObjectResponse = Field(description="The object.")
    classifications: tuple[ClassificationResponse, ...] = Field(description="Most probable first.")
    matches: tuple[MatchResponse, ...] = Field(description="Nearest first.")
    same_as: tuple[SameObjectResponse, ...] = Field(description="Most probable first.")


class DetectionResponse(ResponseModel):
    """One difference-image measurement."""

    survey: Survey = Field(description="The survey that made it.", examples=["ztf"])
    detection_id: Int64Text = Field(
        description="The survey's own identifier, a 64-bit integer as text.", examples=["1237240230215015005"]
    )
    midpoint_time: UtcOfMjd = Field(validation_alias="midpoint_mjd_tai", description="Middle of the exposure, UTC.")
    midpoint_mjd_tai: float = Field(description="Middle of the exposure, MJD [d, TAI].", examples=[58993.24])
    band: str = Field(description="One of u g r i z y.", examples=["g"])
    psf_flux_njy: float | None = Field(description="Signed difference flux [nJy].", examples=[69183.1])
    psf_flux_err_njy: float | None = Field(description="Its standard deviation [nJy].", examples=[3500.0])
    mag_ab: float | None = Field(description="AB magnitude; null where the flux is not positive.", examples=[19.3])
    ra_deg: float = Field(description="Right ascension [deg], ICRS.", examples=[213.0427])
    dec_deg: float = Field(description="Declination [deg], ICRS.", examples=[60.9052])
    reliability: float | None = Field(description="Real-bogus score, 1 is real.", examples=[0.98])


class DetectionsResponse(ResponseModel):
    """The newest detections of an object."""

    items: tuple[DetectionResponse, ...] = Field(description="In order of time.")
