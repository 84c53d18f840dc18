"""`targetRefs`: objects of Gateway API that say for which hosts and paths a policy is, instead of `hosts` (GEP-713)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo

from extauthz.policy.gateway.target import GROUP, Place, TargetRef
from extauthz.policy.incluster import CLUSTER
from extauthz.policy.words import STRICT, ObjectName

NOT_IN_FOLDER: Final = "`targetRefs` is for a central service in a cluster, a folder has no routes; write `hosts`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRefSpec:
    """A Gateway, HTTPRoute or GRPCRoute in the policy's own namespace."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    group: Literal["gateway.networking.k8s.io"] = GROUP
    """API group."""
    kind: Literal["Gateway", "HTTPRoute", "GRPCRoute"]
    """A Gateway stands for all that comes through its listeners, a route for what it matches."""
    name: ObjectName
    """The object's name."""
    section_name: ObjectName | None = None
    """A listener of the Gateway, or a rule of the route that has this `name`; none means all of them."""


def _hold(value: object, info: ValidationInfo) -> object:
    if value is not None and info.context != CLUSTER:
        raise ValueError(NOT_IN_FOLDER)
    return value


TargetRefs: TypeAlias = Annotated[tuple[TargetRefSpec, ...], Field(min_length=1, max_length=16), AfterValidator(_hold)]


def target_of(spec: TargetRefSpec, namespace: str) -> TargetRef:
    """The target that a policy of this namespace names."""
    return TargetRef(Place(spec.kind, namespace, spec.name), spec.section_name or "")


def salvage_targets(raw_spec: Mapping[str, Any], namespace: str) -> Iterator[TargetRef]:
    """The targets of a broken policy that can be read."""
    listed = raw_spec.get("targetRefs")
    for each in listed if isinstance(listed, list) else ():
        try:
            yield target_of(_TARGET.validate_python(each, strict=False), namespace)
        except ValidationError:
            continue


_TARGET: Final = TypeAdapter[TargetRefSpec](TargetRefSpec)
