"""When keys are fetched next: a list of appointments, and how far apart they lie.

Every delay is jittered, so that many issuers, and many replicas, do not ask at the same moment.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from typing import Final

from extauthz.keys.source import IssuerKeys
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef

FILE_LOOK: Final = Seconds(2.0)
"""Time between two looks at a key file."""
SHORTEST: Final = Seconds(30.0)
"""The shortest time between two fetches that a server, or a stranger's token, can bring about."""

OF_ONE: Final = 4
"""Issuers of one namespace whose keys are fetched at once: no more of its servers hang on us."""

_LONGEST_PAUSE: Final = 60.0
_FIRST_PAUSE: Final = 1.0


class Agenda:
    """One appointment for each issuer, the earliest first, and OF_ONE of a namespace at once.

    Not safe to share without a lock.
    """

    def __init__(self) -> None:
        self._due: dict[IssuerRef, float] = {}
        # Holds appointments that were moved or struck out, too: `_due` tells which count.
        self._heap: list[tuple[float, IssuerRef]] = []
        self._kept: Counter[str] = Counter()
        """How many appointments of a namespace are being kept."""
        self._waiting: defaultdict[str, dict[IssuerRef, None]] = defaultdict(dict)
        """Who was due and waits for others of its namespace, in order."""

    def put(self, ref: IssuerRef, due: float) -> None:
        """Make the appointment, or move it."""
        self._due[ref] = due
        heapq.heappush(self._heap, (due, ref))

    def strike(self, ref: IssuerRef) -> None:
        """Strike the appointment out, if there is one."""
        self._due.pop(ref, None)
        self._waiting[ref.namespace].pop(ref, None)

    def next_due(self) -> float | None:
        """When the earliest appointment is, None when there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> IssuerRef | None:
        """Take the earliest appointment, if it is due. It has to be told when it is `over`."""
        while (due := self.next_due()) is not None and due <= now:
            _, ref = heapq.heappop(self._heap)
            del self._due[ref]
            waiting = self._waiting[ref.namespace]
            if self._kept[ref.namespace] < OF_ONE:
                self._kept[ref.namespace] += 1
                waiting.pop(ref, None)
                return ref
            waiting[ref] = None
        return None

    def over(self, ref: IssuerRef) -> None:
        """An appointment was kept: who has waited longest for that is next."""
        self._kept[ref.namespace] -= 1
        waiting = self._waiting[ref.namespace]
        if waiting:
            self.put(next(iter(waiting)), -math.inf)


def after_success(keys: IssuerKeys, max_age: Seconds | None, jitter: float) -> Seconds:
    """How long to wait after keys were fetched; `jitter` is in [0, 1).

    The server's `max-age` can shorten the interval, down to SHORTEST, and never lengthen it.
    """
    longest = _longest(keys)
    wanted = longest if max_age is None else min(longest, max_age)
    return Seconds(max(min(SHORTEST, longest), wanted * (0.9 + 0.1 * jitter)))


def after_failure(keys: IssuerKeys, failures: int, jitter: float) -> Seconds:
    """How long to wait after so many failures in a row, at least 1; `jitter` is in [0, 1)."""
    pause = min(_FIRST_PAUSE * 2 ** min(failures, 16), _LONGEST_PAUSE, _longest(keys))
    return Seconds(pause * (0.5 + 0.5 * jitter))


def _longest(keys: IssuerKeys) -> float:
    # Half of `max_stale`, so that healthy keys are fetched again before they would go stale.
    return min(keys.interval, keys.max_stale / 2)
