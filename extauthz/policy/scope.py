"""The requests that a policy speaks for: read strictly from a good one, and as far as it can be read from a broken one.

INVARIANT: a broken policy keeps at least the scope that it would have if it were mended. What cannot be read is taken
for whatever could have stood there, so breaking a policy never hands its requests to another, laxer one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from extauthz.model.target import Malformed, parse_host
from extauthz.policy.condition import HeaderMatch
from extauthz.policy.match import MatchKey
from extauthz.policy.path import EVERY_PATH, PathKind, PathMatch, exact, prefix, regex, template
from extauthz.policy.spec import MatchSpec, PathSpec, RuleSpec
from extauthz.policy.words import HostPattern, Label

_UNKNOWN = PathMatch(PathKind.UNKNOWN)
_UNKNOWN_PATTERN = PathMatch(PathKind.UNKNOWN_PATTERN)
_KNOWN_IN_MATCH = frozenset(field.name for field in fields(MatchSpec))
_KNOWN_IN_RULE = frozenset(field.name for field in fields(RuleSpec))
_MATCH = TypeAdapter[MatchSpec](MatchSpec)
_PATH = TypeAdapter[PathSpec](PathSpec)
_HOST = TypeAdapter[str](HostPattern)
_NAME = TypeAdapter[str](Label)


def path_match(spec: PathSpec | None) -> PathMatch:
    """The match that a checked path spec means."""
    match spec:
        case None:
            return EVERY_PATH
        case PathSpec(exact=str(text)):
            return exact(text)
        case PathSpec(prefix=str(text)):
            return prefix(text)
        case PathSpec(template=str(text)):
            return template(text)
        case PathSpec(regex=str(text)):
            return regex(text)
        case _:
            raise AssertionError("a path spec has exactly one member")


def keys_of(host: str, spec: MatchSpec, path: PathMatch) -> Iterator[MatchKey]:
    """The atomic matches of one alternative on one host."""
    for method in spec.methods or (None,):
        yield MatchKey(host, path, method, headers_of(spec))


def headers_of(spec: MatchSpec) -> tuple[HeaderMatch, ...]:
    """The headers of one alternative."""
    return tuple(sorted(HeaderMatch(header.name, header.exact or "") for header in spec.headers))


@dataclass(frozen=True, slots=True)
class Salvaged:
    """One atomic match of a broken policy."""

    rule: int
    """Index of the rule it stands in."""
    key: MatchKey
    greedy: bool
    """Whether something beside the path could not be read."""


def salvage(raw_spec: Mapping[str, Any]) -> Iterator[Salvaged]:
    """The atomic matches of a broken policy, as wide as they could have been."""
    for host in _salvage_hosts(raw_spec.get("hosts")):
        for index, part in salvage_rules(raw_spec):
            for method in part.methods or (None,):
                yield Salvaged(index, MatchKey(host, part.path, method, part.headers), part.greedy)


def salvage_rules(raw_spec: Mapping[str, Any]) -> Iterator[tuple[int, SalvagedMatch]]:
    """What could be read of each alternative, with the index of its rule."""
    rules = raw_spec.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) and rules else [None]):
        for part in _salvage_rule(rule):
            yield index, part


def salvage_name(raw_spec: Mapping[str, Any], index: int) -> str:
    """What a rule of a broken policy is called: as its author says, where that can be read, or by its place."""
    rules = raw_spec.get("rules")
    rule = rules[index] if isinstance(rules, list) and index < len(rules) else None
    try:
        return _NAME.validate_python(rule.get("name") if isinstance(rule, dict) else None)
    except ValidationError:
        return f"rule-{index}"


@dataclass(frozen=True, slots=True)
class SalvagedMatch:
    """What could be read of one alternative; by default nothing."""

    path: PathMatch = _UNKNOWN
    methods: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    greedy: bool = True


def _salvage_hosts(hosts: object) -> Iterator[str]:
    """The hosts that can be read; one with a port or in upper case still says which host it means."""
    read = map(_read_host, hosts if isinstance(hosts, list) else ())
    yield from dict.fromkeys(host for host in read if host is not None)


def _read_host(host: object) -> str | None:
    try:
        return _HOST.validate_python(host)
    except ValidationError:
        try:
            return parse_host(host) if isinstance(host, str) else None
        except Malformed:
            return None


def names_targets(raw_spec: object) -> bool:
    """Whether a policy says its scope by `targetRefs`."""
    return isinstance(raw_spec, dict) and raw_spec.get("targetRefs") is not None and raw_spec.get("hosts") is None


def tells_hosts(raw_spec: object) -> bool:
    """Whether every host that a policy speaks for can be read. Of one that passes `parse` it always can."""
    hosts = raw_spec.get("hosts") if isinstance(raw_spec, dict) else None
    return isinstance(hosts, list) and bool(hosts) and all(_read_host(host) is not None for host in hosts)


def _salvage_rule(rule: object) -> list[SalvagedMatch]:
    if not isinstance(rule, dict):
        return [SalvagedMatch()]
    if "match" not in rule:
        # A rule without `match` takes every path. Where it is misspelt, or little is left of the rule, nobody knows.
        unknown = [str(name).lower() for name in rule if name not in _KNOWN_IN_RULE]
        lost = "name" not in rule or bool(get_close_matches("match", unknown, n=1, cutoff=0.5))
        return [SalvagedMatch() if lost else SalvagedMatch(EVERY_PATH, greedy=False)]
    alternatives = rule["match"]
    if not isinstance(alternatives, list):
        return [SalvagedMatch()]
    return [_salvage_alternative(raw) for raw in alternatives] or [SalvagedMatch(EVERY_PATH, greedy=False)]


def _salvage_alternative(raw: object) -> SalvagedMatch:
    try:
        spec = _MATCH.validate_json(_json(raw))
        return SalvagedMatch(path_match(spec.path), spec.methods, headers_of(spec), greedy=False)
    except ValidationError:
        pass
    if not isinstance(raw, dict) or ("path" not in raw and not raw.keys() <= _KNOWN_IN_MATCH):
        return SalvagedMatch()
    return SalvagedMatch(_salvage_path(raw.get("path")))


def _salvage_path(raw: object) -> PathMatch:
    if raw is None:
        return EVERY_PATH
    try:
        return path_match(_PATH.validate_json(_json(raw)))
    except ValidationError:
        pattern = isinstance(raw, dict) and len(raw) == 1 and raw.keys() <= {"template", "regex"}
        return _UNKNOWN_PATTERN if pattern else _UNKNOWN


def _json(raw: object) -> str:
    """The validators read JSON, where a list is a list and not yet a tuple."""
    return json.dumps(raw, default=str)
