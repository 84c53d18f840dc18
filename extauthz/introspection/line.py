"""The questions to one endpoint: they wait in line for a few threads, each with a connection of its own.

Whoever asks waits as long as it can and leaves then; the answer that comes late serves the next who asks. What protects
the endpoint from a flood of invented tokens stands here: few at once, so many a second, none while it does badly.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Final
from weakref import WeakSet

from extauthz.introspection.breaker import Breaker
from extauthz.introspection.channel import IDLE, Channel
from extauthz.introspection.endpoint import Endpoint
from extauthz.model.question import Active, Answer, Unanswered
from extauthz.model.time import Clock, Seconds
from extauthz.model.token import ACCESS_TOKEN

_LOG: Final = logging.getLogger(__name__)

MOST_QUEUED: Final = 128
"""Questions that wait for a thread. Those that nobody waits for any longer are dropped, unasked."""

BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histogram of exchanges, in seconds."""


class Told(Enum):
    """What became of a question, as metrics tell it."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    REMEMBERED = "remembered"
    """Answered from memory, with either answer."""
    FAILED = "failed"
    """The endpoint gave no answer that can be used."""
    LATE = "late"
    """It did not answer in the time that the Check had."""
    REFUSED = "refused"
    """It was not asked: too many questions at once, or it was doing badly."""


class Crew:
    """The threads that may ask for the issuers of one namespace, all of its lines together. Safe to share."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._room = most
        self._lines: WeakSet[Line] = WeakSet()

    def hire(self, line: Line) -> bool:
        """Whether there may be one more for this line, in the place of an idle one of another where it must."""
        with self._lock:
            others = [each for each in self._lines if each is not line]
            self._lines.add(line)
            if self._room > 0:
                self._room -= 1
                return True
        return any(each.spare() for each in others)

    def leave(self) -> None:
        """One has ended."""
        with self._lock:
            self._room += 1


class _End(Enum):
    """Why a thread ends."""

    IDLE = "idle"
    """It had nothing to do for long, or its line is closed."""
    SPARED = "spared"
    """Its place is another line's already."""


class Job:
    """One question that is in line, or being asked."""

    __slots__ = ("answer", "done", "give_up", "hint", "key", "token")

    def __init__(self, key: bytes, token: str, give_up: float, hint: str) -> None:
        self.key = key
        self.hint = hint
        self.token = token
        self.give_up = give_up
        """From when on nobody waits for it."""
        self.done = threading.Event()
        self.answer: Answer | None = None


class Line:
    """One endpoint's line. Safe to share among threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        crew: Crew,
        answered: Callable[[Job, Answer], None],
        remembered: Callable[[bytes], Answer | None],
        *,
        allow_loopback: bool,
    ) -> None:
        """`answered` is told of each answer before anyone else is; `remembered` is what it keeps for a key."""
        self.endpoint = endpoint
        self.told: Counter[Told] = Counter()
        self.latencies = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self._clock = clock
        self._answered = answered
        self._remembered = remembered
        self._crew = crew
        self._allow_loopback = allow_loopback
        self._wake = threading.Condition()
        self._breaker = Breaker()
        self._jobs: dict[bytes, Job] = {}
        """Questions that others may join."""
        self._queue: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self._spared = 0
        """Idle threads that are to end because another line took their place."""
        self._allowance = float(endpoint.most_per_second)
        self._counted_at = clock.monotonic()
        self._closed = False

    @property
    def problem(self) -> str | None:
        """What is wrong with the endpoint; None after an answer, and before the first question."""
        return self._breaker.problem

    def ask(self, key: bytes, token: str, until: float, hint: str = ACCESS_TOKEN) -> Answer:
        """Wait for the answer until then, on the monotonic clock. `key` stands for the token and the hint."""
        with self._wake:
            job = self._jobs.get(key)
            if job is None:
                # The answer may have come since the caller looked, and with it ended the question to be joined.
                known = self._remembered(key)
                if known is not None:
                    self.told[Told.REMEMBERED] += 1
                    return known
                refusal = self._refuse()
                if refusal is not None:
                    self.told[Told.REFUSED] += 1
                    return refusal
                if not self._staffed():
                    self._breaker.unasked()
                    self.told[Told.REFUSED] += 1
                    return Unanswered("too many threads ask endpoints of this namespace's issuers", Seconds(1.0))
                job = self._enter(key, token, until, hint)
            job.give_up = max(job.give_up, until)
        job.done.wait(max(0.0, until - self._clock.monotonic()))
        if job.answer is None:
            self.told[Told.LATE] += 1
            return Unanswered("the introspection endpoint did not answer in the time that this request had")
        return job.answer

    def spare(self) -> bool:
        """Whether an idle thread gives its place to another line. Never waits: two lines may ask each other."""
        if not self._wake.acquire(blocking=False):
            return False
        try:
            spared = self._idle - self._spared > len(self._queue)
            if spared:
                self._spared += 1
                self._threads -= 1
                self._wake.notify_all()
            return spared
        finally:
            self._wake.release()

    def close(self) -> None:
        """Ask nothing more. Whoever waits waits on for what is being asked."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def _refuse(self) -> Unanswered | None:
        now = self._clock.monotonic()
        if self._closed:
            return Unanswered("the issuer's settings are being changed", Seconds(1.0))
        if len(self._queue) >= MOST_QUEUED:
            return Unanswered(f"more than {MOST_QUEUED} questions wait for the introspection endpoint", Seconds(1.0))
        most = self.endpoint.most_per_second
        self._allowance = min(float(most), self._allowance + (now - self._counted_at) * most)
        self._counted_at = now
        if self._allowance < 1.0:
            words = f"more than {most} questions in a second for the introspection endpoint (`maxPerSecond`)"
            return Unanswered(words, Seconds(1.0))
        refusal = self._breaker.admit(now)
        if refusal is None:
            self._allowance -= 1.0
        return refusal

    def _enter(self, key: bytes, token: str, until: float, hint: str) -> Job:
        job = self._jobs[key] = Job(key, token, until, hint)
        self._queue.append(job)
        self._wake.notify()
        return job

    def _staffed(self) -> bool:
        """Whether there is a thread for one more question, now or after others; a new one starts where that helps."""
        wanted = self._idle - self._spared <= len(self._queue) and self._threads < self.endpoint.most_at_once
        if wanted and self._crew.hire(self):
            self._threads += 1
            threading.Thread(target=self._work, name="introspection", daemon=True).start()
        return self._threads > 0

    def _work(self) -> None:
        channel = Channel(self.endpoint, self._clock, allow_loopback=self._allow_loopback)
        end = _End.IDLE
        try:
            while isinstance(job := self._next(), Job):
                self._settle(job, *self._exchange(channel, job))
            end = job
        finally:
            channel.close()
            if end is _End.IDLE:
                self._crew.leave()

    def _next(self) -> Job | _End:
        """The next question that somebody waits for, or why this thread is to end."""
        with self._wake:
            while True:
                while self._queue:
                    job = self._queue.popleft()
                    if self._clock.monotonic() < job.give_up:
                        # INVARIANT: where nothing may be remembered, nobody gets an answer that is older than the
                        # question.
                        if not self.endpoint.cache_for:
                            self._jobs.pop(job.key, None)
                        return job
                    self._jobs.pop(job.key, None)
                    self._breaker.unasked()
                self._idle += 1
                woken = not self._closed and self._wake.wait(IDLE)
                self._idle -= 1
                if self._spared and not self._queue:
                    self._spared -= 1
                    return _End.SPARED
                if self._closed or not (woken or self._queue):
                    self._threads -= 1
                    return _End.IDLE

    def _exchange(self, channel: Channel, job: Job) -> tuple[Answer, float]:
        started = self._clock.monotonic()
        try:
            answer = channel.ask(job.token, job.hint)
        except Exception as error:  # noqa: BLE001 # a mistake of ours must not end the thread that others wait for
            _LOG.error("asking an introspection endpoint failed: %s", type(error).__name__)
            answer = Unanswered(f"asking failed by an error of this program ({type(error).__name__}); please report it")
        return answer, self._clock.monotonic() - started

    def _settle(self, job: Job, answer: Answer, seconds: float) -> None:
        self._answered(job, answer)
        with self._wake:
            self._count(answer, seconds)
            was_open = self._breaker.is_open
            if isinstance(answer, Unanswered) and not answer.of_this_token:
                self._breaker.failed(answer, self._clock.monotonic())
            else:
                self._breaker.succeeded()
            turned = self._breaker.is_open is not was_open
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]
        if turned:
            self._tell(was_open=was_open)
        job.answer = answer
        job.done.set()

    def _tell(self, *, was_open: bool) -> None:
        if was_open:
            _LOG.warning("the introspection endpoint of %s answers again", self.endpoint.ref)
        else:
            _LOG.warning(
                "the introspection endpoint of %s is left alone for a while: %s", self.endpoint.ref, self.problem
            )

    def _count(self, answer: Answer, seconds: float) -> None:
        outcome = Told.ACTIVE if isinstance(answer, Active) else Told.INACTIVE
        if isinstance(answer, Unanswered):
            outcome = Told.FAILED
        self.told[outcome] += 1
        self.latencies[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
