"""No token gets out: what a story says is searched for pieces of every credential that the request brought.

The parts that make a story show no token by themselves; this is the second lock. It also finds a token that stands
where none should be, such as in the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from extauthz.model.request import RequestView
from extauthz.model.token import REFRESH_TOKEN
from extauthz.telemetry.line import TOKEN

PIECE: Final = 12
"""A run of so many characters of a credential is never shown."""

_HIDDEN: Final = "[token]"
_RUN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{12,}", re.ASCII)
_CARRIERS: Final = re.compile(r"authorization|token|key|secret|jwt|dpop|assertion", re.ASCII)
"""Names of headers that carry a credential."""

T = TypeVar("T")


def credentials_in(view: RequestView) -> Iterator[str]:
    """Every text of a request that may be, or hold, a credential."""
    yield from _values(view.target.query, "&;")
    yield from _values(view.form, "&;")
    for name, values in view.headers.items():
        for value in values:
            if name == "cookie":
                yield from _values(value, ";,")
            elif _CARRIERS.search(name) is not None:
                yield value
            else:
                yield from TOKEN.findall(value)


def _values(text: str, separators: str) -> Iterator[str]:
    """The values of a list of pairs that could be a token; an address, for example, could not."""
    for pair in re.split(f"[{separators}]", text):
        for value in {pair.partition("=")[2].strip(), unquote(pair.partition("=")[2]).strip()}:
            # The grant that most token requests ask for, and the name of the parameter that is spoken of.
            if value != REFRESH_TOKEN and (_RUN.fullmatch(value) is not None or TOKEN.search(value) is not None):
                yield value


class Hider:
    """Replaces pieces of credentials in texts."""

    def __init__(self, credentials: Iterable[str]) -> None:
        runs = {run for text in credentials for run in _RUN.findall(text)}
        self._pieces = frozenset(run[at : at + PIECE] for run in runs for at in range(len(run) - PIECE + 1))

    def hide(self, value: T) -> T:
        """The same value, with no piece of a credential in any text of it."""
        return self._hidden(value)  # type: ignore[no-any-return]

    def _hidden(self, value: Any) -> Any:  # noqa: ANN401 - any part of a story
        match value:
            case str():
                return self._text(value)
            case tuple():
                return tuple(map(self._hidden, value))
            case dict():
                return {self._text(name): self._hidden(inner) for name, inner in value.items()}
            case Enum():
                return value
            case _ if is_dataclass(value) and not isinstance(value, type):
                return replace(value, **{each.name: self._hidden(getattr(value, each.name)) for each in fields(value)})
            case _:
                return value

    def _text(self, text: str) -> str:
        text = TOKEN.sub(_HIDDEN, text)
        if not self._pieces:
            return text
        covered = bytearray(len(text))
        for at in range(len(text) - PIECE + 1):
            if text[at : at + PIECE] in self._pieces:
                covered[at : at + PIECE] = b"\1" * PIECE
        return _joined(text, covered) if any(covered) else text


def _joined(text: str, covered: bytearray) -> str:
    """The text, with one word in the place of each covered run."""
    parts = []
    for at, (sign, hidden) in enumerate(zip(text, covered, strict=True)):
        if not hidden:
            parts.append(sign)
        elif at == 0 or not covered[at - 1]:
            parts.append(_HIDDEN)
    return "".join(parts)
