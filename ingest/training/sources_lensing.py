"""Collections with lenses in them, and the real stars of the ZTF packets, as `Labelled` columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.times import mjd_utc_to_tai
from ingest.alerts.columns import BANDS, ForcedPhotometry, ragged_offsets
from ingest.training.histories import flux_from_magnitude, ztf_packets
from ingest.training.labelled import Labelled, from_histories
from ingest.training.lensing_curves import light_curves

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


FloatArray = NDArray[np.float64]

OGLE_ERR_FLOOR_MAG: Final = 0.003
"""Smallest stated error of OGLE-II photometry that is believed [mag]: the catalogue itself ends there;
Udalski et al. 1997, Acta Astronomica 47, 319."""

OGLE_CLASSES: Final[Mapping[str, str]] = {"ML": "microlensing", "VAR": "variable star"}
"""Class of the collection -> ours."""

PACKET_CLASSES: Final[Mapping[str, str]] = {
    "AGN": "nuclear",
    "TDE": "nuclear",
    **dict.fromkeys(("SN", "SN Ia", "SN Ibc", "SN II", "SLSN"), "explosive"),
    **dict.fromkeys(("EB", "RRL", "CEP", "DSCT", "ROT/RSCVn", "YSO"), "variable star"),
    "LPV": "LPV",
    "CV/Nova": "CV",
    "M-dwarf": "M-dwarf flare",
}
"""Class in the label table of ZTF packets -> class of the microlensing classifier."""


def ogle2(data_dir: Path) -> Labelled:
    """Return lenses and variable stars of OGLE-II, real, in I; to judge with only.

    Magnitudes become difference fluxes against the median, which stands for a template of many good images. Band I
    is taken as i; a lens has no colour. Times count from JD 2450000 or are whole; some are heliocentric, which is
    minutes for events of days.
    """
    points = pd.read_parquet(data_dir / "lightcurves" / "ogle2_microlensing_dev_lc.parquet")
    points = points[np.isfinite(points["mag"]) & np.isfinite(points["magerr"])]
    points = points.assign(id=points["label"] + " " + points["id"].astype(str))
    points = points.sort_values(["id", "hjd"], kind="stable")
    names, owner = np.unique(points["id"].to_numpy(str), return_inverse=True)
    day = points["hjd"].to_numpy(np.float64)
    time = mjd_utc_to_tai(np.where(day < 1e6, day + 2_450_000.0, day) - 2_400_000.5)
    flux = flux_from_magnitude(points["mag"].to_numpy(np.float64))
    err = flux * np.maximum(points["magerr"].to_numpy(np.float64), OGLE_ERR_FLOOR_MAG) * np.log(10.0) / 2.5
    flux = flux - pd.Series(flux).groupby(owner).transform("median").to_numpy()
    n = len(names)
    offsets = ragged_offsets(owner, n)
    band = np.full(len(time), BANDS.index("i"), dtype=np.int8)
    absent = np.full(n, np.nan)
    return Labelled(
        object_id=names.astype(object),
        label=np.array([OGLE_CLASSES[name.split(" ", 1)[0]] for name in names], dtype=object),
        source=np.full(n, "ogle2", dtype=object),
        curves=light_curves(offsets, time, band, flux, err),
        forced=ForcedPhotometry(offsets, time, band, flux, err),
        ra_deg=absent,
        dec_deg=absent,
        redshift=absent,
        redshift_err=absent,
        peak_mjd_tai=absent,
    )


def microlia(data_dir: Path) -> tuple[FloatArray, NDArray[np.object_], NDArray[np.bool_]]:
    """Return 148 features of 2,807 real OGLE-IV light curves, (n, 148), their classes and which are to train on.

    Lenses ``ML``, cataclysmic variables ``CV``, long-period variables ``LPV`` and ``RRLYR``; to compare recipes only.
    """
    table = pd.read_parquet(data_dir / "features" / "microlia_ogle4_dev.parquet")
    names = [name for name in table.columns if name not in {"row", "label", "split"}]
    return table[names].to_numpy(np.float64), table["label"].to_numpy(object), (table["split"] == "train").to_numpy()


def packets(data_dir: Path) -> Labelled:
    """Return the real ZTF alerts of labelled objects, one row for each alert."""
    table = pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv")
    labels = dict(zip(table["objectId"], table["class"].map(PACKET_CLASSES), strict=True))
    chosen = [history for history in ztf_packets(data_dir) if isinstance(labels.get(history.object_id), str)]
    return from_histories(chosen, [labels[history.object_id] for history in chosen])
