"""Hints for unknown fields: the right name or place, or all names, and never one that misleads."""

from __future__ import annotations

import re

import pytest

from extauthz.policy.fields import field_names
from extauthz.policy.hints import called, closest, dotted_level, of_field
from extauthz.policy.parse import ALL_KINDS, KINDS

KNOWN = {kind: field_names(schema) for kind, schema in KINDS.items()}


def hint(place: str) -> str:
    """The hint for an unknown field, named as `Kind.path`."""
    kind, *path = place.replace("[]", ".0").split(".")
    return of_field(kind, tuple(0 if step == "0" else step for step in path), KNOWN[kind])


@pytest.mark.parametrize(
    ("place", "says"),
    [
        # Istio's RequestAuthentication and AuthorizationPolicy.
        ("AccessPolicy.jwtRules", "objects of kind TokenIssuer"),
        ("AccessPolicy.selector", "did you mean `targetRefs`?"),
        ("AccessPolicy.action", "all else is denied"),
        ("AccessPolicy.rules[].token.jwksUri", "at `spec.keys`"),
        ("AccessPolicy.rules[].token.fromHeaders", "`from: {header: …}`"),
        ("AccessPolicy.rules[].token.forwardOriginalToken", "`spec.rules[].upstream.forwardToken`"),
        ("AccessPolicy.rules[].token.issuer", "did you mean `issuers`?"),
        ("AccessPolicy.rules[].upstream.outputClaimToHeaders", "did you mean `claimHeaders`?"),
        ("AccessPolicy.rules[].when", "did you mean `require`?"),
        ("AccessPolicy.rules[].require.claims[].notValues", "`spec.rules[].require.cel`"),
        ("TokenIssuer.jwksUri", "its place is `spec.keys.jwksUri`"),
        ("TokenIssuer.fromHeaders", "`spec.rules[].token.from`"),
        # Envoy's jwt_authn.
        ("TokenIssuer.remoteJwks", "known here are"),
        ("TokenIssuer.keys.remote_jwks", "did you mean `jwksUri`?"),
        ("TokenIssuer.keys.local_jwks", "did you mean `inline`?"),
        ("TokenIssuer.clock_skew_seconds", "did you mean `clockSkew`?"),
        # Gateway API.
        ("AccessPolicy.hostnames", "did you mean `hosts`?"),
        ("AccessPolicy.parentRefs", "did you mean `targetRefs`?"),
        ("AccessPolicy.rules[].matches", "did you mean `match`?"),
        ("AccessPolicy.rules[].match[].method", "did you mean `methods`?"),
        ("AccessPolicy.rules[].match[].path.type", "in place of both"),
        ("AccessPolicy.rules[].match[].headers[].value", "did you mean `exact`?"),
        # Authorino, Kyverno, heimdall, Kuadrant.
        ("AccessPolicy.authentication", "objects of kind TokenIssuer"),
        ("AccessPolicy.validationFailureAction", "`mode: Shadow`"),
        ("AccessPolicy.rules[].authenticators", "did you mean `token`?"),
        ("AccessPolicy.rules[].authorizers", "did you mean `require`?"),
        ("AccessPolicy.rules[].limits[].counters", "did you mean `by`?"),
        ("TokenIssuer.issuerUrl", "did you mean `issuer`?"),
        ("TokenIssuer.jwks_endpoint", "known here are"),
        # Secrets.
        ("TokenIssuer.introspection.clientSecretBasic.clientSecret", "at `secretRef`"),
        ("TokenIssuer.introspection.clientSecretPost.client_secret", "at `secretRef`"),
        ("ClusterTokenIssuer.introspection.clientSecret", "`clientId` and `secretRef` in it"),
        ("TokenIssuer.introspection.clientSecretBasic.clientID", "did you mean `clientId`?"),
        ("TokenIssuer.keys.secretRef.namespace", "the namespace of the object itself"),
        # At another place of the object.
        ("AccessPolicy.rules[].path", "its place is `spec.rules[].match[].path`"),
        ("AccessPolicy.rules[].claims", "its place is `spec.rules[].require.claims`"),
        ("AccessPolicy.rules[].token.scopes", "its place is `spec.rules[].require.scopes`"),
        ("AccessPolicy.rules[].mode", "its place is `spec.mode`"),
        ("TokenIssuer.subject", "its place is `spec.mapping.subject`"),
        ("ClusterTokenIssuer.subjectClaim", "its place is `spec.mapping.subject`"),
        # Misspelt, a part, or one word more.
        ("AccessPolicy.rules[].anonymus", "did you mean `anonymous`?"),
        ("AccessPolicy.rules[].require.authentication.max_age", "did you mean `maxAge`?"),
        ("AccessPolicy.rules[].reuse.bind", "did you mean `bindHeader` or `bindTo`?"),
        ("TokenIssuer.maxTokenLifetime", "did you mean `maxLifetime`?"),
        ("TokenRevocation.issuedAt", "did you mean `issuedBefore`?"),
        ("TokenRevocation.tokenId", "did you mean `jti`?"),
    ],
)
def test_an_unknown_field_is_answered_with_what_to_write(place: str, says: str) -> None:
    assert says in hint(place)


@pytest.mark.parametrize(
    "place",
    [
        "AccessPolicy.rules[].match[].notMethods",
        "AccessPolicy.rules[].match[].notPaths",
        "AccessPolicy.rules[].upstream.removeHeaders",
        "AccessPolicy.rules[].cache",
        "AccessPolicy.rules[].usage",
        "AccessPolicy.rules[].match[].query",
        "AccessPolicy.rules[].token.from.name",
        "TokenIssuer.keys.discovery.timeout",
        "TokenIssuer.introspection.tokenTypeHint",
        "AccessPolicy.rules[].token.from.bearer",
        "AccessPolicy.targetRefs[].namespace",
    ],
)
def test_where_nothing_means_the_same_all_names_are_told(place: str) -> None:
    assert hint(place).startswith("; known here are ")


def test_a_kind_is_not_taken_for_one_of_kubernetes_that_looks_alike() -> None:
    assert "did you mean" not in closest("AuthConfig", ALL_KINDS)
    assert closest("ClusterIssuer", ALL_KINDS) == "; did you mean `ClusterTokenIssuer`?"
    assert closest("Issuer", ALL_KINDS) == "; did you mean `ClusterTokenIssuer` or `TokenIssuer`?"
    assert closest("x", ()) == ""


def test_whatever_a_hint_names_is_there() -> None:
    places = {
        dotted_level((*path, name)) for known in KNOWN.values() for path, names in known.items() for name in names
    }
    for level, name, words in called():
        # The level's name is the last step of its path, or its kind.
        known = [
            set(names)
            for kind, levels in KNOWN.items()
            for path, names in levels.items()
            if next((step for step in reversed(path) if isinstance(step, str)), kind) == level
        ]
        assert known, level
        assert all(name not in names for names in known if words.startswith("`")), (level, name)
        for told in re.findall(r"`([\w.\[\]]+)", words):
            assert any(told in names for names in known) or told in places | {place.split(".")[-1] for place in places}


def test_a_name_of_others_stands_once_at_its_level() -> None:
    said = [(level, name) for level, name, _ in called()]
    assert len(said) == len(set(said))
