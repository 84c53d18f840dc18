"""Each clause of `require`: met, not met, and what hostile claims do to it."""

from typing import Any

import pytest

from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import VerifiedToken
from extauthz.policy.clauses.authentication import AuthenticationSpec, RequireAuthentication
from extauthz.policy.clauses.cel import compile_cel
from extauthz.policy.clauses.claims import ClaimSpec, RequireClaim
from extauthz.policy.clauses.scopes import RequireScopes
from tests.building import NOW, verified, view


def reason(clause: Any, token: VerifiedToken, request: RequestView | None = None) -> Reason | None:
    """Why the clause refuses, None when it is met."""
    refusal = clause.check(token, request if request is not None else view("/"), Instant(NOW))
    return None if refusal is None else refusal.reason


def test_scopes_that_stand_apart_by_commas_are_told_as_such() -> None:
    clause = RequireScopes(frozenset({"a"}))
    for scope, told in (("a,b", True), ("b", False)):
        refusal = clause.check(verified({"scope": scope}), view("/"), Instant(NOW))
        assert refusal is not None
        assert ("; there is a comma in `scope`" in refusal.detail) is told


def test_all_scopes_are_needed() -> None:
    clause = RequireScopes(frozenset({"a", "b"}))
    assert reason(clause, verified({"scope": "b a c"})) is None
    assert reason(clause, verified({"scope": "a"})) is Reason.SCOPE_MISSING
    assert reason(clause, verified()) is Reason.SCOPE_MISSING


@pytest.mark.parametrize(
    ("value", "met"),
    [("acme", True), ("globex", True), ("Acme", False), ("acme ", False), (["acme"], False), (None, False), (1, False),
     ({"acme": 1}, False), (True, False)],
)  # fmt: skip
def test_one_of_is_exact_and_wants_text(value: Json, met: bool) -> None:
    clause = RequireClaim(ClaimSpec(claim="tenant", one_of=("acme", "globex")))
    assert (reason(clause, verified({"tenant": value})) is None) == met


@pytest.mark.parametrize(
    ("value", "met"),
    [(["a", "b"], True), ("b", True), (["ab"], False), ("abc", False), ([["b"]], False), ({"b": 1}, False)],
)
def test_contains_looks_for_a_member_not_a_part(value: Json, met: bool) -> None:
    clause = RequireClaim(ClaimSpec(claim="/realm/roles", contains="b"))
    assert (reason(clause, verified({"realm": {"roles": value}})) is None) == met


@pytest.mark.parametrize(("value", "met"), [("x", True), (False, True), (0, True), ("", True), (None, False)])
def test_present_is_there_and_not_null(value: Json, met: bool) -> None:
    assert (reason(RequireClaim(ClaimSpec(claim="x", present=True)), verified({"x": value})) is None) == met


def test_a_claim_that_is_missing_is_refused_without_its_value() -> None:
    refusal = RequireClaim(ClaimSpec(claim="tenant", one_of=("acme",))).check(
        verified({"tenant": "secret-value"}), view("/"), Instant(NOW)
    )
    assert refusal is not None
    assert "secret-value" not in refusal.detail


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        (ClaimSpec(claim="c", one_of=("a", "b")), "hush", "is none of `a`, `b`"),
        (ClaimSpec(claim="c", one_of=tuple("abcdefg")), "hush", "is none of `a`, `b`, `c`, `d`, `e` and 2 more"),
        (ClaimSpec(claim="c", one_of=("a",)), ["a", "hush"], "is a list, and `oneOf` takes a text: `contains`"),
        (ClaimSpec(claim="c", one_of=("7",)), 7, "is no text, and `oneOf` takes one"),
        (ClaimSpec(claim="c", contains="a"), ["hush"], "does not hold `a`"),
    ],
)
def test_a_claim_that_is_refused_is_told_by_what_was_asked(spec: ClaimSpec, value: Json, says: str) -> None:
    refusal = RequireClaim(spec).check(verified({"c": value}), view("/"), Instant(NOW))
    assert refusal is not None
    assert f"the claim `c` {says}" in refusal.detail
    assert "hush" not in refusal.detail


def test_a_token_without_acr_is_told_from_one_with_another() -> None:
    clause = RequireAuthentication(AuthenticationSpec(acr_values=("mfa", "hwk")))
    for claims, says in (
        ({}, "the token has no `acr`, and one of `mfa`, `hwk` is wanted"),
        ({"acr": "pwd"}, "the token's `acr` is none of `mfa`, `hwk`"),
    ):
        refusal = clause.check(verified(claims), view("/"), Instant(NOW))
        assert refusal is not None
        assert refusal.detail == says


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"acr": "mfa", "auth_time": NOW - 60}, None),
        ({"acr": "pwd", "auth_time": NOW - 60}, Reason.STEP_UP_REQUIRED),
        ({"auth_time": NOW - 60}, Reason.STEP_UP_REQUIRED),
        ({"acr": ["mfa"], "auth_time": NOW - 60}, Reason.STEP_UP_REQUIRED),
        ({"acr": "mfa", "auth_time": NOW - 301}, Reason.STEP_UP_REQUIRED),
        ({"acr": "mfa"}, Reason.STEP_UP_REQUIRED),
        ({"acr": "mfa", "auth_time": str(NOW)}, Reason.TOKEN_MALFORMED),
        ({"acr": "mfa", "auth_time": True}, Reason.TOKEN_MALFORMED),
        ({"acr": "mfa", "auth_time": -(10**398)}, Reason.STEP_UP_REQUIRED),
        ({"acr": "mfa", "auth_time": 10**399}, Reason.TOKEN_MALFORMED),
        ({"acr": "mfa", "auth_time": NOW + 3600}, Reason.TOKEN_MALFORMED),
    ],
)
def test_D19_step_up(claims: dict[str, Json], expected: Reason | None) -> None:
    clause = RequireAuthentication(AuthenticationSpec(acr_values=("mfa", "hwk"), max_age=Seconds(300)))
    assert reason(clause, verified(claims)) is expected


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("claims.sub == 'alice'", True),
        ("claims.sub != request.headers['x-on-behalf-of']", True),
        ("claims.sub == request.headers['x-absent']", False),
        ("claims.nothing == 'x'", False),
        ("has(claims.nothing) || request.method == 'GET'", True),
        ("request.host == 'api.example' && request.path.startsWith('/')", True),
        ("request.source.address == '10.0.0.7'", True),
        ("claims.sub", False),
        ("claims.list.all(a, claims.list.all(b, claims.list.all(c, a + b + c >= 0)))", False),
        ("claims.text.matches('(a+)+$')", False),
        ("1 / claims.zero == 1", False),
    ],
)
def test_a_condition_admits_only_when_it_is_true(expression: str, met: bool) -> None:
    token = verified({"list": list(range(300)), "text": "a" * 5000 + "b", "zero": 0})
    request = view("/", headers={"x-on-behalf-of": "bob"})
    assert (reason(compile_cel(expression), token, request) is None) == met


def test_a_condition_that_fails_says_how_to_ask_first() -> None:
    refusal = compile_cel("request.headers['x-a'] == 'b'").check(verified(), view("/"), Instant(NOW))
    assert refusal is not None
    assert "could not be evaluated: there is no `x-a`; ask first" in refusal.detail
    asked = compile_cel("!('x-a' in request.headers) || (has(claims.a) && request.headers['x-a'] == claims.a)")
    assert reason(asked, verified()) is None
    assert reason(asked, verified(), view("/", headers={"x-a": "b"})) is Reason.CLAIM_REFUSED
    assert reason(asked, verified({"a": "b"}), view("/", headers={"x-a": "b"})) is None


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("claims.level > 3", "could not be evaluated: there is no `level`; ask first"),
        (
            "claims.text > 3",
            "could not be evaluated: a value is of another kind than it is compared with (`_>_(string, int",
        ),
        ("claims.map[claims.text] == 'a'", "could not be evaluated: something is not there; ask first"),
        ("timestamp(claims.text) > timestamp(0)", "could not be evaluated: a value in it is not as it must be"),
        ("claims.text", "is neither true nor false, but another value"),
        ("claims.list.all(a, claims.list.all(b, claims.list.all(c, a + b + c >= 0)))", "within the steps"),
        ("claims.text == 'a'", "is false"),
    ],
)
def test_a_condition_that_is_not_met_says_why_without_a_value(expression: str, says: str) -> None:
    token = verified({"text": "hush", "map": {}, "list": list(range(300))})
    refusal = compile_cel(expression).check(token, view("/"), Instant(NOW))
    assert refusal is not None
    assert says in refusal.detail
    assert "hush" not in refusal.detail


def test_a_number_beyond_64_bits_fails_every_condition() -> None:
    assert reason(compile_cel("claims.sub == 'alice'"), verified({"big": 2**70})) is Reason.CLAIM_REFUSED
