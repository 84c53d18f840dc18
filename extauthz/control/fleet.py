"""The central replicas that live, and how far each is: what `Programmed` and the column `Active` are made from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject
from extauthz.control.leases import REPLICA_LEASE, REPLICA_PREFIX, VERSION_ANNOTATION
from extauthz.model.time import Clock, read_instant
from extauthz.policy.problem import ObjectRef

LEFT_BEHIND: Final = 600.0
"""Seconds after which the Lease of a replica that is gone is litter."""
_VERSIONS: Final = 256
_OTHER_CLOCK: Final = 60.0
"""Seconds that a replica's clock may differ from ours, when its Lease is seen for the first time."""


@dataclass(frozen=True, slots=True, order=True)
class Replica:
    """One that lives."""

    name: str
    """Of its Lease."""
    version: str
    """Of the snapshot that it serves."""


@dataclass(frozen=True, slots=True)
class _Seen:
    version: str
    renewed: str
    at: float
    """When the renewal was seen, by the clock's `monotonic`."""


class Fleet:
    """Takes what a watch of Leases sees. Safe to share among threads.

    A replica lives as long as its Lease is renewed, as we see it: no clock but ours is asked, but for Leases that were
    there before us.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}

    def take(self, event: Event) -> None:
        """What a watch tells."""
        # Read before the lock is taken: it may come over the network.
        listed = tuple(event.objects) if isinstance(event, Listed) else ()
        with self._lock:
            match event:
                case Listed():
                    known, self._seen = self._seen, {}
                    for obj in listed:
                        self._put(obj, known)
                case Applied(object=obj):
                    self._put(obj, self._seen)
                case Deleted(object=obj):
                    self._seen.pop(_name(obj), None)

    def live(self) -> tuple[Replica, ...]:
        """Those that live now, by name."""
        now = self._clock.monotonic()
        with self._lock:
            return tuple(
                Replica(name, seen.version)
                for name, seen in sorted(self._seen.items())
                if now < seen.at + REPLICA_LEASE and seen.version
            )

    def left_behind(self) -> tuple[str, ...]:
        """The Leases of replicas that are long gone."""
        now = self._clock.monotonic()
        with self._lock:
            return tuple(name for name, seen in sorted(self._seen.items()) if now >= seen.at + LEFT_BEHIND)

    def _put(self, obj: RawObject, known: Mapping[str, _Seen]) -> None:
        name = _name(obj)
        if not name.startswith(REPLICA_PREFIX):
            return
        version, renewed = _annotation(obj), str((obj.get("spec") or {}).get("renewTime", ""))
        before = known.get(name)
        if before is not None and before.renewed == renewed:
            self._seen[name] = _Seen(version, renewed, before.at)
            return
        late = 0.0
        if before is None:
            written = read_instant(renewed)
            age = LEFT_BEHIND if written is None else self._clock.now() - written
            late = age if age > REPLICA_LEASE + _OTHER_CLOCK else 0.0
        self._seen[name] = _Seen(version, renewed, self._clock.monotonic() - late)


class Progress:
    """Which versions of the snapshot hold an object as it stands now. Safe to share among threads.

    A version changes with every object, so a replica that is one behind serves most of them as they stand.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._since: dict[ObjectRef, tuple[object, int]] = {}

    def note(self, version: str, states: Mapping[ObjectRef, object]) -> None:
        """A version, and for each object in it a value that is another whenever the object is another."""
        with self._lock:
            self._count += 1
            self._versions[version] = self._count
            self._versions.move_to_end(version)
            while len(self._versions) > _VERSIONS:
                self._versions.popitem(last=False)
            before = self._since
            self._since = {
                ref: before[ref] if ref in before and before[ref][0] == state else (state, self._count)
                for ref, state in states.items()
            }

    def holds(self, ref: ObjectRef, version: str) -> bool | None:
        """Whether the version holds the object as it stands; None for a version that is not known."""
        with self._lock:
            number, since = self._versions.get(version), self._since.get(ref)
        return None if number is None or since is None else number >= since[1]


def _name(obj: RawObject) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _annotation(obj: RawObject) -> str:
    annotations: Mapping[str, Any] = (obj.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(VERSION_ANNOTATION, ""))
