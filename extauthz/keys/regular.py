"""Files that somebody else names: read where that neither blocks nor goes on without end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int]


def read_regular(path: Path, most: int) -> bytes:
    """The first `most` octets of a file. Raises OSError, for a pipe, a device or a folder, too."""
    with open(path, "rb", opener=_at_once) as file:
        return file.read(most)


def stamp_of(path: Path) -> Stamp | None:
    """Tells a file that changed from one that did not, behind the links of a mounted Secret. Raises OSError.

    None for what is no regular file: a pipe is read once, and not followed.
    """
    found = path.stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _at_once(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", path)
