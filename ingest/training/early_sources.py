"""Light curves for the classifier of early type Ia supernovae: what alerts showed, supernovae as ZTF sees them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves, ragged_offsets
from ingest.classifiers.early_snia import MINIMUM_POINTS, all_features, is_flat, is_rising
from ingest.classifiers.forests import Classifier
from ingest.classifiers.rise_features import WAVELENGTH_NM
from ingest.features import FeatureTable
from ingest.training.examples import EARLY_POINTS, HISTORY_D, as_seen_by_ztf
from ingest.training.histories import History, SimulatedObject, ztf_packets, ztf_supernovae
from ingest.training.labelled import Labelled, as_batch, concatenate, detection_times, from_histories
from ingest.training.sources import bts, plasticc, spcc
from ingest.training.sources_elasticc import elasticc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]
BoolArray = NDArray[np.bool_]

CLASSES: Final[Mapping[str, str]] = {
    "SN Ia": "SN Ia",
    **dict.fromkeys(("SN II", "SN Ibc", "SLSN", "SN CC"), "SN CC"),
    **dict.fromkeys(("AGN", "TDE"), "nuclear"),
    **dict.fromkeys(("RRL", "EB", "LPV", "M-dwarf flare", "microlensing", "variable star", "CV"), "stellar"),
}
"""Class of a collection -> class of the model. Kilonovae are left out: none of the simulated has four detections before
its maximum."""

EARLY_ALERTS: Final = 8
"""Early alerts of each object that are fitted on, drawn at random: more repeat each other."""

LATE_ALERTS: Final = 3
"""Other alerts that pass the gate: the classifier is asked about them too."""

JUDGED_ALERTS: Final = 3
"""Early alerts of each object that are judged on."""

EARLY_POINTS_END: Final = 20
"""Detections up to which an alert is early, when the maximum is not over either: the regime of the goal."""

ZTF_LABELS: Final[Mapping[str, str]] = {
    **{name: name for name in ("AGN", "TDE", "SN Ia", "SN II", "SN Ibc", "SLSN", "EB", "RRL", "LPV")},
    "CV/Nova": "CV",
    **dict.fromkeys(("CEP", "DSCT", "ROT/RSCVn", "YSO"), "variable star"),
    "SNIa": "SN Ia",
    "SNIbc": "SN Ibc",
    "SNII": "SN II",
}
"""Class in ZTF's label tables -> ours; supernovae without a type are left out."""

DRAWN: Final = 40
"""Alerts of each object that are drawn before the gate: variables pass it once in twenty."""

WITHOUT_FORCED: Final = 0.3
"""Share of rows that lose their forced photometry, or their upper limits: an alert may come without."""

FOLLOW_UP: Final = "follow-up"
"""Collection of the objects whose types came back from follow-up: one's own observations, which may be fitted on."""

KEPT_NIGHTS: Final = (0.3, 0.9)
"""Range of the share of nights that a thinned light curve keeps: from the deep fields' cadence to the wide survey's."""

REALISATIONS: Final = 3
"""Times that each simulated supernova is moved to ZTF, each with its own brightness and cadence."""


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Alerts of labelled objects with their features."""

    features: FeatureTable
    label: TextArray
    """(n,) class of the model."""
    object_id: TextArray
    source: TextArray
    n_points: IntArray
    days_to_peak: FloatArray
    """(n,) from the alert to the true maximum [d]; NaN where there is none."""
    days_since_first: FloatArray
    """(n,) from the object's first detection [d]."""
    passed: BoolArray
    """(n,) whether the gate lets the alert through and it is not flat."""

    def take(self, chosen: BoolArray | IntArray) -> Rows:
        """Return some rows."""
        return Rows(
            FeatureTable(self.features.names, self.features.select(self.features.names)[chosen]),
            *(getattr(self, item.name)[chosen] for item in fields(self) if item.name != "features"),
        )


def _rest_bands(redshift: float) -> tuple[int, int]:
    """Return the LSST bands that show at a redshift what ZTF's g and r show of a near supernova."""
    lsst = np.array(WAVELENGTH_NM[Survey.LSST])
    wanted = np.array(WAVELENGTH_NM[Survey.ZTF][1:3]) * (1.0 + redshift)
    green, red = (int(np.argmin(np.abs(lsst / each - 1.0))) for each in wanted)
    return green, red


def thinned(labelled: Labelled, rng: np.random.Generator) -> Labelled:
    """Return light curves that have lost some nights, the same ones in detections and forced photometry.

    Each object keeps a share of its nights that is drawn anew: often observed ones then look like the others.
    """
    share = rng.uniform(*KEPT_NIGHTS, len(labelled))
    parts = (labelled.curves, labelled.forced)
    owner = [np.repeat(np.arange(len(labelled)), np.diff(part.offsets)) for part in parts]
    nights = [np.floor(part.midpoint_mjd_tai).astype(np.int64) for part in parts]
    key = np.concatenate(owner) * 1_000_000 + np.concatenate(nights)
    different, place = np.unique(key, return_inverse=True)
    kept = (rng.random(len(different)) < share[different // 1_000_000])[place]
    curves = select_points(labelled.curves, kept[: len(owner[0])])
    return replace(labelled, curves=curves, forced=select_points(labelled.forced, kept[len(owner[0]) :]))


Points = TypeVar("Points", LightCurves, ForcedPhotometry)


def select_points(points: Points, kept: BoolArray) -> Points:
    """Return light curves with only the points of a mask."""
    owner = np.repeat(np.arange(len(points)), np.diff(points.offsets))[kept]
    offsets = ragged_offsets(owner, len(points))
    rest = {item.name: getattr(points, item.name)[kept] for item in fields(points) if item.name != "offsets"}
    return type(points)(offsets=offsets, **rest)


def supernovae_as_ztf(labelled: Labelled, redshift: FloatArray, rng: np.random.Generator) -> Labelled:
    """Return simulated LSST supernovae and tidal disruptions as ZTF would see them nearby.

    Notes
    -----
    The two bands taken are those that lie at the rest wavelengths of ZTF's, which spares a correction of colours.
    """
    histories: list[History] = []
    label: list[str] = []
    peak: list[float] = []
    forced = labelled.forced
    for i in range(len(labelled)):
        part = slice(forced.offsets[i], forced.offsets[i + 1])
        if not redshift[i] > 0.0 or CLASSES[str(labelled.label[i])] not in {"SN Ia", "SN CC", "nuclear"}:
            continue
        green, red = _rest_bands(float(redshift[i]))
        if green == red:
            continue
        band = forced.band[part]
        time, flux, err = forced.midpoint_mjd_tai[part], forced.psf_flux_njy[part], forced.psf_flux_err_njy[part]
        history = History(
            object_id=str(labelled.object_id[i]),
            label="SN CC",
            source="",
            midpoint_mjd_tai=time,
            band=np.where(band == green, 1, np.where(band == red, 2, 0)).astype(np.int8),
            psf_flux_njy=flux,
            psf_flux_err_njy=err,
            upper_limit_njy=np.full(len(band), np.nan),
        )
        for _ in range(REALISATIONS):
            seen = as_seen_by_ztf(SimulatedObject(history, flux > 5.0 * err, float(redshift[i])), rng)
            if seen is not None and np.isfinite(seen.psf_flux_njy).sum() >= EARLY_POINTS:
                histories.append(replace(seen, source=f"{labelled.source[i]}-as-ztf"))
                label.append(str(labelled.label[i]))
                good = (flux > 10.0 * err) & (history.band > 0)
                peak.append(float(time[np.argmax(np.where(good, flux, -np.inf))]))
    return from_histories(histories, label, np.array(peak))


def collections(survey: Survey, data_dir: Path, rng: np.random.Generator) -> Labelled:
    """Return all labelled objects of a survey; which may be fitted on is said by the licences."""
    if survey is Survey.LSST:
        everything = concatenate([plasticc(data_dir), _with_peak(spcc(data_dir)), elasticc(data_dir)])
        return everything.take(np.isin(everything.label, list(CLASSES)))
    simulated = concatenate([plasticc(data_dir), _with_peak(spcc(data_dir))])
    simulated = simulated.take(np.isin(simulated.label, list(CLASSES)))
    return concatenate(
        [supernovae_as_ztf(simulated, _true_redshift(data_dir, simulated), rng), recorded_ztf(data_dir), bts(data_dir)]
    )


def _true_redshift(data_dir: Path, labelled: Labelled) -> FloatArray:
    """Return the redshifts (n,) with which PLAsTiCC objects were simulated, those of the hosts for others.

    PLAsTiCC's photometric redshifts scatter far.
    """
    folder = data_dir / "lightcurves"
    columns = ["object_id", "true_z"]
    meta = pd.concat([pd.read_csv(folder / f"plasticc_{part}_meta.csv", usecols=columns) for part in ("train", "test")])
    known = meta.drop_duplicates("object_id").set_index(meta["object_id"].drop_duplicates().astype(str))["true_z"]
    true = known.reindex(labelled.object_id.astype(str)).to_numpy(np.float64)
    return np.where(labelled.source == "plasticc", true, labelled.redshift)


def recorded_ztf(data_dir: Path) -> Labelled:
    """Return the recorded alerts of labelled objects and the 30 published supernovae, with the types of the tables."""
    tables = [
        pd.read_csv(data_dir / "labels" / "ztf_alert_object_labels_dev.csv").set_index("objectId")["class"],
        pd.read_parquet(data_dir / "lightcurves" / "alerce_30_sne_lc.parquet", columns=["objectId", "classALeRCE"])
        .drop_duplicates()
        .set_index("objectId")["classALeRCE"],
    ]
    name = {str(key): ZTF_LABELS.get(str(value), "") for table in tables for key, value in table.items()}
    real = [*ztf_packets(data_dir), *ztf_supernovae(data_dir)]
    typed = [history for history in real if name[history.object_id]]
    return from_histories(typed, [name[history.object_id] for history in typed])


def _with_peak(labelled: Labelled) -> Labelled:
    """Return simulated supernovae with the time of their brightest point above 5 sigma as maximum."""
    forced, peak = labelled.forced, np.full(len(labelled), np.nan)
    owner = np.repeat(np.arange(len(labelled)), np.diff(forced.offsets))
    seen = np.flatnonzero(forced.psf_flux_njy > 5.0 * forced.psf_flux_err_njy)
    seen = seen[np.argsort(forced.psf_flux_njy[seen], kind="stable")]
    peak[owner[seen]] = forced.midpoint_mjd_tai[seen]
    return replace(labelled, peak_mjd_tai=peak)


def alerts_as_labelled(parts: Sequence[AlertColumns], labels: Mapping[str, str]) -> Labelled:
    """Return the alerts of the objects whose types came back, each object by its newest alert.

    Parameters
    ----------
    labels : object id -> class of `graph.taxonomy`; classes that the model has no name for are left out.
    """
    chosen: list[Labelled] = []
    for columns in parts:
        label = np.array([labels.get(str(name), "") for name in columns.object_id], dtype=object)
        row = np.flatnonzero(np.isin(label, list(CLASSES)))
        absent = np.full(len(row), np.nan)
        chosen.append(
            Labelled(
                object_id=columns.object_id[row],
                label=label[row],
                source=np.full(len(row), FOLLOW_UP, dtype=object),
                curves=columns.light_curves.take(row),
                forced=columns.forced.take(row),
                ra_deg=columns.ra_deg[row],
                dec_deg=columns.dec_deg[row],
                redshift=absent,
                redshift_err=absent,
                peak_mjd_tai=absent,
            )
        )
    joined = concatenate(chosen)
    order = np.lexsort((-_newest(joined), joined.object_id.astype(str)))
    _, first = np.unique(joined.object_id[order].astype(str), return_index=True)
    return joined.take(order[first])


def _newest(labelled: Labelled) -> FloatArray:
    """Return the time (n,) of each light curve's newest detection [d, TAI]; -inf without one."""
    owner, time = detection_times(labelled)
    newest = np.full(len(labelled), -np.inf)
    np.maximum.at(newest, owner, time)
    return newest


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts one after another."""
    names = [item.name for item in fields(Rows) if item.name != "features"]
    columns = parts[0].features.names
    features = FeatureTable(columns, np.concatenate([part.features.select(columns) for part in parts]))
    return Rows(features, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def alert_rows(labelled: Labelled, survey: Survey, rng: np.random.Generator, *, judged: bool) -> Rows:
    """Return what alerts of the objects would have shown.

    Parameters
    ----------
    judged : some early alerts of each object, gated or not; otherwise those to fit on, which all passed.
    """
    owner, time = detection_times(labelled)
    order = np.lexsort((time, owner))
    owner, time = owner[order], time[order]
    begin = np.searchsorted(owner, owner)
    place = np.arange(len(owner)) - begin + 1
    early = (place <= EARLY_POINTS_END) & ~(labelled.peak_mjd_tai[owner] < time)
    enough = place >= MINIMUM_POINTS
    chosen = _some(owner, enough & early, JUDGED_ALERTS if judged else DRAWN, rng)
    if not judged:
        chosen = np.sort(np.concatenate([chosen, _some(owner, enough & ~early, DRAWN, rng)]))
    owner, time, early, since_first = owner[chosen], time[chosen], early[chosen], (time - time[begin])[chosen]
    states = labelled.take(owner).until(time, since_d=HISTORY_D[survey])
    batch = as_batch(_without_forced(states, rng.random(len(states)) < WITHOUT_FORCED), survey)
    coarse = Classifier.load("coarse", survey)
    passed = is_rising(batch, {"coarse": coarse.classify_features(batch.features)})
    passed &= batch.n_points >= MINIMUM_POINTS
    row = np.arange(len(states))
    if not judged:
        kept = [_some(owner, passed & early, EARLY_ALERTS, rng), _some(owner, passed & ~early, LATE_ALERTS, rng)]
        row = np.sort(np.concatenate(kept))
    features = all_features(batch.take(row))
    rows = Rows(
        features=features,
        label=np.array([CLASSES[str(name)] for name in states.label[row]], dtype=object),
        object_id=states.object_id[row],
        source=states.source[row],
        n_points=batch.n_points[row],
        days_to_peak=states.peak_mjd_tai[row] - time[row],
        days_since_first=since_first[row],
        passed=passed[row] & ~is_flat(features),
    )
    return rows if judged else rows.take(rows.passed)


def _without_forced(states: Labelled, bare: BoolArray) -> Labelled:
    """Return light curves of which some have lost their forced photometry and their upper limits."""
    end = np.where(bare, -np.inf, np.inf)
    forced = states.until(end).forced
    owner = np.repeat(np.arange(len(states)), np.diff(states.curves.offsets))
    lost = bare[owner] & np.isnan(states.curves.psf_flux_njy)
    limits = np.where(lost, np.nan, states.curves.upper_limit_njy)
    return replace(states, forced=forced, curves=replace(states.curves, upper_limit_njy=limits))


def _some(owner: IntArray, wanted: BoolArray, most: int, rng: np.random.Generator) -> IntArray:
    """Return the places of at most some wanted rows of each owner, drawn at random, ascending."""
    place = np.flatnonzero(wanted)
    place = place[np.lexsort((rng.random(len(place)), owner[place]))]
    rank = np.arange(len(place)) - np.searchsorted(owner[place], owner[place])
    return np.sort(place[rank < most])
