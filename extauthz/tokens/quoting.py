"""What may be shown of a token in an operator's error text: short plain texts and numbers, nothing else.

Callers quote only members that are no secret and name nobody, such as `iss`, `aud`, `typ` and `alg`; never `jti`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from extauthz.model.encoding import Json

_LONGEST: Final = 200
_MOST: Final = 5


def quote(value: Json) -> str:
    """A value in backticks, or words for one that is long, odd or of another kind."""
    match value:
        case None:
            return "null"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            # The JSON reader lets 400 digits pass.
            return f"`{value}`" if abs(value) < 2**64 else "a number out of range"
        case str() if len(value) <= _LONGEST and value.isascii() and value.isprintable() and "`" not in value:
            return f"`{value}`"
        case str():
            return "a text that is too long or not plain ASCII"
        case list():
            return "an array"
        case dict():
            return "an object"


def kind_of(value: Json) -> str:
    """Which kind of value it is, where the value itself is not shown."""
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case list():
            return "an array"
        case dict():
            return "an object"


def quote_all(words: Iterable[str]) -> str:
    """Words in order, each in backticks, and how many more there are."""
    ordered = sorted(words)
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return ", ".join(quote(word) for word in ordered[:_MOST]) + more
