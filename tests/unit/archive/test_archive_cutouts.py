"""Images out of packets, held against another reader of Avro."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import WireError
from graph.model import Survey
from ingest.archive.cutouts import FITS, GZIPPED_FITS, UNKNOWN, read_cutouts
from ingest.replay import iter_alert_messages


def test_ztf_images_are_those_of_the_container(ztf: Any) -> None:
    for packet in list(ztf.expected().values())[:5]:
        record: Any = next(fastavro.reader(io.BytesIO(packet)))
        cutouts = read_cutouts(Survey.ZTF, packet)
        assert cutouts.science == record["cutoutScience"]["stampData"]
        assert cutouts.template == record["cutoutTemplate"]["stampData"]
        assert cutouts.difference == record["cutoutDifference"]["stampData"]
        assert cutouts.media_type == GZIPPED_FITS
        assert gzip.decompress(cutouts.science or b"").startswith(b"SIMPLE  =")


def test_lsst_images_are_fits_and_differ(lsst: Any) -> None:
    for packet in list(lsst.expected().values())[:5]:
        cutouts = read_cutouts(Survey.LSST, packet)
        images = [cutouts.science, cutouts.template, cutouts.difference]
        assert all(image is not None and image in packet and len(image) % 2880 == 0 for image in images)
        assert len({*images}) == 3
        assert cutouts.media_type == FITS


def test_recorded_packets_give_what_they_have(shared_data: Path) -> None:
    seen = set()
    for folder in ("ztf_packets", "lsst_packets", "lsst_wire"):
        for i, (survey, packet) in enumerate(iter_alert_messages(shared_data / "alerts" / folder)):
            if i >= 30:
                break
            try:
                cutouts = read_cutouts(survey, packet)
            except WireError:
                continue
            seen.add(cutouts.media_type)
            if cutouts.science is None:
                assert cutouts.media_type == UNKNOWN
    assert GZIPPED_FITS in seen


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_packets_are_refused_with_our_error(recordings: Any, data: Any) -> None:
    recording = recordings[data.draw(st.sampled_from(Survey))]
    packet = bytearray(next(iter(recording.expected().values())))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, min(14_000, len(packet) - 1)))] ^= data.draw(st.integers(1, 255))
    cut = bytes(packet[: data.draw(st.sampled_from([None, 3, 500, 20_000, -1, -17]))])
    with contextlib.suppress(WireError):
        read_cutouts(recording.survey, cut)


@pytest.mark.parametrize("packet", [b"", b"\x00", b"Obj\x01", b"\x00\x00\x00\x00\x07abc"])
@pytest.mark.parametrize("survey", list(Survey))
def test_what_is_no_packet_is_refused(survey: Survey, packet: bytes) -> None:
    with pytest.raises(WireError):
        read_cutouts(survey, packet)
