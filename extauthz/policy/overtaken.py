"""Matches to which no request of a host comes, because another policy's prefix takes all that they could.

Within a policy that is a mistake. Across policies it may be what both authors meant, and neither can mend the other: so
it is told, and nothing else comes of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from extauthz.policy.parse import Parsed
from extauthz.policy.problem import FieldPath, Problem
from extauthz.policy.spec import AccessPolicySpec, RuleSpec
from extauthz.policy.unreached import unreached

_Place = tuple[Parsed, int]


def overtaken(objects: Iterable[Parsed]) -> Iterator[Problem]:
    """Each such match, once for each host. Only policies that name the very same host are looked at."""
    by_host: defaultdict[str, list[tuple[_Place, RuleSpec]]] = defaultdict(list)
    for each in sorted(objects, key=lambda item: (item.created, item.ref)):
        if isinstance(each.spec, AccessPolicySpec):
            for host in each.spec.hosts or ():
                by_host[host] += (((each, index), rule) for index, rule in enumerate(each.spec.rules))
    for host, found in sorted(by_host.items()):
        yield from _overtaken(host, [place for place, _ in found], [rule for _, rule in found])


def _overtaken(host: str, places: list[_Place], rules: list[RuleSpec]) -> Iterator[Problem]:
    for each in unreached(rules):
        mine, index = places[int(each.field[0])]
        # One with the same match is told as a conflict, and one that its own policy takes as a mistake.
        if not each.by_prefix or any(places[by][0] is mine for by in each.by_prefix):
            continue
        taker = min(each.by_prefix)
        named = (
            f"the rule `{rules[taker].name}` of {places[taker][0].ref} takes all of them, since a prefix comes first"
        )
        field: FieldPath = ("spec", "rules", index, *each.field[1:])
        yield Problem(
            mine.ref, field, f"no request on `{host}` comes here: {named}; write a prefix here, or narrow that"
        )
