"""Where the lines of a log go: a standard stream, or a file that may be rotated away."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from extauthz.config import LogSink

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Output(Protocol):
    """Something to write to. Used by one thread."""

    def descriptor(self) -> int:
        """The descriptor to write to now. Raises OSError when there is none, and may be asked again."""

    def close(self) -> None:
        """Let go of it."""

    def check(self) -> None:
        """Find out now whether it can be written. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A descriptor that belongs to somebody else, such as standard output (1).

    It is never made non-blocking: that would change it for every process that shares it.
    """

    number: int

    def descriptor(self) -> int:
        """The descriptor."""
        return self.number

    def check(self) -> None:
        """Find out now whether it can be written. Raises OSError."""
        if fcntl.fcntl(self.number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "it is closed, or for reading only")

    def close(self) -> None:
        """Leave it open: it is not ours."""


def output_of(log: LogSink | Path) -> Output | None:
    """Where a decision log goes, not opened yet; None when it is off."""
    match log:
        case LogSink.OFF:
            return None
        case LogSink.STDOUT:
            return Stream(1)
        case LogSink.STDERR:
            return Stream(2)
        case Path():
            return LogFile(log)


class LogFile:
    """A file or named pipe, appended to; opened again when another file stands under its name (log rotation).

    A named pipe without a reader cannot be opened, and nobody waits for one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: int | None = None

    def descriptor(self) -> int:
        """The open file. Raises OSError when it cannot be opened now."""
        if self._open is not None and not self._stands(self._open):
            self.close()
        if self._open is None:
            self._open = os.open(self._path, _FLAGS, 0o640)
        return self._open

    def close(self) -> None:
        """Close the file; `descriptor` opens it again."""
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def check(self) -> None:
        """Open the file now, so that a wrong path is found at the start. Raises OSError.

        A named pipe whose reader is yet to come is no mistake.
        """
        try:
            self.descriptor()
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise

    def _stands(self, number: int) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(number))
