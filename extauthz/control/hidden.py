"""Policies in a folder that do not show for which hosts they are.

INVARIANT: such a policy might be the stricter one of two, so a folder with one does not count: its requests must not
fall to a laxer policy for a slip of the pen. A cluster holds none, since its API server checks the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extauthz.control.documents import Document
from extauthz.policy.parse import ALL_KINDS, reads_as_policy
from extauthz.policy.problem import FieldPath
from extauthz.policy.scope import tells_hosts

_DEEP: Final = 4


def hidden_in(document: Document) -> tuple[FieldPath, str] | None:
    """Where a document hides the hosts of a policy, and why; None when it does not."""
    raw = document.raw
    if reads_as_policy(raw):
        if tells_hosts(raw.get("spec")):
            return None
        return ("spec", "hosts"), "which hosts this policy is for cannot be told, so nothing in the folder counts"
    # Objects of a known kind may hold any text; a ConfigMap's often is YAML.
    kind = raw.get("kind") if isinstance(raw, dict) else None
    texts = not isinstance(kind, str) or kind not in ALL_KINDS
    if any(reads_as_policy(part) or (texts and _names_policy(part)) for part in _parts(raw, _DEEP)):
        return (), "a policy stands in this document but is no object of its own, so nothing in the folder counts"
    return None


def _names_policy(part: object) -> bool:
    """Whether a text has swallowed a policy, as one does whose quote ends too late."""
    return isinstance(part, str) and "AccessPolicy" in part and part != "AccessPolicy"


def _parts(value: object, deep: int) -> Iterator[object]:
    yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items if deep else ():
        yield from _parts(item, deep - 1)
