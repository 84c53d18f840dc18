"""Laws of exchanging the pepper: replicas that change at different moments forget no count, and count none twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.reuse import BindTo, Limit, LimitBy, Reuse
from extauthz.model.time import AcceptanceWindow, Instant, Seconds
from extauthz.model.token import ClaimPath, VerifiedToken
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.replay.family import marks_after
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import Owner, plan_spends
from extauthz.replay.spend import Pepper, Use
from extauthz.replay.store import Committed
from tests.building import NOW, verified, view
from tests.clock import FakeClock

OLD, NEW = b"o" * 32, b"n" * 32
STATES = (Pepper(OLD), Pepper(NEW, Pepper(OLD)), Pepper(NEW))
"""A replica before the exchange, in the overlap, and after it."""
BACKWARD = (STATES[0], Pepper(OLD, Pepper(NEW)), STATES[2])
"""The same with the lines of the overlap the other way round."""
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
LIFE = 60.0
REPLICAS = 3

_ONCE = Reuse(max_uses=1)
_RULES = st.sampled_from(
    [
        (_ONCE, ()),
        (Reuse(max_uses=3), ()),
        (Reuse(max_uses=1, family=ClaimPath("sub")), ()),
        (Reuse(max_uses=2, family=ClaimPath("sub"), bind_to=(BindTo.SOURCE_ADDRESS,)), ()),
        (Reuse(max_uses=2, bind_to=(BindTo.SOURCE_ADDRESS,)), ()),
        (Reuse(max_uses=2, window=Seconds(30.0)), ()),
        (None, (Limit(name="l", by=(LimitBy.SUBJECT,), requests=2, window=Seconds(30.0)),)),
    ]
)
_STEPS = st.lists(
    st.tuples(
        st.integers(0, REPLICAS - 1),
        st.sampled_from([0.0, 0.0, 1.0, 7.0, 25.0]),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from(["192.0.2.7", "192.0.2.8"]),
    ),
    max_size=60,
)


@given(_RULES, _STEPS, st.lists(st.booleans(), min_size=REPLICAS, max_size=REPLICAS))
def test_replicas_that_exchange_the_pepper_one_by_one_answer_like_replicas_that_do_not(
    rule: tuple[Reuse | None, tuple[Limit, ...]],
    steps: list[tuple[int, float, bool, int, str]],
    turned: list[bool],
) -> None:
    clock, states = FakeClock(NOW), [0] * REPLICAS
    store, plain = MemoryStore(clock), MemoryStore(clock)
    tokens = [_born(number, NOW) for number in range(3)]
    last_old_alone = NOW
    for replica, gap, changes, number, source in steps:
        clock.advance(gap)
        now = clock.now()
        if 0 in states:
            last_old_alone = now
        # What the how-to demands: nobody lets go of the old one before a lifetime has passed since all have both.
        if changes and states[replica] == 0:
            states[replica] = 1
        elif changes and states[replica] == 1 and 0 not in states and now > last_old_alone + LIFE + 1:
            states[replica] = 2
        if not tokens[number].window.accepts(now):
            tokens[number] = _born(number, now)
        pepper = (BACKWARD if turned[replica] else STATES)[states[replica]]
        answers = []
        for each, at in ((pepper, store), (STATES[0], plain)):
            spends = plan_spends(rule[0], rule[1], tokens[number], view("/", address=source), OWNER, each, now)
            assert not isinstance(spends, Refusal)
            answers.append(at.commit(spends, None))
            marks = marks_after(spends, answers[-1])
            if marks:
                at.commit(marks, None)
        ours, theirs = answers
        assert isinstance(ours, Committed) == isinstance(theirs, Committed)


def _born(number: int, now: float) -> VerifiedToken:
    window = AcceptanceWindow(Instant(now - 1), Instant(now + LIFE))
    return verified()._replace(window=window, identity=f"{number} {now}".encode().rjust(32))


def test_a_request_is_counted_under_both_peppers_and_told_apart() -> None:
    spends = plan_spends(_ONCE, (), verified(), view("/"), OWNER, STATES[1], Instant(NOW))
    alone = [
        plan_spends(_ONCE, (), verified(), view("/"), OWNER, each, Instant(NOW)) for each in (STATES[2], STATES[0])
    ]
    assert isinstance(spends, tuple)
    assert [spend.key for spend in spends] == [spend.key for one in alone for spend in one]  # type: ignore[union-attr]
    assert [spend.label for spend in spends] == ["reuse", "reuse, previous pepper"]
    assert all(isinstance(spend, Use) for spend in spends)


def test_without_an_overlap_a_used_token_is_good_once_more() -> None:
    """What the overlap is for; were this not so, the law above would prove nothing."""
    clock = FakeClock(NOW)
    store, token = MemoryStore(clock), verified()
    for pepper in (STATES[0], STATES[2]):
        spends = plan_spends(_ONCE, (), token, view("/"), OWNER, pepper, clock.now())
        assert isinstance(spends, tuple)
        assert isinstance(store.commit(spends, None), Committed)
