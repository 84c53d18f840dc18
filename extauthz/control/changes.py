"""What an edit changed, in a line of the process log: who is woken asks first what is different from before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from extauthz.policy.problem import ObjectRef
from extauthz.policy.snapshot import Snapshot

_MOST: Final = 5
"""How many objects are named of each sort."""


def in_force(before: Snapshot | None, after: Snapshot) -> str:
    """The policies that are in force from now on; after the first time, also what is new, changed and gone."""
    words = f"in force: version {after.version}, policies: {len(after.policies)}"
    if before is None:
        return words
    old, new = before.contents, after.contents
    parts = (
        _named("new", new.keys() - old.keys()),
        _named("changed", (ref for ref in new.keys() & old.keys() if new[ref] != old[ref])),
        _named("gone", old.keys() - new.keys()),
        _revoked(before, after),
    )
    return "".join((words, *parts))


def _named(sort: str, refs: Iterable[ObjectRef]) -> str:
    ordered = sorted(refs)
    if not ordered:
        return ""
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return f"; {sort}: {', '.join(map(str, ordered[:_MOST]))}{more}"


def _revoked(before: Snapshot, after: Snapshot) -> str:
    """TokenRevocations can be very many, and many at once: how many there are is told, and none by name."""
    old, new = (0 if each.revocations is None else each.revocations.count for each in (before, after))
    return "" if before.revocations is after.revocations else f"; revocations: {new}, before: {old}"
