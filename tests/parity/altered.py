"""Good objects with something altered at random: a part gone, in another place, or of another shape."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from tests.parity.table import ROWS

Path = tuple[str | int, ...]

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**53, 2**63 - 1, 1.5, "", "a", "A", "a b", "é", "🙂", "1h", "0s", "99999999h", "/",
    "/a/../b", "https://a.example", "*", "x-a", "a" * 300, "Claim", "Token", "Absent", "true", "1", "\n", "a\n", "a ",
    "2031-01-01T00:00:00Z", [], ["a"], [None], ["a", "a"], [{}], [[]], ["Header"], ["Claim"], {}, {"a": "b"},
    {"exact": "/a"},
)  # fmt: skip
NAMES = ("name", "claim", "x", "exact", "bindTo", "window", "retry", "n", "issuer", "jti", "anonymous", "reuse")


def altered(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Objects, the same for the same seed."""
    chance = random.Random(seed)
    good = [dict(row.object) for row in ROWS if row.field is None and len(str(row.object)) < 4000]
    parts = [_at(each["spec"], path) for each in good for path in _paths(each["spec"])]
    for _ in range(count):
        found = copy.deepcopy(chance.choice(good))
        for _ in range(chance.choice((1, 1, 1, 2))):
            _alter(found["spec"], chance, parts)
        yield found


def _alter(spec: Any, chance: random.Random, parts: list[Any]) -> None:
    paths = [path for path in _paths(spec) if path]
    if not paths:
        return
    *outer, last = chance.choice(paths)
    holder = _at(spec, tuple(outer))
    other = copy.deepcopy(chance.choice((chance.choice(ODD), chance.choice(parts))))
    match chance.randrange(4):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(NAMES)] = other
        case 1:
            holder.append(copy.deepcopy(chance.choice(holder)))
        case _:
            holder[last] = other


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield from _paths(part, (*path, step))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value
