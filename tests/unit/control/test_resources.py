"""What a sidecar and a central service watch, and what of it concerns them."""

from __future__ import annotations

from extauthz.control.resources import TARGET_OF, concerns, watched
from extauthz.policy.parse import parse
from tests.building import policy, revocation

CLUSTERS = {"kind": "ClusterTokenIssuer", "name": "corp"}


def test_a_sidecar_watches_its_namespace_and_what_the_install_namespace_revokes() -> None:
    found = [(each.plural, each.namespace) for each in watched("shop", "ops")]
    assert sorted(found, key=str) == [
        ("accesspolicies", "shop"),
        ("clustertokenissuers", None),
        ("tokenissuers", "shop"),
        ("tokenrevocations", "ops"),
        ("tokenrevocations", "shop"),
    ]
    assert len(watched("ops", "ops")) == 4
    central = watched(None, "ops")
    assert {each.namespace for each in central} == {None}
    assert {each.plural for each in central if each in TARGET_OF} == {"gateways", "httproutes", "grpcroutes"}
    assert not set(TARGET_OF) & set(watched("shop", "ops"))


def test_another_namespaces_own_issuer_does_not_concern_a_sidecar() -> None:
    own, theirs = parse(revocation("a", "ops", jti="x")), parse(revocation("b", "ops", jti="x", issuer=CLUSTERS))
    broken = parse(revocation("c", "ops"))
    assert [concerns(each, "shop") for each in (own, theirs, broken)] == [False, True, True]
    assert all(concerns(each, namespace) for each in (own, theirs, broken) for namespace in (None, "ops"))
    assert concerns(parse(policy("p", namespace="shop")), "shop")
