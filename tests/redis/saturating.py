"""A load that fills a rate on three replicas, and what it admits in any window while everything breaks that may."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Any, Final

from tests.contract.running import PATIENCE
from tests.redis.blows import Blow, Blows, Kind, draw
from tests.redis.fleet import GONE, REPLICAS, UNSURE, Asked, Fleet, answer, fresh_token

WINDOW: Final = 2.0
AMOUNT: Final = 20
_FLYING: Final = 48


@dataclass
class Load:
    """Checks of one token that are kept in flight, and what they were answered."""

    fleet: Fleet
    token: str
    answers: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    admitted: list[tuple[float, float]] = field(default_factory=list)
    """When each admission was asked for, and when it was told: the count lies between."""

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Ask for as long as it `goes_on`, and wait for the last answer."""
        done: SimpleQueue[tuple[float, float, Asked]] = SimpleQueue()
        flying, numbers = 0, count()
        while goes_on() or flying:
            while flying < _FLYING and goes_on():
                self._ask(next(numbers), done)
                flying += 1
            asked, told, each = done.get(timeout=PATIENCE)
            flying -= 1
            found = answer(each.call)
            assert found in {"allow", "rate_exceeded", *UNSURE}, found
            assert found != GONE or each.replica.killed, "a replica that lives left a Check without an answer"
            self.answers[found] += 1
            if found == "allow":
                self.admitted.append((asked, told))

    def _ask(self, number: int, done: SimpleQueue[tuple[float, float, Asked]]) -> None:
        living = [each for each in self.fleet.replicas if not each.killed]
        at = time.monotonic()
        asked = self.fleet.begin(living[number % len(living)], self.token)
        asked.call.add_done_callback(lambda _: done.put((at, time.monotonic(), asked)))


def most_in_a_window(admitted: list[tuple[float, float]], window: float) -> int:
    """The most admissions that lie in one window for sure: both asked for and told within it."""
    starts = sorted(asked for asked, _ in admitted)
    told = sorted(admitted, key=lambda each: each[1])
    ends = [each[1] for each in told]
    return max((sum(a >= s for a, _ in told[: bisect_left(ends, s + window)]) for s in starts), default=0)


class Breaking(threading.Thread):
    """Blows, one after the other, each kind before one comes again."""

    def __init__(self, ours: Fleet, chance: random.Random, seconds: float) -> None:
        """Begin, and begin no other hand after so many seconds."""
        super().__init__()
        self._fleet = ours
        self._chance = chance
        self._until = time.monotonic() + seconds
        self._failed: Exception | None = None
        self.told: Counter[str] = Counter()
        """What came."""
        self.start()

    def run(self) -> None:
        """In a thread of its own."""
        try:
            while time.monotonic() < self._until:
                for kind in self._chance.sample(list(Kind), len(Kind)):
                    self._strike(draw(kind, self._chance, REPLICAS))
        except Exception as error:  # noqa: BLE001 (told by the thread that waits)
            self._failed = error

    def _strike(self, blow: Blow) -> None:
        with Blows(self._fleet, (blow,)) as struck:
            threading.Event().wait(blow.after + blow.lasting)
        self.told += struck.told
        self._fleet.replace_killed()
        self._fleet.wait()

    def end(self) -> None:
        """Wait for the last, and raise what went wrong."""
        self.join()
        if self._failed is not None:
            raise self._failed


LIMIT: Final[dict[str, Any]] = {"maxUses": AMOUNT, "window": f"{WINDOW:g}s"}
"""The `reuse` of a fleet whose rate is raced for."""


def rate_race(ours: Fleet, chance: random.Random, seconds: float) -> dict[str, Any]:
    """Fill a rate while blows come, and for two windows after the last. INVARIANT: AMOUNT at most in any window."""
    load, breaking = Load(ours, fresh_token()), Breaking(ours, chance, seconds)
    try:
        load.run(breaking.is_alive)
    finally:
        breaking.end()
    rest = time.monotonic()
    load.run(lambda: time.monotonic() < rest + 2 * WINDOW)
    most = most_in_a_window(load.admitted, WINDOW)
    assert most <= AMOUNT, f"{most} admissions in one window, where {AMOUNT} are"
    after = sum(asked >= rest for asked, _ in load.admitted)
    assert after >= AMOUNT, f"only {after} admissions in two windows after the last blow"
    told = {"answers": dict(load.answers), "most in a window": most, "of": AMOUNT, "window": f"{WINDOW:g}s"}
    return told | {"windows": round((time.monotonic() - load.began) / WINDOW)} | dict(breaking.told)
