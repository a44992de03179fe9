"""Real objects that have names and types: what the whole chain of classifiers says of them.

The objects were drawn before anything was asked: of each labelled class the best sampled packet, out of objects that
no model was fitted on (`split_fraction` of 0.5 or more, or a folder that no recipe reads) where there are any, with a
type that its catalogue does not doubt; for supernovae a packet of the outburst, not of what shines there years later.
What is expected is what an astronomer would say with the same data. Where the chain is wrong today it is marked so.

References
----------
VSX: Watson et al. 2006; GCVS: doi:10.1134/S1063772917010085; SPICY: doi:10.3847/1538-4365/abe465; 4LAC:
doi:10.3847/1538-4365/ac9523; 3HSP: doi:10.1051/0004-6361/201834526; BTS: doi:10.3847/1538-4357/ab8943; OGLE-II lenses:
Wozniak et al. 2001, Acta Astronomica 51, 175; AT 2017gfo: doi:10.1126/science.aap9811.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from graph.model import Survey
from graph.taxonomy import kinds_of, lineage
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.catalogue import build_catalogue
from ingest.catalogues.opened import Catalogue, open_catalogues
from ingest.classifiers.contract import Batch, Classifications, batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.classifiers.summary import settle
from ingest.crossmatch import crossmatch, match_alerts
from ingest.replay import iter_alert_messages
from ingest.rows import stands_for
from ingest.screening import screen
from ingest.training.kilonova_judge import with_host
from ingest.training.labelled import as_batch
from ingest.training.sources import bts
from ingest.training.sources_fast import AT2017GFO_MPC, AT2017GFO_Z, at2017gfo
from ingest.training.sources_lensing import ogle2

Answers = Mapping[str, Classifications]

OBJECTS = json.loads((Path(__file__).parent / "golden_objects.json").read_text(encoding="utf-8"))
"""ZTF objects with packets; expected ``by_light_curve`` and ``with_catalogues`` is a class or a kind of it."""

WRONG = {
    (
        "ZTF18abiyatb",
        "by_light_curve",
    ): "a cataclysmic variable in outburst leads as SN Ia, 0.47, its own class has 0.13",
    ("ZTF18abiyatb", "with_catalogues"): "likewise: the subsets of VSX and GCVS here do not know it",
    ("ZTF18acaksuq", "with_catalogues"): "six points of a flare star lead as EB, 0.53, in spite of GCVS's UV",
    ("ZTF25abxvhmk", "by_light_curve"): "a disruption leads as SN II, 0.53; sn_types says other, and is overruled",
    ("ZTF25abxvhmk", "with_catalogues"): "likewise: no catalogue here knows the disruptions of 2025",
    (
        "ZTF19abzrhgq",
        "by_light_curve",
    ): "a fading disruption leads as SN Ibc, 0.39; without a catalogue TDE is not named",
}
"""(object, how it was asked) -> what the chain says today instead."""

LENSES = ("ML 39.259656", "ML 39.623258")
"""The best sampled lenses of OGLE-II, 278 points each."""

RISING = {"ZTF19aambfxc": "SN 2020aewj", "ZTF19abuhlxk": "SN 2019pdx"}
"""The spectroscopic type Ia supernovae of the BTS with the most points before maximum, 29 and 28."""

LSST_FOLDER = "lsst_fink_parquet/20260310"
LSST_ALERTS = {
    170112044566577203: ("AGN", "lsst_20260310_merged_1_nocutout.parquet"),
    170112044552945754: ("EB", "part-1-0-745841673.parquet"),
    170112073819750448: ("variable star", "lsst_20260310_merged_2_nocutout.parquet"),
}
"""The best sampled quasar (1,147 points) and eclipsing binary (152) of SIMBAD, and an RRab of VSX with two points."""

BODIES = {
    "8467": "ztf_fink_parquet/fink_sso_20250114.parquet",
    "4609": "ztf_bulk/ztf_20231018_01.avro",
}
"""Numbered asteroids: (8467) Benoitcarry and (4609) Pizarro, in packets that name them."""

NEAR_DEG = 2.0
"""Entries of a catalogue so near to an object [deg] are built: all that can match, and enough to know the density."""

CATALOGUES = {
    "vsx": ("vsx_subset.parquet", "RAJ2000", "DEJ2000"),
    "gcvs": ("gcvs.parquet", "ra", "dec"),
    "spicy": ("spicy_yso_subset.parquet", "RAdeg", "DEdeg"),
    "known_tde": ("known_tde.parquet", "ra", "dec"),
    "mangrove": ("mangrove_subset.parquet", "ra", "dec"),
    "4lac": ("4lac_dr3_h.fits", "RA_Counterpart", "DEC_Counterpart"),
}

LIGHT_CURVE_MODULES = ("coarse", "early_snia", "sn_types", "microlensing", "anomaly")
"""Classifiers that need a light curve."""


def wrong(reason: str) -> pytest.MarkDecorator:
    """Mark what the chain answers wrongly today; it shows as soon as it is right."""
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)


def asked(survey: Survey, batch: Batch) -> Answers:
    """Return what all classifiers of a survey say; none may be left out."""
    runner = Runner(load_modules(survey), time_limit_s=120.0)
    outcome = runner.run(batch)
    runner.close()
    assert not outcome.left_out
    return outcome.answers


def decoded(survey: Survey, data_dir: Path, files: Sequence[str], marks: Sequence[bytes]) -> AlertColumns:
    """Return the alerts of some files in which one of some names stands; all alerts where none are given."""
    messages = [
        packet
        for file in sorted(set(files))
        for found, packet in iter_alert_messages(data_dir / file)
        if found is survey and (not marks or any(mark in packet for mark in marks))
    ]
    return AlertDecoder(survey).decode(messages)[0]


def without_matches(columns: AlertColumns) -> Batch:
    return batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg))


def fits(answer: Classifications, row: int, expected: str) -> bool:
    """Tell whether the leading class is the expected one or a kind of it, and what is settled does not contradict."""
    settled = str(stands_for(answer)[0][row])
    return answer.top_class[row] in kinds_of(expected) and settled in {"", *lineage(expected), *kinds_of(expected)}


@pytest.fixture(scope="module")
def data_dir(shared_data: Path) -> Path:
    return shared_data / "alerts"


@pytest.fixture(scope="module")
def ztf(data_dir: Path) -> Batch:
    """Return the best sampled public alert of each object, in the order of `OBJECTS`."""
    names = [item["object_id"] for item in OBJECTS]
    columns = decoded(Survey.ZTF, data_dir, [item["file"] for item in OBJECTS], [name.encode() for name in names])
    seen = np.isfinite(columns.light_curves.psf_flux_njy).astype(np.int64)
    n_points = np.add.reduceat(seen, columns.light_curves.offsets[:-1])
    order = np.lexsort((columns.detection_id, columns.midpoint_mjd_tai, n_points * columns.is_public))
    best = {str(columns.object_id[row]): row for row in order}
    return without_matches(columns.take(np.array([best[name] for name in names])))


@pytest.fixture(scope="module")
def catalogues(ztf: Batch, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, ...]:
    """Return the published catalogues around the objects."""
    folder = tmp_path_factory.mktemp("catalogues")

    def unit(ra_deg: Any, dec_deg: Any) -> np.ndarray:
        ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
        return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])

    places = unit(ztf.columns.ra_deg, ztf.columns.dec_deg)
    for name, (file, ra, dec) in CATALOGUES.items():
        source = data_dir / "catalogues" / file
        fits_table = source.suffix == ".fits"
        table = Table.read(source) if fits_table else pd.read_parquet(source)
        near = (unit(table[ra], table[dec]) @ places.T).max(axis=1) > np.cos(np.radians(NEAR_DEG))
        part = folder / f"{name}{source.suffix}"
        if fits_table:
            table[near].write(part)
        else:
            table[near].to_parquet(part)
        build_catalogue(name, [part], folder / "built")
    return open_catalogues(folder / "built")


@pytest.fixture(scope="module")
def said(ztf: Batch, catalogues: tuple[Catalogue, ...]) -> dict[str, Answers]:
    """Return the answers by how the objects were asked."""
    matched = Batch(ztf.columns, ztf.features, match_alerts(catalogues, ztf.columns))
    return {"by_light_curve": asked(Survey.ZTF, ztf), "with_catalogues": asked(Survey.ZTF, matched)}


@pytest.fixture(scope="module")
def lsst(data_dir: Path) -> tuple[Batch, Answers]:
    columns = decoded(Survey.LSST, data_dir, [f"{LSST_FOLDER}/{file}" for _, file in LSST_ALERTS.values()], ())
    row = [np.flatnonzero(columns.detection_id == number)[0] for number in LSST_ALERTS]
    batch = without_matches(columns.take(np.array(row)))
    return batch, asked(Survey.LSST, batch)


@pytest.fixture(scope="module")
def bodies(data_dir: Path) -> Batch:
    columns = decoded(Survey.ZTF, data_dir, list(BODIES.values()), [name.encode() for name in BODIES])
    row = [np.flatnonzero(columns.solar_system_id == name)[0] for name in BODIES]
    return without_matches(columns.take(np.array(row)))


def kilonova(data_dir: Path, survey: Survey, *, days: float) -> Batch:
    """Return AT 2017gfo with its host at the last detection of its first days."""
    real = at2017gfo(data_dir, survey)
    time = np.unique(real.curves.midpoint_mjd_tai)
    batch = as_batch(real.until(time[time <= time[0] + days][-1:]), survey)
    return with_host(batch, np.array([AT2017GFO_Z]), np.array([AT2017GFO_MPC]))


@pytest.mark.parametrize(
    ("row", "how"),
    [
        pytest.param(
            row,
            how,
            id=f"{item['name']}-{item['type']}-{how}",
            marks=[wrong(WRONG[key])] if key in WRONG else [],
        )
        for row, item in enumerate(OBJECTS)
        for how in ("by_light_curve", "with_catalogues")
        for key in [(item["object_id"], how)]
    ],
)
def test_the_summary_leads_with_what_it_is(said: dict[str, Answers], row: int, how: str) -> None:
    answer = said[how]["summary"]
    leaves = answer.probability[row].argsort()[::-1][:3]
    assert fits(answer, row, OBJECTS[row][how]), [
        (answer.classes[leaf], answer.probability[row, leaf]) for leaf in leaves
    ]


def test_all_answers_are_distributions(said: dict[str, Answers], lsst: tuple[Batch, Answers], bodies: Batch) -> None:
    for answers in (*said.values(), lsst[1], asked(Survey.ZTF, bodies)):
        for answer in answers.values():
            table = answer.probability[~answer.abstained].astype(np.float64)
            np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-5, err_msg=answer.classifier)
            assert (table >= 0.0).all()
            assert ((answer.std[~answer.abstained] >= 0.0) & (answer.std[~answer.abstained] <= 0.5)).all()


@pytest.mark.parametrize(
    "survey",
    [
        Survey.LSST,
        pytest.param(
            Survey.ZTF,
            marks=wrong("kilonova says KN, 0.75, fast_transient 1.00, but the summary SN II, 0.58"),
        ),
    ],
)
def test_at2017gfo_leads_as_a_kilonova_after_two_days(data_dir: Path, survey: Survey) -> None:
    answers = asked(survey, kilonova(data_dir, survey, days=2.0))
    assert fits(answers["summary"], 0, "KN")


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        *((name, "microlensing") for name in LENSES),
        (LENSES[0], "summary"),
        pytest.param(
            LENSES[1],
            "summary",
            marks=wrong("microlensing says 0.88, but the summary leads with LPV, 0.49"),
        ),
    ],
)
def test_a_lens_of_ogle_is_a_lens(data_dir: Path, name: str, classifier: str) -> None:
    real = ogle2(data_dir)
    answers = asked(Survey.LSST, as_batch(real.take(np.flatnonzero(real.object_id == name)), Survey.LSST))
    assert answers[classifier].top_class.tolist() == ["microlensing"]


@pytest.mark.parametrize(
    "name",
    [
        "ZTF19aambfxc",
        pytest.param("ZTF19abuhlxk", marks=wrong("early_snia says SN CC, 0.52, sn_types SN Ia")),
    ],
    ids=RISING.get,
)
def test_a_well_sampled_type_ia_is_named_at_its_maximum(data_dir: Path, name: str) -> None:
    real = bts(data_dir)
    mine = real.take(np.flatnonzero(real.object_id == name))
    answers = asked(Survey.ZTF, as_batch(mine.until(mine.peak_mjd_tai, since_d=30.0), Survey.ZTF))
    assert answers["early_snia"].top_class.tolist() == ["SN Ia"]
    assert fits(answers["summary"], 0, "SN")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, "AGN"),
        pytest.param(1, "EB", marks=wrong("an eclipsing binary leads as RRL, 0.86")),
        (2, "variable star"),
    ],
    ids=["QSO", "EB*", "RRAB"],
)
def test_the_summary_leads_with_what_lsst_objects_are(lsst: tuple[Batch, Answers], row: int, expected: str) -> None:
    assert fits(lsst[1]["summary"], row, expected)


def test_numbered_asteroids_are_bodies_and_set_aside(bodies: Batch) -> None:
    answers = asked(Survey.ZTF, bodies)
    assert answers["solar_system"].top_class.tolist() == ["SSO", "SSO"]
    assert screen(bodies.columns, 0.0, keep_private=False).tolist() == ["solar_system", "solar_system"]


def test_the_summary_takes_named_bodies_for_bodies(bodies: Batch) -> None:
    assert asked(Survey.ZTF, bodies)["summary"].top_class.tolist() == ["SSO", "SSO"]


def test_one_or_two_detections_leave_most_classifiers_silent(lsst: tuple[Batch, Answers], bodies: Batch) -> None:
    assert lsst[0].n_points.tolist()[2] == 2
    assert (bodies.n_points <= 2).all()
    for answers, row in ((lsst[1], 2), (asked(Survey.ZTF, bodies), 0)):
        assert all(answers[name].abstained[row] for name in LIGHT_CURVE_MODULES)


@pytest.mark.parametrize(
    ("survey", "leads"),
    [
        (Survey.ZTF, ""),
        # 15 deg from the ecliptic, where most lone detections that LSST cannot name are bodies not known yet.
        (Survey.LSST, "SSO"),
    ],
)
def test_one_detection_settles_no_type(data_dir: Path, survey: Survey, leads: str) -> None:
    batch = kilonova(data_dir, survey, days=0.0)
    assert batch.n_points.tolist() == [1]
    answer = asked(survey, batch)["summary"]
    assert settle(answer.probability)[0].tolist() == [leads]


@wrong("two detections of an RR Lyrae star are an EB, 0.71")
def test_two_detections_settle_no_type(lsst: tuple[Batch, Answers]) -> None:
    assert lsst[1]["summary"].top_probability[2] < 0.5
