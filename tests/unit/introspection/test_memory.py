"""The memory of answers: bounded, and good answers are not pushed out by bad ones."""

from __future__ import annotations

from extauthz.introspection.memory import Memory
from extauthz.model.question import Active, Inactive


def test_an_answer_is_given_again_until_its_time_is_over() -> None:
    memory, answer = Memory(4), Active({"sub": "a"})
    memory.keep(b"k", answer, until=10.0)
    assert memory.look(b"k", 9.9) is answer
    assert memory.look(b"k", 10.0) is None
    assert memory.look(b"other", 0.0) is None


def test_a_flood_of_inactive_tokens_pushes_no_active_one_out() -> None:
    memory = Memory(8)
    memory.keep(b"good", Active({}), until=10.0)
    for number in range(1000):
        memory.keep(number.to_bytes(4, "big"), Inactive(), until=10.0)
    assert isinstance(memory.look(b"good", 0.0), Active)
    assert len(memory) == 9


def test_the_oldest_of_a_kind_goes_first() -> None:
    memory = Memory(2)
    for key in (b"a", b"b", b"c"):
        memory.keep(key, Active({}), until=10.0)
    assert [memory.look(key, 0.0) is not None for key in (b"a", b"b", b"c")] == [False, True, True]


def test_a_later_answer_takes_the_place_of_an_earlier_one_of_the_other_kind() -> None:
    memory = Memory(2)
    memory.keep(b"k", Active({}), until=10.0)
    memory.keep(b"k", Inactive(), until=10.0)
    assert isinstance(memory.look(b"k", 0.0), Inactive)


def test_a_memory_of_no_size_keeps_nothing() -> None:
    memory = Memory(0)
    memory.keep(b"k", Active({}), until=10.0)
    assert memory.look(b"k", 0.0) is None
