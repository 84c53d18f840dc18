"""The objects of one kind that are kept in memory, with a bound on TokenRevocations, which issuers can write by the
thousand.

INVARIANT: when there are too many, the namespace that has the most gives up all of its own, and is taken for one that
revokes every token: what is not known any more might be what denies. The others keep theirs, so nobody can crowd out
another's revocations by writing many.

One that was over before it was created changes no answer, and takes no room: `LEFT` of each namespace are set aside,
and are not pruned.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from extauthz.control.expiry import has_expired, never_counted
from extauthz.model.time import Instant
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.problem import ObjectRef, Problem

_LOG: Final = logging.getLogger(__name__)
_BOUNDED: Final = "TokenRevocation"
LEFT: Final = 500
"""How many that never counted are left of each namespace. Those beyond, which something writes without end, are pruned:
their author is told by the others."""
SPARE: Final = 500
"""How many that have expired are kept of a crowded namespace, for who deletes them."""
RETRY: Final = 30.0
"""Seconds after a list at which to look again, when something was deleted meanwhile."""
LOOK: Final = 600.0
"""Seconds after a list at which to look again anyway."""


class Kept:
    """Not safe to share among threads by itself."""

    def __init__(self, most: int, *, prunes: bool) -> None:
        """`prunes`: whether we delete what has expired, and must know of it."""
        self._most = most
        self._prunes = prunes
        self._counts: Counter[str] = Counter()
        self._spare: Counter[str] = Counter()
        self._aside: defaultdict[str, set[ObjectRef]] = defaultdict(set)
        self._deleted = False
        self.objects: dict[ObjectRef, Parsed | Broken] = {}
        self.crowded: set[str] = set()
        """The namespaces whose revocations are not kept."""

    def put(self, item: Parsed | Broken, now: Instant) -> None:
        """Keep an object, or what takes its place."""
        namespace = item.ref.namespace
        idle = self._takes_no_room(item, now)
        if item.ref in self.objects and idle is not (item.ref in self._aside[namespace]):
            self.drop(item.ref)
        if idle:
            self._aside[namespace].add(item.ref)
            self.objects[item.ref] = item
        elif item.ref.kind != _BOUNDED or item.ref in self.objects:
            self.objects[item.ref] = item
        elif namespace in self.crowded:
            if self._prunes and self._spare[namespace] < SPARE and has_expired(item, now):
                self._spare[namespace] += 1
                self.objects[item.ref] = item
        else:
            self._counts[namespace] += 1
            self.objects[item.ref] = item
            if self._counts.total() > self._most:
                self._give_up(max(sorted(self._counts), key=self._counts.__getitem__), now)

    def drop(self, ref: ObjectRef) -> None:
        """Forget an object that is gone."""
        gone = self.objects.pop(ref, None) is not None
        if ref.kind != _BOUNDED or ref in self._aside[ref.namespace]:
            self._aside[ref.namespace].discard(ref)
            return
        if ref.namespace in self.crowded:
            self._deleted = True
        elif gone:
            self._counts[ref.namespace] -= 1

    def too_many(self) -> Iterator[Broken]:
        """What stands for the revocations of each crowded namespace."""
        for namespace in sorted(self.crowded):
            ref = ObjectRef(_BOUNDED, namespace, "*")
            words = f"there are more than `--max-revocations`, {self._most}; delete what has expired, or raise it"
            yield Broken(ref, math.inf, {}, (Problem(ref, (), words),))

    def left(self) -> Iterator[ObjectRef]:
        """Those that are set aside."""
        return (ref for aside in self._aside.values() for ref in aside)

    def relist_after(self) -> float:
        """Seconds after the last list at which another may bring more."""
        if not self.crowded:
            return math.inf
        return RETRY if self._deleted else LOOK

    def _takes_no_room(self, item: Parsed | Broken, now: Instant) -> bool:
        # By our clock, too: what might still count takes room as any other.
        if not (never_counted(item) and has_expired(item, now)):
            return False
        aside = self._aside[item.ref.namespace]
        return item.ref in aside or len(aside) < LEFT

    def _give_up(self, namespace: str, now: Instant) -> None:
        aside = self._aside[namespace]
        own = [
            item
            for ref, item in self.objects.items()
            if ref.kind == _BOUNDED and ref.namespace == namespace and ref not in aside
        ]
        spared = [item for item in own if has_expired(item, now)][:SPARE] if self._prunes else []
        for item in own:
            del self.objects[item.ref]
        self.objects.update((item.ref, item) for item in spared)
        self._spare[namespace] = len(spared)
        del self._counts[namespace]
        self.crowded.add(namespace)
        words = "more than %d TokenRevocations, most of them in namespace `%s`: every token it could mean is refused"
        _LOG.error(words, self._most, namespace)
