"""Which tokens an endpoint is asked about, and what its answer makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from extauthz.model.question import Active, Answer, Answered, Ask, Inactive, Question, Unanswered
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import (
    ClaimMapping,
    ClaimPath,
    Credential,
    Demand,
    Introspected,
    IssuerRef,
    Slot,
    SlotKind,
    TokenForms,
    Trust,
    VerifiedToken,
)
from extauthz.model.verdict import Refusal
from extauthz.tokens.introspected import looks_signed
from extauthz.tokens.verify import Verifier
from tests.building import NOW, TRUST
from tests.introspecting import ISSUER, OPAQUE, active
from tests.issuing import claims as jwt_claims
from tests.issuing import header
from tests.issuing import token as signed_token

URL = "https://opaque.example/introspect"
OURS = replace(
    TRUST,
    ref=IssuerRef("TokenIssuer", "shop", "opaque"),
    issuer=ISSUER,
    introspected=Introspected(endpoint=URL),
)
SLOT = Slot(SlotKind.AUTHORIZATION, "authorization")


def demand(*issuers: Trust, introspector: Trust | None = OURS, **more: Any) -> Demand:
    return Demand(slot=SLOT, issuers=issuers, introspector=introspector, **more)


def any_form(**more: Any) -> Trust:
    return replace(OURS, introspected=Introspected(endpoint=URL, forms=TokenForms.ANY), **more)


def introspect(
    token: str = OPAQUE, answer: Answer | None = None, wanted: Demand | None = None, now: float = NOW
) -> VerifiedToken | Refusal | Ask | None:
    wanted = demand() if wanted is None else wanted
    answered = None if answer is None else Answered(Question(OURS.ref, URL, token), answer)
    return Verifier().introspect(Credential(token, SLOT), wanted, answered, Instant(now))


def said(**claims: Any) -> Active:
    return Active({name: value for name, value in active(**claims).items() if name != "active"})


def token_of(found: object) -> VerifiedToken:
    assert isinstance(found, VerifiedToken), found
    return found


def refusal_of(found: object) -> Refusal:
    assert isinstance(found, Refusal), found
    return found


def jwt_of(iss: Any) -> str:
    return signed_token(jwt_claims(iss=iss))


def test_an_opaque_token_is_asked_about_at_the_endpoint_that_the_rule_names() -> None:
    asked = introspect()
    assert isinstance(asked, Ask)
    assert asked.question == Question(OURS.ref, URL, OPAQUE)


def test_an_active_token_becomes_a_verified_one_like_any_other() -> None:
    token = token_of(introspect(answer=said(jti="id-7", roles=["buyer"])))
    assert (token.subject, token.client, token.token_id) == ("alice", "web", "id-7")
    assert token.scopes == {"orders.read", "orders.write"}
    assert token.audiences == {"orders-api"}
    assert token.claims["roles"] == ["buyer"]
    assert token.trust is OURS


def test_an_inactive_token_is_refused_as_one() -> None:
    refusal = refusal_of(introspect(answer=Inactive()))
    assert (refusal.reason, refusal.step) == (Reason.TOKEN_INACTIVE, Step.INTROSPECTION)


def test_no_answer_is_no_verdict_on_the_token() -> None:
    refusal = refusal_of(introspect(answer=Unanswered("it does not answer", Seconds(3))))
    assert refusal.reason is Reason.INTROSPECTION_UNAVAILABLE
    assert refusal.reason.http_status == 503
    assert refusal.retry_after == Seconds(3)


def test_an_answer_about_another_token_issuer_or_endpoint_does_not_count() -> None:
    for question in (
        Question(OURS.ref, URL, OPAQUE + "x"),
        Question(IssuerRef("TokenIssuer", "other", "opaque"), URL, OPAQUE),
        Question(OURS.ref, "https://evil.example/", OPAQUE),
    ):
        found = Verifier().introspect(Credential(OPAQUE, SLOT), demand(), Answered(question, said()), Instant(NOW))
        assert isinstance(found, Ask)


@pytest.mark.parametrize(
    ("claims", "reason", "step"),
    [
        ({"iss": "https://evil.example"}, Reason.ISSUER_UNTRUSTED, Step.ISSUER),
        ({"iss": ISSUER + "/"}, Reason.ISSUER_UNTRUSTED, Step.ISSUER),
        ({"iss": ""}, Reason.ISSUER_UNTRUSTED, Step.ISSUER),
        ({"aud": "billing-api"}, Reason.AUDIENCE_MISMATCH, Step.AUDIENCE),
        ({"aud": []}, Reason.AUDIENCE_MISMATCH, Step.AUDIENCE),
        ({"aud": ...}, Reason.AUDIENCE_MISMATCH, Step.AUDIENCE),
        ({"exp": ...}, Reason.TOKEN_MALFORMED, Step.CLAIMS),
        ({"exp": 0}, Reason.TOKEN_MALFORMED, Step.CLAIMS),
        ({"exp": -1}, Reason.TOKEN_MALFORMED, Step.CLAIMS),
        ({"exp": NOW - 31}, Reason.TOKEN_EXPIRED, Step.TIME),
        ({"nbf": NOW + 31}, Reason.TOKEN_NOT_YET_VALID, Step.TIME),
        ({"iat": NOW + 31}, Reason.TOKEN_NOT_YET_VALID, Step.TIME),
        ({"exp": NOW + 3600}, Reason.TOKEN_TOO_LONG_LIVED, Step.LIFETIME),
        ({"sub": ...}, Reason.TOKEN_MALFORMED, Step.CLAIMS),
        ({"cnf": {"jkt": "a"}}, Reason.SENDER_MISMATCH, Step.SENDER),
        ({"cnf": None}, Reason.SENDER_MISMATCH, Step.SENDER),
        ({"token_type": "DPoP"}, Reason.SENDER_MISMATCH, Step.SENDER),
        ({"token_type": "mac"}, Reason.TOKEN_MALFORMED, Step.TYPE),
        ({"token_type": ""}, Reason.TOKEN_MALFORMED, Step.TYPE),
        ({"token_type": "refresh_token"}, Reason.TOKEN_MALFORMED, Step.TYPE),
        ({"token_use": "refresh_token"}, Reason.TOKEN_MALFORMED, Step.TYPE),
        ({"typ": "Refresh"}, Reason.TOKEN_MALFORMED, Step.TYPE),
    ],
)
def test_an_active_token_is_judged_like_any_other(claims: dict[str, Any], reason: Reason, step: Step) -> None:
    refusal = refusal_of(introspect(answer=said(**claims)))
    assert (refusal.reason, refusal.step) == (reason, step)


FORM = Slot(SlotKind.FORM, "refresh_token")


def as_refresh_token(answer: Answer, verifier: Verifier | None = None) -> VerifiedToken | Refusal | Ask | None:
    """What becomes of the token where a rule takes refresh tokens."""
    question = Question(OURS.ref, URL, OPAQUE, "refresh_token")
    wanted = replace(demand(), slot=FORM)
    return (verifier or Verifier()).introspect(
        Credential(OPAQUE, FORM), wanted, Answered(question, answer), Instant(NOW)
    )


def test_a_refresh_token_is_asked_about_as_one() -> None:
    asked = Verifier().introspect(Credential(OPAQUE, FORM), replace(demand(), slot=FORM), None, Instant(NOW))
    assert isinstance(asked, Ask)
    assert asked.question == Question(OURS.ref, URL, OPAQUE, "refresh_token")


@pytest.mark.parametrize(
    "said_of_it",
    [
        {"token_type": "refresh_token"}, {"token_use": "refresh_token"}, {"typ": "Refresh"}, {"typ": "Offline"},
        {"token_type": "Bearer", "token_use": "refresh_token"}, {},
    ],
)  # fmt: skip
def test_a_refresh_token_is_taken_where_one_is_wanted(said_of_it: dict[str, Any]) -> None:
    token_of(as_refresh_token(said(**{"token_type": ...} | said_of_it)))


@pytest.mark.parametrize(
    "said_of_it",
    [
        {"token_use": "access_token"}, {"token_use": "access"}, {"typ": "Bearer"}, {"typ": "ID"}, {"typ": ""},
        {"token_type": "mac"}, {"token_type": "N_A"}, {"token_use": "refresh_token", "typ": "at+jwt"},
    ],
)  # fmt: skip
def test_no_other_token_is_taken_where_a_refresh_token_is_wanted(said_of_it: dict[str, Any]) -> None:
    refusal = refusal_of(as_refresh_token(said(**{"token_type": ...} | said_of_it)))
    assert (refusal.reason, refusal.step) == (Reason.TOKEN_MALFORMED, Step.TYPE)


def test_a_refresh_token_that_needs_a_proof_is_not_taken_without() -> None:
    for kind in ({"token_type": "DPoP"}, {"cnf": {"jkt": "a"}}):
        assert refusal_of(as_refresh_token(said(**kind))).reason is Reason.SENDER_MISMATCH


def test_what_was_a_refresh_token_is_no_access_token_from_memory() -> None:
    verifier, answer = Verifier(), said(token_type=..., token_use="refresh_token")
    token_of(as_refresh_token(answer, verifier))
    for hint in ("access_token", "refresh_token"):
        answered = Answered(Question(OURS.ref, URL, OPAQUE, hint), answer)
        found = verifier.introspect(Credential(OPAQUE, SLOT), demand(), answered, Instant(NOW))
        assert isinstance(found, Refusal | Ask)


def test_an_answer_that_names_no_issuer_speaks_for_the_one_that_was_asked() -> None:
    assert token_of(introspect(answer=said(iss=...))).claims["iss"] == ISSUER


@pytest.mark.parametrize("kind", ["access_token", "client_credentials"])
def test_what_kind_of_token_it_is_stands_for_a_bearer_where_the_issuers_settings_say_so(kind: str) -> None:
    refusal = refusal_of(introspect(answer=said(token_type=kind)))
    assert (refusal.reason, refusal.step) == (Reason.TOKEN_MALFORMED, Step.TYPE)
    assert f"`claimEquals: {{token_type: {kind}}}`" in refusal.detail
    told = demand(introspector=replace(OURS, claim_equals={ClaimPath("token_type"): kind}))
    token_of(introspect(answer=said(token_type=kind), wanted=told))
    assert refusal_of(introspect(answer=said(), wanted=told)).reason is Reason.TOKEN_MALFORMED
    bound = introspect(answer=said(token_type=kind, cnf={"jkt": "a"}), wanted=told)
    assert refusal_of(bound).reason is Reason.SENDER_MISMATCH


@pytest.mark.parametrize("kind", ["DPoP", "mac", "N_A", "pop", "", ["access_token"], None, True, "refresh_token"])
def test_no_setting_makes_a_bearer_of_a_token_that_is_presented_otherwise(kind: Any) -> None:
    told = demand(introspector=replace(OURS, claim_equals={ClaimPath("token_type"): kind}))
    refusal = refusal_of(introspect(answer=said(token_type=kind), wanted=told))
    assert refusal.reason in {Reason.TOKEN_MALFORMED, Reason.SENDER_MISMATCH}


def test_a_bearer_is_one_however_it_is_written_and_when_it_is_not_said() -> None:
    for kind in ("bearer", "BEARER", ...):
        token_of(introspect(answer=said(token_type=kind)))


def test_the_issuers_settings_count_for_what_the_endpoint_says() -> None:
    mapped = replace(OURS, mapping=ClaimMapping(subject=(ClaimPath("username"),), client=(ClaimPath("azp"),)))
    token = token_of(introspect(answer=said(username="al", azp="app"), wanted=demand(introspector=mapped)))
    assert (token.subject, token.client) == ("al", "app")
    strict = replace(OURS, claim_equals={ClaimPath("token_use"): "access"})
    refused = introspect(answer=said(), wanted=demand(introspector=strict))
    assert refusal_of(refused).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("token", "signed"),
    [
        ("ory_at_abc.def", False),
        ("abc", False),
        ("a.b.c", False),
        ("eyJhbGciOiJSUzI1NiJ9", False),
        ("eyJhbGciOiJSUzI1NiJ9.e30", False),
        ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", True),
        ("eyJhbGciOiJSUzI1NiJ9..", True),
        ("eyJhbGciOiJSU0EifQ.a.b.c.d", True),
        ("IHsiYWxnIjoiUlMyNTYifQ.e30.c2ln", True),
        ("Cgl7ImFsZyI6IlJTMjU2In0.e30.c2ln", True),
        ("e30.e30.e30", True),
        ("e30=.e30.e30", True),
        ("ewo=.e30.e30", True),
        ("~eyJhbGciOiJSUzI1NiJ9.e30.c2ln", True),
        ("ey~JhbGciOiJSUzI1NiJ9.e30.c2ln", True),
        ("e=yJhbGciOiJSUzI1NiJ9.e30.c2ln", True),
        ("77u_eyJhbGciOiJSUzI1NiJ9.e30.c2ln", True),
        ("__57ACIAYQAiADoAMQB9AA.e30.c2ln", True),
        ("AAAAewAAACIAAABhAAAAIgAAADoAAAAxAAAAfQ.e30.c2ln", True),
        ("v2.local.payload", False),
        ("ya29.a0Af.x", False),
        ("...", False),
    ],
)
def test_what_any_server_would_read_as_a_jwt_is_no_opaque_token(token: str, signed: bool) -> None:
    assert looks_signed(token) == signed


def test_a_jwt_is_not_sent_to_an_endpoint_for_opaque_tokens() -> None:
    jwt = jwt_of(ISSUER)
    assert introspect(jwt, wanted=demand(TRUST)) is None
    assert "tokens: Any" in refusal_of(introspect(jwt, wanted=demand())).detail


def test_a_jwt_of_another_issuer_is_never_sent_to_the_endpoint() -> None:
    for iss in ("https://corp.example", "https://evil.example", None, 7, ""):
        jwt = jwt_of(iss)
        assert introspect(jwt, wanted=demand(TRUST, introspector=any_form())) is None
        assert isinstance(introspect(jwt, wanted=demand(introspector=any_form())), Refusal)


def test_a_jwt_of_the_issuer_itself_is_sent_where_it_says_so() -> None:
    jwt = jwt_of(ISSUER)
    assert isinstance(introspect(jwt, wanted=demand(TRUST, introspector=any_form())), Ask)


def test_signatures_decide_about_a_jwt_whose_issuer_has_keys_in_the_rule() -> None:
    jwt = jwt_of(ISSUER)
    with_keys = replace(TRUST, issuer=ISSUER)
    assert introspect(jwt, wanted=demand(with_keys, introspector=any_form())) is None


def test_a_jwt_is_sent_with_a_header_parameter_only_where_its_issuer_has_it_so() -> None:
    text = signed_token(jwt_claims(iss=ISSUER), header(jku="https://evil.example/keys"))
    assert isinstance(introspect(text, wanted=demand(introspector=any_form())), Refusal)
    asks = any_form(ignored_header_parameters=frozenset({"jku"}))
    assert isinstance(introspect(text, wanted=demand(introspector=asks)), Ask)
    others = replace(TRUST, ignored_header_parameters=frozenset({"jku"}))
    assert introspect(text, wanted=demand(others, introspector=any_form())) is None


def test_a_jwt_that_cannot_be_read_is_sent_nowhere() -> None:
    for broken in ("eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJSUzI1NiJ9.e30", "eyJhIjoxfQ.AAAA.AAAA"):
        found = introspect(broken + ".x" * 2, wanted=demand(introspector=any_form()))
        assert isinstance(found, Refusal)


def test_a_token_that_begins_otherwise_is_sent_nowhere() -> None:
    picky = replace(OURS, introspected=Introspected(endpoint=URL, prefixes=("ory_at_", "ory_ac_")))
    assert isinstance(introspect(OPAQUE, wanted=demand(introspector=picky)), Ask)
    refusal = refusal_of(introspect("oat_abcdef", wanted=demand(introspector=picky)))
    assert (refusal.reason, refusal.step) == (Reason.ISSUER_UNTRUSTED, Step.ISSUER)
    assert "oat_abcdef" not in refusal.detail


def test_a_rule_without_an_endpoint_asks_nobody() -> None:
    assert introspect(wanted=demand(TRUST, introspector=None)) is None


def test_one_token_is_one_with_or_without_its_padding_and_two_tokens_are_two() -> None:
    one, padded, other = (token_of(introspect(text, said())).identity for text in ("abc", "abc==", "abd"))
    assert one == padded != other


def test_one_token_is_one_however_a_server_may_look_it_up() -> None:
    """A database that knows no case in texts finds it in every spelling; so does who decodes both alphabets."""
    one, *others = (
        token_of(introspect(text, said())) for text in ("aB-_c/D", "AB-_C/D", "ab-_c/d", "aB+/c_D", "aB-_c/D=")
    )
    assert {each.identity for each in others} == {one.identity}
    # Who revokes one by its hash has the text.
    assert len({each.signing_hash for each in (one, *others)}) == 4
    assert token_of(introspect("aB-_c.D", said())).identity != one.identity


def test_altering_the_signature_of_a_jwt_does_not_make_it_another_token() -> None:
    jwt, wanted = jwt_of(ISSUER), demand(introspector=any_form())
    altered = jwt.rpartition(".")[0] + ".AAAA"
    assert token_of(introspect(jwt, said(), wanted)).identity == token_of(introspect(altered, said(), wanted)).identity
    assert (
        token_of(introspect(jwt, said(), wanted)).signing_hash
        == token_of(introspect(altered, said(), wanted)).signing_hash
    )


def test_another_endpoint_cannot_make_the_same_token() -> None:
    elsewhere = replace(OURS, introspected=Introspected(endpoint="https://evil.example/"))
    answered = Answered(Question(OURS.ref, "https://evil.example/", OPAQUE), said())
    theirs = Verifier().introspect(Credential(OPAQUE, SLOT), demand(introspector=elsewhere), answered, Instant(NOW))
    assert token_of(theirs).identity != token_of(introspect(answer=said())).identity


def test_a_token_that_its_endpoint_prolongs_is_remembered_for_as_long_as_it_could_ever_live() -> None:
    window = token_of(introspect(answer=said())).window
    assert window.closes == NOW + 330
    assert window.remember_until == NOW - 60 + 3600 + 300 + 1
    # Whatever end is said later, the longest that is accepted lies before.
    longest = token_of(introspect(answer=said(exp=NOW - 60 + 3600))).window
    assert longest.closes < window.remember_until


def test_what_an_answer_makes_of_a_token_is_worked_out_once_for_each_setting() -> None:
    verifier, answered = Verifier(), Answered(Question(OURS.ref, URL, OPAQUE), said())
    credential = Credential(OPAQUE, SLOT)
    one = verifier.introspect(credential, demand(), answered, Instant(NOW))
    assert verifier.introspect(credential, demand(), answered, Instant(NOW + 1)) is one
    stricter = replace(OURS, claim_present=frozenset({ClaimPath("tenant")}))
    assert isinstance(verifier.introspect(credential, demand(introspector=stricter), answered, Instant(NOW)), Refusal)
    # And time is asked each time.
    late = verifier.introspect(credential, demand(), answered, Instant(NOW + 331))
    assert refusal_of(late).reason is Reason.TOKEN_EXPIRED
