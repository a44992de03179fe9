"""From normalised columns to the rows of the graph and to the message about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import orjson

from graph.alert_store import AlertRows, ClassificationRows, MatchRows
from graph.sky import ang2pix
from graph.taxonomy import LEAVES, ORDINARY, OTHER, kinds_of
from ingest.alerts.columns import FloatArray, IntArray, TextArray, band_letters, magnitude
from ingest.brackets import brackets_of
from ingest.classifiers.contract import Batch, Classifications, Kept, nobody
from ingest.classifiers.summary import settle
from ingest.crossmatch import CrossMatches
from ingest.flares import flare_flux_ratio
from ingest.hosts import Hosts

SMALLEST_HOST_PROBABILITY: Final = 0.5
"""Probability from which a galaxy is taken for an object's host [1]."""

LEAVES_KEPT: Final = 4
"""Classes of a distribution that are kept with it: the others have less than a fifth together in nearly all cases."""

EXPLAINED: Final = frozenset({*kinds_of("explosive"), "nuclear", "TDE", "blazar"})
"""Classes with whose summary the whole distribution and its evidence are kept: what people follow up. For stars and
quiet nuclei, nine alerts in ten, they would double what an answer costs."""

EXTRA_DIGITS: Final = 9
"""Decimals of the further numbers that are kept: far below their errors, far above the rounding of a sum."""

NO_EXTRAS: Final[dict[str, float]] = {}
"""Extras of an answer that has none."""

SAYS_NOTHING: Final = ("", OTHER, ORDINARY)
"""Answers that are not kept: no class leads, or none of those that the classifier knows."""


def host_distances(hosts: Hosts, n: int) -> tuple[FloatArray, FloatArray]:
    """Return the distance of the likely host of n alerts and its error [Mpc]; NaN where there is none."""
    best = hosts.best()
    best = best.take(np.flatnonzero((best.probability >= SMALLEST_HOST_PROBABILITY) & (best.distance_mpc > 0.0)))
    distance, error = np.full(n, np.nan), np.full(n, np.nan)
    distance[best.row], error[best.row] = best.distance_mpc, best.distance_err_mpc
    return distance, error


def stands_for(classified: Classifications) -> tuple[TextArray, FloatArray]:
    """Return class and probability that stand for each object; empty text and NaN where nothing does.

    Of a distribution over the leaves of the taxonomy it is the deepest class that is more likely than all else, so
    that a supernova of unclear type is a supernova.
    """
    if classified.classes == LEAVES:
        return settle(classified.probability)
    return classified.top_class, classified.top_probability.astype(np.float64)


def alert_rows(batch: Batch, classified: Classifications, hosts: Hosts, source: TextArray) -> AlertRows:
    """Return the rows that `graph.alert_store.AlertStore` writes for the alerts of a batch."""
    columns = batch.columns
    distance, distance_err = host_distances(hosts, len(columns))
    top_class, class_probability = stands_for(classified)
    bracket = brackets_of(columns.light_curves, columns.forced, columns.first_midpoint_mjd_tai)
    return AlertRows(
        survey=columns.survey,
        object_id=columns.object_id,
        detection_id=columns.detection_id,
        source=source,
        ra_deg=columns.ra_deg,
        dec_deg=columns.dec_deg,
        healpix29=ang2pix(columns.ra_deg, columns.dec_deg),
        midpoint_mjd_tai=columns.midpoint_mjd_tai,
        first_midpoint_mjd_tai=columns.first_midpoint_mjd_tai,
        first_mag=bracket.first_mag,
        first_band=bracket.first_band,
        last_limit_mjd_tai=bracket.last_limit_mjd_tai,
        last_limit_mag=bracket.last_limit_mag,
        last_limit_band=bracket.last_limit_band,
        n_detections=columns.n_detections,
        band=band_letters(columns.band),
        psf_flux_njy=columns.psf_flux_njy,
        psf_flux_err_njy=columns.psf_flux_err_njy,
        mag_ab=magnitude(columns.psf_flux_njy),
        reliability=columns.reliability,
        top_class=top_class,
        class_probability=class_probability,
        host_distance_mpc=distance,
        host_distance_err_mpc=distance_err,
        flare_flux_ratio=flare_flux_ratio(columns, batch.matches),
    )


def classification_rows(kept: Sequence[Kept]) -> ClassificationRows:
    """Return the answers of some classifiers on the alerts about which they said something that is kept."""
    parts = [_spoken(answer, subject) for answer, subject in ((nobody(0), frozenset[str]()), *kept)]
    names = [column.name for column in fields(ClassificationRows)]
    return ClassificationRows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _spoken(answer: Classifications, subject: frozenset[str]) -> ClassificationRows:
    """Return one classifier's answers where it did not abstain and named a class that it is there to find."""
    top_class, class_probability = stands_for(answer)
    told = np.array([name not in SAYS_NOTHING and (not subject or name in subject) for name in top_class], np.bool_)
    row = np.flatnonzero(~answer.abstained & told)
    return ClassificationRows(
        row=row,
        classifier=np.full(len(row), answer.classifier, dtype=object),
        version=np.full(len(row), answer.version, dtype=object),
        top_class=top_class[row],
        class_probability=class_probability[row],
        std=answer.std[row],
        n_points=answer.n_points[row],
        out_of_distribution=answer.out_of_distribution[row],
        extras=_extras(answer, row, top_class[row]),
    )


def _extras(answer: Classifications, row: IntArray, top_class: TextArray) -> TextArray:
    """Return the finite extras of some answers as dictionaries; one empty dictionary serves all that have none.

    A distribution over the leaves of the taxonomy is kept beside them, its likeliest classes and their probabilities,
    and where its evidence comes from; of `EXPLAINED` objects only, which somebody may want to follow up.
    """
    found = np.full(len(row), NO_EXTRAS, dtype=object)
    is_distribution = answer.classes == LEAVES
    told = np.array([name in EXPLAINED or not is_distribution for name in top_class], dtype=np.bool_)
    values = {name: numbers[row] for name, numbers in answer.extras.items()}
    known = np.any([np.zeros(len(row), np.bool_), *(np.isfinite(numbers) for numbers in values.values())], axis=0)
    for place in np.flatnonzero(told & known).tolist():
        finite = {name: float(numbers[place]) for name, numbers in values.items() if np.isfinite(numbers[place])}
        # The last digits of sums depend on how many alerts came together.
        found[place] = {name: round(value, EXTRA_DIGITS) for name, value in finite.items()}
    if is_distribution:
        chosen = np.flatnonzero(told)
        probability = answer.probability[row[chosen]]
        likeliest = np.argsort(-probability, axis=1, kind="stable")[:, :LEAVES_KEPT]
        names = np.array(LEAVES, dtype=object)[likeliest].tolist()
        shares = np.take_along_axis(probability, likeliest, axis=1).astype(np.float64).round(4).tolist()
        for number, kinds, probabilities in zip(chosen.tolist(), names, shares, strict=True):
            found[number] = {**found[number], "leaves": kinds, "leaf_probabilities": probabilities}
    return found


def match_rows(matches: CrossMatches) -> MatchRows:
    """Return the rows of cross-matches with catalogues."""
    return MatchRows(
        row=matches.row,
        catalog=matches.catalogue,
        name=matches.source_id,
        object_type=matches.object_type,
        source_ra_deg=matches.ra_deg,
        source_dec_deg=matches.dec_deg,
        separation_arcsec=matches.separation_arcsec,
        probability=matches.probability,
        log_bayes_factor=matches.log_bayes_factor,
        p_chance=matches.p_chance,
        redshift=matches.redshift,
        distance_mpc=matches.distance_mpc,
    )


def objects_message(rows: AlertRows, classifier: str, version: str) -> bytes:
    """Return the message for ``heliograph.objects``: the newly written detections of one batch, as columns.

    Identifiers of detections are text: they do not fit into the doubles of most JSON readers.
    """
    columns = ("ra_deg", "dec_deg", "midpoint_mjd_tai", "first_midpoint_mjd_tai", "mag_ab", "class_probability")
    body: dict[str, object] = {
        "schema_version": 1,
        "survey": rows.survey.value,
        "classifier": classifier,
        "classifier_version": version,
        "object_id": rows.object_id.tolist(),
        "detection_id": rows.detection_id.astype(str).tolist(),
        "top_class": rows.top_class.tolist(),
        **{name: getattr(rows, name) for name in columns},
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
