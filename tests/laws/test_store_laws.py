"""Laws of the embedded store against models too simple to be wrong: lists of what was admitted, and when."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import nextafter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extauthz.model.reuse import BindTo, Reuse, ReuseKey
from extauthz.model.time import AcceptanceWindow, Instant, Seconds
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import Owner, plan_spends
from extauthz.replay.spend import Bind, Mark, Pepper, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable, foreseen
from tests.building import NOW, TRUST, verified, view
from tests.clock import FakeClock

PEPPER = Pepper(b"p" * 32)
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
FAR = Instant(NOW + 1e6)

# Sixty-fourths of a second are exact in binary at this date, so a model compares without rounding.
_TICKS = st.integers(0, 64 * 40).map(lambda n: n / 64)


@dataclass
class Model:
    """What an exact store would remember."""

    uses: Counter[bytes] = field(default_factory=Counter)
    bound: dict[bytes, bytes] = field(default_factory=dict)
    admitted: list[tuple[bytes, float]] = field(default_factory=list)
    marked: set[bytes] = field(default_factory=set)

    def rate_count(self, rate: Rate, now: float, stretch: float = 1.0) -> int:
        """How many admissions lie within the window, or a little more of it."""
        return sum(key == rate.key and t + rate.window * stretch > now for key, t in self.admitted)

    def must_refuse(self, spend: Spend, now: float) -> bool:
        """Whether admitting it would break a promise."""
        match spend:
            case Bind():
                return self.bound.get(spend.key, spend.value) != spend.value
            case Use():
                return self.uses[spend.key] >= spend.max_uses
            case Rate():
                return self.rate_count(spend, now) >= spend.amount
            case Mark():
                return False
            case Unmarked():
                return spend.key in self.marked
            case Room():
                raise AssertionError("tests/laws/test_room_laws.py has a model of rooms")

    def may_refuse(self, spend: Spend, now: float) -> bool:
        """Whether refusing it is right: the same, but for the sixtieth of a window."""
        if isinstance(spend, Rate):
            return self.rate_count(spend, now, 61 / 60) >= spend.amount
        return self.must_refuse(spend, now)

    def apply(self, spend: Spend, now: float) -> None:
        """Count it."""
        match spend:
            case Bind():
                self.bound[spend.key] = spend.value
            case Use():
                self.uses[spend.key] += 1
            case Rate():
                self.admitted.append((spend.key, now))
            case Mark():
                self.marked.add(spend.key)
            case Unmarked():
                pass
            case Room():
                raise AssertionError("tests/laws/test_room_laws.py has a model of rooms")


_SPENDS = st.one_of(
    st.builds(lambda k, v: Bind(key=k, value=v, until=FAR), st.sampled_from([b"b1", b"b2"]), st.binary(max_size=1)),
    st.builds(lambda k, n: Use(key=k, max_uses=n, until=FAR), st.sampled_from([b"u1", b"u2"]), st.integers(1, 6)),
    st.builds(lambda k: Mark(key=k, until=FAR), st.sampled_from([b"m1", b"m2"])),
    st.builds(lambda k: Unmarked(key=k, until=FAR), st.sampled_from([b"m1", b"m2"])),
    st.builds(
        lambda k, n: Rate(key=k, amount=n, window=Seconds(60.0), label="l"),
        st.sampled_from([b"r1", b"r2"]),
        st.integers(1, 6),
    ),
)
_COMMITS = st.lists(st.tuples(_TICKS, st.lists(_SPENDS, max_size=4, unique_by=lambda s: s.key)), max_size=60)


@given(_COMMITS)
@settings(max_examples=400)
def test_every_history_is_answered_as_an_exact_store_would(commits: list[tuple[float, list[Spend]]]) -> None:
    clock, model = FakeClock(NOW), Model()
    store = MemoryStore(clock)
    for gap, spends in commits:
        clock.advance(gap)
        now = clock.now()
        match store.commit(tuple(spends), None):
            case Committed():
                assert not any(model.must_refuse(spend, now) for spend in spends)
                for spend in spends:
                    model.apply(spend, now)
            case Refused(spend=refused, retry_after=wait):
                assert model.may_refuse(refused, now)
                before = spends[: spends.index(refused)]
                assert not any(model.must_refuse(spend, now) for spend in before)
                assert (wait is not None and 0 < wait <= 60) == isinstance(refused, Rate)
            case Unavailable(detail=detail):
                raise AssertionError(detail)


_MORTAL = st.one_of(
    st.builds(lambda k, n: ("u", k, n), st.sampled_from([b"u1", b"u2", b"u3"]), st.integers(1, 40)),
    st.builds(lambda k, n: ("r", k, n), st.sampled_from([b"r1", b"r2"]), st.sampled_from([10, 60, 300])),
    st.builds(lambda k, n: ("b", k, n), st.sampled_from([b"b1", b"b2"]), st.integers(1, 40)),
    st.builds(lambda k, n: ("m", k, n), st.sampled_from([b"m1", b"m2"]), st.integers(1, 40)),
    st.builds(lambda k, n: ("n", k, n), st.sampled_from([b"m1", b"m2"]), st.integers(1, 40)),
)


def mortal(kind: str, key: bytes, number: int, now: Instant) -> Spend:
    """A spend that is forgotten soon, so that a small store fills and empties."""
    match kind:
        case "u":
            return Use(key=key, max_uses=2, until=Instant(now + number))
        case "m":
            return Mark(key=key, until=Instant(now + number))
        case "n":
            return Unmarked(key=key, until=Instant(now + number))
        case "r":
            return Rate(key=key, amount=2, window=Seconds(number), label="l")
        case _:
            return Bind(key=key, value=bytes([number % 2]), until=Instant(now + number))


@given(
    st.integers(1, 6),
    st.lists(st.tuples(_TICKS, st.lists(_MORTAL, max_size=3, unique_by=lambda each: each[1])), max_size=40),
)
@settings(max_examples=300)
def test_a_look_foresees_the_next_commit_and_a_store_looked_at_answers_like_one_that_was_not(
    capacity: int, history: list[tuple[float, list[tuple[str, bytes, int]]]]
) -> None:
    clock = FakeClock(NOW)
    looked, other = MemoryStore(clock, capacity), MemoryStore(clock, capacity)
    for gap, drawn in history:
        clock.advance(gap)
        spends = tuple(mortal(*each, clock.now()) for each in drawn)
        foreknown = foreseen(looked.look(spends))
        assert foreknown == looked.commit(spends, None)
        assert foreknown == other.commit(spends, None)
        assert len(looked) == len(other)


@given(st.lists(st.tuples(_TICKS, st.booleans()), max_size=120), st.integers(1, 5), st.integers(1, 20))
@settings(max_examples=400)
def test_windows_of_two_lengths_over_one_count_are_each_exact(
    history: list[tuple[float, bool]], few: int, many: int
) -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    rates = (
        Rate(key=b"k", amount=few, window=Seconds(60.0), label="short"),
        Rate(key=b"k", amount=many, window=Seconds(600.0), label="long"),
    )
    admitted: dict[str, list[float]] = {"short": [], "long": []}
    for gap, which in history:
        clock.advance(gap)
        rate, now = rates[which], clock.now()
        if isinstance(store.commit((rate,), None), Committed):
            admitted[rate.label].append(now)
            assert sum(t + rate.window > now for t in admitted[rate.label]) <= rate.amount
        else:
            early = rate.window + 10
            assert sum(t + early > now for each in admitted.values() for t in each) >= rate.amount


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(1, 10)), max_size=80),
)
def test_a_full_store_holds_every_live_key_and_refuses_just_when_no_room_is_left(
    capacity: int, history: list[tuple[int, int, int]]
) -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, capacity=capacity)
    live: dict[bytes, float] = {}
    for gap, name, life in history:
        clock.advance(gap)
        now, key = clock.now(), bytes([name])
        live = {k: until for k, until in live.items() if now < until}
        outcome = store.commit((Use(key=key, max_uses=1, until=Instant(now + life)),), None)
        assert isinstance(outcome, Refused) == (key in live)
        assert isinstance(outcome, Unavailable) == (key not in live and len(live) == capacity)
        if isinstance(outcome, Committed):
            live[key] = now + life
        assert len(store) == len(live)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns every few instructions: a race that is possible happens."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def commit_often(store: MemoryStore, spends: tuple[Spend, ...]) -> list[Outcome]:
    """Commit it eight times."""
    return [store.commit(spends, None) for _ in range(8)]


def race(threads: int, run: Callable[[], list[Outcome]]) -> list[Outcome]:
    """Run it on so many threads at once."""
    barrier, outcomes = threading.Barrier(threads), list[Outcome]()

    def racer() -> None:
        barrier.wait()
        outcomes.extend(run())

    racers = [threading.Thread(target=racer) for _ in range(threads)]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    return outcomes


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize(("uses", "amount"), [(1, 9), (9, 1), (3, 3), (50, 40), (40, 50)])
def test_of_racing_commits_as_many_win_as_the_scarcest_count_allows(uses: int, amount: int) -> None:
    store = MemoryStore(FakeClock(NOW))

    def plan(n: int) -> tuple[Spend, ...]:
        return (
            Bind(key=b"b%d" % n, value=b"v", until=FAR),
            Use(key=b"u%d" % n, max_uses=uses, until=FAR),
            Rate(key=b"r%d" % n, amount=amount, window=Seconds(60.0), label="l"),
        )

    for n in range(40):
        outcomes = race(8, partial(commit_often, store, plan(n)))
        assert sum(isinstance(outcome, Committed) for outcome in outcomes) == min(uses, amount)


def commit(store: MemoryStore, reuse: Reuse, window: AcceptanceWindow, identity: bytes, now: Instant) -> Outcome:
    """Plan and commit one use of a token with this window."""
    token = verified(identity=identity)._replace(window=window)
    spends = plan_spends(reuse, (), token, view("/"), OWNER, PEPPER, now)
    assert not isinstance(spends, Refusal)
    return store.commit(spends, None)


@given(st.floats(0.001, 1e5), st.floats(0, 300))
def test_a_token_is_refused_up_to_the_very_last_instant_at_which_it_is_accepted(life: float, skew: float) -> None:
    clock, store_of = FakeClock(NOW), MemoryStore
    store, closes = store_of(clock), Instant(NOW + life + skew)
    window, reuse = AcceptanceWindow(Instant(NOW - 1), closes), Reuse(max_uses=1, bind_to=(BindTo.SOURCE_ADDRESS,))
    assert isinstance(commit(store, reuse, window, b"\x01" * 32, clock.now()), Committed)
    for instant in (closes - 1.0, nextafter(closes, 0.0)):
        if instant > clock.now():
            clock.set_wall(instant)
            assert window.accepts(clock.now())
            assert isinstance(commit(store, reuse, window, b"\x01" * 32, clock.now()), Refused)


@given(
    st.floats(-3600, TRUST.clock_skew),
    st.floats(1, TRUST.max_lifetime),
    st.floats(0, 8000),
)
def test_no_token_that_existed_at_the_first_use_of_an_id_can_use_it_again(
    issued: float, life: float, wait: float
) -> None:
    clock = FakeClock(NOW)
    store, reuse = MemoryStore(clock), Reuse(max_uses=1, key=ReuseKey.JTI)
    short = AcceptanceWindow(Instant(NOW - 60), Instant(NOW + 1))
    assert isinstance(commit(store, reuse, short, b"\x01" * 32, clock.now()), Committed)
    skew = TRUST.clock_skew
    other = AcceptanceWindow(Instant(NOW + issued - skew), Instant(NOW + issued + life + skew))
    clock.advance(min(wait, max(0.0, other.closes - NOW - 0.001)))
    assume(other.accepts(clock.now()))
    assert isinstance(commit(store, reuse, other, b"\x02" * 32, clock.now()), Refused)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([b"a", b"b", b"c"]), _TICKS), max_size=40))
def test_a_repeated_attempt_is_answered_alike_and_no_two_attempts_share_a_use(
    history: list[tuple[int, bytes, float]],
) -> None:
    clock = FakeClock(NOW)
    store, answers, counted = MemoryStore(clock), dict[tuple[int, bytes], tuple[float, Outcome]](), Counter[bytes]()
    for attempt, key, gap in history:
        clock.advance(gap / 8)
        now = clock.now()
        outcome = store.commit((Use(key=key, max_uses=4, until=FAR),), b"attempt %d %b" % (attempt, key))
        before = answers.get((attempt, key))
        if before is not None and now < before[0] + 3.0:
            assert outcome == before[1]
        elif isinstance(outcome, Committed):
            counted[key] += 1
            answers[attempt, key] = (now, outcome)
            assert outcome.remaining == 4 - counted[key]
        assert counted[key] <= 4
