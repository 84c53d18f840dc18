"""Choosing a rule, in the precedence of Gateway API's HTTPRoute: host, path, method, headers, age, name, order.

Hosts: exact, then the longest wildcard, then `*`. Paths: exact, then the longest prefix, then templates and regular
expressions. Every step but the regular expressions is a dictionary look-up, so the cost hardly grows with the rules.

A policy that targets a route of Gateway API is chosen as that route is: first by the route's match, as Envoy does, then
by the rule's own match within it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_not

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.target import Path, segments
from extauthz.model.verdict import Mode, Refusal
from extauthz.policy.condition import HeaderMatch, Part, lacks
from extauthz.policy.path import PARAMETER, PathKind, PathMatch, compile_regex, narrower
from extauthz.policy.rule import Rule
from extauthz.policy.within import Missed, Stage, Within


@dataclass(frozen=True, slots=True)
class MatchKey:
    """One atomic match."""

    host: str
    path: PathMatch
    method: str | None
    headers: tuple[HeaderMatch, ...]
    """Sorted."""
    within: Within | None = None
    """Of a target; None where the policy names hosts."""

    @property
    def said(self) -> tuple[object, ...]:
        """Equal for two matches that take the same requests, whether a target or the policy itself says so."""
        if self.within is None:
            return (self.host, (self.path,), self.method, self.headers, ())
        inner = self.within.inner
        paths = narrower(self.path, inner.path)
        return (self.host, paths, self.method or inner.method, inner.headers, self.within.conditions)


@dataclass(frozen=True, slots=True)
class Route:
    """An atomic match and the rule it leads to."""

    key: MatchKey
    rule: Rule = field(compare=False)
    age: tuple[float, str, str]
    """When the policy was created, then its namespace and name: the lesser serves."""
    place: tuple[int, int]
    """Which rule of the policy, and which alternative of the rule."""
    greedy: bool = False
    """Methods or headers of a broken policy could not be read: they might have been the most specific ones."""

    @property
    def rank(self) -> tuple[object, ...]:
        """Sorts routes of one path: those that ask for more come first, then those of targets, which are wholly theirs,
        then the older, then as written."""
        key, within = self.key, self.key.within
        headers, queries = len(key.headers), 0
        if within is not None:
            headers, queries = within.count(Part.HEADER), within.count(Part.QUERY)
        own = (1,) if within is None else (0, *within.rank)
        return (not self.greedy, key.method is None, -headers, -queries, own, self.age, self.place)

    def misses(self, view: RequestView) -> Missed | None:
        """What of this route the request lacks, None when it fits; the path is known to."""
        key = self.key
        found = lacks(key.method, key.headers, view)
        return found if found is not None or key.within is None else key.within.misses(view)

    def doubts(self, view: RequestView) -> bool:
        """Whether the request lacks nothing but to have a header once: for some servers one of its values counts."""
        headers = self.key.headers if self.key.within is None else self.key.within.inner.headers
        once = {each.name: (each.value,) for each in headers if each.is_among(view)}
        return (
            bool(once)
            and self.rule.mode is Mode.ENFORCE
            and self.misses(view._replace(headers={**view.headers, **once})) is None
        )

    @property
    def plain(self) -> bool:
        """Whether it says what its author wrote, so that another may say the same."""
        return not self.greedy and (self.key.within is None or self.key.within.stage is Stage.RULE)


@dataclass(slots=True)
class _Node:
    """A node of the tree of templates, one level for each segment."""

    branches: dict[str, _Node] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)


class PathTable:
    """The routes of one host, or of one policy."""

    __slots__ = (
        "_disputed",
        "_exact",
        "_prefix",
        "_regexes",
        "_templates",
        "_unknown",
        "_unknown_pattern",
        "enforcing",
        "routes",
    )

    def __init__(self, routes: Iterable[Route]) -> None:
        by_path: defaultdict[PathMatch, list[Route]] = defaultdict(list)
        self.routes = tuple(routes)
        """All of them, as they came."""
        self.enforcing = frozenset(r.rule.policy for r in self.routes if r.rule.mode is Mode.ENFORCE)
        """The policies among theirs that deny."""
        for route in self.routes:
            by_path[route.key.path].append(route)
        for same in by_path.values():
            same.sort(key=lambda route: route.rank)
        self._exact = {path.text: found for path, found in by_path.items() if path.kind is PathKind.EXACT}
        self._prefix = {path.text: found for path, found in by_path.items() if path.kind is PathKind.PREFIX}
        self._unknown = by_path.get(PathMatch(PathKind.UNKNOWN), [])
        self._unknown_pattern = by_path.get(PathMatch(PathKind.UNKNOWN_PATTERN), [])
        self._templates = _Node()
        for path, found in by_path.items():
            if path.kind is PathKind.TEMPLATE:
                _plant(self._templates, path.text[1:].split("/"), found)
        patterns = sorted(
            (found for path, found in by_path.items() if path.kind is PathKind.REGEX),
            key=lambda found: (-len(found[0].key.path.text), found[0].rank),
        )
        self._regexes = [(compile_regex(found[0].key.path.text), found) for found in patterns]
        of_targets = (
            (pattern, [each for each in found if each.key.within is not None]) for pattern, found in self._regexes
        )
        self._disputed = [(pattern, found) for pattern, found in of_targets if found]

    def find(self, view: RequestView) -> Rule | None:
        """The rule that takes the request, None when there is none.

        INVARIANT: no laxer rule takes a request that some server may take for one of a rule before it.
        """
        doubted: Rule | None = None
        for routes in self.candidates(view.target.path):
            for route in routes:
                missed = route.misses(view)
                if missed is None:
                    found = route.rule if not self._disputed else self._undisputed(view, route)
                    return found if doubted is None or doubted is route.rule else _in_doubt(doubted)
                if doubted is None and isinstance(missed, HeaderMatch) and route.doubts(view):
                    doubted = route.rule
        return None if doubted is None else _in_doubt(doubted)

    def _undisputed(self, view: RequestView, found: Route) -> Rule:
        """The rule found, unless the request may be another policy's by a pattern of its target.

        INVARIANT: Gateway API leaves open whether a regular expression comes before a prefix. Which of the two routes
        Envoy chooses is not known here, so that neither policy may admit the request.
        """
        if found.key.path.kind is PathKind.EXACT:
            return found.rule
        for pattern, routes in self._disputed:
            for other in routes if pattern.fullmatch(view.target.path) is not None else ():
                if not _together(other, found) and other.misses(view) is None:
                    return _in_dispute(found.rule, other)
        return found.rule

    def candidates(self, path: Path) -> Iterator[list[Route]]:
        """Lists of routes whose path fits, in falling precedence."""
        if self._unknown:
            yield self._unknown
        if path in self._exact:
            yield self._exact[path]
        if self._prefix:
            yield from _prefixes(self._prefix, path)
        if self._unknown_pattern:
            yield self._unknown_pattern
        if self._templates.branches:
            found = list(_grown(self._templates, segments(path), 0))
            yield from sorted(found, key=lambda routes: (-_literal_length(routes), routes[0].rank))
        for pattern, routes in self._regexes:
            if pattern.fullmatch(path) is not None:
                yield routes


def _together(one: Route, other: Route) -> bool:
    """Whether two routes are of one policy, or of one target."""
    mine, theirs = one.key.within, other.key.within
    return one.rule.policy == other.rule.policy or (
        mine is not None and theirs is not None and mine.target.place == theirs.target.place
    )


def _in_dispute(rule: Rule, other: Route) -> Rule:
    pattern = other.key.path.text
    words = (
        f"{rule.policy} takes it, and {other.rule.policy} too by the regular expression `{pattern}` of its target; "
        "which of the routes comes first is not defined: give one of them an exact path, or another host"
    )
    return Rule(policy=rule.policy, name=rule.name, refuses=Refusal(Reason.REQUEST_MALFORMED, words, at=Step.RULE))


def _in_doubt(rule: Rule) -> Rule:
    words = f"a header came more than once, and with one of its values the request is for {rule.policy} {rule.name}"
    refusal = Refusal(Reason.REQUEST_MALFORMED, f"{words}: send it once", at=Step.RULE)
    return Rule(policy=rule.policy, name=rule.name, refuses=refusal)


def _prefixes(known: Mapping[str, list[Route]], path: str) -> Iterator[list[Route]]:
    """The routes of every prefix of a path by whole segments, the longest first."""
    while path:
        if path in known:
            yield known[path]
        path = path[: path.rfind("/")]
    if "/" in known:
        yield known["/"]


def _plant(node: _Node, parts: list[str], routes: list[Route]) -> None:
    for part in parts:
        node = node.branches.setdefault(part, _Node())
    node.routes = routes


def _grown(node: _Node, parts: list[str], depth: int) -> Iterator[list[Route]]:
    if depth == len(parts):
        if node.routes:
            yield node.routes
        return
    part = parts[depth]
    for name in (part, PARAMETER) if part else (part,):
        branch = node.branches.get(name)
        if branch is not None:
            yield from _grown(branch, parts, depth + 1)


def _literal_length(routes: list[Route]) -> int:
    return len(routes[0].key.path.text.replace(PARAMETER, ""))


def _kept(table: PathTable | None, routes: list[Route]) -> PathTable | None:
    # Equal ones are not enough: a route is equal to one that leads to another rule.
    same = table is not None and len(table.routes) == len(routes) and not any(map(is_not, table.routes, routes))
    return table if same else None


class HostTable:
    """The routes of all hosts."""

    __slots__ = ("_any", "_exact", "_wildcard", "by_host")

    def __init__(
        self, routes: Iterable[Route], last: HostTable | None = None, touched: Container[str] = frozenset()
    ) -> None:
        """`routes` are those of the hosts that are `touched`; the others keep their table of `last`. A host whose
        routes are the very same keeps it, too."""
        grouped: defaultdict[str, list[Route]] = defaultdict(list)
        for route in routes:
            grouped[route.key.host].append(route)
        before: Mapping[str, PathTable] = {} if last is None else last.by_host
        tables = {host: table for host, table in before.items() if host not in touched}
        tables |= {host: _kept(before.get(host), found) or PathTable(found) for host, found in grouped.items()}
        self.by_host: Mapping[str, PathTable] = dict(tables)
        self._any = tables.pop("*", None)
        self._wildcard = {host[2:]: table for host, table in tables.items() if host.startswith("*.")}
        self._exact = {host: table for host, table in tables.items() if not host.startswith("*.")}

    def find(self, view: RequestView) -> Rule | None:
        """The rule that takes the request, None when there is none."""
        for table in self.candidates(view.host):
            rule = table.find(view)
            if rule is not None:
                return rule
        return None

    def candidates(self, host: str) -> Iterator[PathTable]:
        """The routes of each host that the request's could be, in falling precedence."""
        if host in self._exact:
            yield self._exact[host]
        if self._wildcard:
            parent = host
            while "." in parent:
                parent = parent.partition(".")[2]
                if parent in self._wildcard:
                    yield self._wildcard[parent]
        if self._any is not None:
            yield self._any
