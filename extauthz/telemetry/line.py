"""One line of JSON (RFC 8259) for a log, safe whatever a client put into it.

Everything outside printable ASCII is escaped, so no text can end a line, move a terminal's cursor or hide a character.
Each text is cut by its length once escaped, so that a whole line fits into one atomic write to a pipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from extauthz.model.time import Instant

MAX_LINE: Final = 4095
"""The longest line in bytes, its newline included: with one byte to spare, what a pipe takes at once (PIPE_BUF)."""

_QUOTE: Final = json.JSONEncoder(ensure_ascii=True).encode
_CUT: Final = r"\u2026"
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*", re.ASCII)
_LONE: Final = re.compile("[\ud800-\udfff]")
# The longest run of whole characters in escaped text: neither an escape nor a surrogate pair is torn.
_WHOLE: Final = re.compile(r"(?:[^\\]|\\[^u]|\\u(?!d[89ab])[0-9a-f]{4}|\\ud[89ab][0-9a-f]{2}\\u[0-9a-f]{4})*", re.ASCII)
# A JWT begins with `{"` in base64url (RFC 7519, section 3), rarely with white space after the brace: then only a word
# that begins so and has a dot is taken for one, because host names look alike.
TOKEN: Final = re.compile(r"e[yw](?:J[\w.-]{13,}|[Ao0k](?<!\w.{3})[\w-]{16,}\.[\w.-]{16,})", re.ASCII)


def json_line(values: Mapping[str, str | int | None], limits: Mapping[str, int]) -> bytes:
    """One line of JSON with its newline, without what is None or empty.

    Each text takes at most so many bytes as `limits` says under its name. What looks like a token is blotted out,
    wherever it stands.
    """
    return line_from(json_members(values, limits))


def json_members(values: Mapping[str, str | int | None], limits: Mapping[str, int]) -> str:
    """The members of such a line, to be put together by `line_from`; empty when there are none."""
    members = []
    for name, value in values.items():
        if isinstance(value, str):
            if value:
                members.append(f'"{name}":{quoted(value, limits[name])}')
        elif value is not None:
            members.append(f'"{name}":{value:d}')
    return ",".join(members)


def line_from(*members: str) -> bytes:
    """The line with these members, in their order."""
    return TOKEN.sub("[token]", f"{{{','.join(filter(None, members))}}}\n").encode("ascii")


def quoted(text: str, limit: int) -> str:
    """The text as a JSON string of at most `limit` bytes (at least 6) between its quotes; `…` ends what was cut."""
    if len(text) <= limit and _PLAIN.fullmatch(text) is not None:
        return f'"{text}"'
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
