"""A million distinct tokens, each for a single use, through one process with a small cache and a bounded store.

The clock is turned by hand: so much time passes between two tokens that a sixteenth of them all is live at any moment.
Each first use must be admitted. Samples come again while they live, after they expired but are still remembered, and
after they are forgotten, and must be refused each time.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from bench.memory import resident
from bench.requests import check
from bench.service import Service
from bench.soak.growth import LONG_RUN, SHORT_RUN, Growth
from bench.soak.outcome import Outcome
from extauthz.model.time import MAX_CLOCK_SKEW
from tests import issuing
from tests.building import obj, policy, with_token
from tests.checks import read_response
from tests.clock import FakeClock

_LIFETIME: Final = 60
_SKEW: Final = 1.0
_REMEMBERED: Final = _LIFETIME + MAX_CLOCK_SKEW + 1.0
"""Seconds for which a use is remembered, to the next whole one."""
_TURNOVERS: Final = 16
"""How many times the store fills with new keys and loses the old ones."""
_ROOM: Final = 1.25
"""The store's capacity, in keys that live at once."""
_CACHE: Final = 2000
_SAMPLED: Final = 50
"""Each so-manieth token comes again."""
_LOOKS: Final = 400
_LONG: Final = 500_000
_SEED: Final = 7


class Tokens:
    """The run."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._live = max(1, count // _TURNOVERS)
        self._capacity = round(self._live * _ROOM) + 1
        self._step = _REMEMBERED / self._live
        self._clock = FakeClock()
        self._service = Service(_objects(), clock=self._clock, cache_size=_CACHE, capacity=self._capacity, log=False)
        self._random = random.Random(_SEED)
        self._again: list[tuple[float, str, str]] = []
        self._answers: Counter[str] = Counter()
        self._most = Counter[str]()
        self.memory = Growth(LONG_RUN if count >= _LONG else SHORT_RUN)

    def run(self) -> Outcome:
        """Use every token, and look at all."""
        every = max(1, self._count // _LOOKS)
        for number in range(self._count):
            self._clock.advance(self._step)
            expires = int(self._clock.now()) + _LIFETIME
            bearer = _token(expires, number)
            self._ask("first use", bearer, "allow")
            if number % _SAMPLED == 0:
                self._plan(bearer, expires)
            self._ask_again()
            if number % every == 0:
                self._look(number / self._count)
        self._service.finish()
        return Outcome(
            "tokens",
            f"{self._count:,} distinct tokens in one process, {self._live:,} live at once",
            {
                "answers": dict(sorted(self._answers.items())),
                "most keys in the store": self._most["store"],
                "room in the store": self._capacity,
                "most tokens in the cache": self._most["cache"],
                "room in the cache": _CACHE,
            },
            self.memory,
            tuple(self._wrong()),
        )

    def _plan(self, bearer: str, expires: int) -> None:
        """Have the token come again: accepted but for its use, expired but remembered, and forgotten."""
        now, closes = self._clock.now(), expires + _SKEW
        times = (
            (self._random.uniform(now, closes - 2 * self._step), "token_reused"),
            (closes, "token_expired"),
            (expires + MAX_CLOCK_SKEW + self._random.uniform(2.0, 5.0), "token_expired"),
        )
        for due, wanted in times:
            heapq.heappush(self._again, (due, wanted, bearer))

    def _ask_again(self) -> None:
        while self._again and self._again[0][0] <= self._clock.now():
            _, wanted, bearer = heapq.heappop(self._again)
            self._ask("again while live" if wanted == "token_reused" else "again when expired", bearer, wanted)

    def _ask(self, what: str, bearer: str, wanted: str) -> None:
        response = read_response(self._service.answer(check(bearer, "/once")))
        got = "allow" if response.code == 0 else str(response.metadata["reason"])
        self._answers[what if got == wanted else f"{what}: {got} in place of {wanted}"] += 1

    def _look(self, at: float) -> None:
        self.memory.add(at, resident())
        self._most["store"] = max(self._most["store"], len(self._service.store))
        # There is no other way to see that the cache keeps its bound.
        cache = self._service.verifier._cache  # noqa: SLF001
        self._most["cache"] = max(self._most["cache"], len(cache))

    def _wrong(self) -> Iterator[str]:
        yield from (f"{count:,} x {name}" for name, count in self._answers.items() if " in place of " in name)
        if not self._answers["again while live"] or not self._answers["again when expired"]:
            yield "no token came again: the run was too short"
        if self._most["store"] > self._capacity:
            yield f"the store held {self._most['store']:,} keys and has room for {self._capacity:,}"
        if self._most["cache"] > _CACHE:
            yield f"the cache held {self._most['cache']:,} tokens and has room for {_CACHE:,}"
        if not self.memory.flat:
            yield f"memory grows: {self.memory}"


def _token(expires: int, number: int) -> str:
    claims = issuing.claims(iat=expires - _LIFETIME, exp=expires, jti=f"id-{number}", sub=f"user-{number % 997}")
    return issuing.token(claims, key="ed")


def _objects() -> list[dict[str, Any]]:
    keys = {"inline": issuing.jwks("ed")}
    return [
        obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": keys, "clockSkew": f"{_SKEW:g}s"}),
        policy("once", with_token("once", reuse={"maxUses": 1}, upstream={"claimHeaders": {"x-auth-sub": "sub"}})),
    ]
