"""Ask every classifier once before the stream does: code is compiled and models are brought into memory then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
from ingest.classifiers.contract import Answers, Batch, Classifications, Module, batch_of
from ingest.crossmatch import crossmatch

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS: Final = 40
"""Detections of each of the light curves: enough for the classifier that needs most."""

RISE_D: Final = 12.0
"""Time scale of the rises and falls that they are made of [d]: those of a supernova."""


def light_curves_to_warm_with(survey: Survey) -> AlertColumns:
    """Return two alerts of a made-up transient, one young and one old, with forced photometry."""
    offsets = np.array([0, POINTS // 4, POINTS // 4 + POINTS], dtype=np.int64)
    phase = np.concatenate([np.linspace(-15.0, -4.0, POINTS // 4), np.linspace(-15.0, 40.0, POINTS)])
    time = 60_000.0 + phase
    flux = 20_000.0 * np.exp(-np.abs(phase) / RISE_D) + 500.0
    band = (1 + np.arange(len(time)) % 2).astype(np.int8)
    err, absent, empty = np.full(len(time), 300.0), np.full(2, np.nan), np.full(2, "", dtype=object)
    last = offsets[1:] - 1
    unknown = [
        *("reliability", "star_galaxy_score", "nearest_source_arcsec", "trail_length_arcsec", "extendedness"),
        *("solar_system_separation_arcsec", "template_mag", "template_separation_arcsec"),
        *("neighbour_g_mag", "neighbour_r_mag", "neighbour_i_mag", "neighbour_z_mag"),
    ]
    return AlertColumns(
        survey=survey,
        row=np.arange(2),
        object_id=np.array(["young", "old"], dtype=object),
        detection_id=np.arange(2),
        ra_deg=np.array([10.0, 150.0]),
        dec_deg=np.array([-5.0, 30.0]),
        midpoint_mjd_tai=time[last],
        band=band[last],
        psf_flux_njy=flux[last],
        psf_flux_err_njy=err[last],
        solar_system_id=empty,
        is_public=np.ones(2, np.bool_),
        n_detections=np.diff(offsets),
        first_midpoint_mjd_tai=time[offsets[:-1]],
        exposure_id=np.full(2, -1, np.int64),
        is_streak=np.zeros(2, np.bool_),
        light_curves=LightCurves(offsets, time, band, flux, err, np.full(len(time), np.nan)),
        forced=ForcedPhotometry(offsets, time, band, flux, err),
        **dict.fromkeys(unknown, absent),
    )


def warm_up(modules: Sequence[Module], survey: Survey) -> dict[str, Classifications]:
    """Ask all classifiers, whatever their gates say, in their order and without a limit of time; return the answers."""
    columns = light_curves_to_warm_with(survey)
    batch: Batch = batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg))
    answers: dict[str, Classifications] = {}
    for module in modules:
        known: Answers = {name: answers[name] for name in module.reads if name in answers}
        module.gate(batch, known)
        answers[module.name] = module.classify(batch, known)
    return answers
