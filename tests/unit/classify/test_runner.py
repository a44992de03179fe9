from __future__ import annotations

import threading
from typing import ClassVar

import numpy as np
import pytest

from graph.model import Survey
from graph.taxonomy import LEAVES, ORDINARY, OTHER, PARENTS, kinds_of, leaves_under, lineage, nearest
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.contract import Answers, Batch, BoolArray, Classifications, Input, Module, abstain
from ingest.classifiers.registry import MODULES
from ingest.classifiers.run import Runner
from ingest.rows import classification_rows
from ingest.training.labelled import Labelled, as_batch


def batch_with(points: list[int], survey: Survey = Survey.ZTF) -> Batch:
    """Return light curves with some numbers of detections, one a day."""
    n, total = len(points), sum(points)
    offsets = np.concatenate([[0], np.cumsum(points)]).astype(np.int64)
    time = 60_000.0 + np.concatenate([np.arange(k, dtype=float) for k in points])
    band, flux, err = np.full(total, 1, np.int8), np.full(total, 1000.0), np.full(total, 20.0)
    absent = np.full(n, np.nan)
    return as_batch(
        Labelled(
            object_id=np.array([f"o{i}" for i in range(n)], dtype=object),
            label=np.full(n, "SN", dtype=object),
            source=np.full(n, "test", dtype=object),
            curves=LightCurves(offsets, time, band, flux, err, np.full(total, np.nan)),
            forced=ForcedPhotometry(
                np.zeros(n + 1, np.int64), np.empty(0), np.empty(0, np.int8), np.empty(0), np.empty(0)
            ),
            ra_deg=np.full(n, 10.0),
            dec_deg=np.full(n, 20.0),
            redshift=absent,
            redshift_err=absent,
            peak_mjd_tai=absent,
        ),
        survey,
    )


class Fixed(Module):
    """Says SN to all whose gate is open, and how many were asked."""

    name: ClassVar[str] = "coarse"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.LIGHT_CURVE})
    minimum_points: ClassVar[int] = 2
    cost_us: ClassVar[float] = 0.1
    extras: ClassVar[dict[str, str]] = {"row": "place in the batch that was asked"}

    def __init__(self, survey: Survey) -> None:
        del survey

    @property
    def version(self) -> str:
        return "1"

    @property
    def classes(self) -> tuple[str, ...]:
        return ("SN", "AGN")

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        del answers
        return batch.n_points % 2 == 0

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        del answers
        answer = abstain(self.name, self.version, self.classes, batch.n_points, tuple(self.extras))
        answer.probability[:] = (0.75, 0.25)
        answer.std[:] = 0.1
        answer.extras["row"][:] = np.arange(len(batch))
        return answer


class Reader(Fixed):
    """Reads the first one's answers on the rows that it is asked about."""

    name: ClassVar[str] = "summary"
    reads: ClassVar[tuple[str, ...]] = ("coarse", "absent")
    extras: ClassVar[dict[str, str]] = {"heard": "extra of the other"}

    def gate(self, batch: Batch, answers: Answers) -> BoolArray:
        return ~answers["coarse"].abstained & (batch.n_points > 2)

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        answer = abstain(self.name, self.version, self.classes, batch.n_points, tuple(self.extras))
        answer.probability[:] = (0.1, 0.9)
        answer.std[:] = 0.2
        answer.extras["heard"][:] = answers["coarse"].extras["row"]
        return answer


class Broken(Fixed):
    """Fails."""

    name: ClassVar[str] = "broken"

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        del batch, answers
        raise ZeroDivisionError


class Slow(Fixed):
    """Waits until it is let go."""

    name: ClassVar[str] = "slow"
    held: ClassVar[threading.Event] = threading.Event()

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        self.held.wait(20.0)
        return super().classify(batch, answers)


POINTS = [1, 2, 3, 4, 6]


def test_only_those_that_pass_the_gate_with_enough_points_are_asked() -> None:
    outcome = Runner([Fixed(Survey.ZTF)], time_limit_s=10.0).run(batch_with(POINTS))
    answer = outcome.answers["coarse"]
    np.testing.assert_array_equal(answer.abstained, [True, False, True, False, False])
    np.testing.assert_array_equal(answer.n_points, POINTS)
    np.testing.assert_array_equal(answer.extras["row"], [np.nan, 0, np.nan, 1, 2])
    assert outcome.asked == {"coarse": 3}
    assert outcome.left_out == {}
    assert answer.top_class.tolist() == ["", "SN", "", "SN", "SN"]


def test_a_classifier_reads_the_answers_of_another_on_its_own_rows() -> None:
    outcome = Runner([Fixed(Survey.ZTF), Reader(Survey.ZTF)], time_limit_s=10.0).run(batch_with(POINTS))
    np.testing.assert_array_equal(outcome.answers["summary"].extras["heard"], [np.nan, np.nan, np.nan, 1, 2])
    assert outcome.leading(len(POINTS)).classifier == "summary"


def test_one_that_fails_is_left_out_and_the_others_are_heard() -> None:
    runner = Runner([Broken(Survey.ZTF), Fixed(Survey.ZTF)], time_limit_s=10.0)
    outcome = runner.run(batch_with(POINTS))
    assert outcome.left_out == {"broken": "failed"}
    assert set(outcome.answers) == {"coarse"}
    assert runner.run(batch_with(POINTS)).left_out == {"broken": "failed"}, "the next batch asks it again"


def test_one_that_reads_an_absent_answer_is_left_out_too() -> None:
    outcome = Runner([Reader(Survey.ZTF)], time_limit_s=10.0).run(batch_with(POINTS))
    assert outcome.left_out == {"summary": "failed"}
    nobody = outcome.leading(len(POINTS))
    assert nobody.classifier == "none"
    assert nobody.abstained.all()


def test_one_that_takes_too_long_is_left_out_until_it_comes_back() -> None:
    Slow.held.clear()
    runner = Runner([Slow(Survey.ZTF), Fixed(Survey.ZTF)], time_limit_s=0.2)
    first = runner.run(batch_with(POINTS))
    assert first.left_out == {"slow": "timed_out"}
    assert set(first.answers) == {"coarse"}
    assert runner.run(batch_with(POINTS)).left_out == {"slow": "busy"}
    stuck = runner._stuck["slow"]
    Slow.held.set()
    stuck.result(timeout=10.0)
    assert runner.run(batch_with(POINTS)).left_out == {}
    runner.close()


def test_an_empty_batch_asks_nobody() -> None:
    outcome = Runner([Broken(Survey.ZTF)], time_limit_s=1.0).run(batch_with([2]).take(np.empty(0, np.int64)))
    assert outcome.answers == {}
    assert outcome.left_out == {}


def test_rows_for_the_graph_are_those_that_were_answered() -> None:
    outcome = Runner([Fixed(Survey.ZTF), Reader(Survey.ZTF)], time_limit_s=10.0).run(batch_with(POINTS))
    rows = classification_rows([(answer, frozenset()) for answer in outcome.answers.values()])
    assert list(zip(rows.row.tolist(), rows.classifier, rows.top_class, strict=True)) == [
        (1, "coarse", "SN"), (3, "coarse", "SN"), (4, "coarse", "SN"), (3, "summary", "AGN"), (4, "summary", "AGN"),
    ]  # fmt: skip
    assert rows.extras.tolist() == [{"row": 0.0}, {"row": 1.0}, {"row": 2.0}, {"heard": 1.0}, {"heard": 2.0}]
    np.testing.assert_allclose(rows.class_probability, [0.75, 0.75, 0.75, 0.9, 0.9], atol=1e-6)
    assert len(classification_rows(()).row) == 0


@pytest.mark.parametrize("survey", list(Survey))
def test_the_registry_is_in_order_and_says_what_it_must(survey: Survey) -> None:
    modules = [module for module in MODULES if survey in module.surveys]
    for place, module in enumerate(modules):
        before = {other.name for other in modules[:place]}
        assert {name for name in module.reads if any(name == other.name for other in modules)} <= before, module.name
        assert module.inputs
        assert module.cost_us > 0
        loaded = module(survey)
        assert loaded.version
        assert set(loaded.classes) <= {*PARENTS, OTHER, ORDINARY, "anomalous"}, module.name
    assert len({module.name for module in modules}) == len(modules)


def test_the_tree_of_classes() -> None:
    assert lineage("SN Ia") == ("SN Ia", "SN", "explosive")
    assert lineage("strange") == ("strange",)
    assert set(leaves_under("SN")) == {"SN Ia", "SN II", "SN Ibc", "SLSN"}
    assert set(leaves_under("AGN")) == {"AGN", "blazar"}
    assert leaves_under("SN Ia") == ("SN Ia",)
    assert "SN" not in LEAVES
    assert "AGN" in LEAVES
    assert nearest("SN II", {"SN", "KN"}) == "SN"
    assert nearest("RRL", {"SN"}) == ""
    assert set(kinds_of("AGN")) == {"AGN", "blazar"}
    roots = [name for name, parent in PARENTS.items() if not parent]
    assert sorted(leaf for root in roots for leaf in leaves_under(root)) == sorted(LEAVES)
