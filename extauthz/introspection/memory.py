"""A bounded memory of answers, by keyed hashes: no token can be read in it.

Active and inactive ones are kept apart, so that no flood of bad tokens pushes good ones out.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeVar

from extauthz.model.question import Active, Inactive

V = TypeVar("V")


class Memory:
    """Keeps at most `size` answers of each kind, the oldest go first. Safe to share among threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._active: OrderedDict[bytes, tuple[float, Active]] = OrderedDict()
        self._inactive: OrderedDict[bytes, tuple[float, Inactive]] = OrderedDict()

    def look(self, key: bytes, now: float) -> Active | Inactive | None:
        """The answer to a question, while it may be given again."""
        found: tuple[float, Active | Inactive] | None = self._active.get(key) or self._inactive.get(key)
        return found[1] if found is not None and now < found[0] else None

    def keep(self, key: bytes, answer: Active | Inactive, until: float) -> None:
        """Give this answer until then, in place of any earlier one."""
        with self._lock:
            self._active.pop(key, None)
            self._inactive.pop(key, None)
            if isinstance(answer, Active):
                _put(self._active, key, (until, answer), self._size)
            else:
                _put(self._inactive, key, (until, answer), self._size)

    def __len__(self) -> int:
        """How many answers are kept, those that are over included."""
        return len(self._active) + len(self._inactive)


def _put(kept: OrderedDict[bytes, V], key: bytes, value: V, size: int) -> None:
    kept[key] = value
    while len(kept) > size:
        kept.popitem(last=False)
