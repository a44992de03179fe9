"""The peer really decodes: the same records with a kept schema as with the one in the packet."""

from __future__ import annotations

import pytest

from compose.bench import peers
from compose.bench.producer import ProducerPlan, iter_night, make_night
from graph.errors import MalformedPacketError
from graph.model import Survey


@pytest.mark.parametrize("survey", list(Survey))
def test_a_kept_schema_reads_the_same_records(survey: Survey) -> None:
    plan = ProducerPlan(survey.value, 60, 2, "")
    packets = list(iter_night(make_night(plan), plan))
    each_time, kept = peers._schema_each_time(survey), peers._schema_kept(survey, packets[0])
    for packet in packets:
        slow, fast = each_time(packet), kept(packet)
        assert (slow[0] if survey is Survey.ZTF else slow) == fast  # type: ignore[index]
    figures = peers.measure_peers(survey, packets)
    assert all(rate["alerts_per_s"] > 0 for rate in figures.values())


def test_what_is_no_container_is_refused() -> None:
    with pytest.raises(MalformedPacketError):
        peers._schema_kept(Survey.ZTF, b"nonsense")
