"""What a source of objects tells: all that there is, then what changes.

The order in which kinds, or objects of a kind, are told never matters: what is in force depends on the set alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

RawObject: TypeAlias = Mapping[str, Any]
"""An object as it was written, with `apiVersion`, `kind` and `metadata`."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Objects of one kind, in one namespace or in all."""

    group: str
    """API group; empty for the core of Kubernetes."""
    version: str
    plural: str
    namespace: str | None = None
    """None: all namespaces, or a kind that belongs to none."""
    name: str | None = None
    """One object alone; then no other need be allowed to be read."""

    @property
    def path(self) -> str:
        """Where the API server has them ("Resource URIs" in Kubernetes' API concepts)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        home = "" if self.namespace is None else f"/namespaces/{self.namespace}"
        return f"{root}{home}/{self.plural}"

    def __str__(self) -> str:
        name = f"{self.plural}.{self.group}" if self.group else self.plural
        name = name if self.name is None else f"{name} `{self.name}`"
        return name if self.namespace is None else f"{name} in namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class Listed:
    """Every object of the kind. What was told before and is not among them is gone."""

    resource: Resource
    objects: Iterable[RawObject]
    """To go through once; raises what a source raises when it cannot go on."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as it is now, new or changed."""

    resource: Resource
    object: RawObject


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object as it was when it went."""

    resource: Resource
    object: RawObject


Event: TypeAlias = Listed | Applied | Deleted
