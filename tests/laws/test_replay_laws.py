"""Laws of counting: exact in every window, remembered as long as a token is accepted, nothing spent by a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.reuse import BindTo, CountScope, Limit, LimitBy, Reuse, ReuseKey
from extauthz.model.time import AcceptanceWindow, Instant, Seconds
from extauthz.model.token import ClaimPath, IssuerRef, VerifiedToken
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.replay.family import marks_after
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import Owner, attempt_key, plan_spends
from extauthz.replay.spend import Pepper, Rate, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Outcome, Refused
from tests.building import NOW, TRUST, verified, view
from tests.clock import FakeClock

PEPPER = Pepper(b"p" * 32)
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
_WINDOW = 60.0


@given(st.integers(1, 6), st.lists(st.floats(0, 40), min_size=1, max_size=60))
def test_a_rate_is_exact_in_every_window_and_refuses_at_most_a_sixtieth_early(amount: int, gaps: list[float]) -> None:
    clock = FakeClock(NOW)
    store, admitted = MemoryStore(clock), list[float]()
    spend = Rate(key=b"k", amount=amount, window=Seconds(_WINDOW), label="l")
    for gap in gaps:
        clock.advance(gap)
        now = clock.now()
        outcome = store.commit((spend,), None)
        if isinstance(outcome, Committed):
            admitted.append(now)
            assert len([t for t in admitted if t > now - _WINDOW]) <= amount
        else:
            assert isinstance(outcome, Refused)
            early = _WINDOW + _WINDOW / 60 + 1e-6
            assert len([t for t in admitted if t > now - early]) >= amount
            assert outcome.retry_after is not None
            assert 0 < outcome.retry_after <= _WINDOW


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.floats(0, 20)), max_size=60), st.integers(1, 4))
def test_uses_are_counted_as_a_plain_counter_would(history: list[tuple[bytes, float]], most: int) -> None:
    clock, counted = FakeClock(NOW), Counter[bytes]()
    store = MemoryStore(clock)
    until = Instant(NOW + 1e6)
    for key, gap in history:
        clock.advance(gap)
        outcome = store.commit((Use(key=key, max_uses=most, until=until),), None)
        assert isinstance(outcome, Committed) == (counted[key] < most)
        counted[key] += isinstance(outcome, Committed)


@given(st.floats(1, 3600), st.floats(0, 300), st.floats(0, 5000))
def test_a_replay_key_outlives_every_instant_at_which_its_token_is_accepted(
    life: float, skew: float, wait: float
) -> None:
    window = AcceptanceWindow(Instant(NOW - skew), Instant(NOW + life + skew))
    token = verified()._replace(window=window)
    clock = FakeClock(NOW)
    store = MemoryStore(clock)

    def commit() -> bool:
        spends = plan_spends(Reuse(max_uses=1), (), token, view("/"), OWNER, PEPPER, clock.now())
        assert not isinstance(spends, Refusal)
        return isinstance(store.commit(spends, None), Committed)

    assert commit()
    clock.advance(wait)
    if window.accepts(clock.now()):
        assert not commit()


@given(st.lists(st.sampled_from(["use", "rate", "both"]), max_size=30))
def test_a_refused_commit_spends_nothing(history: list[str]) -> None:
    clock = FakeClock(NOW)
    store, uses, rates = MemoryStore(clock), 0, 0
    use = Use(key=b"u", max_uses=5, until=Instant(NOW + 1000))
    rate = Rate(key=b"r", amount=3, window=Seconds(900.0), label="l")
    for kind in history:
        plans: dict[str, tuple[Spend, ...]] = {"use": (use,), "rate": (rate,), "both": (use, rate)}
        spends = plans[kind]
        fits = (rate not in spends or rates < 3) and (use not in spends or uses < 5)
        assert isinstance(store.commit(spends, None), Committed) == fits
        uses += fits and use in spends
        rates += fits and rate in spends


def plan(
    reuse: Reuse | None = None, *limits: Limit, owner: Owner = OWNER, **request: Any
) -> tuple[Spend, ...] | Refusal:
    """What a request of alice's spends."""
    return plan_spends(reuse, limits, verified(), view("/", **request), owner, PEPPER, Instant(NOW))


def keys(spends: tuple[Spend, ...] | Refusal) -> list[bytes]:
    """The keys of a plan."""
    assert not isinstance(spends, Refusal)
    return [spend.key for spend in spends]


def test_scopes_share_and_part_as_they_say() -> None:
    here, rule2 = OWNER, Owner(PolicyRef("shop", "orders"), "other", shadow=False)
    policy2 = Owner(PolicyRef("shop", "billing"), "place", shadow=False)
    for scope, same_rule, same_policy in (
        (CountScope.RULE, False, False),
        (CountScope.POLICY, True, False),
        (CountScope.GLOBAL, True, True),
    ):
        reuse = Reuse(max_uses=1, scope=scope)
        assert (keys(plan(reuse, owner=here)) == keys(plan(reuse, owner=rule2))) == same_rule
        assert (keys(plan(reuse, owner=here)) == keys(plan(reuse, owner=policy2))) == same_policy


def test_shadow_counts_apart() -> None:
    reuse = Reuse(max_uses=1)
    assert keys(plan(reuse)) != keys(plan(reuse, owner=replace(OWNER, shadow=True)))


def test_F15_another_issuer_cannot_spend_anothers_token_id_or_subject() -> None:
    evil = replace(TRUST, ref=IssuerRef("TokenIssuer", "evil", "corp"), issuer="https://evil.example")
    for reuse, limits in (
        (Reuse(max_uses=1, key=ReuseKey.JTI, scope=CountScope.GLOBAL), ()),
        (Reuse(max_uses=1, key=ReuseKey.CLAIM, claim=ClaimPath("sub"), scope=CountScope.GLOBAL), ()),
        (None, (Limit(name="l", by=(LimitBy.SUBJECT,), requests=1, window=Seconds(60.0), scope=CountScope.GLOBAL),)),
    ):
        mine, theirs = (
            plan_spends(reuse, limits, verified(trust=trust), view("/"), OWNER, PEPPER, Instant(NOW))
            for trust in (TRUST, evil)
        )
        assert keys(mine) != keys(theirs)


def test_a_token_counts_as_one_whichever_object_describes_its_issuer() -> None:
    twin = replace(TRUST, ref=IssuerRef("TokenIssuer", "pay", "corp"))
    reuse = Reuse(max_uses=1, scope=CountScope.GLOBAL)
    mine, theirs = (
        plan_spends(reuse, (), verified(trust=trust), view("/"), OWNER, PEPPER, Instant(NOW)) for trust in (TRUST, twin)
    )
    assert keys(mine) == keys(theirs)


def test_an_edited_number_is_no_part_of_the_key() -> None:
    assert keys(plan(Reuse(max_uses=1))) == keys(plan(Reuse(max_uses=9)))
    one, other = Reuse(max_uses=1, window=Seconds(60.0)), Reuse(max_uses=2, window=Seconds(3600.0))
    assert keys(plan(one)) == keys(plan(other))


def test_nothing_of_the_token_can_be_read_in_a_key() -> None:
    limit = Limit(name="l", by=(LimitBy.SUBJECT, LimitBy.CLIENT), requests=1, window=Seconds(60.0))
    for key in keys(plan(Reuse(max_uses=1, key=ReuseKey.JTI), limit)):
        assert b"alice" not in key
        assert b"id-1" not in key
    other = plan_spends(Reuse(max_uses=1), (), verified(), view("/"), OWNER, Pepper(b"q" * 32), Instant(NOW))
    assert keys(plan(Reuse(max_uses=1))) != keys(other)


def test_a_value_to_bind_or_count_by_that_is_missing_refuses() -> None:
    assert isinstance(plan(Reuse(max_uses=1, bind_to=(BindTo.SOURCE_PRINCIPAL,))), Refusal)
    assert isinstance(plan(Reuse(max_uses=1, bind_to=(BindTo.SOURCE_ADDRESS,)), address=""), Refusal)
    assert isinstance(plan(Reuse(max_uses=1, key=ReuseKey.CLAIM, claim=ClaimPath("txn"))), Refusal)
    limit = Limit(name="l", by=(LimitBy.CLAIM,), claim=ClaimPath("txn"), requests=1, window=Seconds(60.0))
    assert isinstance(plan(None, limit), Refusal)


def test_A16_only_envoys_own_id_tells_a_repetition() -> None:
    token = verified()
    assert attempt_key(view("/"), token, PEPPER) is None
    one = attempt_key(view("/", stream_id="7"), token, PEPPER)
    assert one == attempt_key(view("/", stream_id="7", headers={"x-request-id": "a"}), token, PEPPER)
    assert one != attempt_key(view("/", stream_id="8"), token, PEPPER)
    assert one != attempt_key(view("/b", stream_id="7"), token, PEPPER)
    assert one != attempt_key(view("/", stream_id="7"), verified(identity=b"\x02" * 32), PEPPER)


_PRESENTED = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["f", "g"]),
        st.sampled_from(["spiffe://a/b", "spiffe://c/d"]),
        st.sampled_from([0.0, 1.0, 8.0, 15.0]),
    ),
    max_size=40,
)
_REUSES = st.sampled_from(
    [
        Reuse(max_uses=1),
        Reuse(max_uses=2),
        Reuse(max_uses=1, bind_to=(BindTo.SOURCE_PRINCIPAL,)),
        Reuse(max_uses=1, bind_to=(BindTo.SOURCE_PRINCIPAL,), retry_within=Seconds(10.0), retry_once=True),
        Reuse(max_uses=2, key=ReuseKey.JTI, bind_to=(BindTo.SOURCE_PRINCIPAL,), retry_within=Seconds(5.0)),
    ]
)


def present(store: MemoryStore, reuse: Reuse, token: VerifiedToken, principal: str, now: Instant) -> Outcome:
    """Commit as a server does, with the mark that may follow."""
    plan = plan_spends(reuse, (), token, view("/", principal=principal), OWNER, PEPPER, now)
    assert not isinstance(plan, Refusal)
    outcome = store.commit(plan, None)
    marks = marks_after(plan, outcome)
    if marks:
        assert isinstance(store.commit(marks, None), Committed)
    return outcome


def _in_time(clock: FakeClock, history: list[tuple[int, str, str, float]]) -> Iterator[tuple[VerifiedToken, str, str]]:
    """The tokens as they are presented, their families and who presents them, until one's time is over."""
    for number, family, principal, gap in history:
        clock.advance(gap)
        identity = f"{number}{family}".encode().rjust(32)
        token = verified({"sid": family, "jti": f"{number}{family}"}, identity=identity)
        if not token.window.accepts(clock.now()):
            return
        yield token, family, principal


@given(_REUSES, _PRESENTED)
def test_a_family_never_turns_a_denial_into_an_admission(
    reuse: Reuse, history: list[tuple[int, str, str, float]]
) -> None:
    clock = FakeClock(NOW)
    with_families, without = MemoryStore(clock), MemoryStore(clock)
    for token, _, principal in _in_time(clock, history):
        ours = present(with_families, replace(reuse, family=ClaimPath("sid")), token, principal, clock.now())
        theirs = present(without, reuse, token, principal, clock.now())
        assert isinstance(theirs, Committed) or not isinstance(ours, Committed)


@given(_REUSES, _PRESENTED)
def test_after_a_use_too_many_nothing_of_the_family_is_admitted_and_nothing_of_others_is_refused_for_it(
    reuse: Reuse, history: list[tuple[int, str, str, float]]
) -> None:
    clock, revoked = FakeClock(NOW), set[str]()
    store, families = MemoryStore(clock), replace(reuse, family=ClaimPath("sid"))
    for token, family, principal in _in_time(clock, history):
        outcome = present(store, families, token, principal, clock.now())
        by_mark = isinstance(outcome, Refused) and isinstance(outcome.spend, Unmarked)
        assert by_mark == (family in revoked)
        if isinstance(outcome, Refused):
            revoked.add(family)
