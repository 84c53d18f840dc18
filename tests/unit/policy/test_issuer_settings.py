"""Every setting of a TokenIssuer: what it lets in, and that it lets in nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.telemetry.observation import judged
from tests import issuing
from tests.building import API, obj, policy
from tests.issuing import claims, header, jwk, jwks, token
from tests.worlds import Asked

RULE = {"name": "r", "token": {"issuers": [{"name": "idp"}]}}
SPEC = {"issuer": issuing.ISSUER, "keys": {"inline": jwks()}, "audiences": ["orders-api"]}
TEMPLATE = {
    "issuerTemplate": "https://login.example/{tid}/v2.0",
    "tenants": ["red", "blue"],
    "keys": {"inline": jwks()},
    "audiences": ["orders-api"],
}
SVID = {
    "trustDomain": "acme.example",
    "keys": {"inline": jwks()},
    "audiences": ["orders-api"],
    "tokenTypes": ["Absent", "JWT", "JOSE"],
}


def asked(spec: dict[str, Any], *more: dict[str, Any], rule: dict[str, Any] | None = None) -> Asked:
    return Asked(obj("TokenIssuer", "idp", spec), policy("p", rule or RULE), *more)


def reason(spec: dict[str, Any], said: str, *more: dict[str, Any], rule: dict[str, Any] | None = None) -> str:
    return asked(spec, *more, rule=rule).reason("/", said)


def detail(spec: dict[str, Any], said: str) -> str:
    world = asked(spec)
    world.reason("/", said)
    _, denial = judged(world.seen[-1].verdict)
    assert denial is not None
    return denial.refusal.detail


def mistakes(spec: dict[str, Any], kind: str = "TokenIssuer") -> str:
    found = parse(obj(kind, "idp", spec))
    return "" if isinstance(found, Parsed) else "\n".join(map(str, found.problems))


# Whose tokens


def test_a_template_speaks_for_its_tenants_and_no_other() -> None:
    for tenant, answer in {
        "red": "allow",
        "blue": "allow",
        "green": "issuer_untrusted",
        "*": "issuer_untrusted",
    }.items():
        said = claims(iss=f"https://login.example/{tenant}/v2.0", tid=tenant)
        assert reason(TEMPLATE, token(said)) == answer
    literal = claims(iss="https://login.example/{tid}/v2.0", tid="{tid}")
    assert reason(TEMPLATE, token(literal)) == "issuer_untrusted"


@pytest.mark.parametrize("tid", ["blue", "RED", ["red"], None, ...])
def test_the_tenant_in_iss_and_in_its_claim_are_one(tid: Any) -> None:
    said = claims(iss="https://login.example/red/v2.0", tid=tid)
    assert reason(TEMPLATE, token(said)) == "issuer_untrusted"


def test_the_tenant_claim_can_have_another_name() -> None:
    said = claims(iss="https://login.example/red/v2.0", org={"id": "red"})
    assert reason({**TEMPLATE, "tenantClaim": "/org/id"}, token(said)) == "allow"


def _tenant_key(name: str, issuer: str | None) -> dict[str, Any]:
    return {**jwk(name), **({} if issuer is None else {"issuer": issuer})}


@pytest.mark.parametrize(
    ("member", "answer"),
    [
        ("https://login.example/{tenantid}/v2.0", "allow"),
        ("https://login.example/red/v2.0", "allow"),
        ("https://login.example/blue/v2.0", "signature_invalid"),
        ("https://login.example/red/v2.0/", "signature_invalid"),
        (None, "keys_unavailable"),
        ("", "keys_unavailable"),
    ],
)
def test_a_key_signs_only_for_the_issuer_that_its_set_names(member: str | None, answer: str) -> None:
    keys = {"inline": {"keys": [_tenant_key("rsa", member)]}, "keyIssuerMember": "Match"}
    said = claims(iss="https://login.example/red/v2.0", tid="red")
    assert reason({**TEMPLATE, "keys": keys}, token(said)) == answer


def test_one_key_may_be_named_for_several_issuers() -> None:
    both = [_tenant_key("rsa", f"https://login.example/{tenant}/v2.0") for tenant in ("red", "blue")]
    spec = {**TEMPLATE, "keys": {"inline": {"keys": both}, "keyIssuerMember": "Match"}}
    for tenant in ("red", "blue"):
        assert reason(spec, token(claims(iss=f"https://login.example/{tenant}/v2.0", tid=tenant))) == "allow"


def svid(head: dict[str, Any] | None = None, **more: Any) -> str:
    said = claims(**{"iss": ..., "sub": "spiffe://acme.example/ns/shop/sa/web", "client_id": ..., **more})
    return token(said, head or {"alg": "RS256", "kid": "rsa"})


def test_a_token_without_iss_is_told_by_its_trust_domain() -> None:
    assert reason(SVID, svid()) == "allow"
    assert reason({**SVID, "issuer": "Absent"}, svid()) == "allow"


@pytest.mark.parametrize(
    "sub",
    [
        "spiffe://acme.example.evil/ns/shop", "spiffe://evil/acme.example/x", "spiffe://acme.example", "acme.example/x",
        "SPIFFE://acme.example/x", "spiffe://acme.example/", "spiffe://acme.example/a/../b", "spiffe://acme.example/a//b",
        "spiffe://acme.example/a?b", "spiffe://acme.example/%61", 1, None, ...,
    ],
)  # fmt: skip
def test_a_subject_of_another_trust_domain_or_form_is_refused(sub: Any) -> None:
    assert reason(SVID, svid(sub=sub)) in {"issuer_untrusted", "token_malformed"}


@pytest.mark.parametrize("iss", ["", "https://corp.example", "acme.example", "Absent", None])
def test_a_token_with_iss_is_not_told_by_trust_domain(iss: Any) -> None:
    assert reason(SVID, svid(iss=iss)) in {"issuer_untrusted", "token_malformed"}


def test_a_jwt_svid_has_no_other_header_members() -> None:
    assert reason(SVID, svid({"alg": "RS256", "kid": "rsa", "typ": "JWT"})) == "allow"
    assert reason(SVID, svid({"alg": "RS256", "kid": "rsa", "x5t": "abc"})) == "token_malformed"


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        ("spiffe://acme.example/", ["spiffe://acme.example/x"], ["spiffe://acme.example/", "spiffe://acme.example.evil/x"]),
        ("repo:acme/*:ref:main", ["repo:acme/a:ref:main"], ["repo:evil/a:ref:main", "x"]),
        ("a*b*c", ["abc", "axxbxxc", "abcbc"], ["ac", "acb", "aXc", "abcd", "a"]),
        ("exact", ["exact"], ["exact2", "Exact", "exac"]),
        ("a.c", ["a.c"], ["abc"]),
        ("ab*ba", ["abba", "ab-ba"], ["aba", "ab"]),
        ("x*", ["xy"], ["x", "yx"]),
    ],
)  # fmt: skip
def test_the_subject_must_look_like_its_pattern(pattern: str, fits: list[str], fails: list[str]) -> None:
    spec = {**SPEC, "subjectPattern": pattern}
    assert {reason(spec, token(claims(sub=sub))) for sub in fits} == {"allow"}
    assert {reason(spec, token(claims(sub=sub))) for sub in fails} == {"token_malformed"}


def test_a_pattern_wants_a_subject() -> None:
    spec = {**SPEC, "subjectPattern": "*", "requiredClaims": []}
    assert reason(spec, token(claims(sub=...))) == "token_malformed"


# What the tokens say

ROLES = {**RULE, "require": {"roles": ["reader", "writer"]}}


@pytest.mark.parametrize(
    ("shape", "value", "answer"),
    [
        ("Names", ["writer", "reader", "other"], "allow"),
        ("Names", ["reader"], "claim_refused"),
        ("Names", "reader writer", "claim_refused"),
        ("Names", ..., "claim_refused"),
        ("Names", {"reader": {}, "writer": {}}, "token_malformed"),
        ("Names", ["reader", 1], "token_malformed"),
        ("ObjectKeys", {"reader": {"org": "x"}, "writer": {}}, "allow"),
        ("ObjectKeys", {"reader": {}}, "claim_refused"),
        ("ObjectKeys", ["reader", "writer"], "token_malformed"),
    ],
)
def test_roles_are_read_in_the_shape_that_the_issuer_writes(shape: str, value: Any, answer: str) -> None:
    spec = {**SPEC, "mapping": {"roles": ["/realm/roles"]}, "rolesShape": shape}
    said = claims() if value is ... else claims(realm={"roles": value})
    assert reason(spec, token(said), rule=ROLES) == answer


def test_without_a_mapping_of_roles_no_role_is_met() -> None:
    assert reason(SPEC, token(claims(roles=["reader", "writer"])), rule=ROLES) == "claim_refused"


def test_an_issuer_without_token_ids_is_told_when_a_rule_counts_by_them() -> None:
    rule = {**RULE, "reuse": {"maxUses": 1, "key": "Jti"}}
    spec = {**SPEC, "mapping": {"tokenId": []}}
    world = asked(spec, rule=rule)
    assert world.snapshot is not None
    assert "reuseKeyFallback" in str(world.snapshot.problems[0])
    assert world.reason("/", token()) == "policy_invalid"
    assert reason({**spec, "reuseKeyFallback": "Token"}, token(), rule=rule) == "allow"


# Where the keys come from


def _secret(name: str, key: str, content: str, namespace: str = "shop", kind: str = "Secret") -> dict[str, Any]:
    data = base64.b64encode(content.encode()).decode() if kind == "Secret" else content
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "data": {key: data}}


OCT = {
    "kty": "oct",
    "kid": "s1",
    "alg": "HS256",
    "use": "sig",
    "k": base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("="),
}
HMAC = {**SPEC, "algorithms": ["HS256"], "keys": {"secretRef": {"name": "idp-key", "key": "jwks.json"}}}


def test_a_symmetric_key_comes_from_a_secret() -> None:
    held = _secret("idp-key", "jwks.json", json.dumps({"keys": [OCT]}))
    said = issuing.hmac_token(b"k" * 32, header("HS256", "s1"))
    assert reason(HMAC, said, held) == "allow"
    assert reason(HMAC, issuing.hmac_token(b"x" * 32, header("HS256", "s1")), held) == "signature_invalid"


def test_a_key_set_comes_from_a_config_map() -> None:
    held = _secret("keys", "jwks", json.dumps(jwks()), kind="ConfigMap")
    spec = {**SPEC, "keys": {"configMapRef": {"name": "keys", "key": "jwks"}}}
    assert reason(spec, token(), held) == "allow"


@pytest.mark.parametrize(
    "held",
    [
        [],
        [_secret("other", "jwks.json", "{}")],
        [_secret("idp-key", "other", "{}")],
        [_secret("idp-key", "jwks.json", json.dumps({"keys": [OCT]}), namespace="elsewhere")],
        [_secret("idp-key", "jwks.json", json.dumps({"keys": [OCT]}), kind="ConfigMap")],
    ],
    ids=["none", "other name", "other entry", "other namespace", "other kind"],
)
def test_a_reference_that_leads_nowhere_denies_its_scope_and_says_so(held: list[dict[str, Any]]) -> None:
    world = asked(HMAC, *held)
    assert world.snapshot is not None
    assert "Secret `idp-key` in namespace `shop`" in str(world.snapshot.problems[0])
    assert world.reason("/", issuing.hmac_token(b"k" * 32, header("HS256", "s1"))) == "policy_invalid"


def test_a_reference_of_a_cluster_wide_issuer_leads_to_the_install_namespace() -> None:
    rule = {"name": "r", "token": {"issuers": [{"kind": "ClusterTokenIssuer", "name": "idp"}]}}
    said = issuing.hmac_token(b"k" * 32, header("HS256", "s1"))
    for namespace, answer in {"extauthz-system": "allow", "shop": "policy_invalid"}.items():
        held = _secret("idp-key", "jwks.json", json.dumps({"keys": [OCT]}), namespace=namespace)
        assert Asked(obj("ClusterTokenIssuer", "idp", HMAC), policy("p", rule), held).reason("/", said) == answer


def test_a_secret_that_changes_changes_the_version_and_one_that_does_not_keeps_it() -> None:
    versions = []
    for content in ("a", "a", "b"):
        snapshot = asked(SPEC, _secret("s", "k", content)).snapshot
        assert snapshot is not None
        versions.append(snapshot.version)
    assert versions[0] == versions[1] != versions[2]


def test_nothing_that_a_secret_holds_is_shown() -> None:
    held = parse(_secret("s", "k", "hunter2-hunter2"))
    assert isinstance(held, Parsed)
    assert "hunter2" not in repr(held)
    broken = parse({**_secret("s", "k", "x"), "data": {"k": "hunter2 is no base64!"}})
    assert isinstance(broken, Broken)
    assert "hunter2" not in "".join(map(str, broken.problems))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"k": "%%%"}}, "is not base64"),
        ({"data": ["k"]}, "no mapping"),
        ({"stringData": {"k": 1}}, "not a text"),
        ({"spec": {}}, "unknown field"),
        ({"apiVersion": API}, "allowed is `v1`"),
    ],
)
def test_a_secret_with_mistakes_is_refused(change: dict[str, Any], words: str) -> None:
    found = parse({**_secret("s", "k", "x"), **change})
    assert isinstance(found, Broken)
    assert words in "\n".join(map(str, found.problems))


def test_a_sample_key_that_anyone_can_sign_with_is_refused() -> None:
    assert "anyone can sign" in mistakes({**SPEC, "issuer": "testing@secure.istio.io"})
    published = {**jwk("rsa"), "kid": "DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ"}
    spec = {**SPEC, "keys": {"inline": {"keys": [published]}}}
    assert "published as a sample" in detail(spec, token(head=header(kid=published["kid"])))


# What cannot be written

BAD = [
    ({"issuer": ...}, "exactly one of `issuer`, `issuerTemplate` and `trustDomain`"),
    ({"issuer": "Absent"}, "exactly one of"),
    ({"issuer": "https://login.example/{tenantid}/v2.0"}, "no `iss` has a name in braces"),
    (
        {"issuer": "https://login.example/{tenantid}/v2.0", "issuerAliases": ["https://login.example/red/v2.0"]},
        "for several `issuerTemplate` and `tenants`",
    ),
    ({"trustDomain": "acme.example"}, "exactly one of"),
    ({"issuerTemplate": "https://x/{t}", "tenants": ["a"]}, "exactly one of"),
    ({"issuer": ..., "issuerTemplate": "https://x/{t}"}, "need each other"),
    ({"tenants": ["a"]}, "need each other"),
    ({"tenantClaim": "tid"}, "`tenantClaim` is for"),
    ({"issuer": ..., "issuerTemplate": "https://x/t", "tenants": ["a"]}, "one `{name}`"),
    ({"issuer": ..., "issuerTemplate": "https://{x}/{t}", "tenants": ["a"]}, "one `{name}`"),
    ({"issuer": ..., "issuerTemplate": "https://x/{t}", "tenants": ["*"]}, "tenants"),
    ({"issuer": ..., "trustDomain": "acme.example", "issuerAliases": ["x"]}, "which is missing"),
    ({"issuer": ..., "trustDomain": "acme.example", "keys": {"discovery": {}}}, "needs one `issuer`"),
    ({"issuer": ..., "trustDomain": "spiffe://acme.example"}, "trust domain"),
    ({"keys": {"inline": {}, "authentication": "OwnServiceAccountToken"}}, "remove it"),
    ({"keys": {"jwksUri": "https://a.example/k", "authentication": "Anything"}}, "authentication"),
    (
        {
            "keys": {"jwksUri": "https://a.example/k", "authentication": "OwnServiceAccountToken"},
            "caBundle": {"file": "ca.pem"},
        },
        "remove `caBundle`",
    ),
    ({"keys": {"inline": {}, "secretRef": {"name": "a", "key": "b"}}}, "exactly one of"),
    ({"keys": {"secretRef": {"name": "a"}}}, "key"),
    ({"keys": {"secretRef": {"name": "a", "key": "b", "namespace": "c"}}}, "namespace"),
    ({"keys": {"jwksUri": "https://user@a.example/k"}}, "user"),
    ({"algorithms": ["HS256"]}, "`secretRef` or a secret `file`"),
    ({"algorithms": ["HS256"], "keys": {"configMapRef": {"name": "a", "key": "b"}}}, "`secretRef` or a secret `file`"),
    ({"allowedNamespaces": ["shop"]}, "allowedNamespaces"),
    ({"rolesShape": "Names2"}, "rolesShape"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    spec = {name: value for name, value in {**SPEC, **change}.items() if value is not ...}
    assert words in mistakes(spec)


def test_a_url_may_hold_an_at_sign_in_its_path() -> None:
    assert mistakes({**SPEC, "keys": {"jwksUri": "https://a.example/jwk/batch@acme.example"}}) == ""


def test_only_a_cluster_wide_issuer_says_who_may_use_it() -> None:
    assert mistakes({**SPEC, "allowedNamespaces": ["shop"]}, "ClusterTokenIssuer") == ""
