"""Objects, good and bad, that a Kubernetes API server with our definitions and `extauthz lint` must judge alike.

Each bad one has one mistake; it says in which field, and some words of the message where both have the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.building import obj

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One object and its verdict."""

    title: str
    object: Mapping[str, Any]
    field: str | None = None
    """Where its mistake is; None for a good object."""
    words: str = ""
    """What both say about it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one kind, made by changing a good spec."""

    kind: str
    good: Spec
    rows: list[Row] = field(default_factory=list)

    def holds(self, title: str, **changes: Any) -> None:
        """A good object."""
        self.rows.append(Row(title, obj(self.kind, "under-test", self.good | changes)))

    def breaks(self, title: str, field: str, words: str = "", /, **changes: Any) -> None:
        """A bad one."""
        self.rows.append(Row(title, obj(self.kind, "under-test", self.good | changes), field, words))
