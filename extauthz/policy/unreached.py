"""Matches that no request comes to, because another rule of the same policy takes all that they could.

Whoever writes a stricter rule for `/users/{id}/keys` beside one for the prefix `/` means the stricter one to be asked.
A prefix comes first, though, and of two rules with the same match the one written first: without a word, nobody knows.

INVARIANT: what such a match was to take is refused by the rule that takes it, which was not meant for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz.policy.path import EVERY_PATH, PARAMETER, PathKind, PathMatch
from extauthz.policy.problem import FieldPath
from extauthz.policy.rule import Hidden
from extauthz.policy.scope import headers_of, path_match
from extauthz.policy.spec import MatchSpec, RuleSpec

_PLAIN: Final = re.compile(r"\^?(/[A-Za-z0-9/_~-]*)([?*{]?)", re.ASCII)
"""The begin of a pattern that stands for itself, and whether its last character may come any number of times."""


@dataclass(frozen=True, slots=True)
class Unreached:
    """A match that no request comes to."""

    field: FieldPath
    """Where it stands, below the rules."""
    words: str
    hidden: tuple[tuple[int, Hidden], ...]
    """What the rules of these indexes take, and it was to take."""
    by_prefix: tuple[int, ...]
    """The rules whose prefix comes first, and takes all of it; none where the same match does."""


def unreached(rules: Sequence[RuleSpec]) -> Iterator[Unreached]:
    """Where such matches stand, and why nothing comes to them."""
    first: dict[object, int] = {}
    taken: dict[tuple[PathMatch, str | None], int] = {}
    for index, rule in enumerate(rules):
        for match in rule.match or (MatchSpec(),):
            path, headers = path_match(match.path), headers_of(match)
            for method in match.methods or (None,):
                first.setdefault((path, method, headers), index)
                if not headers and path.kind is PathKind.PREFIX:
                    taken.setdefault((path, method), index)
    for index, rule in enumerate(rules):
        for place, match in enumerate(rule.match or (MatchSpec(),)):
            path, headers, methods = path_match(match.path), headers_of(match), match.methods or (None,)
            where: FieldPath = (index, "match", place) if rule.match else (index,)
            others = [first[path, method, headers] for method in methods]
            if len(set(others)) == 1 and index not in others:
                words = f"the rule `{rules[others[0]].name}` has the same match, and is first"
                yield _unreached(rule, where, words, match, others)
            before = _before(path, methods, taken)
            if before and before[0] != index:
                words = f"the rule `{rules[before[0]].name}` takes all of them, since a prefix comes first"
                mend = "; narrow the match there, or write a prefix here"
                by = (each for each in _on_the_way(path, methods, rules) if each != index)
                yield _unreached(rule, where, words + mend, match, by, tuple(before))


def _unreached(
    rule: RuleSpec, where: FieldPath, why: str, match: MatchSpec, by: Iterable[int], by_prefix: tuple[int, ...] = ()
) -> Unreached:
    words = f"no request comes here: {why}"
    headers = headers_of(match)
    hidden = [Hidden(path_match(match.path), method, headers, rule.name, words) for method in match.methods or (None,)]
    return Unreached(where, words, tuple((index, each) for index in dict.fromkeys(by) for each in hidden), by_prefix)


def _before(
    path: PathMatch, methods: Sequence[str | None], taken: dict[tuple[PathMatch, str | None], int]
) -> list[int]:
    """The rules whose prefix takes all that a template or pattern does, one a method; none where some is left."""
    for prefix in _prefixes(path):
        found = [taken.get((prefix, None), taken.get((prefix, method))) for method in methods]
        by = [each for each in found if each is not None]
        if len(by) == len(methods):
            return by
    return []


def _on_the_way(path: PathMatch, methods: Sequence[str | None], rules: Sequence[RuleSpec]) -> Iterator[int]:
    """The rules whose prefix takes something that a template or pattern does, under whatever other condition."""
    prefixes = set(_prefixes(path))
    for index, rule in enumerate(rules):
        for match in rule.match or (MatchSpec(),):
            apart = match.methods and None not in methods and not set(match.methods) & set(methods)
            if path_match(match.path) in prefixes and not apart:
                yield index


def _prefixes(path: PathMatch) -> Iterator[PathMatch]:
    """The prefixes that hold every path of a template or pattern, as far as it tells, the longest first."""
    match path.kind:
        case PathKind.TEMPLATE:
            head = path.text.partition(f"/{PARAMETER}")[0]
        case PathKind.REGEX:
            found = None if "|" in path.text or "(?" in path.text else _PLAIN.match(path.text)
            plain = "" if found is None else found[1][:-1] if found[2] else found[1]
            head = plain.rpartition("/")[0]
        case _:
            return
    while head:
        yield PathMatch(PathKind.PREFIX, head)
        head = head.rpartition("/")[0]
    yield EVERY_PATH
