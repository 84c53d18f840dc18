"""A bounded memory for what costs a signature check: two generations, so that nothing is ever searched or sorted.

New entries go into the young generation. When it is half the size, it becomes the old one, and what was old is gone; an
entry that is used meanwhile moves back among the young. Reading takes no lock.

What is gone is let go of little by little: to free thousands of tokens at once holds up whatever is decided meanwhile.
"""

from __future__ import annotations

import threading
from typing import Final, Generic, TypeVar

_FREED: Final = 2
"""Entries that each put frees of those that are gone: twice as many as come, so that none is left when more go."""

K = TypeVar("K")
V = TypeVar("V")


class GenerationalCache(Generic[K, V]):
    """Keeps at most `size` entries, each for at least `size // 2` puts of others after its last use. Thread-safe."""

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"a cache cannot keep {size} entries")
        self._half = size // 2
        self._lock = threading.Lock()
        # INVARIANT: one attribute, replaced as a whole, so that a reader without the lock sees generations that belong
        # together.
        self._generations: tuple[dict[K, V], dict[K, V]] = ({}, {})
        self._gone: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The entry of `key`, None when there is none or it was dropped."""
        young, old = self._generations
        value = young.get(key)
        if value is None:
            value = old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep an entry, in place of an earlier one."""
        if not self._half:
            return
        with self._lock:
            young, old = self._generations
            if key not in young and len(young) >= self._half:
                self._gone = old
                young, old = {}, young
                self._generations = (young, old)
            old.pop(key, None)
            young[key] = value
            for _ in range(min(_FREED, len(self._gone))):
                self._gone.popitem()

    def __len__(self) -> int:
        """How many entries are kept."""
        young, old = self._generations
        return len(young) + len(old)
