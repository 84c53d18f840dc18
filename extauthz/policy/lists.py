"""Lists that hold nothing twice, for the parser and in CEL."""

from __future__ import annotations

from collections.abc import Iterable


def twin(names: Iterable[str]) -> str:
    """The first name that stands there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def once(items: str) -> str:
    """CEL: a list that may be absent holds nothing twice."""
    return f"!has({items}) || {items}.all(x, {items}.exists_one(y, y == x))"


def once_named(items: str) -> str:
    """CEL: a list that may be absent names nothing twice."""
    return f"!has({items}) || {items}.all(x, {items}.exists_one(y, y.name == x.name))"
