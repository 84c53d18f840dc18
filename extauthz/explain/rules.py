"""Why this rule and no other: the rules that the request might have been for, the closest first.

A rule has a route for each host, path and method that it names. It is told by the one that comes closest: one that
fits and was outranked, one that lacks a header, the method, the path, and last one for another host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, assert_never

from extauthz.explain.story import ToldRule
from extauthz.model.request import RequestView
from extauthz.model.verdict import PolicyRef
from extauthz.policy.condition import Condition, HeaderMatch, Part
from extauthz.policy.match import MatchKey, Route
from extauthz.policy.path import PathKind, PathMatch
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.within import Inner, Stage, Within

MOST: Final = 50
"""How many rules are told."""

_KINDS: Final = {
    PathKind.UNKNOWN: "a path that cannot be read",
    PathKind.EXACT: "exact",
    PathKind.PREFIX: "prefix",
    PathKind.UNKNOWN_PATTERN: "a pattern that cannot be read",
    PathKind.TEMPLATE: "template",
    PathKind.REGEX: "regex",
}


class _Distance(IntEnum):
    """How far a route is from taking the request."""

    TAKEN = 0
    OUTRANKED = 1
    HEADER = 2
    METHOD = 3
    PATH = 4
    HOST = 5


@dataclass(frozen=True, slots=True)
class _Near:
    """A route, and what keeps it from taking the request."""

    distance: _Distance
    route: Route
    why: str


def tell_rules(view: RequestView, snapshot: Snapshot) -> tuple[tuple[ToldRule, ...], int]:
    """The rules closest to the request, at most MOST, and how many more there are."""
    nearest: dict[tuple[PolicyRef, str], _Near] = {}
    for near in _all(view, snapshot):
        name = (near.route.rule.policy, near.route.rule.name)
        if name not in nearest or near.distance < nearest[name].distance:
            nearest[name] = near
    ordered = sorted(nearest.values(), key=lambda near: near.distance)
    return tuple(map(_told, ordered[:MOST])), max(0, len(ordered) - MOST)


def _all(view: RequestView, snapshot: Snapshot) -> Iterator[_Near]:
    """Every route, those that fit first and in falling precedence."""
    taken: Route | None = None
    told: set[int] = set()
    tables = tuple(snapshot.tables(view))
    for route in (route for table in tables for routes in table.candidates(view.target.path) for route in routes):
        told.add(id(route))
        near = _near(view, route, taken)
        taken = route if near.distance is _Distance.TAKEN else taken
        yield near
    for route in (route for table in tables for route in table.routes if id(route) not in told):
        told.add(id(route))
        yield _Near(_Distance.PATH, route, "its path is another")
    for route in (route for routes in snapshot.policies.values() for route in routes if id(route) not in told):
        yield _Near(_Distance.HOST, route, _elsewhere(view, route))


def _near(view: RequestView, route: Route, taken: Route | None) -> _Near:
    match route.misses(view):
        case None if taken is None:
            return _Near(_Distance.TAKEN, route, "")
        case None if taken is not None and taken.rule is not route.rule:
            return _Near(_Distance.OUTRANKED, route, _outranked(view, route, taken))
        case None:
            return _Near(_Distance.OUTRANKED, route, "")
        case HeaderMatch(name=name, value=value):
            wanted = f"`{name}` with the value that the rule names, once" if value else f"`{name}`"
            return _Near(_Distance.HEADER, route, f"the request lacks the header {wanted}")
        case Condition(part=part, name=name):
            what = "header" if part is Part.HEADER else "query parameter"
            return _Near(_Distance.HEADER, route, f"its target takes another value of the {what} `{name}`")
        case PathMatch():
            return _Near(_Distance.PATH, route, "its target takes the path, and the rule another one")
        case method:
            return _Near(_Distance.METHOD, route, f"it takes `{method}`, the request is `{view.method}`")


def _outranked(view: RequestView, route: Route, taken: Route) -> str:
    """By what the rule that decides comes first (Gateway API, HTTPRoute precedence)."""
    mine, theirs = route.key, taken.key
    if mine.host != theirs.host and view.pinned_policy is None:
        return f"it fits, but the host `{theirs.host}` is closer than `{mine.host}`"
    if mine.path != theirs.path:
        return f"it fits, but its path is less specific: {_path(mine.path)} comes after {_path(theirs.path)}"
    if taken.greedy and not route.greedy:
        return f"it fits, but {taken.rule.policy} is broken and might have asked for more"
    if mine.method is None and theirs.method is not None:
        return "it fits, but it names no method"
    if _asked(mine) < _asked(theirs):
        return "it fits, but it asks for fewer headers or query parameters"
    if theirs.within is not None and mine.within != theirs.within:
        return f"it fits, but not as closely as {_of_target(theirs.within)}"
    if route.age[0] != taken.age[0]:
        return f"it fits, but its policy is younger than {taken.rule.policy}"
    if route.rule.policy != taken.rule.policy:
        return f"it fits, but its policy comes after {taken.rule.policy} by name"
    return f"it fits, but stands after `{taken.rule.name}` in the policy"


def _elsewhere(view: RequestView, route: Route) -> str:
    if view.pinned_policy is not None:
        return f"the route pins the policy `{view.pinned_policy[:200]}`"
    return f"it is for the host `{route.key.host}`"


def _told(near: _Near) -> ToldRule:
    rule: Rule = near.route.rule
    return ToldRule(
        policy=str(rule.policy),
        rule=rule.name,
        taken=near.distance is _Distance.TAKEN,
        matches=_matches(near.route),
        why=near.why,
        broken=rule.broken or "",
    )


def _matches(route: Route) -> str:
    key, within = route.key, route.key.within
    asked_for = "".join(f", header `{header.name}`" for header in key.headers)
    if within is None:
        return f"{key.method or 'every method'}, {_path(key.path)} on {key.host}{asked_for}"
    asked_for = "".join(f", {each.part.name.lower()} `{each.name}`" for each in within.conditions)
    inner = "".join(f", header `{header.name}`" for header in within.inner.headers)
    own = within.inner.method or "every method", _path(within.inner.path)
    whole = f"{key.method or 'every method'}, {_path(key.path)} on {key.host}{asked_for}, from {within.target}"
    return whole if within.inner == Inner() else f"{own[0]}, {own[1]}{inner} within {whole}"


def _asked(key: MatchKey) -> tuple[int, int]:
    """How many headers and query parameters a match asks for."""
    within = key.within
    return (len(key.headers), 0) if within is None else (within.count(Part.HEADER), within.count(Part.QUERY))


def _of_target(within: Within) -> str:
    """What a route of a target stands for."""
    match within.stage:
        case Stage.GONE:
            return f"what {within.target} took before it was gone"
        case Stage.DOUBT:
            return f"what {within.target} may take"
        case Stage.CLOSING:
            return f"{within.target}, of which its policy takes no more"
        case Stage.RULE:
            return f"a rule within {within.target}"
        case _:
            assert_never(within.stage)


def _path(path: PathMatch) -> str:
    if path.kind is PathKind.PREFIX and path.text == "/":
        return "every path"
    return f"{_KINDS[path.kind]} `{path.text}`" if path.text else _KINDS[path.kind]
