"""The process log: what the program itself has to say, as lines of JSON through the standard `logging`.

Nothing that logs waits for a reader. The message of an exception may quote a token, so only its kind and where it came
from are written.
"""

from __future__ import annotations

import logging
import traceback
from typing import Final, NamedTuple

from extauthz.model.time import Instant, Seconds
from extauthz.telemetry.line import Form, timestamp
from extauthz.telemetry.output import Output, Stream
from extauthz.telemetry.writer import LineWriter

BOUNDS: Final = {"time": 32, "level": 16, "logger": 128, "message": 2048, "error": 128, "frames": 1024}
"""The most bytes that each text may take in a line, escaped."""

_FORM: Final = Form(BOUNDS)
_STDERR: Final = 2


class Message(NamedTuple):
    """What waits to become a line, long texts already cut."""

    at: Instant
    level: str
    logger: str
    message: str
    error: str
    frames: str


class ProcessLog(logging.Handler):
    """Takes over the root logger until it is stopped."""

    def __init__(self, level: str = "info", output: Output | None = None) -> None:
        """Show messages of `level` (`debug`, `info`, `warning`, `error`) and above, on standard error by default."""
        super().__init__()
        self._least = level.upper()
        self._before: tuple[int, list[logging.Handler]] | None = None
        self._writer: LineWriter[Message] = LineWriter("process-log", output or Stream(_STDERR), line_of)

    @property
    def lost(self) -> int:
        """How many lines were lost."""
        return self._writer.lost

    def start(self) -> None:
        """Send all logging of the process here."""
        root = logging.getLogger()
        self._before = root.level, root.handlers[:]
        root.handlers[:] = [self]
        root.setLevel(self._least)
        self._writer.start()

    def stop(self, timeout: Seconds) -> None:
        """Write what waits, for at most `timeout`, and leave logging as it was."""
        root = logging.getLogger()
        if self._before is not None:
            level, root.handlers[:] = self._before
            root.setLevel(level)
        self._writer.stop(timeout)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record. Returns at once."""
        self._writer.offer(message_of(record))


def message_of(record: logging.LogRecord) -> Message:
    """What the log keeps of a record."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        text = f"{record.msg} (its arguments do not fit)"
    error = record.exc_info[1] if record.exc_info else None
    return Message(
        Instant(record.created),
        record.levelname.lower(),
        record.name[: BOUNDS["logger"] + 1],
        text[: BOUNDS["message"] + 1],
        "" if error is None else type(error).__name__[: BOUNDS["error"] + 1],
        "" if error is None else frames_of(error)[: BOUNDS["frames"] + 1],
    )


def frames_of(error: BaseException) -> str:
    """Where an exception came from, the innermost call first; neither its message nor any value."""
    frames = reversed(traceback.extract_tb(error.__traceback__, limit=-12))
    return " < ".join(f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in frames)


def line_of(message: Message) -> bytes:
    """The line of one message. What is empty is left out."""
    at, *texts = message
    return _FORM.line((timestamp(at), *texts))
