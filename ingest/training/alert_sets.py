"""Labelled alerts of a survey as the batch that the stream would have made of them.

ZTF's are recorded packets, so that what classifiers read beside the light curve, such as the PS1 neighbour and the
survey's own counts, is there as well. LSST's are simulated objects at some of their detections.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.classifiers.contract import Batch, batch_of
from ingest.crossmatch import crossmatch
from ingest.replay import iter_alert_messages
from ingest.training.early_sources import supernovae_as_ztf
from ingest.training.examples import HISTORY_D
from ingest.training.histories import ZTF_FOLDERS, split_fraction
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW, as_batch, detection_times
from ingest.training.sources import plasticc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ingest.training.labelled import Labelled

BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

CATALOGUED: Final[Mapping[str, str]] = {
    **{name: name for name in ("AGN", "SN", "SN Ia", "SN Ibc", "SN II", "SLSN", "TDE", "EB", "RRL", "LPV", "CEP")},
    **{name: name for name in ("DSCT", "YSO", "SSO")},
    "ROT/RSCVn": "ROT",
    "CV/Nova": "CV",
    "M-dwarf": "M-dwarf flare",
}
"""Class in ``labels/ztf_alert_object_labels_dev.csv`` -> ours."""


BRIGHTENED: Final = ("SN Ia", "SN II", "SN Ibc", "SLSN", "TDE")
"""Simulated classes that stand in for those of ZTF."""

CUTS: Final = 3
"""Random detections of each simulated object beside the last: enough to fill the phases, few enough to stay apart."""

MINIMUM_POINTS: Final = 3
"""Detections that a simulated alert has at least: with fewer hardly a classifier answers."""


@dataclass(frozen=True, eq=False, slots=True)
class AlertSet:
    """n labelled alerts."""

    batch: Batch
    label: TextArray
    """(n,) class of `graph.taxonomy`; empty when unknown."""
    source: TextArray
    """(n,) collection that the alert is from."""
    fraction: NDArray[np.float64]
    """(n,) place of the object in the split, see `split_fraction`."""
    is_last: BoolArray
    """(n,) the newest alert of its object."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.label)

    @property
    def object_id(self) -> TextArray:
        """(n,) survey's name of the object."""
        return self.batch.columns.object_id

    @property
    def days_since_first(self) -> NDArray[np.float64]:
        """(n,) from the first detection that the packet knows to the alert [d]."""
        return self.batch.columns.midpoint_mjd_tai - self.batch.columns.first_midpoint_mjd_tai

    @property
    def is_train(self) -> BoolArray:
        """(n,) alerts of objects to fit on."""
        return self.fraction < TRAIN_BELOW

    @property
    def is_test(self) -> BoolArray:
        """(n,) alerts of objects to judge on."""
        return (self.fraction >= TRAIN_BELOW) & (self.fraction < TEST_BELOW)

    def take(self, row: NDArray[np.int64]) -> AlertSet:
        """Return the alerts at some places, which are ascending."""
        return AlertSet(self.batch.take(row), self.label[row], self.source[row], self.fraction[row], self.is_last[row])


def alert_set(survey: Survey, data_dir: Path, seed: int) -> AlertSet:
    """Return the labelled alerts of a survey; ``seed`` draws the detections at which simulated objects are cut."""
    return ztf_alerts(data_dir) if survey is Survey.ZTF else lsst_alerts(data_dir, seed)


def lsst_alerts(data_dir: Path, seed: int) -> AlertSet:
    """Return alerts of the simulated objects at random detections and at the last, with a packet's year of history."""
    return cut_alerts(plasticc(data_dir), Survey.LSST, seed)


def cut_alerts(objects: Labelled, survey: Survey, seed: int) -> AlertSet:
    """Return what alerts of objects would have shown, at `CUTS` random detections and at the last of each."""
    owner, at_time = detection_times(objects)
    count = np.bincount(owner, minlength=len(objects))
    start = np.cumsum(count) - count
    row = np.repeat(np.flatnonzero(count >= MINIMUM_POINTS), CUTS)
    spare = count[row] - MINIMUM_POINTS + 1
    drawn = MINIMUM_POINTS - 1 + np.floor(np.random.default_rng(seed).random(len(row)) * spare).astype(np.int64)
    last = np.flatnonzero(count >= MINIMUM_POINTS)
    place = np.unique(np.concatenate([start[row] + drawn, start[last] + count[last] - 1]))
    chosen = owner[place]
    cut = objects.take(chosen).until(at_time[place], since_d=HISTORY_D[survey])
    return AlertSet(
        batch=as_batch(cut, survey),
        label=cut.label,
        source=cut.source,
        fraction=np.array([split_fraction(str(name)) for name in cut.object_id]),
        is_last=place == start[chosen] + count[chosen] - 1,
    )


def held_out_alerts(survey: Survey, data_dir: Path, seed: int) -> AlertSet:
    """Return labelled alerts of objects that no classifier was fitted on, of all classes that a survey meets.

    Recorded ZTF packets hold next to no supernovae. As many as there are labelled objects are therefore taken from the
    simulation, brightened to what ZTF sees, together with its tidal disruptions.
    """
    alerts = alert_set(survey, data_dir, seed)
    alerts = alerts.take(np.flatnonzero(alerts.is_test & (alerts.label != "") & (alerts.label != "SSO")))
    if survey is Survey.LSST:
        return alerts
    wanted = len(set(alerts.object_id))
    objects = plasticc(data_dir)
    held = objects.take(objects.is_test & np.isin(objects.label.astype(str), BRIGHTENED))
    near = supernovae_as_ztf(held, held.redshift, np.random.default_rng(seed))
    names = np.unique(near.object_id.astype(str))
    chosen = np.random.default_rng(seed).permutation(names)[:wanted]
    return join([alerts, cut_alerts(near.take(np.isin(near.object_id.astype(str), chosen)), survey, seed)])


def join(parts: Sequence[AlertSet]) -> AlertSet:
    """Return all alerts of parts of one survey, without cross-matches; features are computed anew."""

    def ragged(name: str) -> Any:  # noqa: ANN401 - light curves and forced photometry alike
        points = [getattr(part.batch.columns, name) for part in parts]
        lengths = np.concatenate([np.diff(item.offsets) for item in points])
        rest = [item.name for item in fields(points[0]) if item.name != "offsets"]
        return type(points[0])(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            **{item: np.concatenate([getattr(each, item) for each in points]) for item in rest},
        )

    first = parts[0].batch.columns
    columns: dict[str, Any] = {name: ragged(name) for name in ("light_curves", "forced")}
    for item in fields(first):
        if item.name not in {"survey", *columns}:
            columns[item.name] = np.concatenate([getattr(part.batch.columns, item.name) for part in parts])
    columns["row"] = np.arange(len(columns["row"]))
    whole = AlertColumns(survey=first.survey, **columns)
    return AlertSet(
        batch=batch_of(whole, crossmatch((), whole.ra_deg, whole.dec_deg)),
        **{name: np.concatenate([getattr(part, name) for part in parts])
           for name in ("label", "source", "fraction", "is_last")},
    )  # fmt: skip


def ztf_alerts(data_dir: Path) -> AlertSet:
    """Return the public alerts of `ZTF_FOLDERS`, each once, in the order of object and time; without cross-matches.

    Alerts of bodies that the survey knew to be in the solar system are left out: the stream screens them.
    """
    folders = sorted({name.split("/", 1)[0] if "parquet" in name else name for name in ZTF_FOLDERS})
    messages = [
        packet
        for folder in folders
        for survey, packet in iter_alert_messages(data_dir / folder)
        if survey is Survey.ZTF
    ]
    columns, _ = AlertDecoder(Survey.ZTF).decode(messages)
    _, first = np.unique(columns.detection_id, return_index=True)
    keep = first[columns.is_public[first] & (columns.solar_system_id[first] == "")]
    order = np.lexsort((columns.midpoint_mjd_tai[keep], columns.object_id[keep].astype(str)))
    columns = columns.take(keep[order])
    table = pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv")
    known = dict(zip(table["objectId"].astype(str), table["class"].map(CATALOGUED).fillna(""), strict=True))
    names = columns.object_id
    return AlertSet(
        batch=batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg)),
        label=np.array([known.get(str(name), "") for name in names], dtype=object),
        source=np.full(len(columns), "packet", dtype=object),
        is_last=np.append(names[1:] != names[:-1], [True])[: len(names)].astype(np.bool_),
        fraction=np.array([split_fraction(str(name)) for name in columns.object_id]),
    )
