"""The simulated LSST alerts of ELAsTiCC as `Labelled` columns: type Ia (111) against type II supernovae (113)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.parquet as pq

from ingest.alerts.columns import BANDS, ForcedPhotometry, LightCurves
from ingest.training.labelled import Labelled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ELASTICC_FOLDERS: Final[Mapping[str, str]] = {"classId=111": "SN Ia", "classId=113": "SN II"}
"""Folder -> class; 111 is SALT2 type Ia, 113 the mixture of type II models."""

POINT_FIELDS: Final = ("midPointTai", "filterName", "psFlux", "psFluxErr")
"""Fields of a point of either history."""


def elasticc(data_dir: Path) -> Labelled:
    """Return the supernovae of ELAsTiCC with all points of their newest alert.

    Parameters
    ----------
    data_dir : folder with ``elasticc/``.

    Returns
    -------
    Labelled light curves: detections of ``prvDiaSources`` and the alert itself, forced photometry where an alert has
    it, which is from the second night on.

    Notes
    -----
    Fluxes are taken as nJy: with zero point 31.4 mag they agree with the simulation's PEAKMAG.
    """
    newest: dict[str, tuple[float, str, dict[str, Any]]] = {}
    for folder, label in ELASTICC_FOLDERS.items():
        for path in sorted((data_dir / "elasticc" / folder).glob("*.parquet")):
            columns = ["SNID", "PEAKMJD", "RA", "DEC", "GALZPHOT", "GALZPHOTERR", "diaSource", "prvDiaSources"]
            for alert in pq.read_table(path, columns=[*columns, "prvDiaForcedSources"]).to_pylist():
                name, time = str(alert["SNID"]), float(alert["diaSource"]["midPointTai"])
                if name not in newest or time > newest[name][0]:
                    newest[name] = (time, label, alert)
    names = sorted(newest)
    alerts = [newest[name][2] for name in names]
    seen = [[*(alert["prvDiaSources"] or []), alert["diaSource"]] for alert in alerts]
    points = _columns(seen)
    forced = _columns([alert["prvDiaForcedSources"] or [] for alert in alerts])
    photoz = np.array([float(alert["GALZPHOT"]) for alert in alerts])
    return Labelled(
        object_id=np.array(names, dtype=object),
        label=np.array([newest[name][1] for name in names], dtype=object),
        source=np.full(len(names), "elasticc", dtype=object),
        curves=LightCurves(*points, np.full(len(points[1]), np.nan)),
        forced=ForcedPhotometry(*forced),
        ra_deg=np.array([float(alert["RA"]) for alert in alerts]),
        dec_deg=np.array([float(alert["DEC"]) for alert in alerts]),
        redshift=np.where(photoz > 0.0, photoz, np.nan),
        redshift_err=np.where(photoz > 0.0, [float(alert["GALZPHOTERR"]) for alert in alerts], np.nan),
        peak_mjd_tai=np.array([float(alert["PEAKMJD"]) for alert in alerts]),
    )


def _columns(histories: list[list[dict[str, Any]]]) -> tuple[Any, Any, Any, Any, Any]:
    """Return offsets, time, band, flux and error of histories, each in order of time."""
    ordered = [sorted(history, key=lambda point: float(point["midPointTai"])) for history in histories]
    flat = [point for history in ordered for point in history]
    time, name, flux, err = ([point[field] for point in flat] for field in POINT_FIELDS)
    return (
        np.concatenate([[0], np.cumsum([len(history) for history in ordered])]).astype(np.int64),
        np.array(time, dtype=np.float64),
        np.array([BANDS.index(str(band).lower()) for band in name], dtype=np.int8),
        np.array(flux, dtype=np.float64),
        np.array(err, dtype=np.float64),
    )
