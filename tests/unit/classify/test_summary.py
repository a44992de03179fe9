"""The summary: sums of evidence, subsets of classifiers, cross-matches, the tree, and its fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from graph.errors import ModelError
from graph.model import Survey
from graph.taxonomy import LEAVES, PARENTS, leaves_under, lineage
from ingest.classifiers.contract import Batch, Classifications, abstain
from ingest.classifiers.evidence import (
    RELIABILITY,
    class_of_type,
    leaves_of_class,
    match_evidence,
    read_answers,
    unlearnt_weights,
)
from ingest.classifiers.forests import MODELS
from ingest.classifiers.registry import MODULES
from ingest.classifiers.run import Runner
from ingest.classifiers.summary import READ, Summary, settle
from ingest.crossmatch import CrossMatches, crossmatch
from ingest.training import summary_fit
from ingest.training.alert_sets import lsst_alerts
from ingest.training.summary_fit import Stacked, drop_out, export, fit_weights, prior_of, targets

KINDS = {"coarse": ("SN Ia", "AGN", "variable star"), "kilonova": ("KN", "other")}
CLASSES = {**KINDS, "solar_system": ("SSO", "satellite", "other")}


def answers(name: str, probability: list[list[float]]) -> Classifications:
    table = np.array(probability, dtype=np.float32)
    empty = abstain(name, "1", CLASSES[name], np.full(len(table), 5))
    return replace(empty, probability=table, std=np.where(np.isnan(table[:, 0]), np.nan, 0.1))


def matched(row: list[int], kind: list[str], probability: list[float]) -> CrossMatches:
    none = crossmatch((), np.empty(0), np.empty(0))
    m = len(row)
    values = {
        name: np.full(m, np.nan if value.dtype == np.float64 else "", dtype=value.dtype)
        for name in none.__dataclass_fields__
        for value in [getattr(none, name)]
        if value.dtype != np.int64
    }
    values |= {"row": np.array(row), "object_type": np.array(kind, dtype=object), "probability": np.array(probability)}
    rest = {n: np.full(m, -1) for n in none.__dataclass_fields__ if n not in values}
    return CrossMatches(**values, **rest)


def summary(prior: np.ndarray | None = None, members: int = 3) -> Summary:
    """Return a product of experts with members that differ a little."""
    share = np.full(len(LEAVES), 1.0 / len(LEAVES)) if prior is None else prior
    best = np.vstack([np.log(share)[None], *(unlearnt_weights(kinds, 1.0) for kinds in KINDS.values())])
    spread = np.random.default_rng(0).normal(0.0, 0.05, (members, *best.shape))
    weights = np.concatenate([best[None], best + spread])
    parameters = {"inputs": {k: list(v) for k, v in KINDS.items()}, "prior": dict(zip(LEAVES, share, strict=True))}
    return Summary.from_parts("1", parameters, export(weights, KINDS))


@pytest.fixture(scope="module")
def batch(shared_data: Path) -> Batch:
    alerts = lsst_alerts(shared_data / "alerts", 1)
    return alerts.batch.take(np.arange(0, 4))


def test_every_leaf_belongs_to_one_class_of_a_classifier_with_a_rest() -> None:
    for classes in (("SN Ia", "SN CC", "SN", "other"), ("AGN", "blazar", "explosive", "none of these")):
        found = [place for name in classes for place in leaves_of_class(name, classes)]
        assert sorted(found) == list(range(len(LEAVES)))
    assert [LEAVES[i] for i in leaves_of_class("SN", ("SN Ia", "SN CC", "SN"))] == []
    assert set(leaves_of_class("SN", ("SN Ia", "SN"))) == {LEAVES.index(n) for n in leaves_under("SN CC")}


def test_the_terms_add_up_to_the_odds(batch: Batch) -> None:
    said = {
        "coarse": answers("coarse", [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [np.nan] * 3]),
        "kilonova": answers("kilonova", [[0.3, 0.7], [np.nan] * 2, [0.01, 0.99], [np.nan] * 2]),
    }
    matches = matched([2], ["RRAB"], [0.9])
    answer = summary().classify(replace(batch, matches=matches), said)
    assert answer.abstained.tolist() == [False, False, False, True]
    ordered = np.sort(answer.probability.astype(np.float64), axis=1)[:3]
    total = np.nansum([values[:3] for values in answer.extras.values()], axis=0)
    np.testing.assert_allclose(total, np.log(ordered[:, -1] / ordered[:, -2]), atol=1e-4)
    assert answer.top_class[:3].tolist() == ["SN Ia", "AGN", "RRL"]
    assert answer.extras["evidence_matches_ln"][2] > 1.0
    assert answer.extras["evidence_matches_ln"][0] == 0.0
    assert np.isnan(answer.extras["evidence_variability_ln"]).all()
    assert (answer.std[:3] > 0.0).all()


def test_what_moves_is_taken_as_stated_and_judged_by_the_matches(batch: Batch) -> None:
    coarse = answers("coarse", [[0.8, 0.1, 0.1]] * 4)
    moving = answers("solar_system", [[0.6, 0.1, 0.3], [0.0, 0.0, 1.0], [np.nan] * 3, [0.6, 0.1, 0.3]])
    module, known = summary(), replace(batch, matches=matched([3], ["RRAB"], [1.0]))
    alone, found = (
        module.classify(known, {"coarse": coarse}),
        module.classify(known, {"coarse": coarse, "solar_system": moving}),
    )
    sso, satellite = LEAVES.index("SSO"), LEAVES.index("satellite")
    still = np.array([leaf not in {"SSO", "satellite"} for leaf in LEAVES])
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found.probability[0, [sso, satellite]], [0.6, 0.1], rtol=1e-5)
    assert found.probability[1, sso] == pytest.approx(0.001, rel=0.01)
    # The rest keeps its proportions, and an abstention changes nothing.
    rest = alone.probability[0, still] / alone.probability[0, still].sum()
    np.testing.assert_allclose(found.probability[0, still], 0.3 * rest, rtol=1e-5)
    np.testing.assert_array_equal(found.probability[2], alone.probability[2])
    # A star that is surely there is no body that passes by.
    assert found.probability[3, sso] < 0.3
    ordered = np.sort(found.probability.astype(np.float64), axis=1)
    total = np.nansum(list(found.extras.values()), axis=0)
    np.testing.assert_allclose(total, np.log(ordered[:, -1] / ordered[:, -2]), atol=1e-4)
    assert found.extras["evidence_solar_system_ln"][0] > 1.0
    # Where nothing else is heard, what moves is still said.
    lone = module.classify(batch, {"solar_system": moving})
    assert lone.abstained.tolist() == [False, False, True, False]


def test_a_product_of_experts_is_the_closed_form(batch: Batch) -> None:
    coarse, kilonova = [0.5, 0.2, 0.3], [0.4, 0.6]
    found = summary().classify(
        batch, {"coarse": answers("coarse", [coarse] * 4), "kilonova": answers("kilonova", [kilonova] * 4)}
    )
    # A leaf that a classifier has no class for gets the mean of the logarithms of its classes.
    neutral = float(np.exp(np.log(coarse).mean()))
    of_leaf = []
    for leaf in LEAVES:
        first = next((p for name, p in zip(KINDS["coarse"], coarse, strict=True) if name in lineage(leaf)), neutral)
        of_leaf.append(first * (kilonova[0] if leaf == "KN" else kilonova[1]))
    np.testing.assert_allclose(found.probability[0], np.array(of_leaf) / np.sum(of_leaf), rtol=1e-4)


def test_an_absent_an_abstaining_and_a_renamed_classifier_are_the_same(batch: Batch) -> None:
    coarse = answers("coarse", [[0.5, 0.2, 0.3]] * 4)
    module = summary()
    alone = module.classify(batch, {"coarse": coarse})
    silent = module.classify(batch, {"coarse": coarse, "kilonova": answers("kilonova", [[np.nan] * 2] * 4)})
    odd = replace(answers("kilonova", [[0.9, 0.1]] * 4), classes=("KN", "others"))
    renamed = module.classify(batch, {"coarse": coarse, "kilonova": odd})
    np.testing.assert_array_equal(alone.probability, silent.probability)
    np.testing.assert_array_equal(alone.probability, renamed.probability)
    assert module.classify(batch, {}).abstained.all()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RRAB      ", "RRL"), ("EA/SD:", "EB"), ("MISC|SR", ""), ("EB|EW", "EB"), ("SRS:", "LPV"), ("M", "LPV"),
        ("bll", "blazar"), ("FSRQ", "blazar"), ("UGSU", "CV"), ("galaxy", "galaxy"), ("", ""), ("SN Ia", "SN Ia"),
        ("TTS/ROT", "YSO"), ("DCEP", "CEP"), ("QSO", "AGN"), ("nonsense", ""), ("ClassII", "YSO"),
        ("SN Ia-91T-like", "SN Ia"), ("SN Ib/c", "SN Ibc"), ("SN Ibn", "SN Ibc"), ("SN IIn-pec", "SN II"), ("SN I", ""),
        ("TDE-H-He", "TDE"), ("Kilonova", "KN"), ("M dwarf", "M-dwarf flare"), ("unclassified", ""), ("AGN?", ""),
    ],
)  # fmt: skip
def test_types_of_catalogues(text: str, name: str) -> None:
    assert class_of_type(text) == name


def test_evidence_of_a_match_is_bayes() -> None:
    prior = np.random.default_rng(1).dirichlet(np.full(len(LEAVES), 5.0))
    for p in (0.0, 0.3, 1.0):
        found = np.exp(match_evidence(matched([1], ["RRAB"], [p]), 3, prior))
        assert (found[[0, 2]] == 1.0).all()
        posterior = found[1] * prior / np.sum(found[1] * prior)
        right = RELIABILITY + (1.0 - RELIABILITY) * prior[LEAVES.index("RRL")]
        expected = p * right + (1.0 - p) * prior[LEAVES.index("RRL")]
        assert posterior[LEAVES.index("RRL")] == pytest.approx(expected)
    twice = match_evidence(matched([0, 0], ["RRAB", "RRC"], [0.9, 0.8]), 1, prior)
    np.testing.assert_array_equal(twice, match_evidence(matched([0], ["RRAB"], [0.9]), 1, prior))
    host = match_evidence(matched([0], ["galaxy"], [0.9]), 1, prior)[0]
    assert host[LEAVES.index("SN II")] > 0.0 > host[LEAVES.index("RRL")]
    assert not match_evidence(matched([0], ["what is this"], [0.9]), 1, prior).any()


def test_answers_are_read_whatever_they_hold() -> None:
    read = read_answers(answers("coarse", [[1.0, 0.0, 0.0], [np.nan] * 3, [1 / 3] * 3]))
    assert np.isfinite(read).all()
    np.testing.assert_array_equal(read[1], 0.0)
    np.testing.assert_allclose(read[2], [0.0, 0.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(read[:, :-1].sum(axis=1), 0.0, atol=1e-9)


def test_settling_climbs_until_one_half() -> None:
    table = np.zeros((5, len(LEAVES)))
    table[0, LEAVES.index("SN Ia")] = 1.0
    table[1, [LEAVES.index("SN Ia"), LEAVES.index("SN II"), LEAVES.index("RRL")]] = 0.3, 0.3, 0.4
    table[2, [LEAVES.index("RRL"), LEAVES.index("EB"), LEAVES.index("CV")]] = 0.4, 0.4, 0.2
    table[3] = 1.0 / len(LEAVES)
    table[4] = np.nan
    names, probability = settle(table)
    assert names[:3].tolist() == ["SN Ia", "SN", "variable star"]
    assert probability[:3] == pytest.approx([1.0, 0.6, 0.8])
    assert names[4] == ""
    assert np.isnan(probability[4])
    assert settle(np.empty((0, len(LEAVES))))[0].shape == (0,)


@given(hnp.arrays(np.float64, (3, len(LEAVES)), elements=st.floats(1e-6, 1.0)))
@settings(max_examples=40, deadline=None)
def test_settled_classes_hold_half_and_none_below_does(table: np.ndarray) -> None:
    table = table**6
    table /= table.sum(axis=1, keepdims=True)
    for row, name, probability in zip(table, *settle(table), strict=True):
        sums = {node: sum(row[LEAVES.index(leaf)] for leaf in leaves_under(node)) for node in PARENTS}
        deep = max((len(lineage(node)) for node, value in sums.items() if value >= 0.5), default=0)
        assert (len(lineage(str(name))) if name else 0) == deep
        assert not name or probability == pytest.approx(sums[str(name)])


def made_up(n: int, seed: int) -> Stacked:
    rng = np.random.default_rng(seed)
    truth = rng.choice([LEAVES.index(name) for name in ("SN Ia", "AGN", "RRL")], size=n)
    log = rng.normal(0.0, 1.0, (n, 3))
    log[np.arange(n), [{0: 0}.get(t, 1 if LEAVES[t] == "AGN" else 2) for t in truth]] += 1.5
    columns = {
        "prior": np.ones((n, 1)),
        "coarse": np.column_stack([log - log.mean(axis=1, keepdims=True), np.ones(n)]),
        "kilonova": np.zeros((n, 3)),
    }
    names = np.array([str(i) for i in range(n)], dtype=object)
    return Stacked(columns, targets(np.array(LEAVES, dtype=object)[truth]), names)


def test_the_fit_equals_scikit_learn_when_the_data_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, test = made_up(4000, 0), made_up(500, 1)
    monkeypatch.setattr(summary_fit, "PENALTY", 1e-3)
    weight = np.ones(4000)
    found = fit_weights(rows, KINDS, weight, prior_of(rows, weight))
    logit = test.matrix @ found
    mine = np.exp(logit - logit.max(axis=1, keepdims=True))
    mine /= mine.sum(axis=1, keepdims=True)
    oracle = LogisticRegression(C=1e6, max_iter=2000).fit(rows.columns["coarse"][:, :3], rows.target.argmax(axis=1))
    theirs = oracle.predict_proba(test.columns["coarse"][:, :3])
    np.testing.assert_allclose(mine[:, oracle.classes_], theirs, atol=0.02)


def test_without_data_the_fit_is_the_product_of_experts() -> None:
    rows = made_up(1, 0)
    prior = np.full(len(LEAVES), 1.0 / len(LEAVES))
    found = fit_weights(rows, KINDS, np.zeros(1), prior)
    np.testing.assert_allclose(found[1:4], unlearnt_weights(KINDS["coarse"], summary_fit.TRUST)[:3], atol=1e-6)


def test_the_gradient_of_the_fit_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made_up(30, 2)
    caught: list[object] = []
    real = summary_fit.minimize

    def spy(fun: object, start: np.ndarray, **options: object) -> object:
        caught.append((fun, start))
        return real(fun, start, **options)

    monkeypatch.setattr(summary_fit, "minimize", spy)
    fit_weights(rows, KINDS, np.ones(30), np.full(len(LEAVES), 1.0 / len(LEAVES)))
    fun, start = caught[0]  # type: ignore[misc]
    point = start + 0.1 * np.random.default_rng(0).normal(size=len(start))
    assert check_grad(lambda x: fun(x)[0], lambda x: fun(x)[1], point) < 1e-3


def test_labels_allow_leaves() -> None:
    table = targets(np.array(["AGN", "SN", "EB", "", "what"], dtype=object))
    assert [LEAVES[i] for i in np.flatnonzero(table[0])] == ["AGN"]
    assert {LEAVES[i] for i in np.flatnonzero(table[1])} == set(leaves_under("SN"))
    assert table.sum(axis=1).tolist() == [1, len(leaves_under("SN")), 1, 0, 0]


def test_rows_that_lack_classifiers_keep_the_prior() -> None:
    more = drop_out(made_up(500, 3), np.random.default_rng(0), 0.3)
    assert len(more.target) == 1000
    assert (more.columns["prior"] == 1.0).all()
    assert 0.2 < (more.columns["coarse"][500:, 3] == 0.0).mean() < 0.4
    assert (more.columns["coarse"][:500, 3] == 1.0).all()


def test_broken_sidecars_are_refused(tmp_path: Path) -> None:
    good = {"inputs": {}, "prior": dict.fromkeys(LEAVES, 1.0 / len(LEAVES))}
    model = export(np.zeros((3, 1, len(LEAVES))), {})
    assert Summary.from_parts("1", good, model).classes == LEAVES
    for bad in (
        {"prior": {}},
        {"inputs": {"coarse": ["AGN"]}},
        {"inputs": None},
        {"prior": dict.fromkeys(LEAVES, 0.0)},
    ):
        with pytest.raises(ModelError):
            Summary.from_parts("1", good | bad, model)
    for ending in ("json", "onnx"):
        (tmp_path / f"summary-ztf.{ending}").write_bytes((MODELS / f"summary-ztf.{ending}").read_bytes())
    with pytest.raises(ModelError, match="cannot be read"):
        Summary(Survey.LSST, directory=tmp_path)
    (tmp_path / "summary-ztf.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="sha256"):
        Summary(Survey.ZTF, directory=tmp_path)


@pytest.mark.parametrize("survey", list(Survey))
def test_the_shipped_inputs_are_the_registered_classifiers(survey: Survey) -> None:
    inputs = json.loads((MODELS / f"summary-{survey}.json").read_text())["parameters"]["inputs"]
    for module in (item(survey) for item in MODULES if item.name in READ and survey in item.surveys):
        assert tuple(inputs[module.name]) == module.classes, f"refit summary-{survey}: {module.name} has other classes"


def test_the_shipped_summary_beats_each_row_s_prior(shared_data: Path) -> None:
    alerts = lsst_alerts(shared_data / "alerts", 9)
    held = alerts.take(np.flatnonzero((alerts.fraction >= 0.6) & (alerts.fraction < 0.7))[::4])
    modules = [item(Survey.LSST) for item in MODULES if item.name in READ and Survey.LSST in item.surveys]
    runner = Runner((*modules, Summary(Survey.LSST)), time_limit_s=120)
    answer = runner.run(held.batch).answers["summary"]
    runner.close()
    said = ~answer.abstained
    right = answer.top_class == held.label
    assert right[said].mean() > 0.6
    assert abs(float(answer.top_probability[said].mean()) - right[said].mean()) < 0.08
