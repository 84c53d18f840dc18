"""Which rules name an issuer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from extauthz.model.token import IssuerRef
from extauthz.policy.parse import CLUSTER_KINDS, Parsed
from extauthz.policy.spec import AccessPolicySpec, RuleSpec


def rules_naming(objects: Iterable[Parsed]) -> Mapping[IssuerRef, list[RuleSpec]]:
    """The rules that take tokens of each issuer; an empty list for one that none names."""
    found: defaultdict[IssuerRef, list[RuleSpec]] = defaultdict(list)
    for each in objects:
        for rule in each.spec.rules if isinstance(each.spec, AccessPolicySpec) else ():
            for named in rule.token.issuers if rule.token is not None else ():
                namespace = "" if named.kind in CLUSTER_KINDS else each.ref.namespace
                found[IssuerRef(named.kind, namespace, named.name)].append(rule)
    return found
