"""Every mistake is found at once, and the words say where, what was found and what is allowed."""

import re
from typing import Any

import pytest

from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.problem import dotted
from extauthz.policy.spec import AccessPolicySpec
from tests.building import anonymous, obj, policy, with_token

FULL_RULE: dict[str, Any] = {
    "name": "place-order",
    "match": [
        {"methods": ["POST"], "path": {"exact": "/api/orders"}, "headers": [{"name": "x-a", "exact": "b"}]},
        {"path": {"template": "/users/{id}/orders"}},
        {"path": {"regex": "/v[0-9]+/orders"}},
    ],
    "token": {
        "issuers": [{"kind": "ClusterTokenIssuer", "name": "corp"}],
        "audiences": ["orders-api"],
        "maxLifetime": "10m",
        "from": {"header": "authorization"},
    },
    "require": {
        "scopes": ["orders.write"],
        "claims": [{"claim": "tenant", "oneOf": ["acme", "globex"]}],
        "authentication": {"acrValues": ["urn:mfa"], "maxAge": "5m"},
        "cel": "claims.sub != request.headers['x-on-behalf-of']",
    },
    "reuse": {"maxUses": 1, "bindTo": ["SourcePrincipal"], "retry": {"within": "3s"}},
    "limits": [{"name": "per-subject", "by": ["Subject"], "requests": 60, "window": "1m"}],
    "upstream": {"claimHeaders": {"x-auth-sub": "sub"}, "forwardToken": False},
}


def problems(raw: object) -> dict[str, str]:
    """What is wrong with an object: field to message."""
    parsed = parse(raw)
    assert isinstance(parsed, Broken), "the object has no mistake"
    return {dotted(problem.field): problem.message for problem in parsed.problems}


def rule_problems(**changes: Any) -> dict[str, str]:
    """What is wrong with the full rule after some changes."""
    rule = {name: value for name, value in (FULL_RULE | changes).items() if value is not ...}
    found = problems(policy("orders", rule))
    return {field.removeprefix("spec.rules[0]").lstrip("."): words for field, words in found.items()}


def test_the_example_of_the_readme_is_read() -> None:
    parsed = parse(policy("orders", FULL_RULE, anonymous("health", path={"exact": "/healthz"}), mode="Shadow"))
    assert isinstance(parsed, Parsed)
    assert isinstance(parsed.spec, AccessPolicySpec)
    assert [rule.name for rule in parsed.spec.rules] == ["place-order", "health"]
    assert parsed.spec.rules[0].token is not None
    assert parsed.spec.rules[0].token.max_lifetime == 600.0


def test_every_mistake_is_told_at_once() -> None:
    found = problems(
        policy(
            "orders", {"name": "X", "token": {"issuers": []}, "reuse": {"maxUses": 0}}, hosts=("A:80",), mode="shadow"
        )
    )
    assert set(found) == {
        "spec.hosts[0]", "spec.mode", "spec.rules[0].name", "spec.rules[0].token.issuers",
        "spec.rules[0].reuse.maxUses",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"reuse": {"maxUses": 0}}, "reuse.maxUses", "found `0`, allowed is at least 1"),
        ({"reuse": {"maxUses": True}}, "reuse.maxUses", "which is a boolean"),
        ({"reuse": {"maxUses": "1"}}, "reuse.maxUses", "which is a text: input should be a valid integer; write"),
        ({"reuse": {"maxUses": 1, "window": 60}}, "reuse.window", "found `60`: a duration has a unit; write it"),
        ({"reuse": 5}, "reuse", "names with values are needed; known here are `bindHeader`"),
        ({"match": [{"path": "/a"}]}, "match[0].path", "known here are `exact`, `prefix`, `regex`, `template`"),
        ({"require": {"scopes": "a, b"}}, "require.scopes", "a list is needed; write each entry after `- `"),
        ({"require": {"scopes": [True]}}, "require.scopes[0]", "a text is needed; put it in quotes"),
        ({"reuse": {"maxUses": 1, "window": "1x"}}, "reuse.window", "write it like `90s`"),
        ({"reuse": {"maxUses": 1, "window": "0s"}}, "reuse.window", "allowed is 1s to 744h"),
        ({"reuse": {"maxUses": 1, "key": "jti"}}, "reuse.key", "allowed is `Token`, `Jti` or `Claim`"),
        ({"reuse": {"maxUses": 1, "key": "Claim"}}, "reuse", "`claim` goes with `key: Claim`"),
        ({"reuse": {"maxUses": 1, "bindTo": ["Header"]}}, "reuse", "`bindHeader` goes with"),
        ({"reuse": {"maxUses": 1, "retry": {"within": "3s"}}}, "reuse", "`retry` needs `bindTo`"),
        ({"reuse": {"maxUses": 1, "retry": {"within": "11s"}}}, "reuse.retry.within", "allowed is 100ms to 10s"),
        ({"reuse": {"maxUses": 1, "maxUse": 1}}, "reuse.maxUse", "did you mean `maxUses`?"),
        ({"requires": {}}, "requires", "did you mean `require`?"),
        ({"token": ...}, "", "exactly one of `token` and `anonymous: true`"),
        ({"anonymous": True}, "", "exactly one of `token` and `anonymous: true`"),
        ({"match": [{"path": {}}]}, "match[0].path", "exactly one of `exact`, `prefix`, `template`, `regex`"),
        ({"match": [{"path": {"exact": "/a", "prefix": "/"}}]}, "match[0].path", "found exact and prefix"),
        ({"match": [{"path": {"exact": "a"}}]}, "match[0].path.exact", "begins with `/`"),
        ({"match": [{"path": {"exact": "/a/../b"}}]}, "match[0].path.exact", "dot segment"),
        ({"match": [{"path": {"prefix": "/api/*"}}]}, "match[0].path.prefix", "`prefix` for all below"),
        ({"match": [{"path": {"exact": "/users/{id}"}}]}, "match[0].path.exact", "for the character, `%7B`"),
        ({"match": [{"path": {"template": "/a/*/{id}"}}]}, "match[0].path.template", "`{name}` for a segment"),
        ({"match": [{"path": {"exact": "/a?b"}}]}, "match[0].path.exact", "without its query"),
        ({"match": [{"path": {"regex": "/(a"}}]}, "match[0].path.regex", "not RE2 syntax: missing )"),
        ({"match": [{"path": {"regex": r"/(a)\1"}}]}, "match[0].path.regex", "not RE2 syntax"),
        ({"match": [{"path": {"template": "/a{id}"}}]}, "match[0].path.template", "whole segment"),
        ({"match": [{"methods": ["GET POST"]}]}, "match[0].methods[0]", "not a token"),
        ({"match": [{"methods": ["GET", "post"]}]}, "match[0].methods[1]", "did you mean `POST`?"),
        ({"match": [{"methods": ["*"]}]}, "match[0].methods[0]", "none for every method"),
        ({"match": [{"methods": ["GET|POST"]}]}, "match[0].methods[0]", "name each by itself"),
        ({"match": [{"path": {"exact": "/users/:id"}}]}, "match[0].path.exact", "for the character, `%3A`"),
        ({"match": [{"path": {"regex": "admin/.*"}}]}, "match[0].path.regex", "write `/` or `.*` first"),
        ({"match": [{"headers": [{"name": "host", "present": True}]}]}, "match[0].headers[0]", "name it in `hosts`"),
        ({"match": [{"headers": [{"name": "X-A", "present": True}]}]}, "match[0].headers[0].name", "lower case"),
        ({"require": {"cel": "claims.sub +"}}, "require.cel", "does not compile"),
        ({"require": {"cel": "claim.sub == 'a'"}}, "require.cel", "undeclared reference to 'claim"),
        ({"require": {"cel": "'a' + 1 == 'b'"}}, "require.cel", "no matching overload"),
        ({"require": {"cel": "1 + 1"}}, "require.cel", "must be true or false, this one is of type `int`"),
        ({"require": {"scopes": ["a b"]}}, "require.scopes[0]", "without spaces"),
        ({"require": {"claims": [{"claim": "a"}]}}, "require.claims[0]", "exactly one of"),
        ({"require": {"authentication": {}}}, "require.authentication", "at least one of `acrValues` and `maxAge`"),
        ({"limits": [{"name": "a", "by": [], "requests": 1, "window": "1s"}]}, "limits[0].by", "has 0 entries"),
        ({"limits": [{"name": "a", "by": ["Claim"], "requests": 1, "window": "1s"}]}, "limits[0]", "`claim` goes with"),
        ({"upstream": {"claimHeaders": {"host": "sub"}}}, "upstream", "found `host`"),
        ({"upstream": {"claimHeaders": {"x-envoy-a": "sub"}}}, "upstream", "found `x-envoy-a`"),
        ({"upstream": {"claimHeaders": {"content-length": "sub"}}}, "upstream", "cannot set a header"),
        ({"upstream": {"claimHeaders": {"content_type": "sub"}}}, "upstream", "found `content_type`"),
        ({"upstream": {"claimHeaders": {"x-request_id": "sub"}}}, "upstream", "found `x-request_id`"),
        ({"upstream": {"claimHeaders": {"x_forwarded-for": "sub"}}}, "upstream", "found `x_forwarded-for`"),
        ({"upstream": {"claimHeaders": {":path": "sub"}}}, "upstream.claimHeaders.:path", "lower case"),
        ({"upstream": {"claimHeaders": {"X-Sub": "sub"}}}, "upstream.claimHeaders.X-Sub", "lower case"),
        ({"token": {"issuers": [{"name": "corp"}], "from": {}}}, "token.from", "exactly one of"),
        ({"token": {"issuers": [{"kind": "Issuer", "name": "c"}]}}, "token.issuers[0].kind", "`ClusterTokenIssuer`"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_told_where_it_is(changes: dict[str, Any], field: str, words: str) -> None:
    found = rule_problems(**changes)
    assert set(found) == {field}
    assert words in found[field]


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"issuer": "https://a.example"}, "spec", "exactly one of `keys` and `introspection`"),
        ({"issuer": "https://a.example", "keys": {}}, "spec.keys", "exactly one of"),
        ({"issuer": "https://a.example", "keys": {"jwksUri": "ftp://a.b"}}, "spec.keys.jwksUri", "begins with `https://`"),
        ({"issuer": "https://a.example", "keys": {"jwksUri": "https://u@a/"}}, "spec.keys.jwksUri", "user information"),
        ({"issuer": "i", "keys": {"file": "k"}, "algorithms": ["none"]}, "spec.algorithms[0]", "allowed is `RS256`"),
        ({"issuer": "i", "keys": {"file": "k"}, "algorithms": ["HS256", "RS256"]}, "spec", "mixes symmetric"),
        ({"issuer": "i", "keys": {"discovery": {}}, "algorithms": ["HS256"]}, "spec", "secret `file`"),
        ({"issuer": "i", "keys": {"file": "k"}, "clockSkew": "10m"}, "spec.clockSkew", "allowed is 0s to 5m"),
        ({"issuer": "i", "keys": {"file": "k"}, "tokenTypes": []}, "spec.tokenTypes", "at least 1"),
        ({"issuer": "i", "keys": {"file": "k"}, "mapping": {"scp": "a"}}, "spec.mapping.scp", "did you mean `scope`?"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_issuer_is_told_where_it_is(spec: dict[str, Any], field: str, words: str) -> None:
    found = problems(obj("TokenIssuer", "corp", spec))
    assert set(found) == {field}
    assert words in found[field]


def test_a_claim_may_be_mapped_by_name_list_or_pointer() -> None:
    mapping = {"scope": "scp", "subject": ["sub", "client_id"], "roles": "/realm_access/roles"}
    parsed = parse(obj("TokenIssuer", "corp", {"issuer": "i", "keys": {"file": "k"}, "mapping": mapping}))
    assert isinstance(parsed, Parsed)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"apiVersion": "extauthz.dev/v1"}, "apiVersion", "allowed is `extauthz.dev/v1alpha1`"),
        ({"kind": "AccesPolicy"}, "kind", "did you mean `AccessPolicy`?"),
        ({"metadata": None}, "metadata", "is missing"),
        ({"metadata": {"name": "A"}}, "metadata.name", "lower-case"),
        ({"metadata": {"name": "a", "namspace": "b"}}, "metadata.namspace", "did you mean `namespace`?"),
        ({"metadata": {"name": "a", "creationTimestamp": "now"}}, "metadata.creationTimestamp", "RFC 3339"),
        ({"spec": None}, "spec", "is missing"),
        ({"spek": {}}, "spek", "did you mean `spec`?"),
    ],
)
def test_a_mistake_around_the_spec_is_told(change: dict[str, Any], field: str, words: str) -> None:
    found = problems(policy("a", anonymous("r")) | change)
    assert words in found[field]


@pytest.mark.parametrize("raw", [None, 1, "text", [], True, {}, {"kind": 1}, {"kind": []}, {"metadata": []}])
def test_what_is_no_object_is_broken_and_nothing_is_raised(raw: object) -> None:
    assert isinstance(parse(raw), Broken)


def test_two_rules_of_one_name_are_refused() -> None:
    assert "twice" in problems(policy("a", anonymous("r", path={"exact": "/a"}), anonymous("r")))["spec"]


def test_an_anonymous_rule_cannot_ask_for_what_only_a_token_has() -> None:
    rule = anonymous("r") | {"reuse": {"maxUses": 1}}
    assert "need a token" in problems(policy("a", rule))["spec.rules[0]"]
    rule = anonymous("r") | {"limits": [{"name": "l", "by": ["Subject"], "requests": 1, "window": "1s"}]}
    assert "SourceAddress" in problems(policy("a", rule))["spec.rules[0]"]


def test_a_status_is_no_mistake() -> None:
    assert isinstance(parse(policy("a", with_token("r")) | {"status": {"conditions": []}}), Parsed)


@pytest.mark.parametrize("raw", [[{"kind": "Secret", "stringData": {"password": "hunter2"}}], "hunter2", 4711, True])
def test_what_is_no_object_is_not_quoted(raw: object) -> None:
    """It may be a Secret that was indented wrongly."""
    found = parse(raw)
    assert isinstance(found, Broken)
    assert re.fullmatch(r"found a (list|text|number|boolean), an object is needed", found.problems[0].message)


@pytest.mark.parametrize(
    "settings",
    [
        {"keys": {"jwksUri": "https://user:hunter2@login.example/keys"}},
        {"keys": {"jwksUri": "https://hunter2@login.example/keys"}},
        {"introspection": {"url": "https://user:hunter2@login.example/i", "bearer": {"file": "x"}}},
    ],
    ids=str,
)
def test_the_user_information_of_a_url_is_not_quoted(settings: dict[str, Any]) -> None:
    found = parse(obj("TokenIssuer", "corp", {"issuer": "https://login.example", **settings}))
    assert isinstance(found, Broken)
    told = " ".join(str(each) for each in found.problems)
    assert "hunter2" not in told
    assert "https://***@login.example/" in told
