from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graph.model import Survey
from ingest.training.labelled import Labelled
from ingest.training.sn_types import Material as TrainingMaterial
from ingest.training.sn_types import _epoch, column
from ingest.training.sn_types_data import (
    MINIMUM_POINTS,
    collections,
    cut,
    detections,
    emitters,
    resimulate,
    spoil,
    supernovae,
    thin,
)

Some = tuple[Labelled, np.ndarray[tuple[int], np.dtype[np.float64]]]


@pytest.fixture(scope="module")
def some(shared_data: Path) -> Some:
    objects, redshift = collections(shared_data / "alerts")
    row = np.flatnonzero(supernovae(objects) & objects.is_train)[::40]
    return objects.take(row), redshift[row]


def test_every_object_has_its_true_redshift(some: Some) -> None:
    objects, redshift = some
    assert (redshift > 0.0).all()
    photometric = np.isfinite(objects.redshift)
    assert np.median(np.abs(objects.redshift - redshift)[photometric]) < 0.1


@pytest.mark.parametrize("survey", list(Survey))
def test_a_supernova_observed_anew_is_one_that_the_survey_could_send(some: Some, survey: Survey) -> None:
    objects, redshift = some
    new = resimulate(objects, emitters(objects, redshift), survey, np.random.default_rng(3), copies=2)
    assert len(new) > 0.4 * len(objects)
    assert set(new.object_id) <= set(objects.object_id)
    assert (np.diff(detections(new)[1]) >= MINIMUM_POINTS).all()
    curves = new.curves
    owner = np.repeat(np.arange(len(new)), np.diff(curves.offsets))
    assert (np.diff(curves.midpoint_mjd_tai)[np.diff(owner) == 0] >= 0.0).all()
    seen = np.isfinite(curves.psf_flux_njy)
    assert (curves.psf_flux_njy[seen] > 5.0 * curves.psf_flux_err_njy[seen]).all()
    assert (np.isfinite(curves.upper_limit_njy) == ~seen).all()
    if survey is Survey.ZTF:
        assert set(np.unique(curves.band)) == {1, 2}
        assert not len(new.forced.band)
    else:
        assert seen.all()


def test_a_cut_shows_the_past_of_one_detection(some: Some) -> None:
    objects, _ = some
    known = {str(name): place for place, name in enumerate(objects.object_id)}
    alerts = cut(objects, Survey.ZTF, np.random.default_rng(0))
    assert len(alerts) == (np.diff(detections(objects)[1]) >= MINIMUM_POINTS).sum()
    for row in range(len(alerts)):
        mine = alerts.curves.midpoint_mjd_tai[alerts.curves.offsets[row] : alerts.curves.offsets[row + 1]]
        place = known[str(alerts.object_id[row])]
        whole = objects.curves.midpoint_mjd_tai[objects.curves.offsets[place] : objects.curves.offsets[place + 1]]
        inside = whole[(whole <= mine[-1]) & (whole >= mine[-1] - 30.0)]
        np.testing.assert_array_equal(mine, inside)
        forced = alerts.forced.midpoint_mjd_tai[alerts.forced.offsets[row] : alerts.forced.offsets[row + 1]]
        assert not len(forced) or forced.max() <= mine[-1]
    whole_ones = cut(objects, Survey.ZTF, np.random.default_rng(0), full=1.0)
    assert len(whole_ones.forced.band) > 0.9 * len(objects.forced.band) * len(whole_ones) / len(objects)


def test_what_is_thinned_was_there_before(some: Some) -> None:
    objects, _ = some
    thinned = thin(objects, np.random.default_rng(1))
    assert (np.diff(thinned.curves.offsets) <= np.diff(objects.curves.offsets)).all()
    assert np.isin(thinned.curves.psf_flux_njy, objects.curves.psf_flux_njy).all()
    lost = np.diff(thinned.forced.offsets) == 0
    assert 0.2 < lost.mean() < 0.7


@pytest.mark.parametrize("kind", ["shuffled", "reversed", "bogus", "flat", "sine", "swapped"])
def test_nonsense_keeps_the_times_and_changes_the_rest(some: Some, kind: str) -> None:
    objects, _ = some
    made = spoil(objects, kind, np.random.default_rng(1))
    assert (made.curves.offsets == objects.curves.offsets).all()
    assert ((made.curves.band >= 0) & (made.curves.band < 6)).all()
    same = made.curves.psf_flux_njy == objects.curves.psf_flux_njy
    if kind == "swapped":
        assert same.all()
        assert (made.curves.band != objects.curves.band).all()
    else:
        assert same.mean() < 0.3


def test_an_epoch_holds_every_kind_of_row_once_labelled(some: Some) -> None:
    objects, _ = some
    given = TrainingMaterial(Survey.LSST, objects, objects, objects.take(np.arange(5)), objects)
    read, target, outlier, weight = _epoch(given, np.random.default_rng(0))
    assert len(read.nights) == len(target) == len(outlier) == len(weight)
    assert (read.nights > 0).all()
    assert outlier[target < 0].all()
    assert not outlier[(target >= 0) & (target < 4)].any()
    assert {-1, 0, 1, 2} <= set(target.tolist())
    assert column(np.array(["SN Ia", "SLSN", "TDE"], dtype=object)).tolist() == [0, 3, 4]
