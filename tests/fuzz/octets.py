"""Changes to octets that know nothing of their meaning, and to texts that know only which words matter to a reader."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.fuzz.target import Mutate

_LARGEST: Final = 64


def mutate_octets(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One change of a kind that is chosen by chance."""
    return chance.choice(_KINDS)(data, other, chance)


def mutate_text(words: Sequence[bytes]) -> Mutate:
    """Changes to a text: as often as not, a word of its language is put in or put in place of something."""

    def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.5:
            return mutate_octets(data, other, chance)
        start = chance.randint(0, len(data))
        end = start if chance.random() < 0.5 else min(len(data), start + chance.randint(1, 8))
        return data[:start] + chance.choice(words) + data[end:]

    return mutate


def percent_encoded(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One octet percent-encoded (RFC 3986, section 2.1), in either case of digits; or one such encoding undone."""
    if not data:
        return data
    at = chance.randrange(len(data))
    encoded = data.find(b"%", at)
    if encoded >= 0 and chance.random() < 0.4:
        try:
            return (
                data[:encoded] + bytes.fromhex(data[encoded + 1 : encoded + 3].decode("latin-1")) + data[encoded + 3 :]
            )
        except ValueError:
            return data
    digits = f"%{data[at]:02x}" if chance.random() < 0.5 else f"%{data[at]:02X}"
    return data[:at] + digits.encode() + data[at + 1 :]


def _flip(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at, octets = _at(data, chance), bytearray(data)
    octets[at : at + 1] = bytes(octet ^ (1 << chance.randrange(8)) for octet in octets[at : at + 1])
    return bytes(octets)


def _set(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _insert(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    return data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at:]


def _delete(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    return data[:at] + data[at + chance.choice((1, 1, 2, 4, _LARGEST)) :]


def _cut(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: _at(data, chance)]


def _repeat(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    piece = data[at : at + chance.randint(1, _LARGEST)]
    return data[:at] + piece * chance.choice((1, 1, 2, 20)) + data[at:]


def _move(data: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = sorted((_at(data, chance), _at(data, chance)))
    rest, to = data[:start] + data[end:], _at(data, chance)
    return rest[:to] + data[start:end] + rest[to:]


def _splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: _at(data, chance)] + other[_at(other, chance) :]


def _graft(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at, where = _at(data, chance), _at(other, chance)
    return data[:at] + other[where : where + chance.randint(1, _LARGEST)] + data[at:]


def _at(data: bytes, chance: random.Random) -> int:
    return chance.randint(0, len(data))


_KINDS: Final[Sequence[Callable[[bytes, bytes, random.Random], bytes]]] = (
    _flip, _set, _insert, _delete, _cut, _repeat, _move, _splice, _graft,
)  # fmt: skip
