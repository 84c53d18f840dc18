"""Rows F16 to F18: refresh tokens at the token endpoint of an authorization server behind the gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from extauthz.decide import serving
from extauthz.model.request import RequestView
from extauthz.policy.parse import Broken, parse
from extauthz.policy.rule import Rule
from extauthz.server.codec import read_check
from tests.catalogue.guarded import api
from tests.catalogue.outcomes import admitted, refused_at_token_endpoint
from tests.catalogue.token_endpoint import FORM, MALLORY, TokenEndpoint, grant, refresh_token, rule
from tests.checks import check_request

ONCE = {"maxUses": 1}
RT = refresh_token()
GOOD = grant(RT)
JSON = f'{{"grant_type":"refresh_token","refresh_token":"{RT}"}}'

BODIES = {
    "twice": f"{GOOD}&refresh_token={RT}",
    "two": f"{GOOD}&refresh_token={refresh_token(2)}",
    "two, in other spellings": f"{GOOD}&Refresh_Token={refresh_token(2)}",
    "two, one encoded": f"{GOOD}&refresh%5Ftoken={refresh_token(2)}",
    "two, one a list": f"{GOOD}&refresh_token[]={refresh_token(2)}",
    "two, behind a semicolon": f"{GOOD}&scope=a;refresh_token={refresh_token(2)}",
    "two, one empty": f"{GOOD}&refresh_token=",
    "none": "grant_type=refresh_token",
    "an empty one": "grant_type=refresh_token&refresh_token=",
    "no grant": f"refresh_token={RT}",
    "two grants": f"{GOOD}&grant_type=refresh_token",
    "two grants, in other spellings": f"{GOOD}&GRANT_TYPE=authorization_code",
    "another grant": f"grant_type=authorization_code&refresh_token={RT}",
    "a grant in upper case": f"grant_type=REFRESH_TOKEN&refresh_token={RT}",
    "a grant with a blank": f"grant_type=refresh_token%20&refresh_token={RT}",
    "an access token beside it": f"{GOOD}&access_token=x",
    "a blank around it": f"grant_type=refresh_token&refresh_token=+{RT}",
    "an encoded blank behind it": f"grant_type=refresh_token&refresh_token={RT}%20",
    "a NUL behind it": f"grant_type=refresh_token&refresh_token={RT}%00",
    "a line end behind it": f"{GOOD}\r\n",
    "JSON": JSON,
    "nothing": "",
}


@pytest.fixture
def endpoint() -> TokenEndpoint:
    return TokenEndpoint(rule(reuse=ONCE))


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_F18_a_body_with_no_single_reading(endpoint: TokenEndpoint, body: str) -> None:
    refused_at_token_endpoint(endpoint.post(body), "invalid_request", _malformed_or_absent(body))
    admitted(endpoint.post(GOOD))


def _malformed_or_absent(body: str) -> str:
    absent = body in {BODIES["none"], BODIES["an empty one"]}
    return "credential_absent" if absent else "credential_malformed"


@pytest.mark.parametrize(
    "query",
    ["refresh_token=x", "Refresh_token=", "refresh%5ftoken=x", "a=b;refresh_token=x", "grant_type=refresh_token"],
)
def test_F18_a_token_or_a_grant_in_the_query(endpoint: TokenEndpoint, query: str) -> None:
    for body in (GOOD, "", "grant_type=refresh_token"):
        response = endpoint.post(body, path=f"/token?{query}")
        refused_at_token_endpoint(response, "invalid_request", "credential_malformed")
    admitted(endpoint.post(GOOD, path="/token?p=policy-1"))


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"content-type": "application/json"}, {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded; charset=utf-16"},
        {"content-type": "application/x-www-form-urlencoded, application/json"},
        FORM | {"content-encoding": "gzip"}, FORM | {"x-envoy-auth-partial-body": "true"},
        FORM | {"content-length": "7"}, FORM | {"content-length": "0"}, FORM | {"authorization": "Bearer x"},
        FORM | {"authorization": "DPoP x"}, FORM | {"authorization": "Basic a, Bearer b"}, FORM | {"x-api-key": "k"},
    ],
    ids=str,
)  # fmt: skip
def test_F18_a_body_of_another_kind_or_with_a_second_credential(
    endpoint: TokenEndpoint, headers: dict[str, str]
) -> None:
    for body in (GOOD, JSON):
        response = endpoint.post(body, headers=headers)
        refused_at_token_endpoint(response, "invalid_request", "credential_malformed")
    admitted(endpoint.post(GOOD))


@pytest.mark.parametrize("method", ["GET", "PUT", "QUERY"])
def test_F18_another_method(endpoint: TokenEndpoint, method: str) -> None:
    refused_at_token_endpoint(endpoint.post(GOOD, method=method), "invalid_request", "credential_malformed")


@pytest.mark.parametrize(
    "more",
    [
        {"headers": FORM | {"authorization": "Basic d2ViOnNlY3JldA=="}},
        {"headers": {"content-type": "application/X-WWW-form-urlencoded; charset=UTF-8"}},
        {"headers": FORM | {"content-length": str(len(GOOD)), "x-envoy-auth-partial-body": "false"}},
        {"raw": False},
    ],
    ids=str,
)
def test_F18_what_has_one_reading_is_read(endpoint: TokenEndpoint, more: Any) -> None:
    admitted(endpoint.post(GOOD, **more))
    refused_at_token_endpoint(endpoint.post(GOOD), "invalid_grant", "token_reused")


@pytest.mark.parametrize("client", [{"client_id": "web", "client_secret": "s"}, {"client_assertion": "a.b.c"}])
def test_F18_how_the_client_shows_who_it_is_is_its_own_business(
    endpoint: TokenEndpoint, client: dict[str, str]
) -> None:
    admitted(endpoint.post(grant(RT, **client)))


def test_F18_a_body_that_lost_octets(endpoint: TokenEndpoint) -> None:
    """As text, Envoy writes `!` for what is no UTF-8: another name, or another token, than the server reads."""
    body = f"{GOOD}&a=!"
    refused_at_token_endpoint(endpoint.post(body, raw=False), "invalid_request", "credential_malformed")
    admitted(endpoint.post(body))


GRANTS = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]


def test_F18_requests_of_grants_that_are_listed_pass_without_a_token() -> None:
    limit = {"name": "per-peer", "by": ["SourceAddress"], "requests": 3, "window": "1m"}
    endpoint = TokenEndpoint(
        rule(other_grants=GRANTS, reuse=ONCE, require={"scopes": ["none-has-this"]}, limits=[limit])
    )
    for body in (
        "grant_type=authorization_code&code=c", "grant_type=urn:ietf:params:oauth:grant-type:device_code",
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code",
    ):  # fmt: skip
        admitted(endpoint.post(body))
    assert endpoint.post("grant_type=authorization_code").http_status == 429


@pytest.mark.parametrize(
    "body",
    [
        "grant_type=client_credentials", "grant_type=authorization_code&grant_type=refresh_token",
        f"grant_type=authorization_code&refresh_token={RT}", f"grant_type=authorization_code&Refresh_Token={RT}",
        f"grant_type=authorization_code;refresh_token={RT}", "grant_type=authorization_code%00", "code=c", "",
        "grant_type=AUTHORIZATION_CODE", '{"grant_type":"authorization_code"}',
    ],
)  # fmt: skip
def test_F18_no_other_request_passes_as_one_of_those(body: str) -> None:
    endpoint = TokenEndpoint(rule(other_grants=GRANTS, reuse=ONCE))
    refused_at_token_endpoint(endpoint.post(body), "invalid_request", "credential_malformed")
    for path in ("/token?refresh_token=x", "/token?grant_type=refresh_token"):
        response = endpoint.post("grant_type=authorization_code", path=path)
        refused_at_token_endpoint(response, "invalid_request", "credential_malformed")
    response = endpoint.post("grant_type=authorization_code", headers=FORM | {"x-envoy-auth-partial-body": "true"})
    refused_at_token_endpoint(response, "invalid_request", "credential_malformed")


def test_F18_a_rule_that_is_broken_lets_no_grant_pass() -> None:
    broken = rule(other_grants=GRANTS)
    broken["token"]["issuers"] = [{"name": "nobody"}]
    response = TokenEndpoint(broken).post("grant_type=authorization_code")
    assert (response.http_status, response.metadata["reason"]) == (503, "policy_invalid")


def test_F18_nor_does_one_that_is_refused_once_it_is_compiled() -> None:
    """As the rules of a host are that its namespace may not claim."""
    endpoint = TokenEndpoint(rule(other_grants=GRANTS))
    view = read_check(check_request("POST", "/token", headers=FORM, body="grant_type=authorization_code"))
    assert isinstance(view, RequestView)
    assert endpoint.snapshot is not None
    good = endpoint.snapshot.choose(view)
    assert isinstance(good, Rule)
    refused = replace(good, broken="not granted")
    assert serving(good, view).demand is None
    assert serving(refused, view) is refused


RETRY = {**ONCE, "bindTo": ["SourcePrincipal"], "retry": {"within": "10s"}}


def test_F17_a_second_use_after_a_lost_answer() -> None:
    endpoint = TokenEndpoint(rule(reuse=RETRY))
    admitted(endpoint.refresh(RT))
    endpoint.clock.advance(9.9)
    admitted(endpoint.refresh(RT))
    for _ in range(3):
        refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")


def test_F17_the_client_may_show_who_it_is_anew() -> None:
    """An assertion is made for each request (RFC 7523, section 3)."""
    endpoint = TokenEndpoint(rule(reuse=RETRY))
    admitted(endpoint.post(grant(RT, client_assertion="a.b.c")))
    admitted(endpoint.post(grant(RT, client_assertion="d.e.f")))
    refused_at_token_endpoint(endpoint.post(grant(RT, client_assertion="g.h.i")), "invalid_grant", "token_reused")


def test_F17_a_second_use_after_the_grace() -> None:
    endpoint = TokenEndpoint(rule(reuse=RETRY))
    admitted(endpoint.refresh(RT))
    endpoint.clock.advance(10)
    refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")


def test_F17_a_second_use_by_another_sender() -> None:
    endpoint = TokenEndpoint(rule(reuse=RETRY))
    admitted(endpoint.refresh(RT))
    refused_at_token_endpoint(endpoint.refresh(RT, principal=MALLORY), "invalid_grant", "token_bound_elsewhere")
    refused_at_token_endpoint(endpoint.refresh(RT, principal=""), "invalid_grant", "token_bound_elsewhere")
    admitted(endpoint.refresh(RT))


def test_F17_by_default_there_is_no_grace() -> None:
    for reuse in (ONCE, {**ONCE, "bindTo": ["SourcePrincipal"]}):
        endpoint = TokenEndpoint(rule(reuse=reuse))
        admitted(endpoint.refresh(RT))
        refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")


@pytest.mark.parametrize(
    "reuse", [RETRY | {"bindTo": ["SourceAddress"]}, RETRY | {"bindTo": []}, RETRY | {"retry": {"within": "11s"}}]
)
def test_F17_a_grace_for_whoever_it_may_be_is_a_mistake(reuse: Any) -> None:
    assert isinstance(parse(api(rule(reuse=reuse))), Broken)
    response = TokenEndpoint(rule(reuse=reuse)).refresh(RT)
    assert (response.http_status, response.metadata["reason"]) == (503, "policy_invalid")
