"""A short night made up: alerts in the surveys' own formats, notices in the missions', and the truth about both."""

from ingest.simulate.events import EventKind, EventPlan
from ingest.simulate.light_curves import SourceClass
from ingest.simulate.night import SimulatedNight, simulate_night
from ingest.simulate.simulated_notice import SimulatedNotice
from ingest.simulate.write import write_night

__all__ = [
    "EventKind",
    "EventPlan",
    "SimulatedNight",
    "SimulatedNotice",
    "SourceClass",
    "simulate_night",
    "write_night",
]
