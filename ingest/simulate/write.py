"""A simulated night as files: packets, notices, truth and catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.csv
import pyarrow.parquet

from graph.model import Survey
from graph.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ingest.simulate.night import SimulatedNight

FILES_PER_FOLDER = 1000
"""Packets in one folder: a directory stays quick to list."""


def write_night(night: SimulatedNight, out_dir: Path) -> dict[str, Any]:
    """Write a night below a folder and return a summary of it.

    Each packet is a file ``alerts/<survey>/<folder>/<number>_<detection>.avro`` as it stands on the survey's topic; the
    names sort in the order of time. Notices are ``notices/<topic>/<time>_<what>.xml`` or ``.json``. Beside them are
    ``truth.parquet`` and ``catalogue.csv``.

    Raises
    ------
    OSError : a file cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    detection = night.truth["detection_id"].to_pylist()
    _write_packets(night.ztf, detection[: len(night.ztf)], out_dir / "alerts" / Survey.ZTF.value)
    _write_packets(night.lsst, detection[len(night.ztf) :], out_dir / "alerts" / Survey.LSST.value)
    for notice in night.notices:
        folder = out_dir / "notices" / notice.topic
        folder.mkdir(parents=True, exist_ok=True)
        (folder / notice.file_name).write_bytes(notice.payload)
    pyarrow.parquet.write_table(night.truth, out_dir / "truth.parquet")
    pyarrow.csv.write_csv(night.catalogue, out_dir / "catalogue.csv")
    return {
        "start": format_utc(night.start),
        "duration_s": night.duration_s,
        "alerts": {Survey.ZTF.value: len(night.ztf), Survey.LSST.value: len(night.lsst)},
        "notices": len(night.notices),
        "events": [
            {
                "mission": plan.mission,
                "event_id": plan.event_id,
                "kind": plan.kind.value,
                "trigger_time": format_utc(plan.trigger_time),
                "ra_deg": plan.ra_deg,
                "dec_deg": plan.dec_deg,
                "counterpart": plan.counterpart.value if plan.counterpart else None,
            }
            for plan in night.events
        ],
    }


def _write_packets(packets: Iterable[bytes], detections: list[int], folder: Path) -> None:
    for i, (packet, detection) in enumerate(zip(packets, detections, strict=True)):
        below = folder / f"{i // FILES_PER_FOLDER:04d}"
        if i % FILES_PER_FOLDER == 0:
            below.mkdir(parents=True, exist_ok=True)
        (below / f"{i:07d}_{detection}.avro").write_bytes(packet)
