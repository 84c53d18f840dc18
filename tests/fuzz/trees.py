"""Changes to what JSON and YAML hold: one node of a tree replaced, left out, doubled, renamed or moved."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

_ODD: Final[Sequence[Any]] = (
    None, True, False, 0, 1, -1, 1.5, 2**31, 2**53, 2**63, 2**64, 1e308, "", " ", "*", "null", "true", "0", "a" * 300,
    "\u0000", "\ud800", "é", "/..", "%2F", [], {}, [[]], [None], [""], {"": None}, {"x": 1}, [1, "a"],
)  # fmt: skip


def mutate_tree(tree: Any, words: Sequence[Any], chance: random.Random) -> Any:
    """A copy with one node changed. `words` are values that mean something to the reader."""
    copied = copy.deepcopy(tree)
    places = list(_places(copied))
    if not places:
        return chance.choice((*words, *_ODD))
    holder, step = chance.choice(places)
    match chance.randrange(7):
        case 0:
            del holder[step]
        case 1:
            _rename(holder, step, words, chance)
        case 2:
            donor, where = chance.choice(places)
            holder[step] = copy.deepcopy(donor[where])
        case 3 if isinstance(holder, list):
            holder.insert(chance.randint(0, len(holder)), copy.deepcopy(holder[step]))
        case 4 if isinstance(holder[step], str):
            holder[step] = _edit(holder[step], chance)
        case 5:
            holder[step] = chance.choice(([holder[step]], {"x": holder[step]}, str(holder[step])))
        case _:
            holder[step] = copy.deepcopy(chance.choice((*words, *_ODD)))
    return copied


def write_json(tree: Any, chance: random.Random) -> bytes:
    """A tree as JSON; sometimes with blanks, escapes, a name twice, or what only some parsers take."""
    text = json.dumps(
        tree,
        ensure_ascii=chance.random() < 0.7,
        separators=chance.choice(((",", ":"), (", ", ": "), (" ,\n", " : "))),
    )
    if chance.random() < 0.15:
        text = chance.choice((_doubled, _foreign))(text, chance)
    return text.encode("utf-8", "surrogatepass")


def _doubled(text: str, chance: random.Random) -> str:
    """A member in front of the first one of some object, whose name may be that of a later one."""
    at = chance.choice([index for index, sign in enumerate(text) if sign == "{"] or [0])
    name = chance.choice(("iss", "aud", "exp", "alg", "kid", "sub", "kty", "n", "x", "keys", "crv", "typ"))
    value = chance.choice(('"a"', "1", "null", '["orders-api"]', '"none"', '"HS256"'))
    return f'{text[: at + 1]}"{name}":{value}{"" if text[at + 1 : at + 2] == "}" else ","}{text[at + 1 :]}'


def _foreign(text: str, chance: random.Random) -> str:
    return chance.choice(
        (f"\ufeff{text}", f"{text} ", f"{text}x", f"{text}{text}", text.replace("1", "NaN", 1),
         text.replace("}", ",}", 1), text.replace('"', "'"), f"[{text}]", text.replace("e", "\\u0065", 2),
         text.replace("0", "0e0", 1))
    )  # fmt: skip


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    steps = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield value, step
        yield from _places(value[step])


def _rename(holder: Any, step: Any, words: Sequence[Any], chance: random.Random) -> None:
    if isinstance(holder, dict):
        name = chance.choice((str(step).upper(), f"{step}x", str(step)[:-1], f" {step}", *map(str, words)))
        holder[name] = holder.pop(step)
    else:
        holder.append(holder.pop(step))


def _edit(text: str, chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return chance.choice(
        (text[:at] + chance.choice(" ./*-:%{}#\u00e9\n\t,;") + text[at:], text[:at] + text[at + 1 :], text.upper(),
         f"{text} ", f" {text}", text + text)
    )  # fmt: skip
