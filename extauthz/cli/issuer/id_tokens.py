"""TokenIssuers that take ID tokens (OpenID Connect Core 1.0, section 2) for access tokens: told for a lint's notes.

A provider signs both with the same keys. What keeps ID tokens out is the audience, the type, or a claim that they lack.
Told is only what is beyond doubt: whose tokens these are, an audience that its ID tokens have, and that nothing which
the issuer demands, or one of the rules that name it, is a claim that they may lack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import yaml

from extauthz.cli.issuer.providers import PROVIDERS, IdTokens, Provider
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.issuers import issuer_ref
from extauthz.policy.naming import rules_naming
from extauthz.policy.parse import Parsed
from extauthz.policy.problem import Problem
from extauthz.policy.spec import RequireSpec, RuleSpec

_STANDARD: Final = frozenset(
    {
        "iss", "sub", "aud", "exp", "iat", "nbf", "auth_time", "acr", "amr", "sid",
        "name", "email", "email_verified", "preferred_username", "roles", "groups",
    }
)  # fmt: skip
"""Claims that ID tokens may have, whoever issues them. `nonce` and `at_hash` are not among them: whoever demands one
wants ID tokens."""
_TYPES: Final = frozenset({"jwt", "absent"})
"""What ID tokens have for `typ`, in lower case."""


def id_tokens_let_in(objects: Iterable[Parsed]) -> Iterator[Problem]:
    """Each TokenIssuer that takes ID tokens, and how to keep them out."""
    objects = tuple(objects)
    rules = rules_naming(objects)
    for each in objects:
        if isinstance(each.spec, TokenIssuerSpec):
            naming = rules[issuer_ref(each.ref)]
            known = next((known for known in PROVIDERS.values() if _lets_in(each.spec, known, naming)), None)
            if known is not None:
                field, words = _fence(known)
                mend = f"write {words}, which only its access tokens have"
                yield Problem(
                    each.ref, ("spec", field), f"takes ID tokens of {known.title.partition(',')[0]}, too: {mend}"
                )


def _lets_in(spec: TokenIssuerSpec, provider: Provider, rules: Sequence[RuleSpec]) -> bool:
    known = provider.id_tokens
    if known is None or spec.keys is None or _TYPES.isdisjoint(each.lower() for each in spec.token_types):
        return False
    if not any(re.fullmatch(known.known_by, text) for text in (*_issuers(spec), *_mapped(spec))):
        return False
    demanded = {*spec.required_claims, *spec.claim_present, *spec.claim_equals, *spec.claim_flags}
    if spec.subject_pattern is not None or not demanded <= _STANDARD | known.common:
        return False
    open_to = [rule.token.audiences for rule in rules if rule.token and not _keeps_out(rule.require, spec, known)]
    wanted = [each or spec.audiences for each in (open_to if rules else [()])]
    return any(re.fullmatch(known.audience, audience) for each in wanted for audience in each)


def _keeps_out(require: RequireSpec | None, spec: TokenIssuerSpec, known: IdTokens) -> bool:
    """Whether a rule demands what ID tokens may lack, and of a `cel` nobody can tell."""
    if require is None:
        return False
    common = _STANDARD | known.common
    scoped = bool(require.scopes) and common.isdisjoint(spec.mapping.scope)
    return scoped or require.cel is not None or any(each.claim not in common for each in require.claims)


def _issuers(spec: TokenIssuerSpec) -> Iterator[str]:
    yield from (each for each in (spec.named, *spec.issuer_aliases) if each is not None)
    before, _, rest = (spec.issuer_template or "").partition("{")
    for tenant in spec.tenants:
        yield before + tenant + rest.partition("}")[2]


def _mapped(spec: TokenIssuerSpec) -> Iterator[str]:
    mapping = spec.mapping
    for paths in (mapping.scope, mapping.client, mapping.subject, mapping.token_id, mapping.roles):
        yield from paths


@cache
def _fence(provider: Provider) -> tuple[str, str]:
    """The field in which `scaffold` keeps the provider's ID tokens out, and what it writes there."""
    spec: Mapping[str, Any] = yaml.safe_load(provider.spec)
    common = _STANDARD | (provider.id_tokens.common if provider.id_tokens is not None else frozenset())
    present = [claim for claim in spec.get("claimPresent", ()) if claim not in common]
    if present:
        return "claimPresent", f"`claimPresent: [{', '.join(present)}]`"
    equals = {claim: value for claim, value in spec.get("claimEquals", {}).items() if claim not in common}
    return "claimEquals", f"`claimEquals: {json.dumps(equals)}`".replace('"', "")
