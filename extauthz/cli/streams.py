"""Standard streams as commands find them: each is there, and takes any text."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Final

_NOWHERE: Final = Path(os.devnull)


def stand_in() -> None:
    """Put an empty stream in the place of each that is closed: nothing can be read from it, writing fails.

    INVARIANT: else the next file or connection would have its number, and what is meant for standard output would be
    written into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is taken, and those below are not.
            os.set_inheritable(os.open(_NOWHERE, os.O_RDONLY), True)  # noqa: FBT003 - as its signature
    sys.stdin = sys.stdin or _NOWHERE.open(encoding="utf-8")
    sys.stdout = sys.stdout or _NOWHERE.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or _NOWHERE.open("w", encoding="utf-8")
    # Names of files may be octets of any kind, and an output may know ASCII only.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def leave_output() -> None:
    """Nobody reads standard output any more: let what is left go nowhere."""
    nowhere = os.open(_NOWHERE, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def say(line: str) -> None:
    """A line on standard output, for whoever reads it: a server goes on when nobody does, or the disk is full."""
    with contextlib.suppress(OSError):
        # Not by `print`, which would keep what it could not write, and fail over it once more in the end.
        os.write(1, f"{line}\n".encode())
