"""What is different in an issuer's keys, for the process log: an issuer that exchanges a key tells nobody else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from extauthz.keys.jwk import KeySet

_MOST: Final = 5
"""How many keys are named of each sort."""
_NAMELESS: Final = "\0"
"""Before the thumbprint of a key without `kid`; no `kid` has it."""


def turned(before: KeySet, after: KeySet) -> tuple[str, bool]:
    """Which keys are new, gone, or another under the same `kid`, empty where none is; and whether there is one of the
    last sort: then no key fits the tokens any more that the old one signed."""
    old, new = _by_kid(before), _by_kid(after)
    exchanged = {kid for kid in old.keys() & new.keys() if old[kid] != new[kid]}
    sorts = (
        ("new", new.keys() - old.keys()),
        ("gone", old.keys() - new.keys()),
        ("another key under the same `kid`", exchanged),
    )
    return "; ".join(f"{sort}: {_names(kids)}" for sort, kids in sorts if kids), bool(exchanged)


def _by_kid(keys: KeySet) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys.keys:
        # A key without `kid` is told by nothing but what it is.
        found[_NAMELESS + key.thumbprint if key.kid is None else key.kid].add(key.thumbprint)
    return dict(found)


def _names(kids: Collection[str]) -> str:
    nameless = sum(kid.startswith(_NAMELESS) for kid in kids)
    named = sorted(f"`{kid}`" for kid in kids if not kid.startswith(_NAMELESS))
    more = [f"{len(named) - _MOST} more"] if len(named) > _MOST else []
    return ", ".join([*named[:_MOST], *more, *([f"{nameless} without `kid`"] if nameless else [])])
