"""The verb that links single detections of recorded alerts to moving bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from compose.cli.console import print_json, stderr
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.classifiers.linking import link_tracklets
from ingest.replay import iter_alert_messages
from ingest.screening import is_single


def link(
    files: Annotated[list[Path], typer.Argument(exists=True, help="Alert packets of a night: files or folders.")],
) -> None:
    """Link single detections of a night to moving bodies: one JSON line for each tracklet."""
    refused = 0
    for survey in Survey:
        packets = [packet for path in files for found, packet in iter_alert_messages(path) if found is survey]
        columns, rejects = AlertDecoder(survey).decode(packets)
        refused += len(rejects)
        found = link_tracklets(columns.ra_deg, columns.dec_deg, columns.midpoint_mjd_tai, is_single(columns))
        for number in range(int(found.tracklet_id.max(initial=-1)) + 1):
            row = np.flatnonzero(found.tracklet_id == number)
            row = row[np.argsort(columns.midpoint_mjd_tai[row], kind="stable")]
            print_json(
                {
                    "survey": survey.value,
                    "detection_ids": columns.detection_id[row].astype(str).tolist(),
                    "n_points": len(row),
                    "first_midpoint_mjd_tai": float(columns.midpoint_mjd_tai[row[0]]),
                    "rate_arcsec_min": float(found.rate_arcsec_min[row[0]]),
                    "position_angle_deg": float(found.position_angle_deg[row[0]]),
                    "probability": float(found.probability[row[0]]),
                }
            )
    if refused:
        stderr.print(f"{refused} packets could not be read.")
        raise typer.Exit(1)
