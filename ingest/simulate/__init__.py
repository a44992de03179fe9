"""A night made up: alerts in the surveys' own formats, notices in the missions', and the truth about both."""

from ingest.simulate.alert_stream import AlertStream, iter_packets
from ingest.simulate.events import EventKind, EventPlan
from ingest.simulate.night import SimulatedNight, simulate_night
from ingest.simulate.send import send_streams
from ingest.simulate.simulated_notice import SimulatedNotice
from ingest.simulate.source_classes import SourceClass
from ingest.simulate.write import night_summary, write_night

__all__ = [
    "AlertStream",
    "EventKind",
    "EventPlan",
    "SimulatedNight",
    "SimulatedNotice",
    "SourceClass",
    "iter_packets",
    "night_summary",
    "send_streams",
    "simulate_night",
    "write_night",
]
