"""Labelled light curves for training: recorded ZTF packets, published light curves and the PLAsTiCC simulation.

Only sources with a stated open licence are read, so that the models may be redistributed: `SOURCES` names them. Every
source becomes `History` values in nJy and MJD TAI, which `ingest.training.examples` cuts into what an alert would have
shown.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import jd_utc_to_mjd_tai, mjd_utc_to_tai
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, LightCurves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]

FLUXCAL_NJY = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - 27.5))
"""Flux of one SNANA FLUXCAL unit, zero point 27.5 mag AB [nJy]; PLAsTiCC data note, doi:10.5281/zenodo.2539456."""

HALF_EXPOSURE_D = 15.0 / 86400.0
"""From the start to the middle of ZTF's 30 s exposure [d]; Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe."""

ZTF_FOLDERS = (
    "ztf_bulk",
    "ztf_fink_parquet",
    "ztf_fink_parquet/20240115",
    *(f"ztf_packets/{name}" for name in ("20180601", "20180626", "20181129", "20200101", "20200202", "20231012")),
    "ztf_packets/objects_nocutout",
    "ztf_packets/pgb_client",
)
"""Folders of ZTF packets, public alert data, whose repositories state an Apache-2.0, BSD-3-Clause or MIT licence.

Files with Snappy blocks lie elsewhere: fastavro reads them with one more package only, and they repeat these alerts."""

SOURCES: Mapping[Survey, tuple[str, ...]] = {
    Survey.ZTF: (
        "ZTF public alert packets 2018-2025 (public data; collected by Apache-2.0, BSD-3-Clause and MIT repositories)",
        "object classes from TNS, VSX, GCVS, SIMBAD, 4LAC and SPICY by position or name (public catalogues)",
        "ALeRCE: ZTF light curves of 30 supernovae (alercebroker/lc_classifier, MIT)",
        "PLAsTiCC simulated supernovae, brightened to ZTF's depth and cadence (CC-BY-4.0, doi:10.5281/zenodo.2539456)",
    ),
    Survey.LSST: ("PLAsTiCC simulated LSST light curves (CC-BY-4.0, doi:10.5281/zenodo.2539456)",),
}
"""Provenance and licence of what each model is trained on."""

NOT_COVERED: Mapping[Survey, tuple[str, ...]] = {
    Survey.ZTF: (
        "No classes of this model: tidal disruptions, kilonovae, flares, microlensing. They get another's name.",
        "Cataclysmic variables and novae count as variable stars: eight objects are too few to learn from.",
        "Most classes of real objects come from catalogues by position and are not certain.",
        "Most supernovae are simulated and differ from the survey in noise and cadence, which makes them too easy.",
        "The brightness given to them was settled after a look at real supernovae, which are no blind test since.",
    ),
    Survey.LSST: (
        "All rows are simulated: no real LSST light curve with a certain class was to be had.",
        "Neither forced photometry nor host galaxy nor redshift is read.",
        "Real cadence, noise and artefacts differ: measure the calibration on real alerts before trusting it.",
    ),
}
"""What the figures of each model cannot show, for its card."""

ZTF_CLASSES: Mapping[str, str] = {
    "AGN": "AGN",
    **dict.fromkeys(("SN", "SN Ia", "SN Ibc", "SN II", "SLSN", "SNIa", "SNIbc", "SNII"), "SN"),
    **dict.fromkeys(("EB", "RRL", "LPV", "CEP", "DSCT", "ROT/RSCVn", "YSO", "CV/Nova"), "variable star"),
}
"""Class in the label tables -> class of the ZTF model. Two tidal disruptions and
eight cataclysmic variables are too few to learn: the former are left out, the latter are stars that vary."""

LSST_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("SNIa", "SNIa-91bg", "SNIax"), "SN Ia"),
    **dict.fromkeys(("SNII", "SNIbc", "SLSN-I"), "SN CC"),
    "TDE": "TDE",
    "KN": "KN",
    "AGN": "AGN",
    "M-dwarf": "M-dwarf flare",
    "uLens-Single": "microlensing",
    **dict.fromkeys(("RRL", "EB", "Mira"), "variable star"),
}
"""PLAsTiCC class -> class of the LSST model. Without a redshift the superluminous are not told from other supernovae of
massive stars, and nine Miras are no class of their own."""


@dataclass(frozen=True, eq=False, slots=True)
class History:
    """The labelled light curve of one object, or of one alert of it."""

    object_id: str
    label: str
    source: str
    """Where it is from: ``packet``, ``alerce``, ``plasticc``, ``plasticc-as-ztf``."""
    midpoint_mjd_tai: FloatArray
    """(p,) ascending [d, TAI]."""
    band: NDArray[np.int8]
    psf_flux_njy: FloatArray
    """(p,) [nJy], NaN for an upper limit."""
    psf_flux_err_njy: FloatArray
    upper_limit_njy: FloatArray
    """(p,) 5 sigma [nJy], NaN for a detection."""
    star_galaxy_score: float = float("nan")
    nearest_source_arcsec: float = float("nan")


def split_fraction(object_id: str) -> float:
    """Return the place of an object in the split, in [0, 1): train below .5, held out from .5 to .7.

    The md5 of the id decides, so an object stays on its side whatever else is collected.
    """
    return int(hashlib.md5(object_id.encode(), usedforsecurity=False).hexdigest(), 16) / 16**32


def flux_from_magnitude(mag: FloatArray) -> FloatArray:
    """Convert AB magnitudes to nJy; NaN stays NaN."""
    return np.asarray(10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - mag)), dtype=np.float64)


def pack_light_curves(histories: Sequence[History]) -> LightCurves:
    """Join histories to one ragged array."""
    lengths = [len(history.midpoint_mjd_tai) for history in histories]
    return LightCurves(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        midpoint_mjd_tai=np.concatenate([history.midpoint_mjd_tai for history in histories]),
        band=np.concatenate([history.band for history in histories]),
        psf_flux_njy=np.concatenate([history.psf_flux_njy for history in histories]),
        psf_flux_err_njy=np.concatenate([history.psf_flux_err_njy for history in histories]),
        upper_limit_njy=np.concatenate([history.upper_limit_njy for history in histories]),
    )


def _number(value: object) -> float:
    """Return a packet's number, NaN for null, NaN and ZTF's -999."""
    return float("nan") if not isinstance(value, (int, float)) or value <= -998.0 else float(value)


def _packets(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the ZTF alerts of one Avro container or one Parquet file, cutouts left out of Parquet."""
    if path.suffix == ".avro":
        with path.open("rb") as stream:
            yield from fastavro.reader(stream)  # type: ignore[misc, unused-ignore]
    else:
        table = pq.read_table(path, columns=["objectId", "candid", "candidate", "prv_candidates"])
        yield from table.to_pylist()


def _packet_history(alert: Mapping[str, Any], label: str) -> History:
    """Turn one ZTF packet into a history of detections and upper limits."""
    candidate = alert["candidate"]
    points = [*(alert.get("prv_candidates") or []), candidate]
    mag = np.array([_number(point.get("magpsf")) for point in points])
    mag_err = np.array([_number(point.get("sigmapsf")) for point in points])
    depth = np.array([_number(point.get("diffmaglim")) for point in points])
    sign = np.array([1.0 if point.get("isdiffpos") in {"t", "1"} else -1.0 for point in points])
    time = jd_utc_to_mjd_tai(np.array([float(point["jd"]) for point in points])) + HALF_EXPOSURE_D
    flux = flux_from_magnitude(mag)
    order = np.argsort(time, kind="stable")
    return History(
        object_id=str(alert["objectId"]),
        label=label,
        source="packet",
        midpoint_mjd_tai=time[order],
        band=np.array([int(point["fid"]) for point in points], dtype=np.int8)[order],
        psf_flux_njy=(sign * flux)[order],
        psf_flux_err_njy=(flux * mag_err * np.log(10.0) / 2.5)[order],
        upper_limit_njy=np.where(np.isnan(mag), flux_from_magnitude(depth), np.nan)[order],
        star_galaxy_score=_number(candidate.get("sgscore1")),
        nearest_source_arcsec=_number(candidate.get("distpsnr1")),
    )


def ztf_packets(data_dir: Path) -> Iterator[History]:
    """Yield one history for each distinct public alert of a labelled object.

    Parameters
    ----------
    data_dir : folder with ``labels/`` and the packet folders of `ZTF_FOLDERS`.
    """
    table = pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv")
    labels = dict(zip(table["objectId"], table["class"].map(ZTF_CLASSES), strict=True))
    seen: set[int] = set()
    for folder in ZTF_FOLDERS:
        for path in sorted((data_dir / folder).iterdir()):
            if path.suffix not in {".avro", ".parquet"}:
                continue
            for alert in _packets(path):
                label = labels.get(alert["objectId"])
                candid = int(alert["candidate"]["candid"] if alert.get("candid") is None else alert["candid"])
                if isinstance(label, str) and candid not in seen and alert["candidate"].get("programid") == 1:
                    seen.add(candid)
                    yield _packet_history(alert, label)


def ztf_supernovae(data_dir: Path) -> Iterator[History]:
    """Yield the 30 supernova light curves published with ALeRCE's classifier."""
    table = pd.read_parquet(data_dir / "lightcurves" / "alerce_30_sne_lc.parquet")
    for object_id, rows in table.sort_values("mjd").groupby("objectId"):
        flux = flux_from_magnitude(rows["magpsf"].to_numpy(np.float64))
        yield History(
            object_id=str(object_id),
            label=ZTF_CLASSES[rows["classALeRCE"].iloc[0]],
            source="alerce",
            midpoint_mjd_tai=mjd_utc_to_tai(rows["mjd"].to_numpy(np.float64)) + HALF_EXPOSURE_D,
            band=rows["fid"].to_numpy(np.int8),
            psf_flux_njy=flux * rows["isdiffpos"].to_numpy(np.float64),
            psf_flux_err_njy=flux * rows["sigmapsf"].to_numpy(np.float64) * np.log(10.0) / 2.5,
            upper_limit_njy=np.full(len(rows), np.nan),
        )


@dataclass(frozen=True, eq=False, slots=True)
class SimulatedObject:
    """A simulated LSST light curve with all its points, detected or not."""

    history: History
    detected: NDArray[np.bool_]
    redshift: float


def plasticc(data_dir: Path) -> Iterator[SimulatedObject]:
    """Yield the PLAsTiCC objects; their times are taken as TAI, the simulation states none."""
    for part in ("train", "test"):
        folder = data_dir / "lightcurves"
        meta = pd.read_csv(folder / f"plasticc_{part}_meta.csv").set_index("object_id")
        points = pd.read_parquet(folder / f"plasticc_{part}_lc.parquet").sort_values(["object_id", "mjd"])
        for object_id, rows in points.groupby("object_id"):
            truth = meta.loc[int(str(object_id))]
            label = LSST_CLASSES.get(str(truth["class"]))
            if label is None:
                continue
            history = History(
                object_id=str(object_id),
                label=label,
                source="plasticc",
                midpoint_mjd_tai=rows["mjd"].to_numpy(np.float64),
                band=rows["passband"].to_numpy(np.int8),
                psf_flux_njy=rows["flux"].to_numpy(np.float64) * FLUXCAL_NJY,
                psf_flux_err_njy=rows["flux_err"].to_numpy(np.float64) * FLUXCAL_NJY,
                upper_limit_njy=np.full(len(rows), np.nan),
            )
            yield SimulatedObject(history, rows["detected_bool"].to_numpy() == 1, float(str(truth["true_z"])))


def detections_only(simulated: Iterable[SimulatedObject]) -> Iterator[History]:
    """Yield the detected points, which is what an LSST packet's history of sources holds."""
    for item in simulated:
        history, kept = item.history, item.detected
        if kept.any():
            yield History(
                object_id=history.object_id,
                label=history.label,
                source=history.source,
                midpoint_mjd_tai=history.midpoint_mjd_tai[kept],
                band=history.band[kept],
                psf_flux_njy=history.psf_flux_njy[kept],
                psf_flux_err_njy=history.psf_flux_err_njy[kept],
                upper_limit_njy=history.upper_limit_njy[kept],
            )
