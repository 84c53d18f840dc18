"""Policies in a folder that do not show for which hosts they are, and revocations that are no objects of their own.

INVARIANT: such a policy might be the stricter one of two, so a folder with one does not count: its requests must not
fall to a laxer policy for a slip of the pen, nor may a revoked token become good by one. A cluster holds none, since
its API server checks the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extauthz.control.documents import Document
from extauthz.policy.parse import ALL_KINDS, reads_as
from extauthz.policy.problem import FieldPath
from extauthz.policy.scope import names_targets, tells_hosts
from extauthz.policy.targets import NOT_IN_FOLDER

_DEEP: Final = 4


def hidden_in(document: Document, *, cluster: bool = False) -> tuple[FieldPath, str] | None:
    """Where a document hides the hosts of a policy, and why; None when it does not. In a cluster, targets show them."""
    raw = document.raw
    meant = reads_as(raw)
    if meant == "TokenRevocation":
        return None
    if meant == "AccessPolicy":
        spec = raw.get("spec")
        if tells_hosts(spec) or (cluster and names_targets(spec)):
            return None
        if names_targets(spec):
            return ("spec", "targetRefs"), f"{NOT_IN_FOLDER}. As it is, nothing in the folder counts"
        return ("spec", "hosts"), "which hosts this policy is for cannot be told, so nothing in the folder counts"
    # Objects of a known kind may hold any text; a ConfigMap's often is YAML.
    kind = raw.get("kind") if isinstance(raw, dict) else None
    texts = not isinstance(kind, str) or kind not in ALL_KINDS
    if any(reads_as(part) is not None or (texts and _names_one(part)) for part in _parts(raw, _DEEP)):
        return (), "a policy or revocation in this document is no object of its own, so nothing in the folder counts"
    return None


def _names_one(part: object) -> bool:
    """Whether a text has swallowed an object, as one does whose quote ends too late."""
    return isinstance(part, str) and any(kind in part and part != kind for kind in ("AccessPolicy", "TokenRevocation"))


def _parts(value: object, deep: int) -> Iterator[object]:
    yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items if deep else ():
        yield from _parts(item, deep - 1)
