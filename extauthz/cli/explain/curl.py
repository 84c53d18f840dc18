"""A curl command line, as browsers and people copy it: what of it makes the request. Nothing runs, no file is read."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from extauthz.cli.explain.shell import words_of

_SHORT: Final = {
    "X": "request", "H": "header", "d": "data", "b": "cookie", "u": "user", "A": "user-agent", "e": "referer",
    "o": "output", "w": "write-out", "m": "max-time", "G": "get", "I": "head", "k": "insecure", "s": "silent",
    "S": "show-error", "v": "verbose", "i": "include", "L": "location", "f": "fail", "g": "globoff", "N": "no-buffer",
}  # fmt: skip
_DATA: Final = frozenset({"data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json"})
_WITH_VALUE: Final = _DATA | {
    "request", "header", "cookie", "user", "user-agent", "referer", "url", "oauth2-bearer", "output", "write-out",
    "max-time", "connect-timeout", "cacert", "cert", "key", "resolve",
}  # fmt: skip
_ALONE: Final = frozenset(
    {
        "get", "head", "insecure", "silent", "show-error", "verbose", "include", "location", "fail", "globoff",
        "no-buffer", "compressed", "http1.1", "http2", "path-as-is",
    }
)  # fmt: skip
_SHOWN: Final = re.compile(r"[a-z][a-z-]{0,19}", re.ASCII)


class NotUnderstood(ValueError):
    """The request cannot be read. The message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class CurlCall:
    """What a command line would send."""

    url: str
    method: str
    headers: tuple[tuple[str, str], ...]
    query: str
    """What `-G` moves from the body to the query."""
    body: str = field(default="", repr=False)
    """Empty where a file holds it, which is not read."""
    as_is: bool = False
    """Whether dot segments are left in the path: else curl resolves them before it sends anything."""


def read_curl(text: str) -> CurlCall:
    """Read a command line. Raises NotUnderstood for options that are not known: they might change the request."""
    try:
        words = words_of(text)
    except (ValueError, OverflowError) as error:
        raise NotUnderstood(
            "the curl command has a quote that is not closed, or an escape that stands for no character"
        ) from error
    options = list(_options(words[1:]))
    given = {name for name, _ in options}
    data = [_encoded(value) if name == "data-urlencode" else value for name, value in options if name in _DATA]
    urls = [value for name, value in options if name == "url"]
    if len(urls) != 1:
        raise NotUnderstood("the curl command must have exactly one URL, and nothing behind it such as `| jq`")
    as_is = "path-as-is" in given
    headers = tuple(_headers(options, given))
    return CurlCall(urls[0], _method(options, given), headers, _query(data, given), _body(options, data, given), as_is)


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Each option by its long name, with its value; a URL as the option `url`."""
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            yield from (("url", url) for url in waiting)
        elif word.startswith("--"):
            yield _named(word[2:], waiting)
        elif word.startswith("-") and word != "-":
            yield from _letters(word[1:], waiting)
        else:
            yield "url", word


def _named(name: str, waiting: Iterator[str]) -> tuple[str, str]:
    if name in _ALONE:
        return name, ""
    if name in _WITH_VALUE:
        return name, _next(waiting, f"--{name}")
    raise _unknown(f"--{name}" if _SHOWN.fullmatch(name) is not None else "--…")


def _letters(letters: str, waiting: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Options of one letter, written together; the last may have its value at once."""
    for at, letter in enumerate(letters, 1):
        name = _SHORT.get(letter)
        if name is None:
            raise _unknown(f"-{letter}" if letter.isascii() and letter.isalnum() else "-…")
        if name in _WITH_VALUE:
            yield name, letters[at:] or _next(waiting, f"-{letter}")
            return
        yield name, ""


def _next(waiting: Iterator[str], option: str) -> str:
    value = next(waiting, None)
    if value is None:
        raise NotUnderstood(f"the option `{option}` of curl lacks its value")
    return value


def _unknown(option: str) -> NotUnderstood:
    return NotUnderstood(
        f"the option `{option}` of curl is not understood here; leave it out if it does not change the request"
    )


def _method(options: list[tuple[str, str]], given: set[str]) -> str:
    named = [value for name, value in options if name == "request"]
    if named:
        return named[-1]
    if "head" in given:
        return "HEAD"
    return "POST" if given & _DATA and "get" not in given else "GET"


def _encoded(value: str) -> str:
    """What curl makes of `content`, `=content` and `name=content`."""
    name, sign, content = value.partition("=")
    return f"{name}{sign if name else ''}{quote(content, safe='')}" if sign else quote(value, safe="")


def _query(data: list[str], given: set[str]) -> str:
    if "get" not in given:
        return ""
    if any(value.startswith("@") for value in data):
        raise NotUnderstood("`-G` with data from a file is not understood here; write the query into the URL")
    return "&".join(data)


def _body(options: list[tuple[str, str]], data: list[str], given: set[str]) -> str:
    """What `-d` and its like send."""
    read = any(value.startswith("@") for name, value in options if name in _DATA - {"data-raw"})
    return "" if read or "get" in given else ("" if "json" in given else "&").join(data)


def _headers(options: list[tuple[str, str]], given: set[str]) -> Iterator[tuple[str, str]]:
    named = [_header(value) for name, value in options if name == "header"]
    names = {header[0].lower() for header in named if header is not None}
    yield from (header for header in named if header is not None)
    for name, value in _implied(options, given):
        if name not in names:
            yield name, value


def _header(text: str) -> tuple[str, str] | None:
    """One `-H`; None for `name:`, by which curl sends none."""
    if text.startswith("@"):
        raise NotUnderstood("headers from a file are not understood here; write each as `-H 'name: value'`")
    name, colon, value = text.partition(":")
    if not colon and text.endswith(";"):
        return text[:-1].strip(), ""
    if not colon:
        raise NotUnderstood("a header of the curl command is not written as `name: value`")
    if name.strip().lower() == "authorization":
        _no_variable(value)
    return (name.strip(), value.strip()) if value.strip() else None


def _no_variable(value: str) -> None:
    if "$" in value:
        raise NotUnderstood("variables of a shell are not filled in here; put the token itself in place of `$…`")


def _implied(options: list[tuple[str, str]], given: set[str]) -> Iterator[tuple[str, str]]:
    """Headers that other options make."""
    for name, value in options:
        match name:
            case "cookie" if "=" not in value:
                raise NotUnderstood("cookies from a file are not understood here; write `-b 'name=value'`")
            case "cookie" | "user-agent" | "referer":
                yield name, value
            case "user":
                yield "authorization", f"Basic {b64encode(value.encode('latin-1', 'replace')).decode('ascii')}"
            case "oauth2-bearer":
                _no_variable(value)
                yield "authorization", f"Bearer {value}"
            case _:
                pass
    if "json" in given:
        yield "accept", "application/json"
    if "get" not in given and given & _DATA:
        yield "content-type", "application/json" if "json" in given else "application/x-www-form-urlencoded"
