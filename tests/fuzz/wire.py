"""Changes to a protobuf message by its fields: doubled, left out, reordered, renumbered, and changed within.

The wire format alone is known (protobuf.dev/programming-guides/encoding), no message type: what is in a field of
length-delimited kind is taken for a message where it reads as one. Lengths around a change are written anew, so most
changed messages are well formed and get past the parser.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from tests.fuzz.target import Mutate

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}


class _NoMessage(ValueError):
    """The octets are no message."""


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    kind: int
    payload: bytes

    def write(self) -> bytes:
        head = _varint(self.number << 3 | self.kind)
        return head + (_varint(len(self.payload)) if self.kind == _LENGTH else b"") + self.payload


def mutate_message(inner: Mutate) -> Mutate:
    """Changes to a message; `inner` changes the octets and texts in it."""

    def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
        try:
            fields = _read(data)
            donor = _read(other)
        except _NoMessage:
            return inner(data, other, chance)
        if not fields:
            return other
        (at,) = chance.choices(range(len(fields)), [8 + len(field.payload) for field in fields])
        if fields[at].kind == _LENGTH and chance.random() < 0.92:
            twin = next((f.payload for f in donor if f.number == fields[at].number and f.kind == _LENGTH), other)
            deeper = mutate if _reads(fields[at].payload) and chance.random() < 0.99 else inner
            fields[at] = replace(fields[at], payload=deeper(fields[at].payload, twin, chance))
        else:
            _rearrange(fields, at, donor, chance)
        return b"".join(field.write() for field in fields)

    return mutate


def _rearrange(fields: list[_Field], at: int, donor: list[_Field], chance: random.Random) -> None:
    match chance.randrange(6):
        case 0:
            fields.insert(chance.randint(0, len(fields)), fields[at])
        case 1:
            del fields[at]
        case 2:
            chance.shuffle(fields)
        case 3 if donor:
            fields.insert(chance.randint(0, len(fields)), chance.choice(donor))
        case 4:
            fields[at] = replace(fields[at], number=chance.choice((1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 15, 2000)))
        case _:
            fields[at] = chance.choice((_Field(fields[at].number, _VARINT, _varint(chance.getrandbits(64))),
                                        _Field(fields[at].number, _LENGTH, b"")))  # fmt: skip


def _reads(data: bytes) -> bool:
    """Whether octets read as a message, and not only by chance: a text has no control characters."""
    try:
        return min(data, default=0x20) < 0x20 and bool(_read(data))
    except _NoMessage:
        return False


def _read(data: bytes) -> list[_Field]:
    fields, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        start = at
        if kind == _LENGTH:
            size, start = _read_varint(data, at)
            at = start + size
        elif kind == _VARINT:
            _, at = _read_varint(data, at)
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            raise _NoMessage
        if not number or at > len(data):
            raise _NoMessage
        fields.append(_Field(number, kind, data[start:at]))
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for step, octet in enumerate(data[at : at + 10]):
        value |= (octet & 0x7F) << (7 * step)
        if octet < 0x80:
            return value, at + step + 1
    raise _NoMessage


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
