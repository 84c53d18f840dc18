"""Just enough of PromQL to tell which metrics, labels and values an expression names; what it cannot read it refuses.

`promtool` judges the language where it is at hand; no tool of Prometheus can know which metrics a program has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>\d+(?:\.\d+)?(?:ms|s|m|h|d|w|y)?(?![\w.]))"""
    r"""|(?P<word>[a-zA-Z_$][\w:$]*)|(?P<mark>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],@])"""
)
_FUNCTIONS = frozenset(
    (
        *("abs", "absent", "changes", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time"),
        *("timestamp", "topk"),
    )
)
_GROUPING = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_OPERATORS = frozenset(("and", "or", "unless", "bool", "offset"))
_CLOSING = {"(": ")", "{": "}", "[": "]"}


class NotPromqlError(ValueError):
    """The text is nothing that this module can read."""


@dataclass(slots=True)
class Named:
    """What an expression names."""

    metrics: set[str] = field(default_factory=set)
    matchers: list[tuple[str, str, str]] = field(default_factory=list)
    """Metric, label, and the text that it is compared with."""
    groupings: set[str] = field(default_factory=set)
    """Labels of `by`, `on` and the like."""


def named(expression: str) -> Named:
    """What the expression names. Raises NotPromqlError."""
    tokens = list(_tokens(expression))
    _balanced(tokens)
    found = Named()
    at = 0
    while at < len(tokens):
        word = tokens[at]
        at += 1
        following = tokens[at] if at < len(tokens) else ""
        if not re.match(r"[a-zA-Z_]", word) or word in _OPERATORS:
            continue
        if word in _GROUPING:
            if following == "(":
                end = tokens.index(")", at)
                found.groupings |= {each for each in tokens[at + 1 : end] if each != ","}
                at = end + 1
        elif following == "(" or (word in _FUNCTIONS and following in _GROUPING):
            if word not in _FUNCTIONS:
                raise NotPromqlError(f"`{word}` is no function that is known here")
        else:
            found.metrics.add(word)
            at = _matchers(found, word, tokens, at)
    return found


def _matchers(found: Named, metric: str, tokens: list[str], at: int) -> int:
    if at >= len(tokens) or tokens[at] != "{":
        return at
    end = tokens.index("}", at)
    inner = tokens[at + 1 : end]
    for start in range(0, len(inner), 4):
        label, operator, text, *comma = inner[start : start + 4]
        if operator not in {"=", "!=", "=~", "!~"} or not text.startswith('"') or comma not in ([], [","]):
            raise NotPromqlError(f"`{' '.join(inner)}` is no list of matchers")
        found.matchers.append((metric, label, text[1:-1]))
    return end + 1


def _tokens(expression: str) -> Iterator[str]:
    at = 0
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None:
            raise NotPromqlError(f"`{expression[at : at + 20]}` cannot be read")
        if token.lastgroup != "space":
            yield token.group()
        at = token.end()


def _balanced(tokens: list[str]) -> None:
    open_ones: list[str] = []
    for token in tokens:
        if token in _CLOSING:
            open_ones.append(_CLOSING[token])
        elif token in _CLOSING.values() and (not open_ones or open_ones.pop() != token):
            raise NotPromqlError(f"`{token}` closes nothing")
    if open_ones:
        raise NotPromqlError(f"`{open_ones[-1]}` is missing")
