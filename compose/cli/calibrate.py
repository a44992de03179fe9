"""The verb that holds chance probabilities against skies where nothing belongs together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from compose.background import CALIBRATION_FILE, write_correction
from compose.calibration import (
    SIMULATED_YEARS,
    CalibrationInput,
    CalibrationResult,
    calibrate_input,
    input_from_files,
    input_from_graph,
)
from compose.calibration_plot import Curve, pp_plot
from compose.cli.console import print_json, set_up_logging, stderr, stdout
from compose.cli.located import located_settings
from compose.config import load_settings
from coordinator.calibration import Uniformity, by_latitude


def calibrate(
    *,
    alerts: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded packets instead of the graph; needs --notices.")
    ] = None,
    notices: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded notices instead of the graph; needs --alerts.")
    ] = None,
    slides: Annotated[int, typer.Option(min=1, max=100_000, help="Times that each event is moved.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same trials.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the P-P plots (SVG).")] = None,
) -> None:
    """Hold chance probabilities against moved events and simulated years; store the correction."""
    if (alerts is None) != (notices is None):
        raise typer.BadParameter("--alerts and --notices go together")
    if alerts is not None and notices is not None:
        settings = load_settings()
        set_up_logging(settings.log_level)
        with stderr.status("Reading alerts and notices"):
            given = input_from_files(alerts, notices, settings)
    else:
        settings = located_settings()
        with stderr.status("Reading the graph"):
            given = input_from_graph(settings)
    with stderr.status(f"Moving {len(given.entries)} events {slides} times"):
        result = calibrate_input(given, settings, slides, seed)
    write_correction(settings.home / CALIBRATION_FILE, result.correction)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, picture in plots(result).items():
            (out / name).write_text(picture, encoding="utf-8")
    if as_json:
        print_json(summary(given, result))
    else:
        _show(result)


def summary(given: CalibrationInput, result: CalibrationResult) -> dict[str, object]:
    """Return what a calibration found as JSON values."""
    return {
        "n_objects": len(given.objects),
        "n_events": len(given.entries),
        "nights": {name: one.n_nights for name, one in given.tallies.items()},
        "background": result.background.provenance,
        "rate_per_deg2_day": dict(result.background.rate_per_deg2_day),
        "n_with_pair": {name: one.n_with_pair for name, one in result.trials.items()},
        "measured": [asdict(one) for one in result.uniformities],
        "unmeasured": [asdict(one) for one in result.unmeasured],
        "corrected": [asdict(one) for one in result.corrected],
        "simulated_years": SIMULATED_YEARS,
        "joint_far": {
            name: [asdict(check) | {"deviation": check.deviation} for check in checks]
            for name, checks in result.years.items()
        },
        "correction": result.correction.provenance,
    }


def plots(result: CalibrationResult) -> dict[str, str]:
    """Return the P-P plots by file name: for each survey, all latitude bins, with the measured rates and without."""
    pictures = {}
    for survey, trials in result.trials.items():
        known = {(one.survey, one.latitude): one for one in result.uniformities}
        curves = [Curve(_label(known[survey, latitude]), p_chance) for latitude, p_chance in by_latitude(trials)]
        stated = {(one.survey, one.latitude): one for one in result.unmeasured}
        without = [
            Curve(_label(stated[survey, latitude]), p_chance, is_dashed=True)
            for latitude, p_chance in by_latitude(result.unmeasured_trials[survey])
            if latitude == "all"
        ]
        pictures[f"pp-{survey}.svg"] = pp_plot(
            f"{survey}: chance as worked out and as counted (dashed: rates not measured)", (*curves, *without)
        )
    return pictures


def _label(one: Uniformity) -> str:
    where = "all latitudes" if one.latitude == "all" else f"|b| {one.latitude} deg"
    return f"{where}: KS {one.ks_statistic:.3f}, n {one.n_trials}"


def _show(result: CalibrationResult) -> None:
    table = Table("survey", "|b| [deg]", "trials", "KS measured", "KS unmeasured", "KS corrected", box=SIMPLE_HEAD)
    for one, without, after in zip(result.uniformities, result.unmeasured, result.corrected, strict=True):
        statistics = [f"{each.ks_statistic:.3f}" for each in (one, without, after)]
        table.add_row(one.survey, one.latitude, str(one.n_trials), *statistics)
    stdout.print(table)
    table = Table("survey", "joint FAR [1/yr]", "expected", "counted", "sigma", box=SIMPLE_HEAD)
    for survey, checks in result.years.items():
        for check in checks:
            rate, expected = f"{check.joint_far_per_year:.3g}", f"{check.expected:.1f}"
            table.add_row(survey, rate, expected, str(check.counted), f"{check.deviation:+.1f}")
    stdout.print(table)
