"""What the rules of `ingest.classifiers.solar_system` are worth on recorded alerts; there is nothing to fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import jd_utc_to_mjd_tai
from ingest.alerts.decode import decode_alerts
from ingest.classifiers.linking import (
    MAX_RATE_DEG_D,
    MAX_STEP_D,
    MIN_MOTION_ARCSEC,
    MIN_STEP_D,
    Tracklets,
    link_tracklets,
)
from ingest.classifiers.solar_system import RULES, which_rule
from ingest.replay import iter_alert_messages
from ingest.training.histories import ZTF_FOLDERS, split_fraction
from ingest.training.labelled import TRAIN_BELOW

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.alerts.columns import AlertColumns

BoolArray = NDArray[np.bool_]

DETECTIONS: Final = "sso_ztf_mpc_detections.parquet"
"""ZTF detections of 30 known asteroids; fink-fat, Apache-2.0."""


def public_alerts(data_dir: Path) -> AlertColumns:
    """Return the distinct public ZTF alerts, labelled or not."""
    messages = [
        message
        for folder in ZTF_FOLDERS
        for path in sorted((data_dir / folder).iterdir())
        if path.suffix in {".avro", ".parquet"}
        for survey, message in iter_alert_messages(path)
        if survey is Survey.ZTF
    ]
    columns, _ = decode_alerts(Survey.ZTF, messages)
    columns = columns.take(np.sort(np.unique(columns.detection_id, return_index=True)[1]))
    return columns.take(columns.is_public)


def shares(columns: AlertColumns) -> dict[str, Any]:
    """Return for each rule on lone detections the share of bodies that the survey knows, its name withheld.

    Notes
    -----
    Rows of ``fitted`` are those that the probabilities in the table were taken from.
    """
    known = columns.solar_system_id != ""
    bare = replace(columns, solar_system_id=np.full(len(columns), "", dtype=object))
    n = len(bare)
    nothing = Tracklets(np.full(n, -1), np.zeros(n, np.int64), *(np.full(n, np.nan) for _ in range(3)))
    rule = which_rule(bare, nothing)
    fitted = np.array([split_fraction(str(name)) < TRAIN_BELOW for name in columns.object_id])
    return {
        item.name: {
            side: {"alerts": int(rows.sum()), "known_bodies": float(known[rows].mean()) if rows.any() else None}
            for side, rows in (("fitted", fitted & (rule == place)), ("held_out", ~fitted & (rule == place)))
        }
        for place, item in enumerate(RULES)
        if item.name.startswith("alone")
    }


def known_asteroids(data_dir: Path) -> dict[str, float]:
    """Return how many steps of known asteroids from one visit to the next are linked, and how many tracklets are pure.

    Notes
    -----
    A step counts that the limits of `link_tracklets` allow. There are no strangers among these detections, so purity is
    that against other asteroids.
    """
    table = pd.read_parquet(data_dir / "lightcurves" / DETECTIONS)
    table = table.sort_values(["i:ssnamenr", "i:jd"]).drop_duplicates(["i:ssnamenr", "i:jd"])
    name = table["i:ssnamenr"].to_numpy(str)
    ra, dec = table["i:ra"].to_numpy(np.float64), table["i:dec"].to_numpy(np.float64)
    time = jd_utc_to_mjd_tai(table["i:jd"].to_numpy(np.float64))
    found = link_tracklets(ra, dec, time, np.ones(len(table), dtype=np.bool_))
    wait = np.diff(time)
    motion = 3600.0 * np.hypot(np.diff(ra) * np.cos(np.radians(dec[1:])), np.diff(dec))
    allowed = (name[1:] == name[:-1]) & (wait >= MIN_STEP_D) & (wait <= MAX_STEP_D)
    allowed &= (motion >= MIN_MOTION_ARCSEC) & (motion <= 3600.0 * MAX_RATE_DEG_D * wait)
    joined = (found.tracklet_id[1:] == found.tracklet_id[:-1]) & (found.tracklet_id[1:] >= 0)
    linked = found.tracklet_id >= 0
    bodies = pd.Series(name[linked]).groupby(found.tracklet_id[linked]).nunique()
    return {
        "steps": float(allowed.sum()),
        "recall": float(joined[allowed].mean()),
        "tracklets": float(len(bodies)),
        "purity": float((bodies == 1).mean()),
    }


def evaluate(data_dir: Path) -> dict[str, Any]:
    """Return shares of lone detections and what is linked of known asteroids."""
    return {"lone": shares(public_alerts(data_dir)), "asteroids": known_asteroids(data_dir)}
