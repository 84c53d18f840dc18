"""One leader among several controllers, by a Lease (coordination.k8s.io/v1).

Who holds the Lease renews it; who finds it not renewed for its whole length takes it. Every write names the version
that it was decided on, so of two that try at once the API server lets one through. No clock is compared with another's:
a candidate waits by its own clock from when it saw the last change.

INVARIANT: a leader stops leading `renew` after the *start* of its last good renewal, and a candidate waits `lease` from
after it saw it, which is later. What a leader began just before has ended, too: a call takes no longer than the
difference.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from extauthz.control.writing import WITHIN, Unreached
from extauthz.model.time import Clock, Instant, Seconds
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)


class Denied(Exception):
    """The API server does not let us use the Lease. The message says what to mend."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long for what. Raises ValueError where a leader could write after another was elected."""

    lease: Seconds = Seconds(15.0)
    """A Lease that was not renewed for so long is free; whole seconds."""
    renew: Seconds = Seconds(10.0)
    """So long after its last renewal a leader stops."""
    retry: Seconds = Seconds(2.0)
    """Time between two attempts, and up to a fifth more."""
    call: Seconds = WITHIN
    """The longest call."""

    def __post_init__(self) -> None:
        if self.renew + self.call > self.lease or self.retry >= self.renew:
            raise ValueError("`renew` and a call must fit into `lease`, and `retry` into `renew`")


@dataclass(frozen=True, slots=True)
class Lease:
    """What a Lease says (LeaseSpec)."""

    holder: str
    """Empty when it was given back."""
    length: Seconds
    acquired: Instant
    renewed: Instant
    transitions: int
    """How often the holder changed."""
    version: str = ""
    """`metadata.resourceVersion`."""


class LeaseStore(Protocol):
    """Where the one Lease is kept. Each method raises Unreached or Denied."""

    def read(self) -> Lease | None:
        """As it is, None when there is none."""

    def create(self, lease: Lease) -> Lease | None:
        """As it was made; None when somebody was first."""

    def update(self, lease: Lease) -> Lease | None:
        """As it is now; None when it changed since `lease.version`."""


class Election:
    """One candidate. `step` is called by one thread; `leading` by any."""

    def __init__(self, store: LeaseStore, identity: str, clock: Clock, timing: Timing | None = None) -> None:
        """`identity` must be another for each run of the program."""
        self._store = store
        self._identity = identity
        self._clock = clock
        self.timing: Final = timing or Timing()
        self._until = -math.inf
        self._mine: Lease | None = None
        self._seen = ""
        self._seen_at = -math.inf
        self.trouble = ""
        """Why the Lease cannot be used, empty when it can."""

    def leading(self) -> bool:
        """Whether we may write now."""
        return self._clock.monotonic() < self._until

    def step(self) -> None:
        """Take the Lease, keep it, or look whether it is free."""
        began = self._clock.monotonic()
        try:
            held = self._keep() or self._take()
        except (Unreached, Denied) as error:
            # Whether the Lease is ours is unknown. What we know of holds until its time.
            self.trouble = str(error)
            return
        self.trouble = ""
        self._until = began + self.timing.renew if held else -math.inf

    def resign(self) -> None:
        """Give the Lease back, so that another need not wait."""
        mine, self._mine, self._until = self._mine, None, -math.inf
        if mine is None:
            return
        try:
            self._store.update(replace(mine, holder="", length=Seconds(1.0), renewed=self._clock.now()))
        except (Unreached, Denied) as error:
            _LOG.info("the lease was not given back: %s", error)

    def _keep(self) -> bool:
        if self._mine is None:
            return False
        self._mine = self._store.update(replace(self._mine, renewed=self._clock.now()))
        return self._mine is not None

    def _take(self) -> bool:
        now, found = self._clock.now(), self._store.read()
        wanted = Lease(self._identity, self.timing.lease, acquired=now, renewed=now, transitions=0)
        if found is None:
            self._mine = self._store.create(wanted)
        elif found.holder == self._identity:
            # A renewal of ours whose answer was lost.
            self._mine = self._store.update(replace(found, renewed=now))
        elif self._free(found):
            wanted = replace(wanted, transitions=found.transitions + 1, version=found.version)
            self._mine = self._store.update(wanted)
        return self._mine is not None

    def _free(self, found: Lease) -> bool:
        now = self._clock.monotonic()
        if found.version != self._seen:
            self._seen, self._seen_at = found.version, now
        return not found.holder or now >= self._seen_at + found.length


class Elector:
    """Lets a candidate stand for election in a thread of its own."""

    def __init__(self, election: Election, changed: Callable[[], None]) -> None:
        """`changed` is told when we become the leader, and when we no longer are."""
        self._election = election
        self._changed = changed
        self._random = random.SystemRandom()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and give the Lease back."""
        self._stop.set()
        self._thread.join(2 * self._election.timing.call + 1.0)
        self._election.resign()

    def _run(self) -> None:
        led, trouble = False, ""
        while not self._stop.is_set():
            try:
                self._election.step()
            except Exception as error:  # noqa: BLE001  # neither an odd answer nor a bug may end the election
                _LOG.error("standing for election failed: %s at %s", type(error).__name__, frames_of(error))
            if self._election.trouble not in {"", trouble}:
                _LOG.warning("lease: %s", self._election.trouble)
            trouble = self._election.trouble
            if self._election.leading() != led:
                led = not led
                _LOG.info("we are the leader" if led else "we are no longer the leader")
                self._changed()
            self._stop.wait(self._election.timing.retry * (1.0 + 0.2 * self._random.random()))
