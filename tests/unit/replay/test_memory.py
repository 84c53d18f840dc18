"""The embedded store's own ways: bounds, late arrivals, and what it forgets first."""

from __future__ import annotations

import pytest

from extauthz.model.time import Instant, Seconds
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Bind, Grace, Rate, Use
from extauthz.replay.store import Committed, Refused, Unavailable
from tests.building import NOW
from tests.clock import FakeClock


def use(key: bytes, life: float = 300, most: int = 1, grace: Grace | None = None) -> Use:
    """A use of a token that lives so long from the start of the test."""
    return Use(key=key, max_uses=most, until=Instant(NOW + life), grace=grace)


def bind(key: bytes, value: bytes = b"v", life: float = 300) -> Bind:
    """A tie to a caller."""
    return Bind(key=key, value=value, until=Instant(NOW + life))


def rate(key: bytes, amount: int = 5, window: float = 60) -> Rate:
    """A request within a rate."""
    return Rate(key=key, amount=amount, window=Seconds(window), label="l")


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="give at least 1"):
        MemoryStore(FakeClock(), capacity=0)


def test_every_kind_of_key_takes_room() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=3)
    store.commit((bind(b"b"), use(b"u"), rate(b"r")), None)
    assert len(store) == 3
    for spend in (bind(b"b2"), use(b"u2"), rate(b"r2")):
        assert isinstance(store.commit((spend,), None), Unavailable)


def test_a_commit_that_does_not_fit_leaves_nothing_of_it_behind() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=2)
    store.commit((rate(b"known", amount=2),), None)
    assert isinstance(store.commit((rate(b"known", amount=2), use(b"a"), use(b"b")), None), Unavailable)
    assert len(store) == 1
    assert store.commit((rate(b"known", amount=2),), None) == Committed(0)


def test_a_full_store_goes_on_counting_the_keys_it_knows() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=2)
    store.commit((use(b"u", most=3), rate(b"r")), None)
    assert store.commit((use(b"u", most=3), rate(b"r")), None) == Committed(1)
    assert store.ready()


def test_a_full_store_still_says_that_a_token_was_used() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=1)
    store.commit((use(b"u"),), None)
    assert isinstance(store.commit((use(b"u"), rate(b"new")), None), Refused)


def test_what_is_due_makes_room_whatever_lives_beside_it() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, capacity=1000)
    for n in range(1000):
        store.commit((use(n.to_bytes(2, "big"), life=10 if n % 2 else 10_000),), None)
    clock.advance(11)
    assert all(isinstance(store.commit((use(b"new%d" % n, life=10_000),), None), Committed) for n in range(500))
    assert isinstance(store.commit((use(b"more", life=10_000),), None), Unavailable)
    assert all(isinstance(store.commit((use(n.to_bytes(2, "big"), 10_000),), None), Refused) for n in range(0, 1000, 2))


def test_a_rate_that_is_asked_for_stays_and_one_that_is_not_makes_room() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, capacity=2)
    store.commit((rate(b"busy", amount=3), rate(b"idle")), None)
    clock.advance(40)
    store.commit((rate(b"busy", amount=3),), None)
    clock.advance(30)
    assert isinstance(store.commit((use(b"u"),), None), Committed)
    assert store.commit((rate(b"busy", amount=3),), None) == Committed(1)


def test_a_use_or_tie_that_comes_too_late_is_not_counted() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    clock.advance(300)
    assert isinstance(store.commit((use(b"u"),), None), Unavailable)
    assert isinstance(store.commit((bind(b"b"),), None), Unavailable)
    assert len(store) == 0


def test_a_count_is_kept_as_long_as_the_longest_lived_token_that_drew_on_it() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    store.commit((use(b"jti", life=100, most=2),), None)
    store.commit((use(b"jti", life=50, most=2),), None)
    clock.advance(99)
    assert isinstance(store.commit((use(b"jti", life=200, most=2),), None), Refused)
    clock.advance(1)
    assert store.commit((use(b"jti", life=200, most=2),), None) == Committed(1)


def test_a_longer_window_is_held_to_even_while_it_only_refuses() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    store.commit((rate(b"r", amount=1, window=60),), None)
    clock.advance(30)
    assert isinstance(store.commit((rate(b"r", amount=1, window=3600),), None), Refused)
    clock.advance(3000)
    outcome = store.commit((rate(b"r", amount=1, window=3600),), None)
    assert outcome == Refused(rate(b"r", amount=1, window=3600), Seconds(570.0))


def test_a_grace_is_not_prolonged_by_the_repeat_it_allows() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    again = use(b"u", grace=Grace(b"same", Seconds(5.0)))
    store.commit((again,), None)
    for _ in range(2):
        clock.advance(2)
        assert store.commit((again,), None) == Committed(0)
    clock.advance(1)
    assert isinstance(store.commit((again,), None), Refused)


def test_a_repeat_under_a_grace_still_counts_against_rates() -> None:
    store = MemoryStore(FakeClock(NOW))
    spends = (use(b"u", grace=Grace(b"same", Seconds(5.0))), rate(b"r", amount=2))
    assert [isinstance(store.commit(spends, None), Committed) for _ in range(3)] == [True, True, False]


def test_an_attempt_is_known_again_for_its_time_only() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, attempt_ttl=Seconds(3.0))
    assert store.commit((use(b"u", most=9),), b"attempt") == Committed(8)
    clock.advance(2.75)
    assert store.commit((use(b"u", most=9),), b"attempt") == Committed(8)
    clock.advance(0.25)
    assert store.commit((use(b"u", most=9),), b"attempt") == Committed(7)


def test_a_repeated_attempt_from_another_caller_is_no_repetition() -> None:
    store = MemoryStore(FakeClock(NOW))
    store.commit((bind(b"b", b"alice"), use(b"u", most=9)), b"attempt")
    assert isinstance(store.commit((bind(b"b", b"thief"), use(b"u", most=9)), b"attempt"), Refused)


def test_a_refused_attempt_is_asked_anew() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    store.commit((rate(b"r", amount=1, window=1),), None)
    assert isinstance(store.commit((rate(b"r", amount=1, window=1),), b"attempt"), Refused)
    clock.advance(1)
    assert isinstance(store.commit((rate(b"r", amount=1, window=1),), b"attempt"), Committed)


def test_attempts_are_bounded_and_one_that_is_forgotten_is_never_admitted_uncounted() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=2)
    store.commit((use(b"u", most=5),), b"first")
    for attempt in (b"second", b"third"):
        store.commit((use(b"u", most=5),), attempt)
    assert store.commit((use(b"u", most=5),), b"third") == Committed(2)
    assert store.commit((use(b"u", most=5),), b"first") == Committed(1)


def test_attempts_that_can_no_longer_be_repeated_make_room() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    for n in range(100):
        store.commit((use(b"u", most=1000),), b"attempt %d" % n)
    clock.advance(3)
    for _ in range(50):
        store.commit((use(b"u", most=1000),), None)
    assert len(store._attempts) == 0


def test_nothing_to_spend_is_committed_with_nothing_left_to_tell() -> None:
    store = MemoryStore(FakeClock(NOW))
    assert store.commit((), None) == Committed(None)
    assert store.commit((bind(b"b"),), None) == Committed(None)


def test_the_first_spend_that_refuses_is_the_one_reported() -> None:
    store = MemoryStore(FakeClock(NOW))
    spends = (bind(b"b"), use(b"u"), rate(b"r", amount=1))
    store.commit(spends, None)
    refused = store.commit((bind(b"b", b"thief"), *spends[1:]), None)
    assert isinstance(refused, Refused)
    assert refused.spend == bind(b"b", b"thief")
    again = store.commit(spends, None)
    assert isinstance(again, Refused)
    assert again.spend == spends[1]


def test_what_is_left_is_that_of_the_scarcest_count() -> None:
    store = MemoryStore(FakeClock(NOW))
    assert store.commit((use(b"u", most=9), rate(b"r", amount=4), rate(b"s", amount=7)), None) == Committed(3)


def test_an_outcome_has_no_truth_value() -> None:
    store = MemoryStore(FakeClock(NOW))
    for _ in range(2):
        with pytest.raises(TypeError, match="no truth value"):
            bool(store.commit((use(b"u"),), None))
