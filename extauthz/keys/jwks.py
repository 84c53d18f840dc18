"""The key ring: every issuer's keys, kept fresh in the background (RFC 7517, section 5).

Requests read one immutable mapping and never wait for anything. A few threads fetch what is due. An issuer that is
slow, broken or gone costs nobody else anything, and its last good keys serve until they are too old.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from extauthz.keys.account import ServiceAccount
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.jwk import KeySet, KeySetRefused, parse_key_set
from extauthz.keys.schedule import FILE_LOOK, SHORTEST, Agenda, after_failure, after_success
from extauthz.keys.source import (
    Discovery,
    InlineKeys,
    IssuerKeys,
    JwksUrl,
    KeyFile,
    Loaded,
    at_hand,
    load,
    never_loaded,
)
from extauthz.keys.turned import turned
from extauthz.model.time import Clock, Instant, Seconds, format_duration
from extauthz.model.token import IssuerRef

__all__ = ["FIRST", "Discovery", "InlineKeys", "IssuerKeys", "JwksUrl", "KeyFile", "KeyRing", "KeyState", "fault_of"]

_LOG: Final = logging.getLogger(__name__)
_WORKERS: Final = 32
"""Threads that fetch at once; they begin as they are needed."""
FIRST: Final = Seconds(10.0)
"""For how long the first fetch of every issuer is waited for."""
_FOREVER: Final = Instant(math.inf)


@dataclass(frozen=True, slots=True)
class KeyState:
    """What is known of one issuer's keys."""

    keys: KeySet | None = None
    """The last good ones."""
    good_until: Instant = Instant(0.0)
    """The first instant at which they are too old; infinite where they cannot age."""
    fetched_at: Instant | None = None
    problem: str | None = None
    """Why the last attempt failed, for the operator; None after a success, and before the first attempt."""

    def usable(self, now: Instant) -> KeySet | None:
        """The keys to check tokens with, None when there are none or they are too old."""
        return self.keys if now < self.good_until else None

    def trouble(self, now: Instant) -> str | None:
        """What is wrong with them, and what serves meanwhile, for the operator; None when nothing is."""
        if self.keys is None:
            return self.problem or "they are not fetched yet"
        if self.usable(now) is None:
            old = "the last good ones are too old (`refresh.maxStale`)"
            return old if self.problem is None else f"{old}, and new ones cannot be had: {self.problem}"
        if self.problem is None:
            return None
        return f"{self.problem}; the last good ones serve for {format_duration(int(self.good_until - now))} yet"


@dataclass(slots=True)
class _Entry:
    """What the ring knows of one issuer. Changed with the ring's lock held, and read by the one thread that it keeps
    busy."""

    keys: IssuerKeys
    state: KeyState
    loaded: Loaded | None = None
    """What `state.keys` was read from."""
    failures: int = 0
    busy: bool = False
    tried: bool = False


@dataclass(frozen=True, slots=True)
class _Read:
    """A successful attempt."""

    loaded: Loaded
    keys: KeySet


class KeyRing:
    """Keeps the keys of all issuers. Every method may be called from any thread."""

    def __init__(
        self,
        clock: Clock,
        *,
        allow_http_loopback: bool = False,
        on_change: Callable[[], None] | None = None,
        fetcher: Fetcher | None = None,
        account: ServiceAccount | None = None,
    ) -> None:
        self._clock = clock
        self._fetcher = fetcher or Fetcher(allow_loopback=allow_http_loopback, account=account)
        self._on_change = on_change
        self._random = random.SystemRandom()
        self._reconciling = threading.Lock()
        self._wake = threading.Condition()
        self._agenda = Agenda()
        self._entries: dict[IssuerRef, _Entry] = {}
        self._quiet_until: dict[IssuerRef, float] = {}
        self._states: Mapping[IssuerRef, KeyState] = MappingProxyType({})
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._began: float | None = None
        self._stopping = False
        self._first_done = False

    def states(self) -> Mapping[IssuerRef, KeyState]:
        """All issuers' keys: one immutable mapping, replaced as a whole whenever something changes."""
        return self._states

    def first_fetch_done(self) -> bool:
        """Whether every issuer was tried once, with whatever result, since the first `reconcile`, or that took FIRST.
        Stays true then: neither an issuer that is down nor one that is added later makes the others unready."""
        with self._wake:
            if self._began is not None and not self._first_done:
                tried = all(entry.tried for entry in self._entries.values())
                self._first_done = tried or self._clock.monotonic() >= self._began + FIRST
            return self._first_done

    def reconcile(self, issuers: tuple[IssuerKeys, ...]) -> None:
        """Keep the keys of these issuers and of no others. Inline keys are ready on return.

        An issuer that did not change keeps its keys; so does one with the same source and other rules, which its
        document is judged by anew. One with another source starts from nothing: old keys are not its keys.
        """
        with self._reconciling:
            # Judged before the lock is taken: a wish out of a request must not wait for it.
            entries = {keys.ref: self._kept(keys) or self._fresh(keys) for keys in issuers}
            with self._wake:
                changed = self._install(entries)
        if changed:
            self._tell()

    def want(self, ref: IssuerRef) -> None:
        """A token named a key that is not known: fetch soon, at most once in SHORTEST for each issuer. Never blocks."""
        now = self._clock.monotonic()
        # Without the lock: this is where a flood of invented `kid`s ends.
        if now < self._quiet_until.get(ref, -math.inf):
            return
        with self._wake:
            entry = self._entries.get(ref)
            if entry is None or entry.busy or isinstance(entry.keys.source, InlineKeys):
                return
            if now >= self._quiet_until.get(ref, -math.inf):
                self._quiet_until[ref] = now + SHORTEST
                self._agenda.put(ref, now)
                self._wake.notify()

    def start(self) -> None:
        """Begin fetching. A second call does nothing."""
        with self._wake:
            if not self._threads:
                self._hire()

    def stop(self) -> None:
        """Stop fetching, for good. What is on its way is dropped; waits at most a few seconds for it."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
            threads = tuple(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(self._fetcher.deadline + 1.0)

    def _kept(self, keys: IssuerKeys) -> _Entry | None:
        old = self._entries.get(keys.ref)
        return old if old is not None and old.keys == keys else None

    def _fresh(self, keys: IssuerKeys) -> _Entry:
        """A new entry, with as much of the old one's state as stays true."""
        entry = _Entry(keys, KeyState())
        if isinstance(keys.source, InlineKeys):
            self._record(entry, _attempt(keys, self._fetcher, None, None))
            return entry
        old = self._entries.get(keys.ref)
        if old is not None and old.keys.source == keys.source:
            with self._wake:
                state, entry.loaded, entry.tried = old.state, old.loaded, old.tried
            if entry.loaded is not None:
                entry.state = _judged_anew(keys, state, entry.loaded)
        return entry

    def _install(self, entries: dict[IssuerRef, _Entry]) -> bool:
        """Put these entries in the place of all others, and say whether any state changed."""
        before, now = self._states, self._clock.monotonic()
        for ref in self._entries.keys() - entries.keys():
            self._agenda.strike(ref)
            self._quiet_until.pop(ref, None)
        for ref, entry in entries.items():
            if isinstance(entry.keys.source, InlineKeys):
                self._agenda.strike(ref)
            elif self._entries.get(ref) is not entry:
                self._agenda.put(ref, now)
        self._entries = entries
        self._states = MappingProxyType({ref: entry.state for ref, entry in entries.items()})
        self._began = now if self._began is None else self._began
        self._wake.notify_all()
        return self._states != before

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            before = entry.state
            if self._settle(entry, _attempt(entry.keys, self._fetcher, entry.loaded, entry.state.keys)):
                _log_turn(entry.keys.ref, before, entry.state)
                self._tell()

    def _settle(self, entry: _Entry, outcome: _Read | str) -> bool:
        """Record what an attempt brought, make the next appointment, and say whether anything changed."""
        with self._wake:
            ref = entry.keys.ref
            entry.busy = False
            self._agenda.over(ref)
            # Meanwhile the issuer may have been removed or changed; then this result is nobody's.
            if self._stopping or self._entries.get(ref) is not entry:
                return False
            before = entry.state
            self._record(entry, outcome)
            self._agenda.put(ref, self._clock.monotonic() + self._delay(entry, outcome))
            if entry.state == before:
                return False
            self._states = MappingProxyType({**self._states, ref: entry.state})
            return True

    def _next(self) -> _Entry | None:
        """Wait for the next entry that is due, and mark it busy; None when it is time to stop."""
        with self._wake:
            while not self._stopping:
                now = self._clock.monotonic()
                ref = self._agenda.pop(now)
                if ref is not None:
                    entry = self._entries[ref]
                    entry.busy = True
                    # While this thread is busy, another one minds what is due next.
                    if self._idle:
                        self._wake.notify()
                    elif len(self._threads) < _WORKERS:
                        self._hire()
                    return entry
                due = self._agenda.next_due()
                self._idle += 1
                self._wake.wait(None if due is None else due - now)
                self._idle -= 1
            return None

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"keys-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _record(self, entry: _Entry, outcome: _Read | str) -> None:
        now = self._clock.now()
        entry.tried = True
        if isinstance(outcome, str):
            entry.failures += 1
            # A file does not age while it can be read. From its first failure on, it does.
            good_until = Instant(min(entry.state.good_until, now + entry.keys.max_stale))
            entry.state = replace(entry.state, good_until=good_until, problem=outcome)
            return
        entry.failures = 0
        entry.loaded = outcome.loaded
        ages = not isinstance(entry.keys.source, InlineKeys | KeyFile)
        good_until = Instant(now + entry.keys.max_stale) if ages else _FOREVER
        same = outcome.keys is entry.state.keys and not ages
        entry.state = KeyState(outcome.keys, good_until, entry.state.fetched_at if same else now)

    def _delay(self, entry: _Entry, outcome: _Read | str) -> Seconds:
        jitter = self._random.random()
        if isinstance(entry.keys.source, KeyFile):
            return FILE_LOOK
        if isinstance(outcome, str):
            return after_failure(entry.keys, entry.failures, jitter)
        return after_success(entry.keys, outcome.loaded.max_age, jitter)

    def _tell(self) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change()
        except Exception:  # noqa: BLE001 # a listener's mistake must not end the thread that keeps keys fresh
            _LOG.exception("a listener of the key ring failed")


def _log_turn(ref: IssuerRef, before: KeyState, after: KeyState) -> None:
    """Say once that fetching fails, and why, and once that it no longer does; and what is different in the keys."""
    if after.problem is not None and after.problem != before.problem:
        _LOG.warning("the keys of %s cannot be fetched: %s", ref, after.problem)
    elif after.problem is None and before.problem is not None:
        _LOG.warning("the keys of %s are fetched again", ref)
    if before.keys is not None and after.keys is not None and before.keys.generation != after.keys.generation:
        words, exchanged = turned(before.keys, after.keys)
        if words:
            _LOG.log(logging.WARNING if exchanged else logging.INFO, "the keys of %s changed; %s", ref, words)


def _attempt(keys: IssuerKeys, fetcher: Fetcher, loaded: Loaded | None, known: KeySet | None) -> _Read | str:
    """Load and judge a key set; what was `loaded` before is not judged again. Never raises: a failure is its text."""
    try:
        found = load(keys.source, fetcher)
        if known is not None and loaded is not None and found.document == loaded.document:
            return _Read(found, known)
        return _judge(keys, found)
    except FetchFailed as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 # a mistake of ours must not end the thread that serves all issuers
        _LOG.exception("reading the keys of %s failed", keys.ref)
        return f"reading the keys failed by an error of this program ({type(error).__name__}); please report it"


def fault_of(keys: IssuerKeys) -> str | None:
    """What is wrong with keys in the policies themselves or in a file, or with an address that nobody is asked at; None
    for all others, which are not fetched."""
    if not isinstance(keys.source, InlineKeys | KeyFile):
        return never_loaded(keys.source)
    try:
        outcome = _judge(keys, at_hand(keys.source))
    except FetchFailed as error:
        return str(error)
    return outcome if isinstance(outcome, str) else None


def _judge(keys: IssuerKeys, loaded: Loaded) -> _Read | str:
    try:
        return _Read(loaded, parse_key_set(loaded.document, keys.rules))
    except KeySetRefused as error:
        return f"{loaded.place} is refused: {error}"


def _judged_anew(keys: IssuerKeys, old: KeyState, loaded: Loaded) -> KeyState:
    """The state after the settings changed, while the document stays the same."""
    outcome = _judge(keys, loaded)
    if isinstance(outcome, str):
        return KeyState(problem=outcome)
    good_until = old.good_until
    if old.fetched_at is not None and not isinstance(keys.source, KeyFile):
        good_until = Instant(old.fetched_at + keys.max_stale)
    return KeyState(outcome.keys, good_until, old.fetched_at, old.problem)
