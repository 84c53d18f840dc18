"""Claims against an issuer's settings (RFC 7519, RFC 9068), and when and where they are accepted."""

from dataclasses import replace
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import ClaimMapping, ClaimPath, Demand, Slot, SlotKind, Trust
from extauthz.model.verdict import Refusal
from extauthz.tokens.acceptance import refuse
from extauthz.tokens.claims import Verified, read_claims, same_json
from extauthz.tokens.quoting import quote, quote_all
from tests.building import NOW, TRUST
from tests.issuing import claims

SLOT = Slot(SlotKind.AUTHORIZATION, "authorization")


def read(said: dict[str, Any], trust: Trust = TRUST, now: float = NOW) -> Verified:
    """Claims that hold."""
    verified = read_claims(said, trust, b"identity", b"hash", Instant(now))
    assert isinstance(verified, Verified), verified
    return verified


def refusal(said: dict[str, Any], trust: Trust = TRUST, now: float = NOW, **demand: Any) -> Refusal | None:
    """Why claims are refused, by themselves or by a demand; None when they are accepted."""
    verified = read_claims(said, trust, b"identity", b"hash", Instant(now))
    if isinstance(verified, Refusal):
        return verified
    return refuse(verified, Demand(slot=SLOT, issuers=(trust,), **demand), Instant(now))


def reason(said: dict[str, Any], trust: Trust = TRUST, now: float = NOW, **demand: Any) -> Reason | None:
    """The reason of a refusal, None when there is none."""
    found = refusal(said, trust, now, **demand)
    return None if found is None else found.reason


def mapped(**paths: tuple[str, ...]) -> Trust:
    """The issuer with other claims mapped."""
    return replace(TRUST, mapping=ClaimMapping(**{name: tuple(map(ClaimPath, words)) for name, words in paths.items()}))


def test_the_window_opens_with_the_later_of_nbf_and_iat() -> None:
    assert read(claims()).token.window.opens == NOW - 60 - TRUST.clock_skew
    assert read(claims(nbf=NOW - 10)).token.window.opens == NOW - 10 - TRUST.clock_skew
    assert read(claims(nbf=NOW - 600)).token.window.opens == NOW - 60 - TRUST.clock_skew
    assert read(claims()).token.window.closes == NOW + 300 + TRUST.clock_skew


def test_a_use_is_remembered_beyond_every_instant_of_acceptance() -> None:
    window = read(claims(exp=NOW + 7.9)).token.window
    assert not window.accepts(window.remember_until)
    assert window.remember_until > window.closes


@pytest.mark.parametrize("value", ["1", True, None, [], -1, 0, 2**53, 10**400])
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_D02_to_D04_a_time_that_is_there_must_be_one(name: str, value: Any) -> None:
    assert reason(claims(**{name: value})) is Reason.TOKEN_MALFORMED


def test_an_exp_that_is_not_after_iat_is_refused() -> None:
    assert reason(claims(iat=NOW, exp=NOW)) is Reason.TOKEN_MALFORMED
    assert reason(claims(iat=NOW + 10, exp=NOW + 9)) is Reason.TOKEN_MALFORMED


def test_times_are_told_as_the_token_has_them() -> None:
    """Compiled, a time is a float."""
    found = refusal(claims(iat=1_790_000_300, exp=1_790_000_300))
    assert found is not None
    assert found.detail == "`exp` is `1790000300`, not after `iat`, which is `1790000300`"


def test_D05_a_lifetime_is_counted_from_iat_and_never_from_nbf() -> None:
    said = claims(iat=NOW - 3500, nbf=NOW - 1, exp=NOW + 300)
    assert reason(said) is Reason.TOKEN_TOO_LONG_LIVED
    assert reason(claims(iat=NOW - 3300, nbf=NOW - 3900, exp=NOW + 300)) is None


def test_D05_without_iat_what_is_left_of_a_token_counts_each_time() -> None:
    said = claims(iat=..., nbf=NOW - 1, exp=NOW + 3700)
    verified, demand = read(said), Demand(slot=SLOT, issuers=(TRUST,))
    early = refuse(verified, demand, Instant(NOW))
    assert isinstance(early, Refusal)
    assert early.reason is Reason.TOKEN_TOO_LONG_LIVED
    assert refuse(verified, demand, Instant(NOW + 100)) is None


def test_D05_a_rule_tightens_the_lifetime_and_never_widens_it() -> None:
    assert reason(claims(), max_lifetime=Seconds(359)) is Reason.TOKEN_TOO_LONG_LIVED
    assert reason(claims(), max_lifetime=Seconds(360)) is None
    long = claims(exp=NOW + 7200)
    assert reason(long, max_lifetime=Seconds(10_000)) is Reason.TOKEN_TOO_LONG_LIVED


def test_an_operator_reads_by_how_much_a_token_is_late_or_early() -> None:
    late, early = refusal(claims(exp=NOW - 75, iat=NOW - 100)), refusal(claims(nbf=NOW + 90))
    allowed = f"`clockSkew` of {TRUST.ref} lets in"
    assert late is not None
    assert late.detail == f"the token expired 1m15s ago; {allowed} those that expired less than 30s ago"
    assert early is not None
    assert early.detail == f"`nbf` lies 1m30s ahead of this clock; {allowed} what lies up to 30s ahead"
    for said in (claims(iat=NOW + 90, nbf=...), claims(iat=NOW + 90, nbf=NOW + 20), claims(iat=NOW + 90.5, nbf=NOW)):
        issued = refusal(said)
        assert issued is not None
        assert issued.detail.startswith("`iat` lies 1m30s")


def test_where_nobody_names_an_audience_no_token_is_accepted() -> None:
    nobody = replace(TRUST, audiences=frozenset())
    assert reason(claims(), nobody) is Reason.AUDIENCE_MISMATCH
    assert reason(claims(), audiences=frozenset()) is Reason.AUDIENCE_MISMATCH


def test_a_mapped_audience_stands_in_for_a_missing_aud() -> None:
    trust = mapped(audience=("client_id",))
    assert reason(claims(aud=..., client_id="orders-api"), trust) is None
    assert reason(claims(aud=..., client_id="other"), trust) is Reason.AUDIENCE_MISMATCH
    assert reason(claims(aud=..., client_id=...), trust) is Reason.AUDIENCE_MISMATCH


def test_an_aud_beside_a_mapped_audience_must_match_as_well() -> None:
    trust = mapped(audience=("client_id",))
    assert reason(claims(aud="orders-api", client_id="orders-api"), trust) is None
    assert reason(claims(aud="other", client_id="orders-api"), trust) is Reason.AUDIENCE_MISMATCH
    assert reason(claims(aud="orders-api", client_id="other"), trust) is Reason.AUDIENCE_MISMATCH
    both = frozenset({"https://orders.example", "web"})
    assert reason(claims(aud="https://orders.example", client_id="web"), trust, audiences=both) is None


def test_a_null_aud_is_no_missing_aud() -> None:
    assert reason(claims(aud=None, client_id="orders-api"), mapped(audience=("client_id",))) is Reason.TOKEN_MALFORMED


def test_D08_an_audience_of_nobody_says_what_can_be_done() -> None:
    found = refusal(claims(aud=[]))
    assert found is not None
    assert found.reason is Reason.AUDIENCE_MISMATCH
    assert "let the client ask" in found.detail


def test_D08_at_most_64_audiences_are_read() -> None:
    assert reason(claims(aud=["orders-api"] + [f"a{n}" for n in range(63)])) is None
    assert reason(claims(aud=["orders-api"] + [f"a{n}" for n in range(64)])) is Reason.TOKEN_MALFORMED


def test_subject_client_and_token_id_come_from_the_first_mapped_claim_that_is_there() -> None:
    trust = mapped(subject=("sub", "/user/id"), client=("azp", "client_id"), token_id=("uti",))
    token = read(claims(sub=..., user={"id": "u1"}, azp="a1", uti="t1"), replace(trust, required_claims=frozenset()))
    assert (token.token.subject, token.token.client, token.token.token_id) == ("u1", "a1", "t1")


@pytest.mark.parametrize("value", [1, "", [], {"a": "b"}, True])
@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
def test_D15_D16_a_standard_claim_keeps_its_type_even_where_another_is_mapped(name: str, value: Any) -> None:
    trust = mapped(subject=("oid",), client=("azp",), token_id=("uti",))
    assert reason(claims(oid="o", azp="a", uti="t"), trust) is None
    assert reason(claims(oid="o", azp="a", uti="t", **{name: value}), trust) is Reason.TOKEN_MALFORMED


def test_an_empty_claim_gives_way_to_the_next_where_the_mapping_lists_one_after_it() -> None:
    trust = mapped(subject=("sub", "common_name"), client=("client_id", "azp"), token_id=("jti", "uti"))
    token = read(claims(sub="", common_name="ci", client_id="", azp="a", jti="", uti="t"), trust).token
    assert (token.subject, token.client, token.token_id) == ("ci", "a", "t")
    assert read(claims(common_name="ci"), trust).token.subject == "alice"


@pytest.mark.parametrize("more", [{}, {"common_name": ""}, {"common_name": None}, {"common_name": 7}])
def test_D16_an_empty_subject_is_refused_where_nothing_else_names_one(more: dict[str, Any]) -> None:
    for paths in (("sub", "common_name"), ("sub",), ("common_name",)):
        assert reason(claims(sub="", **more), mapped(subject=paths)) is Reason.TOKEN_MALFORMED
    found = refusal(claims(sub="", **more), mapped(subject=("sub",)))
    assert found is not None
    assert "`mapping.subject`" in found.detail


@pytest.mark.parametrize("name", ["oid", "azp", "uti"])
def test_D15_D16_a_mapped_claim_must_be_a_text(name: str) -> None:
    trust = mapped(subject=("oid",), client=("azp",), token_id=("uti",))
    assert reason(claims(**{"oid": "o", "azp": "a", "uti": "t", name: 7}), trust) is Reason.TOKEN_MALFORMED


def test_D15_a_token_id_of_512_characters_is_the_longest() -> None:
    assert reason(claims(jti="j" * 512)) is None
    found = refusal(claims(jti="s3cr3t" * 100))
    assert found is not None
    assert found.reason is Reason.TOKEN_MALFORMED
    assert "s3cr3t" not in found.detail


def test_a_claim_that_must_be_present_must_not_be_null() -> None:
    for trust in (
        replace(TRUST, required_claims=frozenset({"azp"})),
        replace(TRUST, claim_present=frozenset({ClaimPath("azp")})),
    ):
        assert reason(claims(azp="a"), trust) is None
        assert reason(claims(azp=None), trust) is Reason.TOKEN_MALFORMED
        missing = refusal(claims(), trust)
        assert missing is not None
        assert "`azp`" in missing.detail


def test_D21_a_refresh_token_is_told_apart_by_its_claims() -> None:
    trust = replace(TRUST, claim_equals={ClaimPath("typ"): "Bearer"})
    assert reason(claims(typ="Bearer"), trust) is None
    assert reason(claims(typ="Refresh"), trust) is Reason.TOKEN_MALFORMED
    assert reason(claims(), trust) is Reason.TOKEN_MALFORMED


def test_every_refusal_names_the_issuer_that_refused() -> None:
    for said in (claims(exp="1"), claims(cnf={}), claims(aud="x"), claims(exp=NOW - 40), claims(exp=NOW + 9999)):
        found = refusal(said)
        assert found is not None
        assert found.issuer == TRUST.ref


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), (True, True, True), ("1", 1, False), (None, False, False),
        (None, None, True), ([1, [True]], [1, [True]], True), ([1], [True], False), ([1], [1, 1], False),
        ([], {}, False), ({"a": 1}, {"a": True}, False), ({"a": 1}, {"b": 1}, False), ({"a": [1]}, {"a": [1.0]}, True),
        ({}, None, False),
    ],
)  # fmt: skip
def test_json_values_are_equal_only_with_their_types(one: Any, other: Any, same: bool) -> None:
    assert same_json(one, other) is same
    assert same_json(other, one) is same


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("at+jwt", "`at+jwt`"), (None, "null"), (True, "`true`"), (17, "`17`"), (1.5, "`1.5`"), ([1], "an array"),
        ({"a": 1}, "an object"), (10**300, "a number out of range"), ("", "``"),
    ],
)  # fmt: skip
def test_short_plain_values_are_quoted(value: Any, shown: str) -> None:
    assert quote(value) == shown


@pytest.mark.parametrize("value", ["a" * 201, "a\nb", "a\x1b[31m", "caf\xe9", "a`b", "\u202e"])
def test_a_text_that_could_harm_a_log_is_not_quoted(value: str) -> None:
    assert quote(value) == "a text that is too long or not plain ASCII"


def test_of_many_words_five_are_quoted() -> None:
    assert quote_all(["b", "a"]) == "`a`, `b`"
    assert quote_all("gfedcba") == "`a`, `b`, `c`, `d`, `e` and 2 more"
