"""Unix sockets: a stale one is replaced, one in use and anything else is left alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class SocketRefused(ValueError):
    """The socket cannot be made. The message says why and how to mend it."""


def make_room(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises SocketRefused for one in use and for any other kind of file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise SocketRefused(f"there is no folder `{path.parent}`; make it, or choose another path") from None
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise SocketRefused(f"nothing can be made in `{path.parent}`: permission denied") from None
        return
    except OSError as error:
        raise SocketRefused(f"`{path}` cannot be looked at: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise SocketRefused(f"`{path}` is there and is no socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SocketRefused(f"`{path}` is a socket that does not answer: {error.strerror}") from error
    raise SocketRefused(f"`{path}` is in use by another server")


@dataclass(frozen=True, slots=True)
class Made:
    """A socket that we made."""

    path: Path
    found: os.stat_result

    @classmethod
    def at(cls, path: Path) -> Made:
        """The one that stands there now. Raises OSError."""
        return cls(path, path.lstat())

    def remove(self) -> None:
        """Remove it, unless another stands in its place: a server that drains may have a successor by then."""
        try:
            if os.path.samestat(self.path.lstat(), self.found):
                self.path.unlink()
        except FileNotFoundError:
            pass


@contextmanager
def created_with(mode: int) -> Iterator[None]:
    """While this lasts, sockets that are made have no more than `mode`. At start-up only: it is the process's umask."""
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)
