"""A folder of policies as a server would have it loaded, at any time: its keys, and counts that are empty."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from extauthz.control.files import list_folder, load
from extauthz.decide import Grants, World
from extauthz.explain.story import Story
from extauthz.explain.telling import not_asked
from extauthz.introspection.desk import Desk
from extauthz.keys.jwks import Discovery, IssuerKeys, JwksUrl, KeyFile, KeyRing
from extauthz.model.question import Answer, Question
from extauthz.model.request import RequestView
from extauthz.model.time import Clock, Instant, SystemClock
from extauthz.model.verdict import Refusal
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import NO_QUOTAS
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Pepper
from extauthz.server.codec import read_check
from extauthz.server.explaining import explain_check
from extauthz.tokens.verify import Verifier

_LONGEST: Final = 20.0
"""Seconds to wait for keys; each fetch has a shorter deadline of its own."""
_LOOK: Final = 0.02
_LONGEST_ANSWER: Final = 10.0
"""Seconds to wait for an endpoint, whose `timeout` is shorter."""


class Unreadable(Exception):
    """The folder cannot be told. The message is for the operator."""


class _ClockAt:
    """A clock that stands at one time; how long something takes goes on."""

    def __init__(self, at: Instant) -> None:
        self._at = at
        self._running = SystemClock()

    def now(self) -> Instant:
        """The time asked about."""
        return self._at

    def monotonic(self) -> float:
        """Seconds that pass for real."""
        return self._running.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysFrom:
    """Where the keys of issuers come from that would be asked over the network."""

    file: Path | None
    """A key set in their place, for every such issuer."""
    offline: bool
    """Ask nobody: such issuers have no keys."""
    allow_http_loopback: bool
    ask: bool = False
    """Send an opaque token to its issuer's endpoint."""


def explain_by_folder(data: bytes, folder: Path, keys: KeysFrom, at: Instant | None) -> Story:
    """The story of a CheckRequest by the policies in a folder, now or at another time. Raises Unreadable."""
    clock = SystemClock() if at is None else _ClockAt(at)
    world, notes = world_of(data, folder, keys, clock, Pepper(os.urandom(32)))
    notes = ("nothing is counted in a folder: every count is told as unused", *notes)
    with asking(world, keys) as ask:
        return explain_check(data, world, MemoryStore(clock), clock.now(), notes, ask=ask)


@contextlib.contextmanager
def asking(world: World, keys: KeysFrom) -> Iterator[Callable[[Question], Answer]]:
    """What asks the endpoints of the folder's issuers, if that is wanted."""
    if not keys.ask or world.snapshot is None:
        yield lambda question: replace(not_asked(question), detail=f"{not_asked(question).detail}; `--ask` does")
        return
    clock = SystemClock()
    desk = Desk(clock, allow_http_loopback=keys.allow_http_loopback)
    desk.reconcile(world.snapshot.endpoints)
    try:
        yield lambda question: desk.ask(question, clock.monotonic() + _LONGEST_ANSWER)
    finally:
        desk.stop()


def world_of(
    data: bytes, folder: Path, keys: KeysFrom, clock: Clock, pepper: Pepper, quotas: Quotas = NO_QUOTAS
) -> tuple[World, tuple[str, ...]]:
    """What a server that has loaded a folder would decide a CheckRequest by, and what is to be noted of it.

    Raises Unreadable.
    """
    listing = list_folder(folder)
    if listing.blind:
        raise Unreadable(f"{listing.blind[0]}; a server would not take the folder as it is")
    snapshot, problems = load(listing)
    ring = _fetched(_needed(data, snapshot), keys, clock)
    notes = []
    if keys.offline and keys.file is None:
        notes.append("no keys were fetched, as --offline says")
    if problems:
        noun = "mistake" if len(problems) == 1 else "mistakes"
        notes.append(f"{len(problems)} {noun} in the folder: see `extauthz lint`")
    return World(snapshot, ring.states(), Verifier(0), Grants(pepper, 0, quotas)), tuple(notes)


def _needed(data: bytes, snapshot: Snapshot) -> tuple[IssuerKeys, ...]:
    """The issuers of the rule that decides: nobody else is asked for keys."""
    view = read_check(data)
    rule = snapshot.choose(view) if isinstance(view, RequestView) else view
    trusts = () if isinstance(rule, Refusal) or rule.demand is None else rule.demand.issuers
    refs = {trust.ref for trust in trusts}
    return tuple(each for each in snapshot.issuer_keys if each.ref in refs)


def _fetched(needed: Iterable[IssuerKeys], keys: KeysFrom, clock: Clock) -> KeyRing:
    """A ring that has tried each issuer once and is stopped."""
    ring = KeyRing(clock, allow_http_loopback=keys.allow_http_loopback)
    remote = JwksUrl | Discovery
    if keys.file is not None:
        source = KeyFile(keys.file)
        needed = [replace(each, source=source) if isinstance(each.source, remote) else each for each in needed]
    elif keys.offline:
        needed = [each for each in needed if not isinstance(each.source, remote)]
    ring.reconcile(tuple(needed))
    ring.start()
    wait = threading.Event()
    started = clock.monotonic()
    while not ring.first_fetch_done() and clock.monotonic() - started < _LONGEST:
        wait.wait(_LOOK)
    ring.stop()
    return ring
