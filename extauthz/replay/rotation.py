"""The pepper's file, and how one pepper takes the place of another without a count being forgotten.

The file holds one secret a line: the one that counts and, while it takes the place of another, that one below it.
With two lines everything is counted under both. A replica that has both finds what one with the old pepper counted and
leaves counts that it finds, and the same holds for one with the new pepper alone. So replicas may change one after the
other, in any order, as long as no replica is left with the old one alone for one lifetime of counts before the first
has the new one alone.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from extauthz.keys.regular import Stamp, read_regular, stamp_of
from extauthz.replay.spend import Pepper

_LOG: Final = logging.getLogger(__name__)
_SECRET: Final = re.compile(rb"[!-~]+")
_MOST: Final = 2
_LONGEST: Final = 4096


def read_pepper(path: Path, *, at_once: bool = False) -> Pepper:
    """The pepper in a file, or in a pipe, which is waited for and `at_once` refused.

    Raises ValueError for a file that cannot be used; the message names it, and quotes none.
    """
    try:
        return _of_lines(read_regular(path, _LONGEST + 1) if at_once else _read(path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"the pepper file `{path}` cannot be used: {why}") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST + 1)


def _of_lines(content: bytes) -> Pepper:
    lines = [line for line in (each.strip() for each in content.splitlines()) if line]
    if len(content) > _LONGEST or len(lines) > _MOST:
        raise ValueError("it holds more than the pepper and the previous one, one a line")
    # Bytes at random would break into lines at random.
    if not all(_SECRET.fullmatch(line) for line in lines):
        raise ValueError(
            "a line is no text without blanks; write random bytes as base64, such as `openssl rand -base64 32`"
        )
    if len(lines) == _MOST and lines[0] == lines[1]:
        raise ValueError("the previous pepper is the same as the one that counts; leave one line")
    pepper, *previous = lines or [b""]
    return Pepper(pepper, Pepper(previous[0]) if previous else None)


class PepperFile:
    """Follows the file. A pipe is read once. Not safe for threads: one looks."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises ValueError."""
        self._path = path
        self._seen = self._stamp()
        self._pepper = read_pepper(path)
        self.problem = ""
        """Why what the file holds now does not count, for people; empty when it does."""
        _LOG.info("counts go under pepper %s", _words(self._pepper))

    @property
    def pepper(self) -> Pepper:
        """The last good one."""
        return self._pepper

    def look(self) -> bool:
        """Read the file again when it changed. Whether there is another pepper now."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        problem, found = self._read()
        if problem and problem != self.problem:
            _LOG.error("%s; the last good pepper counts on", problem)
        self.problem = problem
        if found is None:
            return False
        self._pepper = found
        _LOG.warning("counts go under pepper %s", _words(found))
        return True

    def _read(self) -> tuple[str, Pepper | None]:
        try:
            found = read_pepper(self._path, at_once=True)
        except ValueError as error:
            return str(error), None
        if found.shares_counts(self._pepper):
            return "", found
        return (
            f"the pepper file `{self._path}` holds none of the peppers that counts go under, and would forget them all:"
            " write the one before as a second line, or start anew where forgetting is meant"
        ), None

    def _stamp(self) -> Stamp | None:
        """Of the file, None where there is none to be followed."""
        try:
            return stamp_of(self._path)
        except OSError:
            return None


def _words(pepper: Pepper) -> str:
    return " and, as the previous one, ".join(f"`{each.name}`" for each in pepper.all)
