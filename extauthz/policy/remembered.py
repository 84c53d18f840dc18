"""What was made of each object of a set, so that a set that differs in one object costs the work of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from extauthz.policy.parse import Broken, Parsed

Item = TypeVar("Item")
Made = TypeVar("Made")


class Remembered(Generic[Item, Made]):
    """Makes something of each object, and of the very same object only once.

    INVARIANT: the same is what is one value in memory. Equal ones are not enough: to Python, `True` equals 1. The
    object itself is kept beside what was made of it, so that its place in memory is not another's.
    """

    def __init__(self, make: Callable[[Item], Made]) -> None:
        self._make = make
        self._known: dict[int, tuple[Item, Made]] = {}

    def all(self, items: Iterable[Item]) -> list[Made]:
        """What is made of each. What was made of objects that are not among them is forgotten."""
        known: dict[int, tuple[Item, Made]] = {}
        made: list[Made] = []
        for item in items:
            found = self._known.get(id(item))
            if found is None:
                found = (item, self._make(item))
            known[id(item)] = found
            made.append(found[1])
        self._known = known
        return made


def digest_of(item: Parsed | Broken) -> bytes:
    """Tells objects of another content apart, within one version of this program."""
    content = repr(item.spec) if isinstance(item, Parsed) else json.dumps(item.raw_spec, sort_keys=True, default=str)
    return hashlib.sha256(f"{item.ref}\0{item.created}\0{content}".encode()).digest()
