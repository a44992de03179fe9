"""The normalised columns of alerts: what is left once a survey's wire format is gone.

Absent is one thing: NaN in a float column, -1 in an integer column, an empty string in a text column. Null, NaN and
the surveys' sentinels (ZTF's -999) never travel further.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

BANDS = "ugrizy"
"""Band letters; a band's code is its place here. ZTF fid 1, 2, 3 is g, r, i."""

AB_ZERO_POINT_NJY_MAG = 31.4
"""AB magnitude of 1 nJy [mag]: -2.5 log10(1e-9 Jy / 3631 Jy) = 31.4000; Oke & Gunn 1983, doi:10.1086/160817."""

LIMIT_SIGMA = 5.0
"""Depth of an upper limit in units of the error of a visit [1]: ZTF's diffmaglim is one of 5 sigma, LSST makes a source
of 5 sigma; so does Masci et al. 2023, arXiv:2305.16279, for forced photometry."""

_LETTERS = np.array([*BANDS, ""], dtype=object)
"""Band letter by code; the last one answers code -1."""


def band_letters(band: ByteArray | IntArray) -> TextArray:
    """Return the letters of band codes, empty for -1."""
    return _LETTERS[band]


def magnitude(flux_njy: FloatArray) -> FloatArray:
    """Return AB magnitudes of fluxes [nJy]; NaN where the flux is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flux_njy > 0, AB_ZERO_POINT_NJY_MAG - 2.5 * np.log10(flux_njy), np.nan)


def ragged_offsets(owner: IntArray, n: int) -> IntArray:
    """Return the offsets (n + 1,) of points (p,) that stand in the order of their owners."""
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n))]).astype(np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class LightCurves:
    """Light curves of n objects as one ragged array, each in order of time, the alert's own point included."""

    offsets: IntArray
    """(n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` belong to row i."""
    midpoint_mjd_tai: FloatArray
    """(p,) [d, TAI]."""
    band: ByteArray
    """(p,) code, see `BANDS`."""
    psf_flux_njy: FloatArray
    """(p,) signed difference flux [nJy]; NaN for an upper limit."""
    psf_flux_err_njy: FloatArray
    """(p,) 1 sigma [nJy]; NaN for an upper limit."""
    upper_limit_njy: FloatArray
    """(p,) 5 sigma limiting flux [nJy] of a visit that saw nothing; NaN for a detection."""

    def __len__(self) -> int:
        """Return the number of light curves."""
        return len(self.offsets) - 1

    def take(self, chosen: BoolArray | IntArray) -> LightCurves:
        """Return the light curves that a mask or row numbers choose."""
        return LightCurves(**_take_ragged(self, chosen))


@dataclass(frozen=True, eq=False, slots=True)
class ForcedPhotometry:
    """Fluxes of n objects at their known places, detected or not, as one ragged array, each in order of time.

    Not part of the light curves: no detections, never counted as such.
    """

    offsets: IntArray
    """(n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` belong to row i."""
    midpoint_mjd_tai: FloatArray
    """(p,) [d, TAI]."""
    band: ByteArray
    """(p,) code, see `BANDS`."""
    psf_flux_njy: FloatArray
    """(p,) signed difference flux [nJy]; LSST psfFlux, ZTF from forcediffimflux and its magzpsci."""
    psf_flux_err_njy: FloatArray
    """(p,) 1 sigma [nJy]; NaN when absent."""

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.offsets) - 1

    def take(self, chosen: BoolArray | IntArray) -> ForcedPhotometry:
        """Return the objects that a mask or row numbers choose."""
        return ForcedPhotometry(**_take_ragged(self, chosen))


def no_forced(n: int) -> ForcedPhotometry:
    """Return the forced photometry of n objects that have none."""
    none = np.empty(0)
    return ForcedPhotometry(np.zeros(n + 1, np.int64), none, np.empty(0, np.int8), none, none)


def _take_ragged(points: LightCurves | ForcedPhotometry, chosen: BoolArray | IntArray) -> dict[str, Any]:
    """Return the fields of some rows of a ragged array."""
    starts, lengths = points.offsets[:-1][chosen], np.diff(points.offsets)[chosen]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    rest = {field.name: getattr(points, field.name)[index] for field in fields(points) if field.name != "offsets"}
    return {"offsets": offsets, **rest}


@dataclass(frozen=True, eq=False, slots=True)
class AlertColumns:
    """n alerts of one survey; row i of every column is the same alert."""

    survey: Survey
    row: IntArray
    """(n,) index of the message in the batch that was decoded; ascending."""
    object_id: TextArray
    """(n,) ZTF objectId; LSST diaObjectId as decimal text; empty when the alert is of a moving body only."""
    detection_id: IntArray
    """(n,) ZTF candid, LSST diaSourceId."""
    ra_deg: FloatArray
    """(n,) [deg, ICRS]."""
    dec_deg: FloatArray
    """(n,) [deg, ICRS]."""
    midpoint_mjd_tai: FloatArray
    """(n,) middle of the exposure [d, TAI]. ZTF's jd is the start in UTC of a 30 s exposure."""
    band: ByteArray
    psf_flux_njy: FloatArray
    """(n,) signed difference flux [nJy]; ZTF from magpsf and isdiffpos."""
    psf_flux_err_njy: FloatArray
    reliability: FloatArray
    """(n,) 0 bogus to 1 real; ZTF drb, else rb; LSST reliability; NaN when absent."""
    solar_system_id: TextArray
    """(n,) known moving body that the survey itself associated (ZTF ssnamenr within 5 arcsec; LSST ssObjectId)."""
    is_public: BoolArray
    """(n,) ZTF programid 1; every LSST alert."""
    n_detections: IntArray
    """(n,) detections so far as the survey counts (ZTF ndethist, LSST diaObject.nDiaSources), -1 when absent."""
    first_midpoint_mjd_tai: FloatArray
    """(n,) first detection known to the packet: the earliest of its history and the survey's own record [d, TAI]."""
    star_galaxy_score: FloatArray
    """(n,) 1 star to 0 galaxy of the nearest PS1 source (ZTF sgscore1); NaN when absent."""
    nearest_source_arcsec: FloatArray
    """(n,) distance of that source [arcsec] (ZTF distpsnr1); NaN when absent."""
    exposure_id: IntArray
    """(n,) the same for all alerts of one exposure of the camera, -1 when absent. LSST visit, before 7.0 the part of
    ccdVisitId that all detectors share; ZTF night and fraction of the day out of candid."""
    trail_length_arcsec: FloatArray
    """(n,) length of the trail that fits best [arcsec] (LSST trailLength); NaN when absent, as for ZTF."""
    is_streak: BoolArray
    """(n,) whether the survey itself found the detection to be part of a streak (LSST glint_trail); False for ZTF."""
    extendedness: FloatArray
    """(n,) 0 point to 1 extended (LSST extendedness); NaN when absent, as for ZTF."""
    solar_system_separation_arcsec: FloatArray
    """(n,) distance of the known moving body that is nearest [arcsec], NaN when there is none (ZTF ssdistnr, out to
    30 arcsec, hence also of bodies that are not associated; LSST ephOffset, before 10.0 from residualRa and
    residualDec)."""
    template_mag: FloatArray
    """(n,) [mag AB] in the alert's band of the nearest source in the template image (ZTF magnr), or of the template at
    the place of the alert (LSST templateFlux); NaN when absent or not positive."""
    template_separation_arcsec: FloatArray
    """(n,) distance of that source [arcsec] (ZTF distnr); NaN when absent, as for LSST."""
    neighbour_g_mag: FloatArray
    """(n,) of the source of `nearest_source_arcsec` [mag AB] (ZTF sgmag1, of PS1); NaN when absent, as for LSST."""
    neighbour_r_mag: FloatArray
    """(n,) likewise in r (ZTF srmag1)."""
    neighbour_i_mag: FloatArray
    """(n,) likewise in i (ZTF simag1)."""
    neighbour_z_mag: FloatArray
    """(n,) likewise in z (ZTF szmag1)."""
    light_curves: LightCurves
    forced: ForcedPhotometry

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.row)

    def take(self, chosen: BoolArray | IntArray) -> AlertColumns:
        """Return the alerts that a mask or row numbers choose, light curves and forced photometry included."""
        ragged: dict[str, Any] = {"light_curves": self.light_curves.take(chosen), "forced": self.forced.take(chosen)}
        flat = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ragged}
        survey = flat.pop("survey")
        return AlertColumns(survey=survey, **{name: column[chosen] for name, column in flat.items()}, **ragged)


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that could not be read."""

    row: int
    """Index of the message in the batch."""
    reason: str
    """`graph.errors.WireError.reason` of the error."""
    message: str
    """One sentence."""
