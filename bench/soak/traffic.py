"""Steady requests whose right answers are known, sent through Envoy by a few clients."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from extauthz.cli.demo.stage import Client, Reply

UNSURE: Final = 503
"""A doubt that denies: too many at once, too late. No wrong answer, but it must stay rare."""
_SUBJECT: Final = "x-auth-sub"


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what may come back."""

    host: str
    bearer: str | None
    right: frozenset[int]
    """HTTP statuses."""
    subject: str | None = None
    """What the upstream must be told about the token, when it is reached; None for nothing at all."""
    path: str = "/"
    on_answer: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A kind of request."""

    name: str
    weight: int
    make: Callable[[], Request | None]
    """The next one; None when there is none yet."""


@dataclass(slots=True)
class Tally:
    """What came back. Of one client; they are added up at the end."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    unsure: int = 0
    lost: int = 0
    late: int = 0
    """Requests that could not be sent in time: the client, too, has only this machine."""
    seconds: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another client's."""
        self.answers += other.answers
        self.wrong += other.wrong
        self.unsure += other.unsure
        self.lost += other.lost
        self.late += other.late
        self.seconds += other.seconds

    @property
    def asked(self) -> int:
        """How many requests were sent."""
        return sum(self.answers.values()) + self.lost

    def judge(self, probe: Probe, request: Request, reply: Reply) -> None:
        """Count an answer."""
        self.answers[probe.name, reply.status] += 1
        self.seconds.append(reply.seconds)
        if reply.status == UNSURE:
            self.unsure += 1
        elif reply.status not in request.right:
            self.wrong[f"{probe.name}: {reply.status} in place of {sorted(request.right)}"] += 1
        elif reply.status == 200 and reply.upstream_headers.get(_SUBJECT, [None]) != [request.subject]:
            self.wrong[f"{probe.name}: the upstream was told another subject"] += 1


class Spent:
    """Single-use tokens that were used, to be tried once more."""

    def __init__(self) -> None:
        self._tokens: deque[str] = deque(maxlen=1000)

    def take(self, token: str) -> Callable[[int], None]:
        """Keep the token once it was admitted."""
        return lambda status: self._tokens.append(token) if status == 200 else None

    def give(self) -> str | None:
        """One of them, or None."""
        try:
            return self._tokens.popleft()
        except IndexError:
            return None


class Sender(threading.Thread):
    """One client over one connection, at a steady pace."""

    def __init__(self, client: Client, probes: Sequence[Probe], per_second: float, seed: int) -> None:
        super().__init__(name=f"sender-{seed}", daemon=True)
        self.tally = Tally()
        self._client = client
        self._probes = probes
        self._pause = 1.0 / per_second
        self._random = random.Random(seed)
        self._ended = threading.Event()

    def stop(self) -> None:
        """Send no more."""
        self._ended.set()

    def run(self) -> None:
        """Send at the pace until told to stop. A request that comes too late is sent at once, none is left out."""
        due = time.monotonic() + self._random.random() * self._pause
        weights = [probe.weight for probe in self._probes]
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self.tally.late += time.monotonic() > due + self._pause
            due += self._pause
            probe = self._random.choices(self._probes, weights)[0]
            request = probe.make()
            if request is not None:
                self._send(probe, request)

    def _send(self, probe: Probe, request: Request) -> None:
        try:
            reply = self._client.send(request.path, request.bearer, host=request.host)
        except OSError:
            self.tally.lost += 1
            return
        self.tally.judge(probe, request, reply)
        if request.on_answer is not None:
            request.on_answer(reply.status)
