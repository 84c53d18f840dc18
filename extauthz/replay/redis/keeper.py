"""The keeper: connects, inspects and probes in the background, so that no request does.

A name that does not resolve, a handshake that hangs, a server that loads its data for a minute: all of it is waited for
here. Requests find lanes that are connected and were seen to take a write, or are refused at once.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from extauthz.model.time import Clock, Seconds
from extauthz.replay.redis.batches import Batches
from extauthz.replay.redis.breaker import Breaker
from extauthz.replay.redis.connect import CannotConnect, Lane, Target
from extauthz.replay.redis.facts import Facts, read_facts
from extauthz.replay.redis.sentinel import find_primary
from extauthz.replay.redis.trouble import Redirect, Trouble
from extauthz.replay.redis.wire import Codec, Request, Script, commit_script
from extauthz.replay.redis.witness import Ask
from extauthz.replay.store import ATTEMPT_TTL

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_INFO_WAIT: Final = 1.0
_RANDOM: Final = secrets.SystemRandom()


class Crossed(NamedTuple):
    """A reply, and when by monotonic time it was received."""

    reply: object
    received: float


Crossings: TypeAlias = Batches[Lane, Request, "Crossed | Trouble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a shared store is used."""

    deadline: Seconds = Seconds(0.1)
    """The longest that one commit waits, in the queue and for its answer together."""
    attempt_ttl: Seconds = ATTEMPT_TTL
    """How long an attempt is known again. INVARIANT of what serves: longer than the deadline, or a commit that is sent
    again when its connection broke would be counted twice, and be refused for its own use."""
    connections: int = 2
    """How many batches may be under way at once: while one is slow, the next takes another connection."""
    batch: int = 64
    """The most commits that travel together."""
    namespace: bytes = b""
    """Begins every key."""
    allow_eviction: bool = False
    """Count also on a server that may drop live counts to make room."""
    min_replicas: int = 0
    """How many replicas must follow the server."""
    wait_replicas: int = 0
    """How many replicas must have a count before it is told as counted."""
    check_every: Seconds = Seconds(10.0)
    """How often the server is inspected and probed while all is well."""


class Keeper:
    """One thread that keeps as many lanes as wanted, and closes the breaker when a probe comes back."""

    def __init__(  # noqa: PLR0913 - everything that a node has
        self,
        target: Target,
        options: Options,
        clock: Clock,
        breaker: Breaker,
        crossings: Crossings,
        *,
        observe: Callable[[Sequence[object], float, float], None],
        probe: Callable[[], Request],
        lost: Callable[[Ask], bool],
    ) -> None:
        """`observe` is told of the reply to each `probe`, and when by monotonic time that was sent and received.

        `lost` asks whether the server lost what it held.
        """
        self._target = target
        self._options = options
        self._clock = clock
        self._breaker = breaker
        self._crossings = crossings
        self._observe = observe
        self._script: Script = commit_script()
        self._codec = Codec(options.namespace)
        self._empty_commit = probe
        self._lost = lost
        self._lock = threading.Lock()
        self._lanes: set[Lane] = set()
        self._probe: Lane | None = None
        self._at = target
        self._facts: Facts | None = None
        self._restarts = 0
        self._emptied = 0
        self._told: Trouble | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-keeper", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close all connections that are not in use."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        closed = Trouble("stopped", "the store is closed")
        self._breaker.open(closed)
        self._crossings.dismiss(closed)
        for lane in self._crossings.take_free():
            self.lost(lane)
        self._drop_probe()

    def notice(self) -> None:
        """Look now, not at the next turn: something is wrong."""
        self._wake.set()

    def keeps(self, lane: Lane) -> bool:
        """Whether a lane still leads where commits should go."""
        with self._lock:
            return lane in self._lanes

    def lost(self, lane: Lane) -> None:
        """A lane is of no more use."""
        lane.close()
        with self._lock:
            self._lanes.discard(lane)
        self._wake.set()

    @property
    def facts(self) -> Facts | None:
        """What the server said of itself last; None before it said anything."""
        return self._facts

    @property
    def restarts(self) -> int:
        """How often the server was seen to have begun anew, or another one in its place."""
        return self._restarts

    @property
    def emptied(self) -> int:
        """How often the server was seen to have lost what it held."""
        return self._emptied

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            self._wake.clear()
            trouble = self._attempt()
            if trouble is None:
                pause = _FIRST_PAUSE
                self._wake.wait(self._options.check_every)
            else:
                self._fail(trouble)
            # Not to be woken: requests that fail must not drive us round in a circle.
            self._stopping.wait(pause * _RANDOM.uniform(0.5, 1.0))
            pause = _FIRST_PAUSE if trouble is None else min(_LONGEST_PAUSE, pause * 2)

    def _attempt(self) -> Trouble | None:
        try:
            self._step()
        except CannotConnect as no:
            return no.trouble
        except Exception as error:  # noqa: BLE001  # INVARIANT: the keeper outlives a bug; commits are refused
            return Trouble("other", f"a bug keeps us from the store {self._target} ({type(error).__name__})")
        return None

    def _step(self) -> None:
        """Find, inspect, probe, connect what is missing. Raises CannotConnect."""
        self._find()
        self._inspect()
        self._try_a_write()
        self._look_for_loss()
        while len(self._lanes) < self._options.connections and not self._stopping.is_set():
            lane = self._connect()
            with self._lock:
                self._lanes.add(lane)
            self._crossings.offer(lane)
        self._breaker.close()
        if self._told is not None:
            _LOG.warning("the store %s is back", self._target)
            self._told = None

    def _fail(self, trouble: Trouble) -> None:
        self._drop_probe()
        if self._told is None or self._told.kind != trouble.kind:
            _LOG.error("%s", trouble.detail)
            self._told = trouble
        if self._lanes and trouble.kind in {"timeout", "connection"}:
            # One lost probe is no outage while requests get through.
            self._breaker.failed(trouble)
        else:
            self._breaker.open(trouble)
            self._crossings.dismiss(trouble)

    def _find(self) -> None:
        """Ask the sentinels, where there are any. Lanes to a server that is primary no more are of no use."""
        found = find_primary(self._target)
        if found == self._at:
            return
        if self._at is not self._target:
            _LOG.warning("the primary of the store %s is now %s", self._target, found)
        self._at = found
        self._drop_probe()
        with self._lock:
            self._lanes.clear()
        # Those in use go when they are given back.
        for lane in self._crossings.take_free():
            lane.close()

    def _inspect(self) -> None:
        fault = self._learn(self._ask_facts())
        if fault is not None:
            raise CannotConnect(fault)

    def _ask_facts(self) -> Facts:
        info = self._ask_info(self._probe) if self._probe is not None and self._probe.alive else None
        if info is None or isinstance(info, Trouble):
            # The connection may have been cut while it was idle; a new one tells how the server is.
            self._drop_probe()
            self._probe = self._connect()
            info = self._ask_info(self._probe)
        if isinstance(info, Trouble):
            raise CannotConnect(info)
        try:
            return read_facts(info if isinstance(info, bytes) else b"")
        except ValueError as error:
            detail = f"the store {self._target} does not tell what it is: {error}"
            raise CannotConnect(Trouble("other", detail)) from None

    def _ask_info(self, probe: Lane) -> object:
        return probe.ask(b"INFO", deadline=self._clock.monotonic() + _INFO_WAIT)

    def _learn(self, facts: Facts) -> Trouble | None:
        """Take note, and tell what is new. Returns why nothing may be counted there."""
        before, self._facts = self._facts, facts
        if before is not None and before.run != facts.run:
            self._restarts += 1
            _LOG.warning("the store %s was restarted or replaced: counts that it had not saved are lost", self._target)
        if before != facts:
            _LOG.log(logging.WARNING if facts.may_evict else logging.INFO, "the store %s is %s", self._target, facts)
        return facts.fault(
            str(self._target),
            allow_eviction=self._options.allow_eviction,
            min_replicas=self._options.min_replicas,
            in_cluster=self._target.in_cluster,
            by_sentinels=bool(self._target.sentinels),
        )

    def _try_a_write(self) -> None:
        """The half-open probe: an empty commit, whose attempt is written and soon forgotten."""
        assert self._probe is not None  # noqa: S101 (made by _inspect)
        request = self._empty_commit()
        sent = self._clock.monotonic()
        entry = self._probe.run([request], sent + self._options.deadline)[0]
        if isinstance(entry, Redirect):
            # It answers for its slots; that one is on its way to another.
            return
        if isinstance(entry, Trouble):
            raise CannotConnect(entry)
        if self._codec.read(entry, ()) is None:
            raise CannotConnect(Trouble("other", f"the store {self._target} gave an answer that is none"))
        self._observe([entry], sent, self._clock.monotonic())

    def _look_for_loss(self) -> None:
        """INVARIANT: decides nothing. Which uses are gone nobody can tell, so commits go on, and people are told."""
        assert self._probe is not None  # noqa: S101 (made by _inspect)
        if self._lost(partial(self._probe.ask, deadline=self._clock.monotonic() + _INFO_WAIT)):
            self._emptied += 1
            _LOG.error(
                "the store %s has lost what it held: it was emptied, restarted without its data, or replaced by a"
                " server that lacks it; tokens that were used can be used again",
                self._target,
            )

    def _connect(self) -> Lane:
        return Lane(self._at, self._script, self._clock.monotonic, self._options.wait_replicas)

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None
