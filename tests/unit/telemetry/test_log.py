"""The process log: lines of JSON that hold up nobody and quote no exception."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.model.time import Seconds
from extauthz.telemetry.line import MAX_LINE
from extauthz.telemetry.log import ProcessLog
from extauthz.telemetry.output import LogFile, Stream
from tests.unit.telemetry.seen import fill, lines_of
from tests.unit.telemetry.test_line import TOKEN

PATIENCE = Seconds(30.0)
LOG = logging.getLogger("extauthz.test")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ProcessLog]:
    process_log = ProcessLog("info", LogFile(tmp_path / "log"))
    process_log.start()
    yield process_log
    process_log.stop(Seconds(0.0))


def test_a_message_is_one_line_of_json(log: ProcessLog, tmp_path: Path) -> None:
    LOG.warning("policies of `%s`\nare \x1b[31mbroken", "shop")
    log.stop(PATIENCE)
    (line,) = lines_of((tmp_path / "log").read_bytes())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "extauthz.test",
        "message": "policies of `shop`\nare \x1b[31mbroken",
    }


def test_what_is_below_the_level_is_not_written(log: ProcessLog, tmp_path: Path) -> None:
    LOG.debug("small talk")
    LOG.info("news")
    log.stop(PATIENCE)
    assert [line["message"] for line in lines_of((tmp_path / "log").read_bytes())] == ["news"]


def test_an_exception_shows_its_kind_and_origin_but_never_its_message(log: ProcessLog, tmp_path: Path) -> None:
    try:
        int("opaque-secret-token")
    except ValueError:
        LOG.exception("a bug")
    log.stop(PATIENCE)
    written = (tmp_path / "log").read_bytes()
    (line,) = lines_of(written)
    assert line["error"] == "ValueError"
    assert line["frames"].startswith("test_an_exception_shows_its_kind_and_origin_but_never_its_message (test_log.py:")
    assert b"secret" not in written


def test_what_looks_like_a_token_is_blotted_out_of_messages_too(log: ProcessLog, tmp_path: Path) -> None:
    LOG.error("cannot read %s", TOKEN)
    log.stop(PATIENCE)
    (line,) = lines_of((tmp_path / "log").read_bytes())
    assert line["message"] == "cannot read [token]"


def test_a_message_of_any_length_stays_within_a_line(log: ProcessLog, tmp_path: Path) -> None:
    LOG.error("\x00😀" * 2**18)
    log.stop(PATIENCE)
    written = (tmp_path / "log").read_bytes()
    assert len(written) <= MAX_LINE
    assert len(lines_of(written)) == 1


def test_arguments_that_do_not_fit_spoil_nothing(log: ProcessLog, tmp_path: Path) -> None:
    log.handle(logging.LogRecord("extauthz.test", logging.ERROR, __file__, 1, "%d of %d", ("one",), None))
    log.stop(PATIENCE)
    (line,) = lines_of((tmp_path / "log").read_bytes())
    assert line["message"] == "%d of %d (its arguments do not fit)"


def test_logging_goes_on_when_nobody_reads_the_log() -> None:
    reader, writer = os.pipe()
    fill(writer)
    process_log = ProcessLog("info", Stream(writer))
    process_log.start()
    try:
        for _ in range(10_000):
            LOG.error("lost")
    finally:
        process_log.stop(Seconds(0.0))
    assert process_log.lost == 10_000
    os.close(reader)
    os.close(writer)


def test_logging_is_left_as_it_was_found(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    process_log = ProcessLog("debug", LogFile(tmp_path / "log"))
    process_log.start()
    assert root.handlers == [process_log]
    process_log.stop(PATIENCE)
    assert (root.level, root.handlers) == before
