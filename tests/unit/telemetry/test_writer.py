"""The writer of lines: nobody waits for it, and what it cannot write it counts."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extauthz.model.time import Seconds
from extauthz.telemetry import writer
from extauthz.telemetry.output import LogFile, Output, Stream
from extauthz.telemetry.writer import LineWriter
from tests.unit.telemetry.seen import fill, messages, read_exactly

PATIENCE = Seconds(30.0)
AT_ONCE = Seconds(0.0)
LOGGER = "extauthz.telemetry.writer"


def form(text: str) -> bytes:
    return text.encode("ascii") + b"\n"


def writer_to(output: Output, capacity: int = 100) -> LineWriter[str]:
    return LineWriter("test-log", output, form, capacity=capacity)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for number in ends:
        try:
            os.close(number)
        except OSError:
            continue


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Within it no file grows beyond `size`: a write stops half-way, as on a disk that has become full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"), capacity=5000)
    lines.start()
    for number in range(5000):
        lines.offer(f"line {number}")
    lines.stop(PATIENCE)
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(5000)]
    assert lines.lost == 0


def test_what_is_offered_before_the_start_is_written(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"))
    lines.offer("early")
    lines.start()
    lines.stop(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"early\n"


def test_what_waits_is_the_line_and_no_longer_the_item(tmp_path: Path) -> None:
    lines: LineWriter[bytearray] = LineWriter("test-log", LogFile(tmp_path / "log"), lambda item: bytes(item) + b"\n")
    item = bytearray(b"as it was offered")
    lines.offer(item)
    item[:] = b"as it is now"
    lines.start()
    lines.stop(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"as it was offered\n"


def test_a_pipe_that_nobody_reads_loses_lines_and_holds_up_neither_offers_nor_the_stop(pipe: tuple[int, int]) -> None:
    filled = fill(pipe[1])
    lines = writer_to(Stream(pipe[1]), capacity=8)
    lines.start()
    for _ in range(1000):
        lines.offer("lost")
    lines.stop(AT_ONCE)
    assert lines.lost == 1000
    assert lines.problem == "nobody reads it"
    assert read_exactly(pipe[0], filled) == b"x" * filled
    os.close(pipe[1])
    assert os.read(pipe[0], 1) == b""


def test_writing_goes_on_when_the_pipe_is_read_again(pipe: tuple[int, int]) -> None:
    filled = fill(pipe[1])
    lines = writer_to(Stream(pipe[1]), capacity=8)
    lines.start()
    for number in range(100):
        lines.offer(str(number))
    read_exactly(pipe[0], filled)
    with os.fdopen(pipe[0], closefd=False) as reader:
        assert reader.readline() == "0\n"
        lines.stop(PATIENCE)
        os.close(pipe[1])
        written = 1 + len(reader.readlines())
    assert written >= 8
    assert written + lines.lost == 100


def test_a_closed_pipe_loses_lines(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    lines = writer_to(Stream(pipe[1]))
    lines.start()
    for _ in range(10):
        lines.offer("lost")
    lines.stop(PATIENCE)
    assert lines.lost == 10
    assert lines.problem == "Broken pipe"


def test_a_full_disk_loses_lines_until_there_is_room(tmp_path: Path) -> None:
    log, other, good = (tmp_path / name for name in ("log", "other", "good"))
    log.symlink_to("/dev/full")
    lines = writer_to(LogFile(log))
    with messages(LOGGER) as said:
        lines.start()
        for _ in range(10):
            lines.offer("lost")
        assert said.get(timeout=PATIENCE) == "test-log loses lines: No space left on device"
        lines.offer("lost")
        other.symlink_to(good)
        other.rename(log)
        lines.offer("kept")
        lines.stop(PATIENCE)
        assert said.get(timeout=PATIENCE).startswith("test-log is written again")
    kept = good.read_bytes().splitlines()
    assert kept[-1] == b"kept"
    assert lines.lost == 12 - len(kept)
    assert lines.problem is None


def test_a_line_that_broke_off_spoils_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = writer_to(LogFile(log))
    with messages(LOGGER) as said:
        for number in range(4):
            lines.offer(f"{number}" * 100)
        with file_size_limit(250):
            lines.start()
            assert said.get(timeout=PATIENCE) == "test-log loses lines: File too large"
        lines.offer("after")
        lines.stop(PATIENCE)
    assert log.read_text().splitlines() == ["0" * 100, "1" * 100, "2" * 48, "after"]
    assert lines.lost == 2


def test_trouble_is_told_once_and_not_for_each_line() -> None:
    number = os.open("/dev/full", os.O_WRONLY)
    lines = writer_to(Stream(number))
    with messages(LOGGER) as said:
        lines.start()
        for _ in range(50):
            lines.offer("x" * 4000)
        lines.stop(PATIENCE)
    os.close(number)
    assert lines.lost == 50
    assert said.qsize() == 1


def test_an_item_that_cannot_be_formed_is_lost_alone(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"))
    lines.start()
    for text in ("before", "é", "after"):
        lines.offer(text)
    lines.stop(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"before\nafter\n"
    assert lines.lost == 1


def test_a_pipe_with_little_room_gets_whole_lines_and_holds_nobody(pipe: tuple[int, int]) -> None:
    filled = fill(pipe[1])
    read_exactly(pipe[0], 4096)
    lines = writer_to(Stream(pipe[1]))
    for _ in range(15):
        lines.offer("y" * 2500)
    lines.start()
    lines.stop(AT_ONCE)
    assert lines.lost == 14
    read_exactly(pipe[0], filled - 4096)
    os.close(pipe[1])
    assert read_exactly(pipe[0], 2501) == b"y" * 2500 + b"\n"
    assert os.read(pipe[0], 1) == b""


def test_more_lines_than_may_wait_are_lost_at_once(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"), capacity=8)
    for _ in range(100):
        lines.offer("x")
    assert lines.lost == 92
    lines.start()
    lines.stop(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"x\n" * 8


def test_offers_from_many_threads_are_all_written_or_counted(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"), capacity=16)
    lines.start()

    def offer() -> None:
        for _ in range(500):
            lines.offer("x")

    threads = [threading.Thread(target=offer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.stop(PATIENCE)
    assert len((tmp_path / "log").read_bytes().splitlines()) + lines.lost == 4000


def test_an_offer_after_the_stop_is_lost_and_counted(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"))
    lines.start()
    lines.stop(PATIENCE)
    lines.offer("late")
    assert lines.lost == 1


def test_a_writer_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    lines = writer_to(LogFile(tmp_path / "log"))
    lines.offer("lost")
    lines.stop(PATIENCE)
    assert lines.lost == 1


@contextmanager
def written(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None] = lambda: None) -> Iterator[list[bytes]]:
    """What each write was asked to take; `then` is called once the first is done."""
    asked: list[bytes] = []
    write = os.write

    def watched(number: int, data: bytes) -> int:
        asked.append(bytes(data))
        took = write(number, data)
        if len(asked) == 1:
            then()
        return took

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", watched)
        yield asked


@pytest.mark.parametrize(("unread", "writes"), [(b"", [50 * 400]), (b"unread\n", [10 * 400] * 5)])
def test_a_pipe_gets_at_once_what_it_surely_takes(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, unread: bytes, writes: list[int]
) -> None:
    """All that waits when it is empty, and PIPE_BUF when something in it is unread."""
    os.write(pipe[1], unread)
    lines = writer_to(Stream(pipe[1]))
    for _ in range(50):
        lines.offer("x" * 399)
    with written(monkeypatch) as asked:
        lines.start()
        lines.stop(PATIENCE)
    assert [len(each) for each in asked] == writes
    assert lines.lost == 0


def test_a_small_pipe_gets_every_line_whole(pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    lines = writer_to(Stream(pipe[1]))
    for _ in range(3):
        lines.offer("x" * 2499)
    lines.start()
    assert read_exactly(pipe[0], 7500) == (b"x" * 2499 + b"\n") * 3
    lines.stop(PATIENCE)


def test_lines_that_come_during_a_write_wait_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, come = writer_to(LogFile(tmp_path / "log")), threading.Event()

    def more() -> None:
        monkeypatch.setattr(writer, "_PAUSE", PATIENCE)
        lines.offer("second")
        come.set()

    with written(monkeypatch, more) as asked:
        lines.offer("first")
        lines.start()
        assert come.wait(PATIENCE)
        lines.offer("third")
        lines.stop(PATIENCE)
    assert asked == [b"first\n", b"second\nthird\n"]


def test_many_lines_wait_for_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_PAUSE", 10 * PATIENCE)
    lines, told = writer_to(LogFile(tmp_path / "log"), capacity=5000), threading.Event()
    for _ in range(1000):
        lines.offer("x")
    with written(monkeypatch, told.set):
        lines.start()
        assert told.wait(PATIENCE)
        lines.stop(PATIENCE)
