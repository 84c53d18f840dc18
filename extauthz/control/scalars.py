"""Plain YAML scalars, read as the tools of Kubernetes read them: YAML 1.1 words, numbers as Go writes them.

A policy that is moved from a folder to a cluster must not change its meaning on the way. So `on` and `y` are booleans
here as they are there, `010` is eight, `1:30` and dates are text; what a field does not take, its type refuses.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Scalar: TypeAlias = None | bool | int | float | str

_WORDS: Final[dict[str, None | bool]] = {
    word: value
    for value, words in (
        (None, ("", "~", "null", "Null", "NULL")),
        (True, ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")),
        (False, ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")),
    )
    for word in words
}
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII)
_BASES: Final = (16, 2, 8, 10)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_MAX_DIGITS: Final = 400
_WHOLE: Final = 1e21
"""Below this, a float without a fraction is written as a whole number when it becomes JSON."""


def plain(text: str) -> Scalar:
    """The value of a scalar without quotes. Raises ValueError for a number that is not finite."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _NOT_FINITE.fullmatch(text) is not None:
        raise ValueError(f"found `{text}`, a number that is not finite")
    digits = text if text[0] == "." else text.replace("_", "")
    whole = _INTEGER.fullmatch(digits)
    if whole is not None:
        return _integer(whole)
    return text if _FLOAT.fullmatch(digits) is None else _number(float(digits), text)


def _integer(found: re.Match[str]) -> int:
    sign, *groups = found.groups()
    value = next(int(group, base) for group, base in zip(groups, _BASES, strict=True) if group is not None)
    return -value if sign == "-" else value


def _number(value: float, text: str) -> Scalar:
    if abs(value) == float("inf"):
        raise ValueError(f"found `{text}`, a number out of range")
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value
