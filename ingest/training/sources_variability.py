"""Labelled alerts of variable stars, active nuclei and moving bodies, as the columns that classifiers read.

Real ZTF and LSST alerts go through the stream's own decoder, so that a model is fitted on what it will be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import decode_alerts
from ingest.replay import iter_alert_messages
from ingest.training.histories import ZTF_FOLDERS, History, split_fraction, ztf_supernovae
from ingest.training.labelled import Labelled, as_batch, from_histories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

ZTF_CLASSES: Final[Mapping[str, str]] = {
    **{name: name for name in ("AGN", "EB", "LPV", "RRL", "YSO", "SSO")},
    "ROT/RSCVn": "ROT",
    "CV/Nova": "CV",
    **dict.fromkeys(("SN", "SN Ia", "SN Ibc", "SN II", "SLSN"), "SN"),
}
"""Class in the label table -> ours. Left out for want of objects to fit on: five Cepheids, four delta Scuti stars, two
tidal disruptions and one flare star among half of the objects."""

LSST_FOLDERS: Final = ("lsst_fink_parquet", "lsst_bulk")
"""Folders of real LSST alerts, of whose objects few have a catalogue's label; to judge with only."""

CONTEXT: Final = (
    *("ra_deg", "dec_deg", "star_galaxy_score", "nearest_source_arcsec", "template_mag", "template_separation_arcsec"),
    *(f"neighbour_{band}_mag" for band in "griz"),
)
"""Columns that a packet fills and a published light curve lacks."""

FORCED_BEFORE_D: Final = 30.0
"""Forced photometry begins this long before an object's first detection [d]: what LSST computes afterwards for a new
object, Data Products Definition Document LSE-163, section 3.2.3."""

SAME_BAND_EARLY: Final = 8
"""One cut of each alert is among its first eight detections, when follow-up is decided."""


@dataclass(frozen=True, eq=False, slots=True)
class LabelledAlerts:
    """n labelled alerts."""

    columns: AlertColumns
    label: TextArray
    """(n,) class, a name of `graph.taxonomy`."""
    source: TextArray
    """(n,) collection, a key of `ingest.training.sources.LICENCES`."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.label)

    @property
    def fraction(self) -> FloatArray:
        """(n,) place of each alert's object in the split, `ingest.training.histories.split_fraction`."""
        return np.array([split_fraction(str(name)) for name in self.columns.object_id], dtype=np.float64)

    def take(self, row: IntArray | NDArray[np.bool_]) -> LabelledAlerts:
        """Return the alerts that a mask or row numbers choose."""
        return LabelledAlerts(self.columns.take(row), self.label[row], self.source[row])


def join(parts: Sequence[LabelledAlerts]) -> LabelledAlerts:
    """Join alerts of one survey."""

    def ragged(name: str) -> Any:  # noqa: ANN401 - light curves and forced photometry alike
        values = [getattr(part.columns, name) for part in parts]
        lengths = np.concatenate([np.diff(points.offsets) for points in values])
        names = [item.name for item in fields(values[0]) if item.name != "offsets"]
        joined = {item: np.concatenate([getattr(points, item) for points in values]) for item in names}
        return type(values[0])(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **joined)

    flat = [item.name for item in fields(AlertColumns) if item.name not in {"survey", "light_curves", "forced"}]
    columns = AlertColumns(
        survey=parts[0].columns.survey,
        **{name: np.concatenate([getattr(part.columns, name) for part in parts]) for name in flat},
        light_curves=ragged("light_curves"),
        forced=ragged("forced"),
    )
    return LabelledAlerts(
        columns, np.concatenate([part.label for part in parts]), np.concatenate([part.source for part in parts])
    )


def ztf_alerts(data_dir: Path) -> LabelledAlerts:
    """Return the distinct public ZTF alerts of objects with a label, as the stream decodes them."""
    table = pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv")
    labels = dict(zip(table["objectId"], table["class"].map(ZTF_CLASSES), strict=True))
    messages = [
        message
        for folder in ZTF_FOLDERS
        for path in sorted((data_dir / folder).iterdir())
        if path.suffix in {".avro", ".parquet"}
        for survey, message in iter_alert_messages(path)
        if survey is Survey.ZTF
    ]
    columns, _ = decode_alerts(Survey.ZTF, messages)
    label = np.array([labels.get(name) for name in columns.object_id], dtype=object)
    first = np.zeros(len(columns), dtype=np.bool_)
    first[np.unique(columns.detection_id, return_index=True)[1]] = True
    kept = first & columns.is_public & np.array([isinstance(name, str) for name in label], dtype=np.bool_)
    return LabelledAlerts(columns.take(kept), label[kept], np.full(int(kept.sum()), "packet", dtype=object))


def lsst_alerts(data_dir: Path) -> LabelledAlerts:
    """Return the distinct real LSST alerts whose object a catalogue of active nuclei or variable stars knows."""
    table = pd.read_csv(data_dir / "labels" / "lsst_alert_labels_dev.csv")
    table = table[table["class"].isin(["AGN", "EB", "RRL"])]
    labels = dict(zip(table["diaSourceId"], table["class"], strict=True))
    messages = [
        message
        for folder in LSST_FOLDERS
        for survey, message in iter_alert_messages(data_dir / folder)
        if survey is Survey.LSST
    ]
    columns, _ = decode_alerts(Survey.LSST, messages)
    label = np.array([labels.get(int(name), "") for name in columns.detection_id], dtype=object)
    first = np.zeros(len(columns), dtype=np.bool_)
    first[np.unique(columns.detection_id, return_index=True)[1]] = True
    kept = first & (label != "")
    return LabelledAlerts(columns.take(kept), label[kept], np.full(int(kept.sum()), "lsst_packet", dtype=object))


def earlier(alerts: LabelledAlerts, rng: np.random.Generator, cuts: int) -> LabelledAlerts:
    """Return what earlier alerts of the same objects would have shown: histories cut at random detections.

    Parameters
    ----------
    cuts : random cuts of each alert beside one early one.

    Notes
    -----
    Cut at detections in the alert's own band, because the template's magnitude is that of this band.
    """
    curves = alerts.columns.light_curves
    owner = np.repeat(np.arange(len(alerts)), np.diff(curves.offsets))
    usable = np.isfinite(curves.psf_flux_njy) & (curves.band == alerts.columns.band[owner])
    usable &= curves.midpoint_mjd_tai < alerts.columns.midpoint_mjd_tai[owner]
    place, whose = np.flatnonzero(usable), owner[usable]
    first = np.searchsorted(whose, np.arange(len(alerts)))
    count = np.bincount(whose, minlength=len(alerts))
    has = np.flatnonzero(count)
    draws = [np.minimum(rng.integers(SAME_BAND_EARLY, size=len(has)), count[has] - 1)]
    draws += [rng.integers(count[has]) for _ in range(cuts)]
    chosen = np.unique(np.concatenate([place[first[has] + draw] for draw in draws]))
    row = owner[chosen]
    return LabelledAlerts(
        _as_of(alerts.columns.take(row), curves.midpoint_mjd_tai[chosen]), alerts.label[row], alerts.source[row]
    )


def _as_of(columns: AlertColumns, end_mjd_tai: FloatArray) -> AlertColumns:
    """Return alerts as they would have been when their newest detection was at ``end_mjd_tai`` (n,)."""
    curves, n = columns.light_curves, len(columns)
    owner = np.repeat(np.arange(n), np.diff(curves.offsets))
    seen = np.isfinite(curves.psf_flux_njy)
    kept = curves.midpoint_mjd_tai <= end_mjd_tai[owner]
    newest = np.zeros(n, dtype=np.int64)
    newest[owner[kept & seen]] = np.flatnonzero(kept & seen)
    lost = np.bincount(owner[seen & ~kept], minlength=n)
    forced = columns.forced
    forced_owner = np.repeat(np.arange(n), np.diff(forced.offsets))
    return replace(
        columns,
        midpoint_mjd_tai=end_mjd_tai,
        psf_flux_njy=curves.psf_flux_njy[newest],
        psf_flux_err_njy=curves.psf_flux_err_njy[newest],
        n_detections=np.where(columns.n_detections > lost, columns.n_detections - lost, columns.n_detections),
        light_curves=_kept(curves, owner, kept),
        forced=_kept(forced, forced_owner, forced.midpoint_mjd_tai <= end_mjd_tai[forced_owner]),
    )


def _kept(points: Any, owner: IntArray, kept: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - both ragged kinds
    """Return some points of ragged arrays."""
    lengths = np.bincount(owner[kept], minlength=len(points))
    rest = {item.name: getattr(points, item.name)[kept] for item in fields(points) if item.name != "offsets"}
    return type(points)(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **rest)


def cut_alerts(
    labelled: Labelled, survey: Survey, rng: np.random.Generator, cuts: int, history_d: float
) -> LabelledAlerts:
    """Return the alerts that light curves would have sent: the newest, an early and ``cuts`` random ones of each.

    Parameters
    ----------
    history_d : length of the history in a packet [d].

    Notes
    -----
    Every other row has forced photometry, from `FORCED_BEFORE_D` before the object's first detection on; the others
    have none, since a classifier has to do without it where a packet comes early or states none.
    """
    curves = labelled.curves
    owner = np.repeat(np.arange(len(labelled)), np.diff(curves.offsets))
    place = np.flatnonzero(np.isfinite(curves.psf_flux_njy))
    whose = owner[place]
    first, count = np.searchsorted(whose, np.arange(len(labelled))), np.bincount(whose, minlength=len(labelled))
    has = np.flatnonzero(count)
    draws = [count[has] - 1, np.minimum(rng.integers(SAME_BAND_EARLY, size=len(has)), count[has] - 1)]
    draws += [rng.integers(count[has]) for _ in range(cuts)]
    chosen = np.unique(np.concatenate([place[first[has] + draw] for draw in draws]))
    row = owner[chosen]
    began = curves.midpoint_mjd_tai[place[first[row]]]
    seen = labelled.take(row).until(curves.midpoint_mjd_tai[chosen], since_d=history_d)
    forced = seen.forced
    forced_owner = np.repeat(np.arange(len(seen)), np.diff(forced.offsets))
    stated = forced.midpoint_mjd_tai >= began[forced_owner] - FORCED_BEFORE_D
    stated &= (rng.random(len(seen)) < 0.5)[forced_owner]
    columns = as_batch(replace(seen, forced=_kept(forced, forced_owner, stated)), survey).columns
    columns = replace(
        columns,
        first_midpoint_mjd_tai=began,
        n_detections=np.searchsorted(place, chosen) - first[row] + 1,
    )
    return LabelledAlerts(columns, seen.label, seen.source)


def published_supernovae(data_dir: Path) -> Labelled:
    """Return the published ZTF light curves of supernovae."""
    histories: list[History] = list(ztf_supernovae(data_dir))
    source = np.full(len(histories), "alerce", dtype=object)
    return replace(from_histories(histories, ["SN"] * len(histories)), source=source)


def lend_context(alerts: LabelledAlerts, lenders: LabelledAlerts, rng: np.random.Generator) -> LabelledAlerts:
    """Return alerts with place and source in quiescence of random lenders of the same class in the same band.

    Without this, a published light curve's lack of both would betray its class.
    """
    given = np.zeros(len(alerts), dtype=np.int64)
    for kind, band in {(str(kind), int(code)) for kind, code in zip(alerts.label, alerts.columns.band, strict=True)}:
        able = np.flatnonzero((lenders.label == kind) & (lenders.columns.band == band))
        able = able if len(able) else np.flatnonzero(lenders.label == kind)
        asking = np.flatnonzero((alerts.label == kind) & (alerts.columns.band == band))
        given[asking] = rng.choice(able, size=len(asking))
    lent = {name: getattr(lenders.columns, name)[given] for name in CONTEXT}
    return replace(alerts, columns=replace(alerts.columns, **lent))
