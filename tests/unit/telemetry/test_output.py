"""Outputs: files that rotate, pipes without readers, streams of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extauthz.telemetry.output import LogFile, Stream


def test_a_file_that_was_rotated_away_is_opened_again(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    os.write(log.channel().number, b"old\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    os.write(log.channel().number, b"new\n")
    log.close()
    assert (tmp_path / "log.1").read_bytes() == b"old\n"
    assert (tmp_path / "log").read_bytes() == b"new\n"


def test_a_file_is_appended_to_and_kept_open(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    log = LogFile(tmp_path / "log")
    assert log.channel().number == log.channel().number
    os.write(log.channel().number, b"after\n")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"before\nafter\n"


def test_others_may_not_read_a_new_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    log.check()
    log.close()
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0


def test_a_wrong_path_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(tmp_path / "nowhere" / "log").check()
    with pytest.raises(IsADirectoryError):
        LogFile(tmp_path).check()


def test_a_named_pipe_without_a_reader_is_no_mistake_but_cannot_be_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    log = LogFile(tmp_path / "log")
    log.check()
    with pytest.raises(OSError, match="No such device or address"):
        log.channel()
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    os.write(log.channel().number, b"read\n")
    assert os.read(reader, 99) == b"read\n"
    log.close()
    os.close(reader)


def test_a_stream_of_others_is_neither_closed_nor_made_non_blocking() -> None:
    reader, writer = os.pipe()
    stream = Stream(writer)
    assert stream.channel().number == writer
    stream.close()
    assert os.get_blocking(writer)
    os.close(writer)
    os.close(reader)
