"""One line of JSON (RFC 8259) for a log, safe whatever a client put into it.

Everything outside printable ASCII is escaped, so no text can end a line, move a terminal's cursor or hide a character.
Each text is cut by its length once escaped, so that a whole line fits into one atomic write to a pipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import gt
from types import MappingProxyType
from typing import Final

from extauthz.model.time import Instant

MAX_LINE: Final = 4095
"""The longest line in bytes, its newline included: with one byte to spare, what a pipe takes at once (PIPE_BUF)."""

_QUOTE: Final = json.JSONEncoder(ensure_ascii=True).encode
_CUT: Final = r"\u2026"
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*", re.ASCII)
_LONE: Final = re.compile(f"[{chr(0xD800)}-{chr(0xDFFF)}]")
# The longest run of whole characters in escaped text: neither an escape nor a surrogate pair is torn.
_WHOLE: Final = re.compile(r"(?:[^\\]|\\[^u]|\\u(?!d[89ab])[0-9a-f]{4}|\\ud[89ab][0-9a-f]{2}\\u[0-9a-f]{4})*", re.ASCII)
# A JWT begins with `{"` in base64url (RFC 7519, section 3), rarely with white space after the brace: then only a word
# that begins so and has a dot is taken for one, because host names look alike.
TOKEN: Final = re.compile(r"e[yw](?:J[\w.-]{13,}|[Ao0k](?<!\w.{3})[\w-]{16,}\.[\w.-]{16,})", re.ASCII)


class Form:
    """The form of one kind of line: the names of its texts in their order, and the most bytes that each may take."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        """Each limit counts the escaped text, and is at least 6."""
        self.limits = limits
        self.names = tuple(limits)
        self._limits = tuple(limits.values())
        self._templates: dict[tuple[bool, ...], str] = {}

    def line(self, texts: Sequence[str], numbers: Mapping[str, int] = MappingProxyType({})) -> bytes:
        """One line of JSON with its newline: a text for each name, of which the first is never empty, and the numbers.

        Empty texts are left out.
        """
        return joined(self.members(texts), *[f'"{name}":{number:d}' for name, number in numbers.items()])

    def members(self, texts: Sequence[str]) -> str:
        """The members of a JSON object, a text for each name; empty texts are left out. To be `joined` to a line."""
        # Nearly every line needs no escape and no cut: one look at all of it costs a fraction of a look at each text.
        if _PLAIN.fullmatch("".join(texts)) is None or any(map(gt, map(len, texts), self._limits)):
            texts = [text and quoted(text, limit)[1:-1] for text, limit in zip(texts, self._limits, strict=True)]
        told = tuple(map(bool, texts))
        template = self._templates.get(told)
        if template is None:
            # At most 2 to the power of the names; of what a log really says, a dozen.
            pairs = zip(self.names, told, strict=True)
            template = self._templates[told] = ",".join([f'"{name}":"%s"' for name, is_told in pairs if is_told])
        return template % tuple(filter(None, texts))


def joined(*members: str) -> bytes:
    """One line of JSON with its newline. What looks like a token is blotted out, wherever it stands."""
    line = f"{{{','.join(filter(None, members))}}}\n"
    # The two ways in which a token can begin are found faster by themselves, and are rare.
    return (TOKEN.sub("[token]", line) if "ey" in line or "ew" in line else line).encode("ascii")


def quoted(text: str, limit: int) -> str:
    """The text as a JSON string of at most `limit` bytes (at least 6) between its quotes; `…` ends what was cut."""
    if not text.isascii():
        text = _LONE.sub("\ufffd", text)
    string = _QUOTE(text[: limit + 1])
    if len(string) - 2 <= limit:
        return string
    whole = _WHOLE.match(string, 1, 1 + limit - len(_CUT))
    return f'"{whole.group() if whole else ""}{_CUT}"'


def timestamp(at: Instant) -> str:
    """An instant as RFC 3339 writes it, in UTC with milliseconds."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
