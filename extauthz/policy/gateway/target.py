"""The name of a target: an object of Gateway API, or a section of one, in the namespace of the policy (GEP-713)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = "gateway.networking.k8s.io"
VERSION: Final = "v1"
TARGET_KINDS: Final = ("Gateway", "HTTPRoute", "GRPCRoute")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an object of Gateway API stands."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class TargetRef:
    """A target."""

    place: Place
    section: str = ""
    """A listener of a Gateway or a named rule of a route; empty for all of it."""

    def __str__(self) -> str:
        return f"{self.place}, section {self.section}" if self.section else str(self.place)
