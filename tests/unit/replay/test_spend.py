"""The pepper: keys that tell nothing, and never read alike."""

from __future__ import annotations

import pytest

from extauthz.replay.spend import Pepper

PEPPER = Pepper(b"p" * 32)


def test_no_two_lists_of_parts_make_one_key() -> None:
    lists: list[tuple[str | bytes, ...]] = [
        (),
        ("",),
        ("", ""),
        ("ab",),
        ("a", "b"),
        ("", "ab"),
        ("ab", ""),
        (b"\0ab",),
    ]
    assert len({PEPPER.key("k", *parts) for parts in lists}) == len(lists)


def test_kinds_part_keys_and_no_part_reads_as_a_kind() -> None:
    assert len({PEPPER.key("k", "x"), PEPPER.key("kx"), PEPPER.key("other", "x"), PEPPER.key("x", "k")}) == 4


def test_the_same_parts_make_the_same_key_under_one_pepper_only() -> None:
    assert PEPPER.key("use", "a", b"b") == Pepper(b"p" * 32).key("use", "a", b"b")
    assert PEPPER.key("use", "a", b"b") != Pepper(b"q" * 32).key("use", "a", b"b")


def test_a_key_stays_what_it_is_over_versions() -> None:
    # A store outlives a release: a change here forgets every count, and needs another format number.
    assert PEPPER.key("use", "Policy", b"\x01").hex() == "8f0970133ebaa63f8c7fbe68df432acd"


def test_text_that_is_no_unicode_makes_a_key_too() -> None:
    assert PEPPER.key("bound", "\ud800") != PEPPER.key("bound", "?")


def test_a_short_pepper_is_refused_and_no_pepper_is_shown() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        Pepper(b"s" * 31)
    assert "pppp" not in repr(PEPPER)


def test_a_fingerprint_is_sixteen_digits_that_differ_by_token_and_pepper() -> None:
    shown = PEPPER.fingerprint(b"\x01" * 32)
    assert len(bytes.fromhex(shown)) == 8
    assert shown != PEPPER.fingerprint(b"\x02" * 32)
    assert shown != Pepper(b"q" * 32).fingerprint(b"\x01" * 32)
