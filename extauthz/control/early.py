"""TokenRevocations that are over before the tokens that they revoke: these are good again for the rest of their time.

Told only of those that say `issuedBefore`. Of the others nobody knows when the last such token was issued.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from extauthz.control.moments import exact
from extauthz.model.time import Instant, format_duration
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.issuers import issuer_ref, named_issuer
from extauthz.policy.naming import rules_naming
from extauthz.policy.parse import Parsed
from extauthz.policy.problem import Problem
from extauthz.policy.revocation import TokenRevocationSpec, instant_of
from extauthz.policy.spec import RuleSpec


def over_too_early(objects: Iterable[Parsed]) -> Iterator[Problem]:
    """Each such revocation, and until when it is needed."""
    objects = tuple(objects)
    issuers = {issuer_ref(each.ref): each.spec for each in objects if isinstance(each.spec, TokenIssuerSpec)}
    rules = rules_naming(objects)
    for each in objects:
        spec = each.spec
        if not isinstance(spec, TokenRevocationSpec) or spec.issued_before is None:
            continue
        ref = named_issuer(spec.issuer.kind, spec.issuer.name, each.ref.namespace)
        issuer = issuers.get(ref)
        if issuer is None or issuer.introspection is not None:
            continue
        lives = _longest(issuer, rules[ref]) + issuer.clock_skew
        last = Instant(instant_of(spec.issued_before) + lives)
        if instant_of(spec.expires) < last:
            words = (
                f"is before the last of these tokens has expired, which are good again then: {ref} lets them live for"
                f" {format_duration(lives)} with `clockSkew`; write `{exact(last)}`"
            )
            yield Problem(each.ref, ("spec", "expires"), words)


def _longest(issuer: TokenIssuerSpec, rules: Sequence[RuleSpec]) -> float:
    """How long a token of the issuer may live that some rule takes."""
    tightened = [rule.token.max_lifetime for rule in rules if rule.token is not None]
    if not tightened or None in tightened:
        return issuer.max_lifetime
    return min(issuer.max_lifetime, max(each for each in tightened if each is not None))
