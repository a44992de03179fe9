"""What a night must have left behind, worked out from the table of truth and the faults that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.views import LedgerNight


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """What was sent."""

    detection_ids: NDArray[np.int64]
    """(n,) in the order of sending."""
    classes: NDArray[np.object_]
    """(n,) what each alert is of."""
    is_moving: NDArray[np.bool_]
    """(n,) whether the packet names a moving body or belongs to no fixed object."""
    repeat_every: int
    """Every so many alerts one was sent twice."""
    damage_every: int
    """Every so many alerts a damaged message was sent too."""

    def _loaded(self, detection_ids: AbstractSet[int]) -> NDArray[np.bool_]:
        """Return which alerts are in the graph."""
        return np.isin(self.detection_ids, np.fromiter(detection_ids, np.int64, len(detection_ids)))

    def expected(self, detection_ids: AbstractSet[int]) -> dict[str, int]:
        """Return the counts that must follow, given which detections are in the graph."""
        loaded = self._loaded(detection_ids)
        repeated = np.arange(1, len(loaded) + 1) % self.repeat_every == 0
        damaged = len(loaded) // self.damage_every
        deliveries = 1 + repeated
        return {
            "received": int(deliveries.sum()) + damaged,
            "loaded": int(loaded.sum()),
            "filtered": int(deliveries[~loaded].sum()),
            "moving": int(deliveries[self.is_moving].sum()),
            "duplicates": int(repeated[loaded].sum()),
            "dead": damaged,
            "wrongly_loaded": int((loaded & self.is_moving).sum()),
        }

    def set_aside_by_class(self, detection_ids: AbstractSet[int]) -> dict[str, int]:
        """Return how many alerts of each class are not in the graph."""
        names, counts = np.unique(self.classes[~self._loaded(detection_ids)].astype(str), return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))


@dataclass(frozen=True, eq=False, slots=True)
class Counted:
    """What was found afterwards."""

    on_topic: int
    """Messages ever written to the alert topic."""
    received: int
    """Sum over the ledger, as are the next four."""
    loaded: int
    filtered: Mapping[str, int]
    """Number for each reason."""
    duplicates: int
    dead: int
    archived: int | None
    """Sum over the ledger; None where no archive was on."""
    balanced: bool
    """Whether every night of the ledger adds up."""
    dead_letters: int
    """Distinct messages on the dead letters topic."""
    detection_ids: AbstractSet[int]
    """Identifiers of the detections in the graph."""
    nights: Sequence[LedgerNight]


def judge(truth: Truth, counted: Counted) -> dict[str, bool]:
    """Return for each claim whether it holds; all must."""
    expected = truth.expected(counted.detection_ids)
    return {
        "every message is on the topic": counted.on_topic == expected["received"],
        "every message is in the ledger once": counted.received == expected["received"],
        "every night adds up": counted.balanced,
        "the graph holds what the ledger says": counted.loaded == len(counted.detection_ids) == expected["loaded"],
        "what is not in the graph was set aside": sum(counted.filtered.values()) == expected["filtered"],
        "moving bodies were set aside as such": counted.filtered.get("solar_system", 0) == expected["moving"],
        "no moving body is in the graph": expected["wrongly_loaded"] == 0,
        "every readable message is archived": counted.archived in {None, expected["received"] - expected["dead"]},
        "every second delivery is a duplicate": counted.duplicates == expected["duplicates"],
        "every damaged message is a dead letter": counted.dead == counted.dead_letters == expected["dead"],
    }
