"""Cards and pictures say what the sidecars hold, for all kinds of models, and have the same bytes each time."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from graph.errors import ConfigurationError, ModelError
from graph.model import Survey
from ingest.classifiers.artefact import Sidecar
from ingest.classifiers.forests import MODELS, ModelSpec
from ingest.training.card import blocks, model_card, write_card
from ingest.training.card_figures import further, number, table
from ingest.training.evaluation import class_weights
from ingest.training.judge import goal
from ingest.training.pictures import by_points_picture, calibration_picture, confusion_picture
from ingest.training.recipes import EVERY, RECIPES, RULES, models, read_sidecar, recipe

CARDS = MODELS.parents[1] / "docs" / "models"


def shipped() -> Iterator[tuple[str, Survey]]:
    for path in sorted(MODELS.glob("*.json")):
        name, _, survey = path.stem.rpartition("-")
        yield name, Survey(survey)


def bare() -> Sidecar:
    return Sidecar("made_up", "1", Survey.ZTF, ("AGN", "TDE"), "0" * 64, {}, {}, {})


@pytest.mark.parametrize(("name", "survey"), list(shipped()))
def test_a_card_says_what_the_sidecar_holds(name: str, survey: Survey) -> None:
    spec = read_sidecar(name, survey, MODELS)
    card = model_card(spec)
    assert spec.sha256 in card
    assert spec.version in card.splitlines()[0]
    assert all(source in card for source in spec.training["sources"])
    assert all(f"- {line}" in card for line in spec.training["not_covered"])
    for entry in spec.metrics.get("goals", ()):
        assert f"| {entry['name']} | {entry['data']} |" in card
    for figures in blocks(spec.metrics).values():
        said = [place for place in range(len(spec.classes)) if any(row[place] for row in figures["confusion"])]
        for row, kind in zip(figures["confusion"], spec.classes, strict=True):
            if sum(row):
                assert f"| {kind} | " + " | ".join(str(row[place]) for place in said) + " |" in card
        assert f"| {number(figures['calibration_error'])} |" in card
    assert not [line for line in card.splitlines() if "nan" in line.split() or line.endswith(" ")]


@pytest.mark.parametrize(("name", "survey"), list(shipped()))
def test_the_stored_card_is_that_of_the_sidecar(name: str, survey: Survey) -> None:
    spec = read_sidecar(name, survey, MODELS)
    stored = (CARDS / f"{name}-{survey}.md").read_text(encoding="utf-8")
    assert stored.split("\n## Throughput\n")[0] == model_card(spec), f"run heliograph evaluate {name}-{survey} --cards"


def test_writing_again_gives_the_same_bytes_and_every_picture_is_linked(tmp_path: Path) -> None:
    spec = read_sidecar("coarse", Survey.LSST, MODELS)
    for folder in ("a", "b"):
        write_card(spec, tmp_path / folder, alerts_per_s=51234.0)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(
        f"coarse-lsst{end}" for end in (".md", "-calibration.svg", "-confusion.svg", "-by-points.svg")
    )
    card = (tmp_path / "a" / "coarse-lsst.md").read_text()
    assert "51,000 alerts/s" in card
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        if name.endswith(".svg"):
            assert f"({name})" in card
            assert ET.fromstring((tmp_path / "a" / name).read_bytes()).tag.endswith("svg")  # noqa: S314 - our own
            assert (tmp_path / "a" / name).stat().st_size < 60_000


def test_pictures_of_hardly_any_figures() -> None:
    empty = {"rows": 0, "recall": None, "precision": None}
    figures = {
        "confusion": [[0, 0], [0, 3]],
        "calibration": [],
        "by_points": {"1 to 3": {"classes": {"TDE": {"rows": 3, "recall": 1.0, "precision": None}}}},
        "classes": {"AGN": empty, "TDE": {"rows": 3, "recall": 1.0, "precision": 1.0}},
    }
    assert "TDE" in confusion_picture(figures, ("AGN", "TDE"))
    assert "AGN" not in confusion_picture(figures, ("AGN", "TDE"))
    assert "<svg" in calibration_picture(figures)
    assert "1 to 3" in by_points_picture(figures)


def test_a_sidecar_without_figures_has_a_card(tmp_path: Path) -> None:
    write_card(bare(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["made_up-ztf.md"]
    assert "| TDE |" in (tmp_path / "made_up-ztf.md").read_text()


def test_missed_goals_are_weaknesses_with_their_distance() -> None:
    goals = [
        goal("AUC", 0.9, 0.85, data="real ones", why="They are few."),
        goal("ECE", 0.03, 0.02, data="real ones", at_most=True),
        goal("recall", 0.9, float("nan"), data="none"),
    ]
    card = model_card(replace(bare(), metrics={"goals": goals, "odd": {"a": [1, 2.5], "b": None}}))
    assert "- Goal AUC on real ones: missed by 0.050. They are few." in card
    assert "| ECE | real ones | at most 0.030 | 0.020 | met |" in card
    assert "- Goal recall on none: not measured." in card
    assert "- odd, a: 1, 2.500" in card


def test_cells_cannot_break_a_table() -> None:
    assert table(["a", "c"], [["x|y\nz", 0.12345], [None, 1e-9]]).splitlines()[2:] == [
        "| x/y z | 0.123 |",
        "| - | 1e-09 |",
    ]
    assert further({}) == []


def test_models_are_named_by_classifier_and_survey() -> None:
    assert models("coarse-ztf") == (("coarse", Survey.ZTF),)
    every = models(EVERY)
    assert len(every) == sum(len(surveys) for surveys in RECIPES.values())
    assert every[-1][0] == "summary"
    for name in ("coarse", "ztf", "coarse-", "../coarse-ztf", ""):
        with pytest.raises(ConfigurationError, match="no model"):
            models(name)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_train_and_evaluate(name: str) -> None:
    assert name in RULES or callable(recipe(name).train)
    assert callable(recipe(name).evaluate)


def test_sidecars_of_both_kinds_are_read_and_altered_ones_are_not(tmp_path: Path) -> None:
    assert isinstance(read_sidecar("coarse", Survey.ZTF, MODELS), ModelSpec)
    assert isinstance(read_sidecar("summary", Survey.ZTF, MODELS), Sidecar)
    with pytest.raises(ModelError):
        read_sidecar("coarse", Survey.ZTF, tmp_path)
    for text in ("[1]", "{", '{"temperature": 1}', json.dumps({"classifier": "x"})):
        (tmp_path / "coarse-ztf.json").write_text(text)
        with pytest.raises(ModelError):
            read_sidecar("coarse", Survey.ZTF, tmp_path)


def test_class_weights_of_nothing_are_nothing() -> None:
    none = np.empty(0, dtype=object)
    assert len(class_weights(none, none)) == 0
