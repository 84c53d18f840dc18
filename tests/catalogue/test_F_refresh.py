"""Rows F16 to F18: refresh tokens at the token endpoint of an authorization server behind the gateway."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.decide import serving
from extauthz.keys.jwks import KeyRing, KeyState
from extauthz.model.request import RequestView
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Deny
from extauthz.policy.parse import Broken, parse
from extauthz.policy.rule import Rule
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Mark, Spend
from extauthz.replay.store import Outcome, Unavailable
from extauthz.server.codec import read_check
from extauthz.telemetry.observation import judged
from tests import issuing
from tests.building import NOW, obj
from tests.catalogue.guarded import api
from tests.catalogue.outcomes import admitted, refused_at_token_endpoint
from tests.catalogue.token_endpoint import ALICE, FORM, MALLORY, TokenEndpoint, grant, refresh_token, rule
from tests.checks import check_request
from tests.clock import FakeClock
from tests.issuing import claims, header, jwks, token

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
    "two, one behind the sign of a query": f"?refresh_token={refresh_token(2)}&{GOOD}",
    "two, one in the encoding of JavaScript's escape": f"{GOOD}&refresh%u005Ftoken={refresh_token(2)}",
    "two, one in an encoding that is too long": f"{GOOD}&refresh%C1%9Ftoken={refresh_token(2)}",
    "two, one behind a byte order mark": f"%EF%BB%BFrefresh_token={refresh_token(2)}&{GOOD}",
    "two, one in EBCDIC": f"_charset_=cp037&%99%85%86%99%85%A2%88%6D%A3%96%92%85%95={refresh_token(2)}&{GOOD}",
    "a charset that the form names itself": f"_charset_=utf-7&{GOOD}",
    "a method that the form names itself": f"_method=PUT&{GOOD}",
    "a name that no parameter has": f"{GOOD}&a[b]=c",
    "a value without a name": f"{GOOD}&=c",
    "more parameters than anybody needs": f"{GOOD}{'&a=b' * 99}",
    "more separators than anybody needs": f"{GOOD}{'&' * 60}{';' * 39}",
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
    "JSON that is a form too": f'{{"a":"&{GOOD}&","refresh_token":"{refresh_token(2)}"}}',
    "XML that is a form too": f"<a>&{GOOD}&</a>",
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
    [
        "refresh_token=x", "Refresh_token=", "refresh%5ftoken=x", "a=b;refresh_token=x", "grant_type=refresh_token",
        "?refresh_token=x", "refresh%u005ftoken=x", "_charset_=utf-7", "_method=GET", "&" * 100,
    ],
)  # fmt: skip
def test_F18_a_token_or_a_grant_in_the_query(endpoint: TokenEndpoint, query: str) -> None:
    for body in (GOOD, "", "grant_type=refresh_token"):
        response = endpoint.post(body, path=f"/token?{query}")
        refused_at_token_endpoint(response, "invalid_request", "credential_malformed")
    admitted(endpoint.post(GOOD, path="/token?p=policy-1&api-version=2.0&flag&"))


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"content-type": "application/json"}, {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded; charset=utf-16"},
        {"content-type": "application/x-www-form-urlencoded, application/json"},
        FORM | {"content-encoding": "gzip"}, FORM | {"x-envoy-auth-partial-body": "true"},
        FORM | {"content-length": "7"}, FORM | {"content-length": "0"}, FORM | {"authorization": "Bearer x"},
        FORM | {"transfer-encoding": "chunked"},
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
        {"body": f"{GOOD}&"},
        {"body": f"{GOOD}{'&a=b' * 98}"},
        {"body": f"client_id=a%20b&&x-y.z=%2F;q&{GOOD}"},
    ],
    ids=str,
)
def test_F18_what_has_one_reading_is_read(endpoint: TokenEndpoint, more: Any) -> None:
    admitted(endpoint.post(**{"body": GOOD, **more}))
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
        f"?grant_type=refresh_token&refresh%u005Ftoken={RT}&grant_type=authorization_code",
        f"grant_type=authorization_code&?refresh_token={RT}", f"grant_type=authorization_code&refresh%C1%9Ftoken={RT}",
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


def test_F18_nor_does_one_that_takes_what_another_rule_was_to_take() -> None:
    strict = {**rule(), "name": "strict"}
    response = TokenEndpoint(rule(other_grants=GRANTS), strict).post("grant_type=authorization_code")
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


class FetchedOnce(KeyRing):
    """The keys of the issuers, as they were fetched at an instant."""

    at = Instant(NOW)

    def states(self) -> dict[IssuerRef, KeyState]:
        """All of them."""
        return {ref: replace(state, fetched_at=self.at) for ref, state in super().states().items()}


def test_F17_a_token_of_a_key_that_is_new_costs_no_login() -> None:
    """A client that reads `invalid_grant` throws its token away. Soon the key is fetched."""
    clock = FakeClock(NOW)
    keys = FetchedOnce(clock)
    endpoint = TokenEndpoint(rule(reuse=ONCE), clock=clock, keys=keys)
    new = issuing.token(
        claims(aud="https://as.example", iat=NOW - 10, exp=NOW + 600), header(typ="rt+jwt", kid="rsa-2"), "rsa-2"
    )
    for fetched in (NOW - 3000, NOW - 10, NOW, NOW + 289):
        keys.at = Instant(fetched)
        response = endpoint.refresh(new)
        assert (response.http_status, response.metadata["reason"]) == (503, "key_unknown")
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["cache-control"] == "no-store"
    # What is fetched so long after has the key, unless the issuer took it out again.
    keys.at = Instant(NOW + 290)
    refused_at_token_endpoint(endpoint.refresh(new), "invalid_grant", "key_unknown")
    assert endpoint.refresh(refresh_token()).code == 0


@pytest.mark.parametrize("iat", [..., "soon", True, None, NOW - 1e9])
def test_F17_a_token_of_an_unknown_key_that_does_not_say_when_it_was_made_is_no_new_one(iat: Any) -> None:
    clock = FakeClock(NOW)
    endpoint = TokenEndpoint(rule(reuse=ONCE), clock=clock, keys=FetchedOnce(clock))
    odd = issuing.token(claims(aud="https://as.example", iat=iat), header(typ="rt+jwt", kid="rsa-2"), "rsa-2")
    response = endpoint.refresh(odd)
    assert (response.http_status, json.loads(response.body)["error"]) == (400, "invalid_grant")


FAMILY = {**ONCE, "family": {"claim": "sid"}}


def became_of_family(endpoint: TokenEndpoint) -> str:
    """What is told of the last request's family."""
    return endpoint.seen[-1].family.value


@pytest.mark.parametrize("key", ["Token", "Jti"])
def test_F16_a_second_use_ends_the_family(key: str) -> None:
    endpoint = TokenEndpoint(rule(reuse={**FAMILY, "key": key}))
    admitted(endpoint.refresh(RT))
    admitted(endpoint.refresh(refresh_token(2)))
    refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")
    assert became_of_family(endpoint) == "revoked"
    for number in (3, 4, 5, 2, 1):
        refused_at_token_endpoint(endpoint.refresh(refresh_token(number)), "invalid_grant", "token_revoked")
        assert became_of_family(endpoint) == "none"
    admitted(endpoint.refresh(refresh_token(6, family="family-2")))


def test_F16_a_second_use_by_another_sender_ends_the_family_whoever_was_first() -> None:
    for first, second in ((ALICE, MALLORY), (MALLORY, ALICE)):
        endpoint = TokenEndpoint(rule(reuse={**FAMILY, "bindTo": ["SourcePrincipal"]}))
        admitted(endpoint.refresh(RT, principal=first))
        refused_at_token_endpoint(endpoint.refresh(RT, principal=second), "invalid_grant", "token_bound_elsewhere")
        for principal in (ALICE, MALLORY):
            again = endpoint.refresh(refresh_token(2), principal=principal)
            refused_at_token_endpoint(again, "invalid_grant", "token_revoked")


def test_F16_a_repeat_in_the_grace_ends_nothing_and_the_one_after_it_does() -> None:
    endpoint = TokenEndpoint(rule(reuse={**RETRY, "family": {"claim": "sid"}}))
    admitted(endpoint.refresh(RT))
    admitted(endpoint.refresh(RT))
    admitted(endpoint.refresh(refresh_token(2)))
    refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")
    refused_at_token_endpoint(endpoint.refresh(refresh_token(2)), "invalid_grant", "token_revoked")
    refused_at_token_endpoint(endpoint.refresh(refresh_token(3)), "invalid_grant", "token_revoked")


def test_F16_envoys_repetition_of_a_check_is_no_second_use() -> None:
    endpoint = TokenEndpoint(rule(reuse=FAMILY))
    for _ in range(3):
        admitted(endpoint.refresh(RT, stream_id="once"))
    admitted(endpoint.refresh(refresh_token(2)))


def test_F16_a_forged_token_ends_no_family() -> None:
    endpoint = TokenEndpoint(rule(reuse=FAMILY, require={"claims": [{"claim": "use", "oneOf": ["refresh"]}]}))
    good = refresh_token(1, use="refresh")
    admitted(endpoint.refresh(good))
    others = [
        f"{good.rpartition('.')[0]}.{'A' * 342}", refresh_token(1, use="access"), token(), f"{good}=",
        refresh_token(1, use="refresh", aud="x"), refresh_token(1, use="refresh", iss="https://evil.example"),
    ]  # fmt: skip
    for text in others * 3:
        assert endpoint.refresh(text).http_status == 400
    for body in (f"{grant(good)}&refresh_token={good}", grant(good) + "&access_token=x"):
        assert endpoint.post(body).http_status == 400
    admitted(endpoint.refresh(refresh_token(2, use="refresh")))


def test_F16_another_issuer_that_claims_the_same_ends_no_family() -> None:
    """Row F15 for families: they are told apart by the object that vouches for the token."""
    settings = {"issuer": "https://evil.example", "keys": {"inline": jwks("rsa-evil")}, "tokenTypes": ["rt+jwt"]}
    both = rule(reuse={**FAMILY, "scope": "Global"})
    both["token"]["issuers"] = [{"name": "as"}, {"name": "evil"}]
    endpoint = TokenEndpoint(both, objects=(obj("TokenIssuer", "evil", settings),))
    said = claims(aud="https://as.example", sid="family-1", iss="https://evil.example", jti="rt-1")
    evil = token(said, header(typ="rt+jwt", kid="rsa-evil"), key="rsa-evil")
    admitted(endpoint.refresh(evil))
    refused_at_token_endpoint(endpoint.refresh(evil), "invalid_grant", "token_reused")
    admitted(endpoint.refresh(RT))


def test_F16_a_request_that_is_refused_for_something_else_ends_no_family() -> None:
    limit = {"name": "per-subject", "by": ["Subject"], "requests": 2, "window": "1m"}
    endpoint = TokenEndpoint(rule(reuse=FAMILY, limits=[limit]))
    for number in (1, 2):
        admitted(endpoint.refresh(refresh_token(number)))
    for number in (3, 4):
        assert endpoint.refresh(refresh_token(number)).http_status == 429
    endpoint.clock.advance(62)
    admitted(endpoint.refresh(refresh_token(3)))


@pytest.mark.parametrize("sid", [..., None, "", True, 1.5, ["a"], {"a": 1}, 0])
def test_F16_a_token_that_names_no_family_is_refused(sid: Any) -> None:
    endpoint = TokenEndpoint(rule(reuse=FAMILY))
    response = endpoint.refresh(refresh_token(family=sid))
    refused_at_token_endpoint(response, "invalid_grant", "claim_refused")


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "nbf", "iat", "jti", "/iss"])
def test_F16_a_claim_that_names_all_tokens_or_one_names_no_family(claim: str) -> None:
    """One client that sends its token twice would end the login of everybody; or a thief's chain would go on."""
    broken = rule(reuse={**ONCE, "family": {"claim": claim}})
    assert isinstance(parse(api(broken)), Broken)
    assert TokenEndpoint(broken).refresh(RT).http_status == 503


def test_F16_a_family_stays_revoked_for_as_long_as_its_tokens_live() -> None:
    endpoint = TokenEndpoint(rule(reuse=FAMILY))
    admitted(endpoint.refresh(RT))
    endpoint.refresh(RT)
    endpoint.clock.advance(3599)
    # Issued by a request that was admitted just before.
    late = refresh_token(9, iat=NOW + 30, exp=NOW + 30 + 3600)
    refused_at_token_endpoint(endpoint.refresh(late), "invalid_grant", "token_revoked")


def test_F16_a_trial_run_ends_no_family_of_those_that_enforce() -> None:
    shadow = api(rule(reuse={**FAMILY, "scope": "Global"}), name="trial", mode="Shadow", hosts=("trial.example",))
    endpoint = TokenEndpoint(rule(reuse={**FAMILY, "scope": "Global"}), objects=(shadow,))
    for word in ("allow", "shadow_deny"):
        response = endpoint.refresh(RT, host="trial.example")
        admitted_in_shadow = response.code == 0
        assert admitted_in_shadow
        assert judged(endpoint.seen[-1].verdict)[0].value == word
    admitted(endpoint.refresh(RT))


class Forgetful(MemoryStore):
    """The memory store, but for marks: while it is away, it takes none."""

    away = True

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        if self.away and any(isinstance(spend, Mark) for spend in spends):
            return Unavailable("gone for a moment")
        return super().commit(spends, attempt)


def test_F16_a_family_that_could_not_be_marked_is_marked_at_the_next_use() -> None:
    clock = FakeClock()
    store = Forgetful(clock)
    endpoint = TokenEndpoint(rule(reuse=FAMILY), clock=clock, store=store)
    admitted(endpoint.refresh(RT))
    refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")
    assert became_of_family(endpoint) == "failed"
    verdict = endpoint.seen[-1].verdict
    assert isinstance(verdict, Deny)
    assert "could not be revoked: gone for a moment" in verdict.refusal.detail
    admitted(endpoint.refresh(refresh_token(2)))
    store.away = False
    refused_at_token_endpoint(endpoint.refresh(RT), "invalid_grant", "token_reused")
    assert became_of_family(endpoint) == "revoked"
    refused_at_token_endpoint(endpoint.refresh(refresh_token(3)), "invalid_grant", "token_revoked")
