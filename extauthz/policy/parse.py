"""From a plain object (JSON or YAML, already read) to a checked one; every mistake at once, nothing guessed.

A source hands over what it holds, a folder or a cluster alike, so both accept and refuse the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter, ValidationError

from extauthz.model.time import read_instant
from extauthz.policy.fields import field_names, without_nulls
from extauthz.policy.held import HELD_KINDS, HeldData, read_held
from extauthz.policy.hints import closest
from extauthz.policy.incluster import CLUSTER
from extauthz.policy.issuer import ClusterTokenIssuerSpec, TokenIssuerSpec
from extauthz.policy.problem import ObjectRef, Problem, kind_of, problems_of, shown
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.policy.selector import NAMESPACE, NamespaceLabels, read_labels
from extauthz.policy.spec import AccessPolicySpec
from extauthz.policy.words import ObjectName

API_VERSION: Final = "extauthz.dev/v1alpha1"
_GROUP: Final = API_VERSION.partition("/")[0] + "/"
KINDS: Final[Mapping[str, type]] = {
    "AccessPolicy": AccessPolicySpec,
    "TokenIssuer": TokenIssuerSpec,
    "ClusterTokenIssuer": ClusterTokenIssuerSpec,
    "TokenRevocation": TokenRevocationSpec,
}
CLUSTER_KINDS: Final = frozenset({"ClusterTokenIssuer"})
ISSUER_KINDS: Final = frozenset({"TokenIssuer", "ClusterTokenIssuer"})
Spec: TypeAlias = AccessPolicySpec | TokenIssuerSpec | TokenRevocationSpec | HeldData | NamespaceLabels

_PLAIN_KINDS: Final = HELD_KINDS | {NAMESPACE}
"""Objects of the API group `v1`, which hold more than is read of them."""
ALL_KINDS: Final = frozenset(KINDS) | _PLAIN_KINDS
_TELLTALE: Final = {
    "AccessPolicy": dict.fromkeys(("hosts", "rules")),
    "TokenRevocation": dict.fromkeys(("issuer", "expires")),
}
"""Kinds whose objects deny, and the fields that tell them from the others."""
_TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_METADATA: Final = frozenset(
    {
        "name", "namespace", "labels", "annotations", "creationTimestamp", "deletionTimestamp", "finalizers",
        "deletionGracePeriodSeconds", "generateName", "generation", "managedFields", "ownerReferences",
        "resourceVersion", "selfLink", "uid",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parsed:
    """A checked object."""

    ref: ObjectRef
    created: float
    """`creationTimestamp` in seconds since the epoch; infinity where there is none: such an object is the newest."""
    spec: Spec


@dataclass(frozen=True, slots=True)
class Broken:
    """An object with mistakes. What it says about its scope is kept, so that it can deny that scope."""

    ref: ObjectRef
    created: float
    raw_spec: Mapping[str, Any]
    problems: tuple[Problem, ...]


def parse(raw: object, *, cluster: bool = False) -> Parsed | Broken:
    """Check one object. Its `status` is ignored; unknown fields are mistakes everywhere else.

    With `cluster`, what only a folder takes is a mistake too: then this and an API server with our CRDs agree.
    """
    if not isinstance(raw, dict):
        ref = ObjectRef("", "", "")
        # Not what was found: it may be a Secret that was indented wrongly.
        return Broken(ref, float("inf"), {}, (Problem(ref, (), f"found {kind_of(raw)}, an object is needed"),))
    metadata = raw.get("metadata")
    ref = _ref(raw, metadata if isinstance(metadata, dict) else {})
    created, problems = _envelope(raw, metadata, ref)
    meant = reads_as(raw)
    if meant is not None and meant != ref.kind:
        return _misnamed(meant, raw, ref, created, problems)
    if ref.kind in HELD_KINDS:
        held = read_held(raw, ref)
        if isinstance(held, HeldData) and not problems:
            return Parsed(ref, created, held)
        return Broken(ref, created, {}, (*problems, *(() if isinstance(held, HeldData) else held)))
    if ref.kind == NAMESPACE:
        labels = read_labels(metadata, ref.name)
        if labels is not None and not problems:
            return Parsed(ref, created, labels)
        words = () if labels is not None else (Problem(ref, ("metadata", "labels"), "is no mapping of names to texts"),)
        return Broken(ref, created, {}, (*problems, *words))
    raw_spec = raw.get("spec")
    schema = KINDS.get(ref.kind)
    if schema is None or not isinstance(raw_spec, dict):
        if schema is not None:
            problems.append(Problem(ref, ("spec",), "is missing, and is needed"))
        return Broken(ref, created, {}, tuple(problems))
    raw_spec = without_nulls(raw_spec, field_names(schema))
    written = raw_spec if cluster else _in_full(schema, raw_spec)
    spec, mistakes = _validate(schema, written, ref, CLUSTER if cluster else None)
    problems.extend(mistakes)
    if spec is None or problems:
        return Broken(ref, created, raw_spec, tuple(problems))
    return Parsed(ref, created, spec)


def reads_as(raw: object) -> str | None:
    """Which of the kinds that deny an object is: by its kind, or, under a kind that is wrong, by its fields."""
    if not isinstance(raw, dict):
        return None
    spec, version, kind = raw.get("spec"), raw.get("apiVersion"), raw.get("kind")
    if isinstance(kind, str) and kind in _TELLTALE:
        return kind
    ours = isinstance(version, str) and version.startswith(_GROUP)
    fields = set(spec) if ours and isinstance(spec, dict) else set()
    if fields >= _TELLTALE["AccessPolicy"].keys():
        return "AccessPolicy"
    # An issuer with an `expires` too many is an issuer.
    known = isinstance(kind, str) and kind in ALL_KINDS
    return "TokenRevocation" if not known and fields >= _TELLTALE["TokenRevocation"].keys() else None


def _misnamed(kind: str, raw: Mapping[str, Any], ref: ObjectRef, created: float, problems: list[Problem]) -> Broken:
    """INVARIANT: what denies does not disappear for a typo in `kind`. It keeps its scope, as any broken one."""
    meant = replace(ref, kind=kind, namespace=ref.namespace or "default")
    fields = " and ".join(f"`{name}`" for name in _TELLTALE[kind])
    words = f"found `{shown(raw.get('kind'))}` with {fields}; did you mean `{kind}`?"
    others = (replace(problem, object=meant) for problem in problems if problem.field != ("kind",))
    return Broken(meant, created, raw["spec"], (Problem(meant, ("kind",), words), *others))


def _in_full(schema: type, raw_spec: dict[str, Any]) -> dict[str, Any]:
    """A short form of a folder as a cluster takes it, where a field has one type."""
    named = raw_spec.get("allowedNamespaces")
    if not isinstance(named, dict) or named.keys() != {"selector"} or schema is not ClusterTokenIssuerSpec:
        return raw_spec
    if raw_spec.get("allowedNamespaceSelector") is not None:
        return raw_spec
    return {**raw_spec, "allowedNamespaces": None, "allowedNamespaceSelector": named["selector"]}


def _validate(
    schema: type, raw_spec: dict[str, Any], ref: ObjectRef, context: str | None
) -> tuple[Spec | None, tuple[Problem, ...]]:
    known = field_names(schema)
    try:
        text = json.dumps(without_nulls(raw_spec, known), allow_nan=False)
        return _adapter(schema).validate_json(text, context=context), ()
    except ValidationError as error:
        return None, problems_of(error, ref, known)
    except (TypeError, ValueError) as error:
        return None, (Problem(ref, ("spec",), f"cannot be written as JSON: {error}"),)


def _ref(raw: Mapping[str, Any], metadata: Mapping[str, Any]) -> ObjectRef:
    def text(value: object) -> str:
        return value if isinstance(value, str) else ""

    kind = text(raw.get("kind"))
    namespace = "" if kind in CLUSTER_KINDS or kind == NAMESPACE else text(metadata.get("namespace")) or "default"
    return ObjectRef(kind, namespace, text(metadata.get("name")))


def _envelope(raw: Mapping[str, Any], metadata: object, ref: ObjectRef) -> tuple[float, list[Problem]]:
    """The creation time, and what is wrong outside `spec`."""
    held = ref.kind in _PLAIN_KINDS
    problems = [
        Problem(ref, (str(name),), "unknown field" + closest(str(name), _TOP))
        for name in raw
        if name not in _TOP and not held
    ]
    version = "v1" if held else API_VERSION
    if raw.get("apiVersion") != version:
        problems.append(
            Problem(ref, ("apiVersion",), f"found `{shown(raw.get('apiVersion'))}`, allowed is `{version}`")
        )
    if ref.kind not in ALL_KINDS:
        problems.append(Problem(ref, ("kind",), f"found `{shown(raw.get('kind'))}`" + closest(ref.kind, ALL_KINDS)))
    if not isinstance(metadata, dict):
        return float("inf"), [*problems, Problem(ref, ("metadata",), "is missing, and is needed")]
    problems.extend(
        Problem(ref, ("metadata", str(name)), "unknown field" + closest(str(name), _METADATA))
        for name in metadata
        if name not in _METADATA
    )
    problems.extend(_names(metadata, ref))
    created = metadata.get("creationTimestamp")
    if created is None:
        return float("inf"), problems
    seconds = read_instant(created)
    if seconds is None:
        problems.append(
            Problem(ref, ("metadata", "creationTimestamp"), f"found `{shown(created)}`, allowed is an RFC 3339 time")
        )
    return float("inf") if seconds is None else seconds, problems


def _names(metadata: Mapping[str, Any], ref: ObjectRef) -> list[Problem]:
    problems = []
    for name in ("name", "namespace"):
        value = metadata.get(name)
        if value is None and name == "namespace":
            continue
        try:
            _name_adapter().validate_python(value)
        except ValidationError:
            words = "a name of lower-case letters, digits, `-` and `.` is needed"
            problems.append(Problem(ref, ("metadata", name), f"found `{shown(value)}`, {words}"))
    return problems


@cache
def _adapter(schema: type) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


@cache
def _name_adapter() -> TypeAdapter[str]:
    return TypeAdapter(ObjectName)
