"""What Secrets and ConfigMaps hold for the objects that refer to them.

A folder may hold them beside the policies, as a cluster does. They are read strictly, and no text of theirs is ever
shown: not in an error, not in a representation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.policy.hints import closest
from extauthz.policy.problem import ObjectRef, Problem

HELD_KINDS: Final = frozenset({"Secret", "ConfigMap"})
"""Objects of the API group `v1` that others refer to."""

_MAX_OCTETS: Final = 1 << 20
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "Secret": frozenset({"data", "stringData", "type", "immutable"}),
    "ConfigMap": frozenset({"data", "binaryData", "immutable"}),
}
_ENCODED: Final = {"Secret": "data", "ConfigMap": "binaryData"}
_PLAIN: Final = {"Secret": "stringData", "ConfigMap": "data"}
# Slow on purpose: a version that is shown must not let a weak secret be guessed.
_ROUNDS: Final = 20_000


class NotHeld(ValueError):
    """What a reference leads to is not there. The message says how to mend it."""


@dataclass(frozen=True, slots=True)
class HeldData:
    """The entries of one Secret or ConfigMap."""

    entries: Mapping[str, bytes] = field(repr=False)
    digest: str
    """Tells changed content from the same; leads back to none."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that can be referred to."""

    objects: Mapping[ObjectRef, HeldData]

    def entry(self, kind: str, namespace: str, name: str, key: str) -> bytes:
        """One entry. Raises NotHeld when it is not there."""
        found = self.objects.get(ObjectRef(kind, namespace, name))
        if found is None:
            mend = "create it, or, where a cluster has it, grant the right to list and watch it"
            raise NotHeld(f"there is no {kind} `{name}` in namespace `{namespace}`; {mend}")
        if key not in found.entries:
            raise NotHeld(f"the {kind} `{name}` in namespace `{namespace}` has no entry `{key}`; add it")
        return found.entries[key]


def read_held(raw: Mapping[str, Any], ref: ObjectRef) -> HeldData | tuple[Problem, ...]:
    """The entries of a Secret or ConfigMap, or every mistake in it."""
    problems = [
        Problem(ref, (str(name),), "unknown field" + closest(str(name), _FIELDS[ref.kind]))
        for name in raw
        if name not in _FIELDS[ref.kind] | {"apiVersion", "kind", "metadata"}
    ]
    entries: dict[str, bytes] = {}
    for member in (_ENCODED[ref.kind], _PLAIN[ref.kind]):
        values = raw.get(member)
        if values is not None and not isinstance(values, dict):
            problems.append(Problem(ref, (member,), "is no mapping of names to texts"))
            continue
        for name, value in (values or {}).items():
            octets = _octets(value, encoded=member == _ENCODED[ref.kind])
            if octets is None:
                problems.append(Problem(ref, (member, str(name)), _wanted(member, ref.kind)))
            else:
                entries[str(name)] = octets
    if sum(map(len, entries.values())) > _MAX_OCTETS:
        problems.append(Problem(ref, (), f"holds more than {_MAX_OCTETS} octets"))
    return tuple(problems) if problems else HeldData(entries, _digest(ref, entries.items()))


def _octets(value: object, *, encoded: bool) -> bytes | None:
    if not isinstance(value, str):
        return None
    if not encoded:
        return value.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _wanted(member: str, kind: str) -> str:
    return "is not base64" if member == _ENCODED[kind] else "is not a text; put it in quotes"


def _digest(ref: ObjectRef, entries: Iterable[tuple[str, bytes]]) -> str:
    content = b"".join(
        len(part).to_bytes(4, "big") + part for name, value in sorted(entries) for part in (name.encode(), value)
    )
    return hashlib.pbkdf2_hmac("sha256", content, str(ref).encode(), _ROUNDS, 16).hex()
