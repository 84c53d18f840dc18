"""Strict readers for what a stranger sends: canonical base64url (RFC 7515, section 2) and unambiguous JSON (RFC 8259).
And one writer, `printable`, for what of it goes into headers and lines.

Common JSON parsers disagree about duplicate names, NaN, byte order marks and lone surrogates, and two parsers that
read one token differently are a hole. So everything ambiguous is refused here, before any meaning is given to it.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64encode
from typing import Final, NoReturn, TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"

MAX_DEPTH: Final = 32
"""How deep objects and arrays may nest. Real tokens stay below 6."""

_PLAIN: Final = re.compile(r"[!-$&-~](?:[ -$&-~]*[!-$&-~])?", re.ASCII)
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST: Final = (_DIGITS, "", _DIGITS[::16], _DIGITS[::4])
"""By the length modulo 4, the last characters that leave no bit unused but zeros (RFC 4648, section 3.5)."""
_ALPHABET: Final = _DIGITS.encode("ascii")
# INVARIANT: linear, on unsigned garbage too. So a string that nothing ends is one as well: were it none, the search
# would begin anew at each quote in it, and each time go to the end.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_MAX_DIGITS: Final = 400
_LONG_NUMBER: Final = re.compile(rf"[0-9]{{{_MAX_DIGITS}}}")


class Ambiguous(ValueError):
    """The input has no reading, or more than one. The message never quotes the input."""


def base64url_decode(text: str) -> bytes:
    """Decode canonical unpadded base64url.

    Raises Ambiguous for padding, foreign characters, an impossible length, or unused bits that are not zero: two texts
    must never mean the same bytes.
    """
    rest = len(text) % 4
    if rest == 1 or not text.isascii() or text.encode("ascii").translate(None, _ALPHABET):
        raise Ambiguous("not base64url without padding")
    if text and text[-1] not in _LAST[rest]:
        raise Ambiguous("base64url with unused bits set")
    return binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + b"==="[: -len(text) % 4])


def base64url_encode(data: bytes) -> str:
    """Encode as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_json(data: bytes) -> Json:
    """Read one JSON text: UTF-8 without byte order mark, unique names, finite numbers, no lone surrogates.

    Raises Ambiguous for everything else, and for nesting beyond MAX_DEPTH.
    """
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Ambiguous("not UTF-8") from error
    if text.startswith("\ufeff"):
        raise Ambiguous("starts with a byte order mark")
    _refuse_depth(data)
    try:
        value = _read(text)
    except Ambiguous:
        raise
    except (ValueError, RecursionError) as error:
        raise Ambiguous("not JSON") from error
    # Raw surrogates cannot come out of UTF-8: only an escape makes one, so the costly look is rarely needed.
    if b"\\u" in data and _has_surrogate(value):
        raise Ambiguous("a lone surrogate in a string")
    return value


def parse_json_object(data: bytes) -> dict[str, Json]:
    """Read a JSON object as `parse_json` does. Raises Ambiguous when the text is another kind of value."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise Ambiguous("not a JSON object")
    return value


def is_field_value(text: str) -> bool:
    """Whether every form of Envoy's answer can hold the text as the value of a header (RFC 9110, section 5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None


def printable(text: str, also: str = "") -> str:
    """A text in printable ASCII: what is not, `%` itself, spaces at the ends, and the characters in `also` are
    percent-encoded (RFC 3986, section 2.1). Different texts stay different."""
    if _PLAIN.fullmatch(text) is not None and not any(sign in text for sign in also):
        return text
    octets = text.encode("utf-8", "surrogatepass")
    last = len(octets) - 1

    def kept(index: int, octet: int) -> bool:
        return (0x21 <= octet <= 0x7E and octet != 0x25 and chr(octet) not in also) or (
            octet == 0x20 and 0 < index < last
        )

    return "".join(chr(octet) if kept(index, octet) else f"%{octet:02X}" for index, octet in enumerate(octets))


def _read(text: str) -> Json:
    """What the decoder makes of the text. White space around the value is rare, and to look for it costs."""
    decoder = _DECODER if _LONG_NUMBER.search(text) is None else _CHOOSY
    value: Json
    value, end = decoder.raw_decode(text) if text.startswith("{") else (None, -1)
    if end != len(text):
        value = decoder.decode(text)
    return value


def _refuse_depth(data: bytes) -> None:
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKETS.finditer(data):
        byte = found.group()[:1]
        depth += 1 if byte in b"[{" else -1 if byte in b"]}" else 0
        if depth > MAX_DEPTH:
            raise Ambiguous(f"nested deeper than {MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Ambiguous("a name occurs twice in one object")
    return value


def _no_constant(_: str) -> NoReturn:
    raise Ambiguous("a number that is not finite")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise Ambiguous("a number out of range")
    return int(digits)


def _finite(digits: str) -> float:
    if len(digits) > _MAX_DIGITS:
        raise Ambiguous("a number out of range")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Ambiguous("a number out of range")
    return value


def _has_surrogate(value: Json) -> bool:
    match value:
        case str():
            return _SURROGATE.search(value) is not None
        case list():
            return any(_has_surrogate(item) for item in value)
        case dict():
            return any(_has_surrogate(name) or _has_surrogate(item) for name, item in value.items())
        case _:
            return False


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_CHOOSY: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite
)
"""The same for a text that may hold an endless number: to be asked about each number costs."""
