"""Matches that no request comes to, because another rule of the same policy takes all that they could.

Whoever writes a stricter rule for `/users/{id}/keys` beside one for the prefix `/` means the stricter one to be asked.
A prefix comes first, though, and of two rules with the same match the one written first: without a word, nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from extauthz.policy.path import EVERY_PATH, PARAMETER, PathKind, PathMatch
from extauthz.policy.problem import FieldPath
from extauthz.policy.scope import headers_of, path_match
from extauthz.policy.spec import MatchSpec, RuleSpec

_PLAIN: Final = re.compile(r"\^?(/[A-Za-z0-9/_~-]*)([?*{]?)", re.ASCII)
"""The begin of a pattern that stands for itself, and whether its last character may come any number of times."""


def unreached(rules: Sequence[RuleSpec]) -> Iterator[tuple[FieldPath, str]]:
    """Where such matches stand, below the rules, and why nothing comes to them."""
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
            others = {first[path, method, headers] for method in methods}
            if len(others) == 1 and index not in others:
                yield (
                    where,
                    f"no request comes here: the rule `{rules[others.pop()].name}` has the same match, and is first",
                )
            before = _before(path, methods, taken)
            if before is not None and before != index:
                words = f"the rule `{rules[before].name}` takes all of them, since a prefix comes first"
                yield where, f"no request comes here: {words}; narrow the match there, or write a prefix here"


def _before(
    path: PathMatch, methods: Sequence[str | None], taken: dict[tuple[PathMatch, str | None], int]
) -> int | None:
    """The rule whose prefix takes all that a template or pattern does."""
    for prefix in _prefixes(path):
        found = [taken.get((prefix, None), taken.get((prefix, method))) for method in methods]
        if found[0] is not None and None not in found:
            return found[0]
    return None


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
