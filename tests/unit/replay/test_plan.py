"""What a request spends, and under which keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.reuse import BindTo, CountScope, Limit, LimitBy, Reuse, ReuseKey
from extauthz.model.step import Step
from extauthz.model.time import MAX_CLOCK_SKEW, Instant, Seconds
from extauthz.model.token import ClaimPath, IssuerRef, Trust, VerifiedToken
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.replay.family import marks_after
from extauthz.replay.plan import Owner, plan_spends
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Bind, Mark, Pepper, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Refused, Unavailable
from tests.building import NOW, TRUST, verified, view

PEPPER = Pepper(b"p" * 32)
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
ONCE = Reuse(max_uses=1)


def says(identity: bytes = b"\x01" * 32, trust: Trust = TRUST, **claims: Json) -> VerifiedToken:
    """Alice's token, with these claims."""
    return verified(claims, identity=identity, trust=trust)


def planned(
    reuse: Reuse | None = None,
    *limits: Limit,
    token: VerifiedToken | None = None,
    anonymous: bool = False,
    path: str = "/",
    **request: Any,
) -> tuple[Spend, ...] | Refusal:
    """What a request spends; alice's, unless another token is given or none."""
    shown = None if anonymous else token or says()
    return plan_spends(reuse, limits, shown, view(path, **request), OWNER, PEPPER, Instant(NOW))


def spends(*args: Any, **kwargs: Any) -> tuple[Spend, ...]:
    """The same, where no refusal is expected."""
    plan = planned(*args, **kwargs)
    assert not isinstance(plan, Refusal), plan.detail
    return plan


def refusal(*args: Any, **kwargs: Any) -> Refusal:
    """The same, where a refusal is expected."""
    plan = planned(*args, **kwargs)
    assert isinstance(plan, Refusal)
    return plan


def limit(*by: LimitBy, claim: str | None = None, name: str = "l", **more: Any) -> Limit:
    """Five a minute."""
    path = ClaimPath(claim) if claim is not None else None
    return Limit(name=name, by=by, claim=path, requests=5, window=Seconds(60.0), **more)


def only_key(*args: Any, **kwargs: Any) -> bytes:
    """The key of a plan's one spend."""
    (spend,) = spends(*args, **kwargs)
    return spend.key


def test_a_token_request_may_be_repeated_once_whatever_its_method() -> None:
    reuse = replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS,), retry_within=Seconds(9.0), retry_once=True)
    (_, use) = spends(reuse, method="POST")
    assert isinstance(use, Use)
    assert use.grace is not None
    assert (use.grace.within, use.grace.once) == (9.0, True)


def test_a_rule_that_counts_nothing_spends_nothing() -> None:
    assert spends() == ()


def test_ties_come_before_uses_and_uses_before_rates() -> None:
    reuse = replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS, BindTo.SOURCE_PRINCIPAL))
    plan = spends(reuse, limit(LimitBy.SUBJECT), principal="spiffe://a/b")
    assert [type(spend) for spend in plan] == [Bind, Bind, Use, Rate]
    assert [spend.label for spend in plan] == ["bindTo SourceAddress", "bindTo SourcePrincipal", "reuse", "l"]


@pytest.mark.parametrize("window", [None, Seconds(60.0)])
def test_operators_are_told_what_makes_two_tokens_one(window: Seconds | None) -> None:
    """Else a first use of a token is `all taken`, and nobody sees that another one had its id."""
    once = replace(ONCE, window=window)
    (by_id,) = spends(replace(once, key=ReuseKey.JTI))
    (by_claim,) = spends(replace(once, key=ReuseKey.CLAIM, claim=ClaimPath("sub")))
    (by_token,) = spends(once)
    labels = [each.label for each in (by_id, by_claim, by_token) if isinstance(each, Use | Rate)]
    assert labels == ["reuse by token id", "reuse by sub", "reuse"]


def test_a_window_makes_a_rate_of_uses_and_a_429() -> None:
    (spend,) = spends(Reuse(max_uses=3, window=Seconds(60.0)))
    assert isinstance(spend, Rate)
    assert (spend.amount, spend.window, spend.reason) == (3, 60.0, Reason.RATE_EXCEEDED)
    assert not spend.allow_on_store_error


def test_only_a_limit_that_says_so_is_let_pass_without_a_store() -> None:
    plan = spends(None, limit(LimitBy.SUBJECT, allow_on_store_error=True), limit(LimitBy.CLIENT))
    assert [isinstance(spend, Rate) and spend.allow_on_store_error for spend in plan] == [True, False]


def test_a_use_of_the_token_itself_is_remembered_past_its_acceptance() -> None:
    (spend,) = spends(ONCE)
    assert isinstance(spend, Use)
    assert spend.until == says().window.closes + 1


@pytest.mark.parametrize(
    "reuse", [replace(ONCE, key=ReuseKey.JTI), replace(ONCE, key=ReuseKey.CLAIM, claim=ClaimPath("sub"))]
)
def test_a_use_of_an_id_is_remembered_until_every_token_that_exists_has_expired(reuse: Reuse) -> None:
    plan = spends(replace(reuse, bind_to=(BindTo.SOURCE_ADDRESS,)))
    longest = NOW + TRUST.clock_skew + TRUST.max_lifetime + TRUST.clock_skew
    assert [isinstance(spend, Use | Bind) and spend.until for spend in plan] == [longest + 1] * 2


def test_two_tokens_with_one_id_are_one_by_jti_and_two_by_token() -> None:
    one, other = says(b"\x01" * 32), says(b"\x02" * 32)
    by_id = replace(ONCE, key=ReuseKey.JTI)
    assert only_key(by_id, token=one) == only_key(by_id, token=other)
    assert only_key(ONCE, token=one) != only_key(ONCE, token=other)


def test_a_token_without_an_id_is_refused_unless_its_issuer_says_what_else_counts() -> None:
    by_id = replace(ONCE, key=ReuseKey.JTI)
    bare = says(jti=None)
    assert refusal(by_id, token=bare).reason is Reason.TOKEN_MALFORMED
    lenient = says(trust=replace(TRUST, reuse_key_fallback=True), jti=None)
    assert spends(by_id, token=lenient) == spends(ONCE, token=lenient)


def test_one_issuer_object_with_two_names_keeps_their_ids_apart() -> None:
    by_id = replace(ONCE, key=ReuseKey.JTI)
    assert only_key(by_id) != only_key(by_id, token=says(iss="https://alias.example"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", 1), (1, True), (0, False), ("", []), ([], {}), (["a", "b"], ["ab"]), (["a", "b"], ["b", "a"]), (1, 1.5)],
)
def test_claims_of_different_value_or_type_count_apart(one: Json, other: Json) -> None:
    reuse = replace(ONCE, key=ReuseKey.CLAIM, claim=ClaimPath("txn"))
    assert only_key(reuse, token=says(txn=one)) != only_key(reuse, token=says(txn=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (-0.0, 0), (1e3, 1000), ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1})],
)
def test_claims_of_equal_value_count_together_however_they_are_written(one: Json, other: Json) -> None:
    reuse = replace(ONCE, key=ReuseKey.CLAIM, claim=ClaimPath("txn"))
    assert only_key(reuse, token=says(txn=one)) == only_key(reuse, token=says(txn=other))


def test_two_claims_of_one_value_count_apart() -> None:
    token = says(a="x", b="x")
    by_a, by_b = (replace(ONCE, key=ReuseKey.CLAIM, claim=ClaimPath(name)) for name in ("a", "b"))
    assert only_key(by_a, token=token) != only_key(by_b, token=token)


def test_a_nested_claim_is_found_by_pointer_and_a_missing_one_is_named() -> None:
    reuse = replace(ONCE, key=ReuseKey.CLAIM, claim=ClaimPath("/order/id"))
    assert only_key(reuse, token=says(order={"id": 7})) != only_key(reuse, token=says(order={"id": 8}))
    missing = refusal(reuse, token=says(order={}))
    assert missing.reason is Reason.CLAIM_REFUSED
    assert "`/order/id`" in missing.detail
    assert missing.issuer == TRUST.ref


def bound(**request: Any) -> tuple[bytes, bytes]:
    """Key and value of the tie to a header."""
    tie, _ = spends(replace(ONCE, bind_to=(BindTo.HEADER,), bind_header="x-caller"), **request)
    assert isinstance(tie, Bind)
    return tie.key, tie.value


def test_a_tie_has_one_key_and_a_value_for_each_caller() -> None:
    (key, alice), (same, bob) = (bound(headers={"x-caller": name}) for name in ("alice", "bob"))
    assert key == same
    assert alice != bob
    assert b"alice" not in alice


@pytest.mark.parametrize("headers", [{}, {"x-caller": ""}, {"x-caller": ("alice", "bob")}, {"x-caller": ()}])
def test_a_header_that_is_absent_empty_or_repeated_ties_nothing(headers: Mapping[str, str | tuple[str, ...]]) -> None:
    refused = refusal(replace(ONCE, bind_to=(BindTo.HEADER,), bind_header="x-caller"), headers=headers)
    assert refused.reason is Reason.TOKEN_BOUND_ELSEWHERE
    assert "`x-caller`" in refused.detail


def test_every_kind_of_tie_and_every_header_has_a_key_of_its_own() -> None:
    kinds = (BindTo.SOURCE_PRINCIPAL, BindTo.SOURCE_ADDRESS, BindTo.HEADER)
    keys = {
        spend.key
        for header in ("x-caller", "x-tenant")
        for spend in spends(
            replace(ONCE, bind_to=kinds, bind_header=header), principal="same", address="same", headers={header: "same"}
        )
        if isinstance(spend, Bind)
    }
    assert len(keys) == 4


def test_another_tie_in_the_policy_leaves_the_earlier_one_in_force() -> None:
    before = spends(replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS,)))
    after = spends(replace(ONCE, bind_to=(BindTo.SOURCE_PRINCIPAL, BindTo.SOURCE_ADDRESS)), principal="spiffe://a/b")
    assert set(before) < set(after)


@pytest.mark.parametrize(
    ("method", "graced"),
    [("GET", True), ("HEAD", True), ("OPTIONS", True), ("POST", False), ("DELETE", False), ("get", False)],
)
def test_only_safe_methods_are_given_a_grace(method: str, graced: bool) -> None:
    reuse = replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS,), retry_within=Seconds(3.0))
    use = spends(reuse, method=method)[1]
    assert isinstance(use, Use)
    assert (use.grace is not None) == graced


def test_a_grace_is_for_the_same_request_only() -> None:
    reuse = replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS,), retry_within=Seconds(3.0))
    plans = [
        spends(reuse, path=path, method=method, host=host)[1]
        for path, method, host in (
            ("/a", "GET", "api.example"),
            ("/b", "GET", "api.example"),
            ("/a?x=1", "GET", "api.example"),
            ("/a", "HEAD", "api.example"),
            ("/a", "GET", "other.example"),
        )
    ]
    assert len({use.grace.fingerprint for use in plans if isinstance(use, Use) and use.grace is not None}) == len(plans)


def test_without_a_retry_there_is_no_grace() -> None:
    (use,) = spends(ONCE)
    assert isinstance(use, Use)
    assert use.grace is None


@pytest.mark.parametrize(
    ("by", "other"),
    [
        (LimitBy.SUBJECT, says(sub="bob")),
        (LimitBy.CLIENT, says(client_id="cli")),
        (LimitBy.TOKEN, says(b"\x02" * 32)),
        (LimitBy.ISSUER, says(iss="https://alias.example")),
    ],
)
def test_a_limit_tells_requests_apart_by_what_it_says_and_nothing_else(by: LimitBy, other: VerifiedToken) -> None:
    one = says()
    assert only_key(None, limit(by), token=one) != only_key(None, limit(by), token=other)
    for rest in set(LimitBy) - {by, LimitBy.CLAIM, LimitBy.ISSUER}:
        same = only_key(None, limit(rest), token=one) == only_key(None, limit(rest), token=other)
        assert same or by is LimitBy.ISSUER


def test_an_address_counts_across_tokens_and_issuers() -> None:
    by_address = limit(LimitBy.SOURCE_ADDRESS)
    mine = only_key(None, by_address)
    assert mine == only_key(None, by_address, token=says(iss="https://alias.example", sub="bob"))
    assert mine == only_key(None, by_address, anonymous=True)
    assert mine != only_key(None, by_address, address="10.0.0.8")


def test_several_values_together_make_one_key_in_whatever_order() -> None:
    both = limit(LimitBy.SUBJECT, LimitBy.SOURCE_ADDRESS)
    assert only_key(None, both) == only_key(None, limit(LimitBy.SOURCE_ADDRESS, LimitBy.SUBJECT))
    assert only_key(None, both) != only_key(None, both, address="10.0.0.8")
    assert only_key(None, both) != only_key(None, both, token=says(sub="bob"))


@pytest.mark.parametrize(
    ("scope", "with_rule", "with_policy"),
    [(CountScope.RULE, False, False), (CountScope.POLICY, True, False), (CountScope.GLOBAL, True, True)],
)
def test_a_limit_shares_its_count_as_far_as_its_scope(scope: CountScope, with_rule: bool, with_policy: bool) -> None:
    by_subject = limit(LimitBy.SUBJECT, scope=scope)
    here, rule, policy = (
        plan_spends(None, (by_subject,), verified(), view("/"), owner, PEPPER, Instant(NOW))
        for owner in (OWNER, replace(OWNER, rule="other"), replace(OWNER, policy=PolicyRef("shop", "billing")))
    )
    assert (here == rule) == with_rule
    assert (here == policy) == with_policy


def test_limits_of_two_names_count_apart() -> None:
    assert only_key(None, limit(LimitBy.SUBJECT)) != only_key(None, limit(LimitBy.SUBJECT, name="m"))


def test_a_subject_and_a_client_of_one_name_count_apart() -> None:
    token = says(sub="same", client_id="same")
    assert only_key(None, limit(LimitBy.SUBJECT), token=token) != only_key(None, limit(LimitBy.CLIENT), token=token)


@pytest.mark.parametrize(
    ("missing", "token", "word"),
    [
        (limit(LimitBy.SUBJECT), says(sub=None), "subject"),
        (limit(LimitBy.CLIENT), says(client_id=None), "client"),
        (limit(LimitBy.CLAIM, claim="tenant"), says(), "`tenant`"),
    ],
)
def test_a_missing_value_to_count_by_is_refused_and_named(missing: Limit, token: VerifiedToken, word: str) -> None:
    refused = refusal(None, missing, token=token)
    assert refused.reason is Reason.CLAIM_REFUSED
    assert "limit `l`" in refused.detail
    assert word in refused.detail


def test_a_missing_address_is_refused() -> None:
    assert refusal(None, limit(LimitBy.SOURCE_ADDRESS), address="").reason is Reason.CLAIM_REFUSED


@pytest.mark.parametrize("by", [by for by in LimitBy if by is not LimitBy.SOURCE_ADDRESS])
def test_without_a_token_only_an_address_can_be_counted_by(by: LimitBy) -> None:
    assert refusal(None, limit(by, claim="x"), anonymous=True).reason is Reason.POLICY_INVALID


def test_without_a_token_no_reuse_can_be_counted() -> None:
    assert refusal(ONCE, anonymous=True).reason is Reason.POLICY_INVALID


def test_a_policy_cannot_be_named_into_the_count_of_a_rule() -> None:
    rule = replace(ONCE, scope=CountScope.RULE)
    odd = Owner(PolicyRef("shop", "orders/place"), "", shadow=False)
    token, request, now = says(), view("/"), Instant(NOW)
    mine = plan_spends(rule, (), token, request, OWNER, PEPPER, now)
    theirs = plan_spends(rule, (), token, request, odd, PEPPER, now)
    assert mine != theirs


def test_what_belongs_to_one_token_keeps_its_company_whatever_is_edited_around_it() -> None:
    [use] = planned(ONCE)  # type: ignore[misc]
    tied = Reuse(max_uses=1, bind_to=(BindTo.SOURCE_ADDRESS,))
    window = Reuse(max_uses=5, window=Seconds(60.0), bind_to=(BindTo.SOURCE_ADDRESS,))
    by_token = Limit(name="per-token", by=(LimitBy.TOKEN,), requests=5, window=Seconds(60.0))
    assert planned(tied)[1] == use  # type: ignore[index]
    for spends in (planned(tied, by_token), planned(window, by_token)):
        assert {each.company or each.key for each in spends} == {use.key}  # type: ignore[union-attr]


def test_what_other_tokens_share_keeps_no_token_company() -> None:
    limit = Limit(name="per-subject", by=(LimitBy.SUBJECT,), requests=5, window=Seconds(60.0))
    both = Limit(name="both", by=(LimitBy.TOKEN, LimitBy.SUBJECT), requests=5, window=Seconds(60.0))
    _, *limits = planned(ONCE, limit, both)  # type: ignore[misc]
    assert [each.company for each in limits] == [b"", b""]  # type: ignore[union-attr]


def test_tokens_and_scopes_do_not_keep_each_other_company() -> None:
    tied = replace(ONCE, bind_to=(BindTo.SOURCE_ADDRESS,))
    others = [planned(tied, token=says(b"\x02" * 32)), planned(replace(tied, scope=CountScope.GLOBAL))]
    companies = {spends[0].company for spends in (planned(tied), *others)}  # type: ignore[index,union-attr]
    assert len(companies) == 3


FAMILY = replace(ONCE, family=ClaimPath("sid"))


def test_that_a_family_is_free_of_a_mark_is_asked_before_all_else() -> None:
    reuse = replace(FAMILY, bind_to=(BindTo.SOURCE_ADDRESS,))
    plan = spends(reuse, limit(LimitBy.SUBJECT), token=says(sid="f"))
    assert [type(spend) for spend in plan] == [Unmarked, Bind, Use, Rate]
    assert (plan[0].reason, plan[0].label) == (Reason.TOKEN_REVOKED, "family")


def test_a_family_changes_no_other_key() -> None:
    token = says(sid="f")
    assert spends(FAMILY, token=token)[1:] == spends(ONCE, token=token)


def test_tokens_of_one_value_are_one_family_and_of_one_issuer_alone() -> None:
    key = spends(FAMILY, token=says(sid="f"))[0].key
    assert spends(FAMILY, token=says(b"\x02" * 32, sid="f", jti="another", sub="bob"))[0].key == key
    other = replace(TRUST, ref=replace_name("other"))
    by_another_claim = replace(FAMILY, family=ClaimPath("grant"))
    apart = [
        spends(FAMILY, token=says(sid="g"))[0].key, spends(FAMILY, token=says(sid=7))[0].key,
        spends(FAMILY, token=says(sid="f", trust=other))[0].key, spends(FAMILY, token=says(sid="7"))[0].key,
        spends(by_another_claim, token=says(grant="f"))[0].key,
        spends(replace(FAMILY, scope=CountScope.RULE), token=says(sid="f"))[0].key,
    ]  # fmt: skip
    assert len({key, *apart}) == 7


def replace_name(name: str) -> IssuerRef:
    """Another object."""
    return TRUST.ref._replace(name=name)


@pytest.mark.parametrize("sid", [None, "", True, False, 0, 1.5, [], ["f"], {"f": 1}])
def test_a_token_that_names_no_family_is_refused(sid: Json) -> None:
    assert refusal(FAMILY, token=says(sid=sid)).reason is Reason.CLAIM_REFUSED


def test_a_family_needs_to_know_how_long_its_tokens_live() -> None:
    claims = {name: value for name, value in says(sid="f").claims.items() if name != "iat"}
    found = refusal(FAMILY, token=says()._replace(claims=claims))
    assert (found.reason, found.step) == (Reason.TOKEN_MALFORMED, Step.REUSE)


def test_a_mark_outlives_every_count_of_a_token_that_exists_or_is_on_its_way() -> None:
    for trust in (TRUST, replace(TRUST, clock_skew=Seconds(0.0)), replace(TRUST, clock_skew=MAX_CLOCK_SKEW)):
        (asked, _) = spends(FAMILY, token=says(sid="f", trust=trust))
        assert isinstance(asked, Unmarked)
        expires = NOW + 60 + trust.clock_skew + trust.max_lifetime
        assert asked.until >= expires + trust.clock_skew
        # What is kept for a token that exists: for the largest skew that there may be.
        assert asked.until >= NOW + trust.clock_skew + trust.max_lifetime + MAX_CLOCK_SKEW + 1


def refused(spend: Spend) -> Refused:
    return Refused(spend, None)


def test_only_a_use_too_many_or_by_another_marks_a_family_at_the_expense_of_who_paid() -> None:
    reuse = replace(FAMILY, bind_to=(BindTo.SOURCE_ADDRESS,))
    peppers = Pepper(b"n" * 32, PEPPER)
    rated = (limit(LimitBy.SUBJECT),)
    plan = plan_spends(reuse, rated, says(sid="f"), view("/"), OWNER, peppers, Instant(NOW), Quotas(issuer=9))
    assert not isinstance(plan, Refusal)
    asked, tie, use, rate, paid, asked_old, _, use_old, _, paid_old = plan
    made = (Mark, Room, Mark, Room)
    for spend in (tie, use, use_old):
        marks = marks_after(plan, refused(spend))
        assert tuple(map(type, marks)) == made
        assert [each.key for each in marks] == [asked.key, paid.key, asked_old.key, paid_old.key]
    for outcome in (refused(asked), refused(rate), refused(paid), Unavailable("gone"), Committed(0)):
        assert marks_after(plan, outcome) == ()


def test_without_a_family_nothing_is_ever_marked() -> None:
    plan = spends(ONCE)
    assert marks_after(plan, refused(plan[0])) == ()
