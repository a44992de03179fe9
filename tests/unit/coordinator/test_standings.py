"""What is kept of the strongest pairs gives what one look at all pairs would give, and reads only what has changed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from coordinator.standings import EVENTS_AT_A_TIME, Standings
from graph.event_store import StrongestPairs
from graph.model import ScienceCase

LIMIT = 3
CASES = (ScienceCase.GRB, ScienceCase.GW)


class Pairs:
    """Open pairs of events: event_key -> object_key -> log Bayes factor; the case follows from the event's number."""

    def __init__(self) -> None:
        self.open: dict[str, dict[str, float]] = {}
        self.asked: list[list[str]] = []

    def strongest_pairs(self, event_keys: Sequence[str], limit: int) -> dict[str, tuple[ScienceCase, StrongestPairs]]:
        self.asked.append(list(event_keys))
        known = {key: sorted(self.open.get(key, {}).items(), key=lambda one: (-one[1], one[0])) for key in event_keys}
        return {key: (case_of(key), tuple(pairs[:limit])) for key, pairs in known.items() if pairs}


def case_of(event_key: str) -> ScienceCase:
    return CASES[int(event_key) % 2]


def strongest(pairs: Pairs, case: ScienceCase) -> list[str]:
    best: dict[str, float] = {}
    for event_key, found in pairs.open.items():
        for object_key, evidence in found.items() if case_of(event_key) is case else ():
            best[object_key] = max(evidence, best.get(object_key, evidence))
    return sorted(best, key=lambda key: (-best[key], key))[:LIMIT]


CHANGE = st.tuples(
    st.integers(0, 5).map(str), st.sampled_from("abcdefgh"), st.one_of(st.none(), st.integers(-3, 3).map(float))
)


@given(st.lists(st.lists(CHANGE, max_size=12), max_size=6))
def test_the_best_are_those_of_all_pairs(changes: list[list[tuple[str, str, float | None]]]) -> None:
    pairs = Pairs()
    standings = Standings(pairs, LIMIT)
    for batch in changes:
        for event_key, object_key, evidence in batch:
            if evidence is None:
                pairs.open.get(event_key, {}).pop(object_key, None)
            else:
                pairs.open.setdefault(event_key, {})[object_key] = evidence
            standings.note([event_key])
        pairs.asked.clear()
        for _ in standings.refresh():
            pass
        assert sorted(key for keys in pairs.asked for key in keys) == sorted({change[0] for change in batch})
        for case in CASES:
            assert standings.best(case) == strongest(pairs, case)


def test_many_events_are_read_some_at_a_time_and_no_event_twice() -> None:
    pairs = Pairs()
    standings = Standings(pairs, LIMIT)
    keys = [str(number) for number in range(3 * EVENTS_AT_A_TIME)]
    pairs.open = {key: {f"o{key}": float(key)} for key in keys}
    standings.note(keys)
    next(standings.refresh())
    assert standings.best(ScienceCase.GRB)[0] == f"o{EVENTS_AT_A_TIME - 2}", "the first ten are known"
    assert sum(1 for _ in standings.refresh()) == 2, "and not read again"
    assert standings.best(ScienceCase.GRB)[0] == f"o{keys[-2]}"
    assert max(map(len, pairs.asked)) == EVENTS_AT_A_TIME
