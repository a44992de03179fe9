"""A simulated night as files: packets, notices, truth and catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.csv
import pyarrow.parquet

from graph.model import Survey
from graph.times import format_utc
from ingest.simulate.alert_stream import iter_packets
from ingest.simulate.truth import TRUTH_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from ingest.simulate.alert_stream import AlertStream
    from ingest.simulate.night import SimulatedNight

FILES_PER_FOLDER = 1000
"""Packets in one folder: a directory stays quick to list."""


def write_night(night: SimulatedNight, out_dir: Path, *, packets: bool = True) -> dict[str, Any]:
    """Write a night below a folder and return a summary of it.

    Each packet is a file ``alerts/<survey>/<folder>/<number>_<detection>.avro`` as it stands on the survey's topic; the
    names sort in the order of time. Notices are ``notices/<topic>/<time>_<what>.xml`` or ``.json``. Beside them are
    ``truth.parquet`` and ``catalogue.csv``.

    Parameters
    ----------
    packets : False leaves the packets out, for a night whose packets go to a topic.

    Raises
    ------
    OSError : a file cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(out_dir / "truth.parquet", TRUTH_SCHEMA) as truth:
        for survey, stream in night.streams.items():
            for table in (
                _written(night, stream, out_dir / "alerts" / survey.value) if packets else night.truths(stream)
            ):
                truth.write_table(table)
    for notice in night.notices:
        folder = out_dir / "notices" / notice.topic
        folder.mkdir(parents=True, exist_ok=True)
        (folder / notice.file_name).write_bytes(notice.payload)
    pyarrow.csv.write_csv(night.catalogue, out_dir / "catalogue.csv")
    return night_summary(night)


def night_summary(night: SimulatedNight) -> dict[str, Any]:
    """Return what a night holds, ready for JSON."""
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


def _written(night: SimulatedNight, stream: AlertStream, folder: Path) -> Iterator[pa.Table]:
    """Write the packets chunk by chunk and yield the truth about each chunk."""
    i = 0
    for alerts in stream.iter_alerts():
        batch = stream.packer.pack(alerts, i)
        table = night.truth_of(stream, alerts)
        for packet, detection in zip(iter_packets(batch), table["detection_id"].to_pylist(), strict=True):
            below = folder / f"{i // FILES_PER_FOLDER:04d}"
            if i % FILES_PER_FOLDER == 0:
                below.mkdir(parents=True, exist_ok=True)
            (below / f"{i:07d}_{detection}.avro").write_bytes(packet)
            i += 1
        yield table
