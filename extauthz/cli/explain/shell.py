"""The words of a command line, as browsers copy it for a POSIX shell, for bash (`$'…'`) or for Windows (`^"…^"`)."""

from __future__ import annotations

import re
import shlex
from typing import Final

_CONTINUED: Final = re.compile(r"[\\^`]\r?\n")
_QUOTED: Final = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|\$'((?:\\.|[^'\\])*)'""", re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_LETTERS: Final = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_CARETS: Final = re.compile(r"""[^'"]*?\^\"""")
_CARET: Final = re.compile(r"\^(\r?\n\r?\n|\r?\n|.)", re.DOTALL)


def words_of(text: str) -> list[str]:
    """The words, each character an octet. Raises ValueError for a quote that is not closed, and for an escape that
    stands for nothing that or OverflowError."""
    if _CARETS.match(text) is not None:
        return shlex.split(_CARET.sub(_without_caret, text))
    return shlex.split(_QUOTED.sub(_plainly_quoted, _CONTINUED.sub(" ", text)))


def _without_caret(found: re.Match[str]) -> str:
    """What a caret stands before in cmd: a line goes on, a line break is written as two, all else is meant as it is."""
    what = found[1].replace("\r", "")
    return {"\n": " ", "\n\n": "\n"}.get(what, what)


def _plainly_quoted(found: re.Match[str]) -> str:
    escaped = found[1]
    return found[0] if escaped is None else shlex.quote(_ESCAPE.sub(_meant, escaped))


def _meant(found: re.Match[str]) -> str:
    octet, short, long, octal, letter = found.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter if letter in "\\'\"?" else f"\\{letter}")
    if short is not None or long is not None:
        return chr(int(short or long, 16)).encode().decode("latin-1")
    return chr(int(octet, 16) if octet is not None else int(octal, 8) & 0xFF)
