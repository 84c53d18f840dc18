"""Values by key, each kept until its instant: never less, and little more."""

from __future__ import annotations

import heapq
from itertools import islice
from math import ceil
from typing import Generic, TypeVar

from extauthz.model.time import Instant

Value = TypeVar("Value")


class Expiring(Generic[Value]):
    """A dictionary whose entries are due at an instant. Not safe for threads: its owner holds a lock.

    Keys are filed by the second in which they fall due, each exactly once. An entry whose time was prolonged is filed
    anew only when its old second comes up, so filing and dropping cost a constant time per entry put.
    """

    # Entries are plain tuples: those of numbers and bytes leave the garbage collector's care, so that a million
    # live keys does not stop every thread while it looks for cycles.
    __slots__ = ("_due", "_entries", "_seconds")

    def __init__(self) -> None:
        self._entries: dict[bytes, tuple[Instant, Value]] = {}
        self._due: dict[int, list[bytes]] = {}
        self._seconds: list[int] = []

    def __len__(self) -> int:
        """How many entries take up room, those included that are due and not dropped yet."""
        return len(self._entries)

    def __contains__(self, key: bytes) -> bool:
        """Whether the key takes up room already."""
        return key in self._entries

    def get(self, key: bytes, now: Instant) -> Value | None:
        """The value of a key, None when there is none or it is due."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and now < entry[0] else None

    def until(self, key: bytes, now: Instant) -> Instant | None:
        """When the entry of a key is due, None when there is none or it is due now."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None and now < entry[0] else None

    def put(self, key: bytes, value: Value, until: Instant) -> None:
        """Keep the value until then, or as long as the key is kept already, whichever is later."""
        entry = self._entries.get(key)
        if entry is None:
            self._file(key, until)
        elif entry[0] > until:
            until = entry[0]
        self._entries[key] = (until, value)

    def drop_due(self, now: Instant, steps: int) -> None:
        """Drop entries that are due, looking at no more than so many."""
        while steps > 0 and self._seconds and self._seconds[0] <= now:
            keys = self._due[self._seconds[0]]
            while keys and steps > 0:
                steps -= 1
                self._drop_or_file(keys.pop(), now)
            if not keys:
                del self._due[heapq.heappop(self._seconds)]

    def due(self, now: Instant, steps: int) -> frozenset[bytes]:
        """The keys of the entries that `drop_due` would drop. Drops none."""
        filed = (key for second in sorted(self._seconds) if second <= now for key in reversed(self._due[second]))
        return frozenset(key for key in islice(filed, steps) if self._entries[key][0] <= now)

    def _drop_or_file(self, key: bytes, now: Instant) -> None:
        until = self._entries[key][0]
        if until <= now:
            del self._entries[key]
        else:
            self._file(key, until)

    def _file(self, key: bytes, until: Instant) -> None:
        # Rounded up, a second never comes up before an instant within it.
        second = ceil(until)
        if second not in self._due:
            self._due[second] = []
            heapq.heappush(self._seconds, second)
        self._due[second].append(key)
