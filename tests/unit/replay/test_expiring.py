"""Entries by key, each kept until its instant."""

from __future__ import annotations

from extauthz.model.time import Instant
from extauthz.replay.expiring import Expiring


def at(seconds: float) -> Instant:
    """An instant."""
    return Instant(seconds)


def test_an_entry_is_there_before_its_instant_and_gone_at_it() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 7, at(10.5))
    assert shelf.get(b"k", at(10.499)) == 7
    assert shelf.get(b"k", at(10.5)) is None


def test_the_value_of_a_falsy_entry_is_told_from_none() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 0, at(10))
    assert shelf.get(b"k", at(1)) == 0


def test_a_later_put_never_shortens_a_life() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 1, at(100))
    shelf.put(b"k", 2, at(50))
    assert shelf.get(b"k", at(99)) == 2


def test_dropping_frees_what_is_due_and_nothing_else() -> None:
    shelf: Expiring[int] = Expiring()
    for n in range(10):
        shelf.put(bytes([n]), n, at(n + 0.5))
    shelf.drop_due(at(5), steps=100)
    assert len(shelf) == 5
    assert all(shelf.get(bytes([n]), at(5)) == n for n in range(5, 10))


def test_an_entry_is_not_dropped_within_the_second_before_it_is_due() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 1, at(10.9))
    shelf.drop_due(at(10.8), steps=100)
    assert b"k" in shelf


def test_dropping_looks_at_no_more_than_it_may_and_goes_on_next_time() -> None:
    shelf: Expiring[int] = Expiring()
    for n in range(10):
        shelf.put(bytes([n]), n, at(1 + n % 2))
    sizes = []
    while len(shelf):
        shelf.drop_due(at(5), steps=3)
        sizes.append(len(shelf))
    assert sizes == [7, 4, 1, 0]


def test_a_prolonged_entry_outlives_its_first_second_and_is_dropped_at_its_last() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 1, at(10))
    shelf.put(b"k", 2, at(20))
    shelf.drop_due(at(15), steps=100)
    assert shelf.get(b"k", at(15)) == 2
    shelf.drop_due(at(20), steps=100)
    assert len(shelf) == 0


def test_a_key_that_was_due_and_is_put_again_is_dropped_once() -> None:
    shelf: Expiring[int] = Expiring()
    shelf.put(b"k", 1, at(10))
    shelf.put(b"k", 2, at(30))
    shelf.drop_due(at(12), steps=100)
    shelf.put(b"k", 3, at(40))
    shelf.drop_due(at(39), steps=100)
    assert shelf.get(b"k", at(39)) == 3
    shelf.drop_due(at(40), steps=100)
    shelf.drop_due(at(90), steps=100)
    assert len(shelf) == 0
