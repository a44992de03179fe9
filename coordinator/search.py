"""The objects that an event may coincide with, fetched from the graph in slices of bounded size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from coordinator.coincidence import level_searched
from coordinator.windows import window_of
from graph.times import datetime_to_mjd_tai

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graph.model import Event
    from graph.objects import ObjectColumns
    from graph.regions import Region

    Look = Callable[[float, float, int], tuple[ObjectColumns, int, float]]
    """(from [d, TAI], until [d, TAI], limit) -> what was found among the oldest so many objects, how many were looked
    at, and the time of the last one [d, TAI]."""

RANGES_AT_A_TIME: Final = 32
"""HEALPix ranges of one slice: so few enclose a circle with a fifth more area than it has, in one look-up of 5 ms."""

AREA_AT_A_TIME_DEG2: Final = 50.0
"""Area of one slice [deg2]: some thousand objects of a deep survey in the window of a burst."""

OBJECTS_AT_A_TIME: Final = 2000
"""Objects of one slice of time at most: a tenth of a second from the graph to the coincidences."""

MAX_OBJECTS: Final = 5_000_000
"""Objects first seen at one moment that are read at most; an exposure has some thousand."""

SMALL_SKY_DEG2: Final = 500.0
"""Regions larger than this are searched by time alone: the pixel index would return a good part of the sky [deg2]."""


class ObjectStore(Protocol):
    """What the graph is asked for; `graph.event_store.EventStore` is one."""

    def objects_in_window(self, from_mjd_tai: float, until_mjd_tai: float, limit: int) -> ObjectColumns:
        """Return objects first detected in a closed time window [d, TAI], the oldest ``limit`` at most."""

    def objects_in_ranges(
        self, from_mjd_tai: float, until_mjd_tai: float, ranges: Sequence[tuple[int, int]]
    ) -> ObjectColumns:
        """Return those of a window inside closed ranges of order-29 pixels."""


def objects_near(
    store: ObjectStore, event: Event, region: Region, max_credible_level: float
) -> Iterator[ObjectColumns]:
    """Yield the objects of an event's window, slice by slice; none twice.

    Small regions are read by place, wide ones by time, few objects at once.
    """
    if event.trigger_time is None:
        return
    first, last = window_of(event).span_mjd_tai(datetime_to_mjd_tai(event.trigger_time))
    level = level_searched(region, max_credible_level)
    area_deg2 = region.area_deg2(level)
    if area_deg2 > SMALL_SKY_DEG2:
        yield from objects_by_time(store, first, last)
        return
    slices = max(math.ceil(area_deg2 / AREA_AT_A_TIME_DEG2), 1)
    # Ranges are half open in `graph.regions` and closed in the index look-up.
    ranges = [(int(start), int(stop) - 1) for start, stop in region.cover(level, slices * RANGES_AT_A_TIME)]
    for place in range(0, len(ranges), RANGES_AT_A_TIME):
        yield store.objects_in_ranges(first, last, ranges[place : place + RANGES_AT_A_TIME])


def objects_by_time(
    store: ObjectStore, first: float, last: float, at_a_time: int = OBJECTS_AT_A_TIME
) -> Iterator[ObjectColumns]:
    """Yield the objects of a closed window [d, TAI] in slices of time, as `slices_of_time` cuts them."""

    def look(start: float, until: float, limit: int) -> tuple[ObjectColumns, int, float]:
        objects = store.objects_in_window(start, until, limit)
        return objects, len(objects), float(objects.first_midpoint_mjd_tai.max(initial=start))

    return slices_of_time(look, first, last, at_a_time)


def slices_of_time(look: Look, first: float, last: float, at_a_time: int) -> Iterator[ObjectColumns]:
    """Yield what is found in a closed window [d, TAI], oldest first, in slices for which so many objects are looked at.

    What was first seen at one moment is in one slice: a moment with more objects than that comes as a slice of its own.
    """
    start = first
    while start <= last:
        objects, n_looked_at, until = look(start, last, at_a_time + 1)
        if n_looked_at <= at_a_time:
            yield objects
            return
        if until > start:
            # There may be more of the last moment.
            yield objects.take(objects.first_midpoint_mjd_tai < until)
            start = until
        else:
            yield look(start, start, MAX_OBJECTS)[0]
            start = float(np.nextafter(start, np.inf))
