"""What the script is told of each spend: five arguments. Pure.

Durations cross, never instants: the server counts on its own clock, so it may differ from those of the replicas.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final, TypeAlias, assert_never

from extauthz.model.time import Instant, Seconds
from extauthz.replay.spend import Asked, Bind, Count, Grace, Mark, Rate, Room, Spend, Unmarked, Use

MARGIN: Final = Seconds(5.0)
"""How much longer a use or tie is kept than asked: so far may the clocks of replicas differ, or a commit be late."""

FIELDS: Final = 5
MICROSECONDS: Final = 1_000_000

Argument: TypeAlias = "bytes | int"
Paid: TypeAlias = "tuple[tuple[Count, ...], ...]"
"""For each of several rooms, the counts that it pays for."""


_LETTERS: Final[Mapping[type[Spend], bytes]] = {
    Bind: b"b",
    Use: b"u",
    Rate: b"l",
    Mark: b"m",
    Unmarked: b"m",
    Room: b"q",
}


def letter(spend: Spend) -> bytes:
    """What kind of spend it is: the last byte of its key."""
    return _LETTERS[type(spend)]


def fields_of(count: Asked, now: Instant) -> tuple[Argument, ...]:
    """Of what is asked for `now`."""
    match count:
        case Bind():
            return b"b", count.value, _life(count.until, now), b"", b""
        case Use():
            grace = (b"", 0) if count.grace is None else _leave(count.grace)
            return b"u", count.max_uses, _life(count.until, now), *grace
        case Rate():
            return b"r", count.amount, ceil(count.window * MICROSECONDS), b"", b""
        case Mark():
            return b"m", b"", _life(count.until, now), b"", b""
        case Unmarked():
            return b"n", b"", 1, b"", b""
        case _:
            assert_never(count)


def holding(room: Spend, counts: tuple[Count, ...], now: Instant, attempt_ttl: Seconds) -> tuple[Argument, ...]:
    """Of a room whose counts lie elsewhere: it holds each key by its name, for as long as that lives.

    And for as long as an attempt is remembered: so whoever gives a name back still holds it.
    """
    if not isinstance(room, Room):
        raise AssertionError("only a room pays for counts that lie elsewhere")
    lives: dict[bytes, int] = {}
    for count in counts:
        name = count.key + letter(count)
        lives[name] = max(lives.get(name, 0), _longest(count, now) + ceil(attempt_ttl * 1000))
    sizes = " ".join(f"{life} {len(name)}" for name, life in lives.items())
    return b"h", room.most, 1, b"".join(lives), sizes.encode("ascii")


def _leave(grace: Grace) -> tuple[bytes, int]:
    within = ceil(grace.within * MICROSECONDS)
    return grace.fingerprint, -within if grace.once else within


def _life(until: Instant, now: Instant) -> int:
    """Milliseconds to keep it, rounded up; 0 when its time is over."""
    return ceil((until - now + MARGIN) * 1000) if now < until else 0


def _longest(count: Count, now: Instant) -> int:
    """Milliseconds that its key lives at the most, when it is counted now."""
    return ceil(count.window * 1000) + 2 if isinstance(count, Rate) else _life(count.until, now)
