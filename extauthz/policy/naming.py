"""Which rules name an issuer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from extauthz.model.token import IssuerRef
from extauthz.policy.issuers import named_issuer
from extauthz.policy.parse import Parsed
from extauthz.policy.spec import AccessPolicySpec, RuleSpec


def rules_naming(objects: Iterable[Parsed]) -> Mapping[IssuerRef, list[RuleSpec]]:
    """The rules that take tokens of each issuer; an empty list for one that none names."""
    found: defaultdict[IssuerRef, list[RuleSpec]] = defaultdict(list)
    for each in objects:
        for rule in each.spec.rules if isinstance(each.spec, AccessPolicySpec) else ():
            for named in rule.token.issuers if rule.token is not None else ():
                found[named_issuer(named.kind, named.name, each.ref.namespace)].append(rule)
    return found
