"""Time: the only module that reads a clock; durations as Go writes them; the window in which a token is accepted."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, NewType, Protocol

Instant = NewType("Instant", float)
"""Seconds since 1970-01-01T00:00:00Z, as NumericDate counts them (RFC 7519, section 2)."""

Seconds = NewType("Seconds", float)
"""A length of time in seconds, never negative."""

MAX_CLOCK_SKEW: Final = Seconds(300)
"""The most that an issuer's settings may allow clocks to differ."""

BEYOND_TIME: Final = 2**53
"""No instant that is told in seconds reaches this one: the first whole number whose next one a double cannot hold."""

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?", re.ASCII)


class Clock(Protocol):
    """What tells the time. Everything but this module receives one, so that tests can turn it by hand."""

    def now(self) -> Instant:
        """Wall time for `exp`, `nbf`, `iat` and logs. Never goes back while the process lives."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, for measuring how long something took."""


def seconds_until(instant: float) -> float:
    """Until an instant that something else has just reckoned by the machine's own clock, however that is set.

    Negative when it is past, infinite when it is.
    """
    return instant - time.time()


class SystemClock:
    """The machine's clock, kept from going back.

    INVARIANT: a wall clock that is set back must not make an expired token good again after its replay key is
    forgotten. So `now` follows steps forward and answers a step back by going on from the last reading.
    """

    def __init__(
        self, read_wall: Callable[[], float] = time.time, read_mono: Callable[[], float] = time.monotonic
    ) -> None:
        """Read these two: the wall clock, and one that goes on evenly from an arbitrary start; both in seconds."""
        self._lock = threading.Lock()
        self._read_wall, self._read_mono = read_wall, read_mono
        self._ahead = 0.0
        self._wall, self._mono = read_wall(), read_mono()

    def now(self) -> Instant:
        """Wall time in seconds since the epoch, never less than an earlier answer."""
        with self._lock:
            wall, mono = self._read_wall(), self._read_mono()
            expected = self._wall + (mono - self._mono)
            self._ahead = expected - wall
            # A slew of a few milliseconds is not a step: follow the wall, but never below the last answer.
            if self._ahead > 1.0:
                wall = expected
            elif wall < self._wall:
                wall = self._wall
            self._wall, self._mono = wall, mono
            return Instant(wall)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return self._read_mono()

    def stepped_back(self) -> Seconds:
        """How far the machine's clock stands behind the time this process goes by, 0.0 in a healthy one."""
        return Seconds(self._ahead if self._ahead > 1.0 else 0.0)


class AcceptanceWindow(NamedTuple):
    """When a token is accepted, and until when its use must be remembered.

    INVARIANT: both answers come from this one object, so no token is accepted after its replay key is forgotten. And
    no other object's settings, nor later ones of this object, accept a token for longer than `latest`.
    """

    opens: Instant
    """First instant at which the token is accepted (`nbf` less the clock skew)."""
    closes: Instant
    """First instant at which it is refused (`exp` plus the clock skew); the boundary itself is refused."""
    latest: Instant | None = None
    """Where `closes` may still move, as when an issuer prolongs a token or a skew is edited: the instant that it never
    moves beyond. None where it cannot move."""

    def accepts(self, now: Instant) -> bool:
        """Whether a token with this window is accepted at `now`."""
        return self.opens <= now < self.closes

    @property
    def remember_until(self) -> Instant:
        """The instant before which no use of the token may be forgotten: one second past the last acceptance."""
        return Instant((self.closes if self.latest is None else max(self.closes, self.latest)) + 1.0)


def read_instant(value: object) -> Instant | None:
    """Read a time as RFC 3339 writes it; None for what is no text, no time, or a time without a zone."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo is None else Instant(found.timestamp())


def parse_duration(text: str) -> Seconds:
    """Read a duration as Go writes it (`90s`, `10m`, `1h30m`, `250ms`): whole numbers, units in falling order.

    Raises ValueError, with words fit for a policy author, for anything else.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise ValueError(f"`{text[:40]}` is no duration; write it like `90s`, `10m` or `1h30m`")
    return Seconds(sum(int(n) * _UNITS[u] for n, u in zip(found.groups(), _UNITS, strict=True) if n is not None))


def format_duration(seconds: float) -> str:
    """Write seconds as Go would (`1h30m`), rounded to milliseconds."""
    # As a float also where it comes as an integer, so that compiled or not the same digits are written.
    rest = round(float(seconds) * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
