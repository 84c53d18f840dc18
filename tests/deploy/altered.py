"""A configuration with one thing left out or changed, to see that a probe misses it."""

from __future__ import annotations

import copy
from typing import Any, Final

GONE: Final = object()
"""In the place of a value: take it out."""


def altered(config: Any, path: str, value: Any = GONE) -> Any:
    """The configuration with another value where the dotted path leads, which must have been there.

    A step is a name or a number; `*` tries every member of a list or mapping.
    """
    changed = copy.deepcopy(config)
    *steps, last = path.split(".")
    holders = [each for each in _reached(changed, steps) if _reached(each, [last])]
    assert holders, f"there is no `{path}`"
    for holder in holders:
        key = int(last) if isinstance(holder, list) else last
        if value is GONE:
            del holder[key]
        else:
            holder[key] = value
    return changed


def _reached(node: Any, steps: list[str]) -> list[Any]:
    if not steps:
        return [node]
    first, rest = steps[0], steps[1:]
    if first == "*":
        inner = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    elif isinstance(node, dict):
        inner = [node[first]] if first in node else []
    else:
        inner = [node[int(first)]] if isinstance(node, list) and first.isdigit() and int(first) < len(node) else []
    return [found for each in inner for found in _reached(each, rest)]
