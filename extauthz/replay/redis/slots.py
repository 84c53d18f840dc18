"""Where keys lie in a cluster: the hash tags of our keys, and which node holds which slot. Pure.

A key's slot is the CRC16 of what stands in its braces (Redis cluster specification, "Hash tags"). Ours hold three
characters, made of 18 bits of the key that the count is named by, or that of the token where a spend keeps a token's
company. So they tell no more than that key itself, about sixteen of them share a slot, and every slot has its part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias
from zlib import crc32

from redis.crc import key_slot

from extauthz.replay.spend import Room, Spend

SLOTS: Final = 16384

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TAG_CHARS: Final = 3

Address: TypeAlias = "tuple[str, int]"


def tag_of(spend: Spend) -> bytes:
    """What stands in the braces of a spend's key."""
    number = crc32((b"" if isinstance(spend, Room) else spend.company) or spend.key)
    return bytes(_ALPHABET[number >> shift & 63] for shift in (12, 6, 0))


def slot_of(tag: bytes) -> int:
    """The slot of all keys with this tag."""
    return int(key_slot(tag))


@dataclass(frozen=True, slots=True)
class Range:
    """Slots in a row, on one node."""

    first: int
    last: int
    at: Address


class SlotMap:
    """Which node holds which slot. It does not change."""

    __slots__ = ("_firsts", "_ranges")

    def __init__(self, ranges: Sequence[Range] = ()) -> None:
        self._ranges = sorted(ranges, key=lambda each: each.first)
        self._firsts = [each.first for each in self._ranges]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotMap) and self._ranges == other._ranges

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def at(self, slot: int) -> Address | None:
        """The node that holds a slot; None when nobody does."""
        found = bisect_right(self._firsts, slot) - 1
        if found < 0 or slot > self._ranges[found].last:
            return None
        return self._ranges[found].at

    @property
    def addresses(self) -> frozenset[Address]:
        """All nodes that hold slots."""
        return frozenset(each.at for each in self._ranges)

    @property
    def unheld(self) -> int:
        """How many slots nobody holds."""
        return SLOTS - sum(each.last - each.first + 1 for each in self._ranges)

    def tag_at(self, address: Address) -> bytes | None:
        """A tag whose keys lie on this node; None when it holds no slot."""
        if address not in self.addresses:
            return None
        return next((tag for tag in _tags() if self.at(slot_of(tag)) == address), None)


def _tags() -> Iterator[bytes]:
    """All tags. They meet every slot."""
    return map(bytes, product(_ALPHABET, repeat=_TAG_CHARS))


def read_slots(reply: object, asked: Address) -> SlotMap | None:
    """The reply of CLUSTER SLOTS; None for one that is none. A node without a name is the one that was asked."""
    if not isinstance(reply, list):
        return None
    found = [_read_range(each, asked) for each in reply]
    ranges = [each for each in found if each is not None]
    return SlotMap(ranges) if len(ranges) == len(found) else None


def _read_range(entry: object, asked: Address) -> Range | None:
    match entry:
        case [int(first), int(last), [bytes() | None as host, int(port), *_], *_] if 0 <= first <= last < SLOTS:
            name = (host or b"").decode("ascii", "replace")
            return Range(first, last, (name if name not in {"", "?"} else asked[0], port))
        case _:
            return None
