"""Where the lines of a log go: a standard stream, or a file that may be rotated away."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from extauthz.config import LogSink

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


_FILE_TAKES: Final = 64 * 1024
_NOTHING_UNREAD: Final = bytes(4)


@dataclass(frozen=True, slots=True)
class Channel:
    """An open descriptor, and what is known of it."""

    number: int
    holds: int
    """How many bytes it takes at once: a file always, a pipe when nothing in it is unread; 0 if that is not known."""
    is_pipe: bool

    @staticmethod
    def of(number: int) -> Channel:
        """Find out. Raises OSError when it is closed."""
        mode = os.fstat(number).st_mode
        if stat.S_ISFIFO(mode):
            # Half of a pipe is left to others who may write to it in the same instant.
            half = fcntl.fcntl(number, fcntl.F_GETPIPE_SZ) // 2
            return Channel(number, half if half >= select.PIPE_BUF else 0, is_pipe=True)
        return Channel(number, _FILE_TAKES if stat.S_ISREG(mode) else 0, is_pipe=False)

    def takes(self) -> int:
        """How many bytes it surely takes now, without a wait; 0 when only `poll` can tell. Raises OSError."""
        if self.is_pipe and fcntl.ioctl(self.number, termios.FIONREAD, _NOTHING_UNREAD) != _NOTHING_UNREAD:
            return 0
        return self.holds


class Output(Protocol):
    """Something to write to. Used by one thread."""

    def channel(self) -> Channel:
        """What to write to now. Raises OSError when there is nothing, and may be asked again."""

    def close(self) -> None:
        """Let go of it."""

    def check(self) -> None:
        """Find out now whether it can be written. Raises OSError."""


class Stream:
    """A descriptor that belongs to somebody else, such as standard output (1).

    It is never made non-blocking: that would change it for every process that shares it.
    """

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self._channel: Channel | None = None

    def channel(self) -> Channel:
        """The stream. Raises OSError when it is closed."""
        if self._channel is None:
            self._channel = Channel.of(self.number)
        return self._channel

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
        self._open: Channel | None = None

    def channel(self) -> Channel:
        """The open file. Raises OSError when it cannot be opened now."""
        if self._open is not None and not self._stands(self._open.number):
            self.close()
        if self._open is None:
            self._open = Channel.of(os.open(self._path, _FLAGS, 0o640))
        return self._open

    def close(self) -> None:
        """Close the file; `channel` opens it again."""
        if self._open is not None:
            os.close(self._open.number)
            self._open = None

    def check(self) -> None:
        """Open the file now, so that a wrong path is found at the start. Raises OSError.

        A named pipe whose reader is yet to come is no mistake.
        """
        try:
            self.channel()
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise

    def _stands(self, number: int) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(number))
