"""Where questions about tokens are handed in: answered from memory, or by the line of the issuer's endpoint.

INVARIANT: a token goes to the endpoint that the question names, of the issuer that it names, and nowhere else. An
answer that was got under other settings is none.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from extauthz.introspection.endpoint import Endpoint
from extauthz.introspection.line import Crew, Job, Line, Told
from extauthz.introspection.memory import Memory
from extauthz.model.question import Active, Answer, Inactive, Question, Unanswered
from extauthz.model.time import BEYOND_TIME, Clock, Seconds
from extauthz.model.token import IssuerRef

NEGATIVE: Final = 2.0
"""Seconds for which a token that was called inactive is not asked about again."""
MOST_WAITING: Final = 32
"""Requests that may wait for the endpoints of one namespace's issuers. Where others wait too, only as many as there are
places left: so some always are, and slow endpoints of few namespaces keep no other waiting."""
MOST_ASKING: Final = 64
"""Threads that may ask for the issuers of one namespace."""


@dataclass(frozen=True, slots=True)
class LineReadings:
    """How one endpoint does."""

    endpoint: str
    """Its URL."""
    told: Mapping[Told, int]
    latencies: tuple[int, ...]
    seconds: float
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Open:
    """A line that is open, and what its answers are remembered under."""

    line: Line
    mark: bytes


class Desk:
    """Answers questions. Every method may be called from any thread."""

    def __init__(
        self, clock: Clock, *, allow_http_loopback: bool = False, size: int = 10_000, places: int = 2 * MOST_WAITING
    ) -> None:
        """So many `places` are there for requests that wait."""
        self._clock = clock
        self._allow_loopback = allow_http_loopback
        self._memory = Memory(size)
        self._secret = secrets.token_bytes(32)
        self._serial = itertools.count()
        self._lock = threading.Lock()
        self._places = places
        self._waiting: Counter[str] = Counter()
        self._crews: defaultdict[str, Crew] = defaultdict(lambda: Crew(MOST_ASKING))
        self._lines: Mapping[IssuerRef, _Open] = MappingProxyType({})

    def reconcile(self, endpoints: Iterable[Endpoint]) -> None:
        """Ask these endpoints and no others. One that changed begins anew: old answers are not its answers."""
        with self._lock:
            before = self._lines
            kept = {each.ref: self._open(each, before.get(each.ref)) for each in endpoints}
            self._lines = MappingProxyType(kept)
            gone = [each for ref, each in before.items() if kept.get(ref) is not each]
        for each in gone:
            each.line.close()

    def look(self, question: Question) -> Active | Inactive | None:
        """The answer, when it is remembered. Asks nobody."""
        found = self._lines.get(question.issuer)
        if found is None or found.line.endpoint.url != question.endpoint:
            return None
        return self._remembered(self._key(found, question))

    def recall(self, question: Question) -> Active | Inactive | None:
        """The answer, when it is remembered, counted as one that was given."""
        known = self.look(question)
        found = self._lines.get(question.issuer)
        if known is not None and found is not None:
            found.line.told[Told.REMEMBERED] += 1
        return known

    def ask(self, question: Question, until: float) -> Answer:
        """The answer, waiting for it until then on the monotonic clock at most. Never raises."""
        found = self._lines.get(question.issuer)
        if found is None or found.line.endpoint.url != question.endpoint:
            return Unanswered("the issuer's settings are being changed", Seconds(1.0))
        namespace = question.issuer.namespace
        with self._lock:
            if self._waiting[namespace] >= self._most_waiting(namespace):
                found.line.told[Told.REFUSED] += 1
                words = "too many requests wait for introspection endpoints of this namespace"
                return Unanswered(words, Seconds(1.0))
            self._waiting[namespace] += 1
        try:
            return found.line.ask(self._key(found, question), question.token, until, question.hint)
        finally:
            with self._lock:
                self._waiting[namespace] -= 1

    def stop(self) -> None:
        """Ask nothing more."""
        self.reconcile(())

    def readings(self) -> Mapping[IssuerRef, LineReadings]:
        """How each endpoint does."""
        return {ref: _readings(each.line) for ref, each in self._lines.items()}

    def _most_waiting(self, namespace: str) -> int:
        waiting = self._waiting.total()
        alone = waiting == self._waiting[namespace]
        return MOST_WAITING if alone else min(MOST_WAITING, self._places - waiting)

    def _open(self, endpoint: Endpoint, before: _Open | None) -> _Open:
        if before is not None and before.line.endpoint == endpoint:
            return before
        mark = next(self._serial).to_bytes(8, "big")

        def answered(job: Job, answer: Answer) -> None:
            self._remember(endpoint, job, answer)

        crew = self._crews[endpoint.ref.namespace]
        line = Line(endpoint, self._clock, crew, answered, self._remembered, allow_loopback=self._allow_loopback)
        return _Open(line, mark)

    def _remembered(self, key: bytes) -> Active | Inactive | None:
        return self._memory.look(key, self._clock.monotonic())

    def _key(self, found: _Open, question: Question) -> bytes:
        # No hint holds the sign that ends it.
        asked = f"{question.hint}\0{question.token}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, found.mark + asked, "sha256")

    def _remember(self, endpoint: Endpoint, job: Job, answer: Answer) -> None:
        now = self._clock.monotonic()
        match answer:
            case Active(claims):
                until = now + endpoint.cache_for
                expires = claims.get("exp")
                if isinstance(expires, int | float):
                    left = expires - self._clock.now() if abs(expires) < BEYOND_TIME else 0.0
                    until = min(until, now + left)
                if now < until:
                    self._memory.keep(job.key, answer, until)
            case Inactive():
                self._memory.keep(job.key, answer, now + NEGATIVE)
            case Unanswered():
                pass


def _readings(line: Line) -> LineReadings:
    return LineReadings(line.endpoint.url, dict(line.told), tuple(line.latencies), line.seconds, line.problem)
