"""What a match is that belongs to a target of Gateway API: the target's own conditions, and a rule's match within."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from extauthz.model.request import RequestView
from extauthz.policy.condition import Condition, HeaderMatch, Part, lacks, read_twice
from extauthz.policy.gateway.target import TargetRef
from extauthz.policy.path import EVERY_PATH, PARAMETER, PathMatch, fits

Missed: TypeAlias = "str | HeaderMatch | PathMatch | Condition"
"""What a request lacks: a method by its name, a header, a path, or a condition of a target."""


class Stage(IntEnum):
    """What stands for one match of a target, in falling precedence."""

    GONE = 0
    """The target is no more: refused."""
    DOUBT = 1
    """Requests of which nobody can tell whether the target takes them: refused."""
    RULE = 2
    """A rule of the policy."""
    CLOSING = 3
    """What no rule of the policy takes: refused, so that it falls to no policy for less."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A rule's own match, within the match of a target."""

    path: PathMatch = EVERY_PATH
    method: str | None = None
    headers: tuple[HeaderMatch, ...] = ()

    @property
    def rank(self) -> tuple[object, ...]:
        """Sorts rules by how much they ask for."""
        path = self.path
        return (path.kind, -len(path.text.replace(PARAMETER, "")), self.method is None, -len(self.headers))

    def misses(self, view: RequestView) -> str | HeaderMatch | PathMatch | None:
        """What of this the request lacks."""
        if self.path != EVERY_PATH and not fits(self.path, view.target.path):
            return self.path
        return lacks(self.method, self.headers, view)


@dataclass(frozen=True, slots=True)
class Within:
    """That a match belongs to a target of Gateway API, and what the target asks for beside host, path and method."""

    target: TargetRef
    created: float
    """When the target was created: of two routes with the same match the older one counts."""
    conditions: tuple[Condition, ...] = ()
    """Sorted."""
    inner: Inner = Inner()
    stage: Stage = Stage.RULE

    @property
    def rank(self) -> tuple[object, ...]:
        """Sorts what has the same number of conditions. A route comes before the Gateway that it is part of."""
        return (self.target.place.kind == "Gateway", self.created, self.target.place, self.stage, self.inner.rank)

    def count(self, part: Part) -> int:
        """How many conditions there are on a part of the request."""
        return sum(condition.part is part for condition in self.conditions)

    def misses(self, view: RequestView) -> str | HeaderMatch | PathMatch | Condition | None:
        """What of this the request lacks."""
        doubtful = self.stage is Stage.DOUBT
        queries = [each for each in self.conditions if each.part is Part.QUERY]
        for condition in self.conditions:
            if not (doubtful and condition.part is Part.QUERY) and not condition.takes(view):
                return condition
        if doubtful and queries and not any(read_twice(view, each.name) for each in queries):
            return queries[0]
        return self.inner.misses(view)
