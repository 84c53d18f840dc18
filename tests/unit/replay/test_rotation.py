"""The pepper's file: what it may hold, and when a change of it counts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from extauthz.replay.rotation import PepperFile, read_pepper
from extauthz.replay.spend import Pepper

OLD, NEW, OTHER = b"o" * 32, b"n" * 44, b"x" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the old pepper."""
    path = tmp_path / "pepper"
    path.write_bytes(OLD + b"\n")
    return path


def names(*secrets: bytes) -> list[str]:
    """How these peppers are told."""
    return [Pepper(secret).name for secret in secrets]


def told(pepper: Pepper) -> list[str]:
    """Those of a pepper and the previous one."""
    return [each.name for each in pepper.all]


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (OLD, (OLD,)),
        (OLD + b"\n", (OLD,)),
        (b"\n" + OLD + b"\r\n\n", (OLD,)),
        (NEW + b"\n" + OLD, (NEW, OLD)),
        (NEW + b"\r\n" + OLD + b"\r\n", (NEW, OLD)),
    ],
)
def test_a_file_holds_the_pepper_and_below_it_the_previous_one(
    file: Path, content: bytes, secrets: tuple[bytes, ...]
) -> None:
    file.write_bytes(content)
    assert told(read_pepper(file)) == names(*secrets)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes can be guessed"),
        (b"short", "5 bytes can be guessed"),
        (NEW + b"\nshort", "5 bytes can be guessed"),
        (NEW + b"\n" + OLD + b"\n" + OTHER, "more than the pepper and the previous one"),
        (b"a" * 5000, "more than the pepper and the previous one"),
        (b"\x00" * 32, "write random bytes as base64"),
        (b"\xe9" * 32, "write random bytes as base64"),
        (b"twelve words " * 4, "write random bytes as base64"),
        (OLD + b"\n" + OLD, "the same as the one that counts"),
    ],
)
def test_a_file_that_could_be_misread_is_refused_and_not_quoted(file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=why) as refused:
        read_pepper(file)
    assert str(file) in str(refused.value)
    assert not any(part in str(refused.value) for part in ("short", "nnn", "twelve", "aaa"))


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no-such"):
        read_pepper(tmp_path / "no-such")


def test_a_pepper_takes_the_place_of_another_in_three_states_of_the_file(file: Path) -> None:
    followed = PepperFile(file)
    assert not followed.look()
    for content, secrets in ((NEW + b"\n" + OLD, (NEW, OLD)), (NEW, (NEW,)), (OTHER + b"\n" + NEW, (OTHER, NEW))):
        file.write_bytes(content)
        assert followed.look()
        assert told(followed.pepper) == names(*secrets)
        assert not followed.look()


@pytest.mark.parametrize("content", [NEW, OTHER + b"\n" + NEW, b"short", b""])
def test_a_change_that_would_forget_every_count_or_cannot_be_read_leaves_the_last_good_pepper(
    file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    followed = PepperFile(file)
    file.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert not followed.look()
    assert told(followed.pepper) == names(OLD)
    assert str(file) in followed.problem
    assert followed.problem in caplog.text
    file.write_bytes(NEW + b"\n" + OLD)
    assert followed.look()
    assert followed.problem == ""


def test_a_file_that_is_gone_leaves_the_last_good_pepper(file: Path) -> None:
    followed = PepperFile(file)
    file.unlink()
    assert not followed.look()
    assert told(followed.pepper) == names(OLD)
    assert followed.problem


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(file: Path) -> None:
    followed = PepperFile(file)
    file.unlink()
    os.mkfifo(file)
    assert not followed.look()
    file.unlink()
    file.write_bytes(NEW + b"\n" + OLD)
    assert followed.look()
    assert told(followed.pepper) == names(NEW, OLD)


@pytest.mark.timeout(10)
def test_a_pipe_may_hand_the_pepper_over_at_the_start_and_is_then_left_alone() -> None:
    reader, writer = os.pipe()
    os.write(writer, OLD)
    os.close(writer)
    followed = PepperFile(Path(f"/dev/fd/{reader}"))
    os.utime(reader, (0, 0))
    assert not followed.look()
    assert told(followed.pepper) == names(OLD)
    assert followed.problem == ""
    os.close(reader)


def test_a_file_is_followed_behind_the_links_of_a_mounted_secret(tmp_path: Path) -> None:
    for name, content in (("first", OLD), ("second", NEW + b"\n" + OLD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pepper").write_bytes(content)
    data, shown = tmp_path / "..data", tmp_path / "pepper"
    data.symlink_to("first")
    shown.symlink_to("..data/pepper")
    followed = PepperFile(shown)
    fresh = tmp_path / "..fresh"
    fresh.symlink_to("second")
    fresh.rename(data)
    assert followed.look()
    assert told(followed.pepper) == names(NEW, OLD)


def test_a_name_tells_peppers_apart_and_shows_nothing_of_them() -> None:
    assert len({*names(OLD, NEW, OTHER)}) == 3
    assert all(len(bytes.fromhex(name)) == 8 for name in names(OLD, NEW))
    assert Pepper(OLD).name != Pepper(OLD).fingerprint(b"")
