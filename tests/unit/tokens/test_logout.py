"""Logout tokens (Back-Channel Logout 1.0, section 2.6): which are accepted, whom they name, which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Instant
from extauthz.model.token import BackChannel, ClaimMapping, ClaimPath, Tenants, Trust
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import Jws, parse_jws, read_payload
from extauthz.tokens.logout import EVENT, Logout, read_logout
from tests.building import NOW
from tests.issuing import CORP, header, hmac_token, state, token, with_signature

CHANNEL = BackChannel(clients=frozenset({"web", "app"}))
TOLD = replace(CORP, back_channel=CHANNEL)


def told_of(**more: Any) -> Trust:
    """An issuer that tells of logouts in another way."""
    return replace(TOLD, back_channel=replace(CHANNEL, **more))


def said(**more: Any) -> dict[str, Any]:
    """The claims of a good logout token; `...` takes one away."""
    claims = {
        "iss": CORP.issuer, "aud": "web", "iat": NOW - 5, "exp": NOW + 115, "jti": "logout-1", "sid": "s-1",
        "sub": "alice", "events": {EVENT: {}}, **more,
    }  # fmt: skip
    return {name: value for name, value in claims.items() if value is not ...}


def read(text: str, trust: Trust = TOLD, now: float = NOW) -> Logout | Refusal:
    """What comes of a token."""
    jws = parse_jws(text, frozenset({"jku"}))
    assert isinstance(jws, Jws)
    claims = read_payload(jws)
    assert isinstance(claims, dict)
    return read_logout(jws, claims, trust, {trust.ref: state("rsa", "ec", "ed")}, Instant(now))


def logout_token(head: dict[str, Any] | None = None, **more: Any) -> str:
    """A good logout token, but for what is said."""
    return token(said(**more), {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"} if head is None else head)


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", ...])
def test_a_good_one_names_the_session(typ: Any) -> None:
    found = read(logout_token(header(typ=typ)))
    assert isinstance(found, Logout)
    assert (found.session, found.subject, found.issued_at, found.token_id) == ("s-1", None, NOW - 5, "logout-1")


def test_one_without_a_session_names_the_subject() -> None:
    found = read(logout_token(sid=...))
    assert isinstance(found, Logout)
    assert (found.session, found.subject) == (None, "alice")


def test_where_access_tokens_have_no_session_the_subject_is_named() -> None:
    subjects = told_of(sessions=False)
    found = read(logout_token(), subjects)
    assert isinstance(found, Logout)
    assert (found.session, found.subject) == (None, "alice")
    assert isinstance(read(logout_token(sub=...), subjects), Refusal)


def test_the_subject_is_the_one_that_access_tokens_are_compared_by() -> None:
    trust = replace(TOLD, mapping=ClaimMapping(subject=(ClaimPath("oid"), ClaimPath("sub"))))
    refusal = read(logout_token(sid=...), trust)
    assert isinstance(refusal, Refusal)
    assert "the subject cannot be told" in refusal.detail
    found = read(logout_token(sid=..., oid="person-7"), trust)
    assert isinstance(found, Logout)
    assert found.subject == "person-7"
    session = read(logout_token(), trust)
    assert isinstance(session, Logout)
    assert session.session == "s-1"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"nonce": "n"}, "`nonce`"),
        ({"nonce": None}, "`nonce`"),
        ({"events": ...}, "`events`"),
        ({"events": []}, "`events`"),
        ({"events": [EVENT]}, "`events`"),
        ({"events": {EVENT: True}}, "`events`"),
        ({"events": {EVENT + "/": {}}}, "`events`"),
        ({"events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}}, "`events`"),
        ({"aud": "orders-api"}, "`aud`"),
        ({"aud": ...}, "`aud`"),
        ({"aud": []}, "`aud`"),
        ({"aud": {"web": 1}}, "`aud`"),
        ({"iat": ...}, "`iat`"),
        ({"iat": str(NOW)}, "`iat`"),
        ({"iat": True}, "`iat`"),
        ({"iat": NOW + 31, "exp": NOW + 100}, "`iat` lies ahead"),
        ({"iat": NOW - 3601}, "more than an hour back"),
        ({"exp": ...}, "`exp`"),
        ({"exp": NOW - 30}, "expired"),
        ({"exp": NOW - 5}, "expired"),
        ({"jti": ...}, "`jti`"),
        ({"jti": ""}, "`jti`"),
        ({"jti": 7}, "`jti`"),
        ({"sid": ..., "sub": ...}, "neither `sub` nor `sid`"),
        ({"sid": ""}, "`sid`"),
        ({"sid": 7}, "`sid`"),
        ({"sid": "a\nb"}, "`sid`"),
        ({"sid": "s" * 1025}, "`sid`"),
        ({"sid": "s-1", "sub": ["alice"]}, "`sub`"),
    ],
    ids=str,
)
def test_what_is_not_a_logout_token_is_refused_in_words_that_name_nobody(more: dict[str, Any], words: str) -> None:
    refusal = read(logout_token(**more))
    assert isinstance(refusal, Refusal)
    assert words in refusal.detail
    assert not any(name in refusal.detail for name in ("alice", "s-1", "logout-1"))


def test_a_header_parameter_is_let_be_only_by_its_own_issuer() -> None:
    text = logout_token(header(typ="logout+jwt", jku="https://evil.example/keys"))
    assert isinstance(read(text, replace(TOLD, ignored_header_parameters=frozenset({"jku"}))), Logout)
    refusal = read(text)
    assert isinstance(refusal, Refusal)
    assert "`ignoredHeaderParameters`" in refusal.detail


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "secevent+jwt", "id+jwt"])
def test_a_token_of_another_type_is_refused_unless_the_issuer_is_known_for_it(typ: str) -> None:
    text = logout_token(header(typ=typ))
    assert isinstance(read(text), Refusal)
    known = told_of(types=frozenset({"logout+jwt", typ.lower()}))
    assert isinstance(read(text, known), Logout)


def test_a_forged_one_is_refused() -> None:
    assert _reason(with_signature(logout_token(), b"x" * 256)) is Reason.SIGNATURE_INVALID
    assert _reason(token(said(), header(kid="rsa-2", typ="logout+jwt"), "rsa-2")) is Reason.KEY_UNKNOWN
    assert _reason(hmac_token(b"x", header("HS256", typ="logout+jwt"), said())) is Reason.SIGNATURE_INVALID


def test_an_issuer_whose_logouts_do_not_count_is_refused() -> None:
    refusal = read(logout_token(), CORP)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ISSUER_UNTRUSTED


def test_without_keys_nobody_can_tell() -> None:
    jws = parse_jws(logout_token())
    assert isinstance(jws, Jws)
    refusal = read_logout(jws, said(), TOLD, {}, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEYS_UNAVAILABLE


def test_a_tenant_logs_out_its_own_alone() -> None:
    iss = "https://login.example/t1/v2.0"
    tenants = Tenants(claim=ClaimPath("tid"), by_issuer={iss: "t1", "https://login.example/t2/v2.0": "t2"})
    trust = replace(TOLD, issuer="", tenants=tenants)
    assert isinstance(read(logout_token(iss=iss, tid="t1"), trust), Logout)
    for tid in ("t2", ...):
        assert isinstance(read(logout_token(iss=iss, tid=tid), trust), Refusal)


def _reason(text: str) -> Reason:
    refusal = read(text)
    assert isinstance(refusal, Refusal)
    return refusal.reason
