"""The memory of verified tokens: bounded, and never wrong about a key."""

from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

import pytest

from extauthz.tokens.cache import GenerationalCache


def test_what_was_put_is_found() -> None:
    cache = GenerationalCache[str, int](4)
    cache.put("a", 1)
    cache.put("a", 2)
    assert cache.get("a") == 2
    assert cache.get("b") is None
    assert len(cache) == 1


def test_it_never_grows_beyond_its_size() -> None:
    cache = GenerationalCache[int, int](10)
    for number in range(1000):
        cache.put(number, number)
        assert len(cache) <= 10


def test_an_entry_survives_half_a_size_of_others_after_its_last_use() -> None:
    for before in range(12):
        cache = GenerationalCache[int | str, int](10)
        for number in range(before):
            cache.put(number, number)
        cache.put("mine", 1)
        for number in range(5):
            cache.put(100 + number, number)
        assert cache.get("mine") == 1


def test_an_entry_in_use_is_kept_for_ever() -> None:
    cache = GenerationalCache[int | str, int](10)
    cache.put("mine", 1)
    for number in range(1000):
        cache.put(number, number)
        assert cache.get("mine") == 1


def test_an_entry_that_is_put_again_is_kept_once() -> None:
    cache = GenerationalCache[str, int](4)
    for key in "abca":
        cache.put(key, 1)
    assert len(cache) == 3


def test_an_entry_that_nobody_uses_is_dropped() -> None:
    cache = GenerationalCache[int | str, int](10)
    cache.put("mine", 1)
    for number in range(10):
        cache.put(number, number)
    assert cache.get("mine") is None


def test_entries_that_are_gone_are_freed_a_few_at_a_time() -> None:
    class Value:
        """Can be watched."""

    cache = GenerationalCache[int, Value](100)
    alive: WeakSet[Value] = WeakSet()
    fewest = most = 0
    for number in range(400):
        value, before = Value(), len(alive)
        alive.add(value)
        cache.put(number, value)
        del value
        fewest = min(fewest, len(alive) - before)
        most = max(most, len(alive))
    assert fewest >= -1
    assert most <= 101


@pytest.mark.parametrize("size", [0, 1])
def test_a_cache_without_room_keeps_nothing(size: int) -> None:
    cache = GenerationalCache[str, int](size)
    cache.put("a", 1)
    assert cache.get("a") is None
    assert len(cache) == 0


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot keep -1 entries"):
        GenerationalCache[str, int](-1)


def test_threads_never_get_the_value_of_another_key() -> None:
    cache = GenerationalCache[int, int](64)

    def work(start: int) -> set[bool]:
        right = set()
        for step in range(5000):
            key = (start + step * 7) % 200
            cache.put(key, key)
            right.add(cache.get((key * 3) % 200) in {None, (key * 3) % 200})
        return right

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(work, range(4))) == {True}
    assert len(cache) <= 64
