"""Matches that open what another policy keeps closed: they come first, and ask for no token.

Whoever writes `anonymous: true` for one path, or tries a policy out in Shadow mode, may not know that another policy of
the host, in another file and of other people, asks for a token there. That may be meant: so it is told, and nothing
else comes of it. Only exact paths and prefixes are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from extauthz.model.verdict import Mode
from extauthz.policy.grants import covers
from extauthz.policy.parse import Parsed
from extauthz.policy.path import PathKind, PathMatch
from extauthz.policy.problem import FieldPath, ObjectRef, Problem
from extauthz.policy.scope import headers_of, path_match
from extauthz.policy.spec import AccessPolicySpec, MatchSpec

_PLAIN = frozenset({PathKind.EXACT, PathKind.PREFIX})


@dataclass(frozen=True, slots=True)
class _Match:
    """One match of one rule on one host."""

    policy: ObjectRef
    rule: str
    where: FieldPath
    host: str
    path: PathMatch
    methods: frozenset[str]
    """Empty for every method."""
    headers: int
    """How many it asks for."""
    lax: str
    """Why it admits without a token; empty where it does not."""


def opened(objects: Iterable[Parsed]) -> Iterator[Problem]:
    """Each such match, once for each host, with the first rule that it opens."""
    every = [match for each in sorted(objects, key=lambda item: (item.created, item.ref)) for match in _matches(each)]
    strict = [match for match in every if not match.lax]
    for mine in every:
        other = next((each for each in strict if mine.lax and _comes_first(mine, each)), None)
        if other is not None:
            asked = f"the rule `{other.rule}` of {other.policy} asks for a token"
            words = f"{mine.lax} what comes here on `{mine.host}`, where else {asked}; is that meant?"
            yield Problem(mine.policy, mine.where, words)


def _matches(each: Parsed) -> Iterator[_Match]:
    spec = each.spec
    if not isinstance(spec, AccessPolicySpec):
        return
    for index, rule in enumerate(spec.rules):
        lax = "admits without a token" if rule.anonymous else ""
        if spec.mode is Mode.SHADOW:
            lax = "admits whatever is decided (`mode: Shadow`)"
        for place, match in enumerate(rule.match or (MatchSpec(),)):
            path = path_match(match.path)
            where: FieldPath = ("spec", "rules", index, *(("match", place) if rule.match else ()))
            if path.kind in _PLAIN:
                for host in spec.hosts or ():
                    methods, headers = frozenset(match.methods or ()), len(headers_of(match))
                    yield _Match(each.ref, rule.name, where, host, path, methods, headers, lax)


def _comes_first(mine: _Match, other: _Match) -> bool:
    """Whether some request that the other's policy would ask for a token is taken by this match."""
    if mine.policy == other.policy or (mine.methods and other.methods and mine.methods.isdisjoint(other.methods)):
        return False
    if mine.host == other.host:
        if mine.path == other.path:
            return (bool(mine.methods), mine.headers) > (bool(other.methods), other.headers)
        return other.path.kind is PathKind.PREFIX and _holds(other.path, mine.path)
    return covers(other.host, mine.host) and (_holds(other.path, mine.path) or _holds(mine.path, other.path))


def _holds(outer: PathMatch, inner: PathMatch) -> bool:
    """Whether all paths of the one are paths of the other."""
    if outer.kind is PathKind.EXACT:
        return outer == inner
    return outer.text == "/" or f"{inner.text}/".startswith(f"{outer.text}/")
