"""A request as people have it at hand: HTTP text (RFC 9112), a curl command, or a CheckRequest in JSON.

INVARIANT: no message of these readers quotes what it could not read, which may be a token.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from extauthz.cli.explain.curl import CurlCall, NotUnderstood, read_curl
from extauthz.server.client import Question
from extauthz.server.explaining import NoCheckRequest, amended, from_json

FORMS: Final = ("auto", "http", "curl", "json")
"""What a request may be written as."""

__all__ = ["FORMS", "NotUnderstood", "read_request"]

_REQUEST_LINE: Final = re.compile(r"([^ ]+) ([^ ]+) HTTP/[0-9](?:\.[0-9])?", re.ASCII)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def read_request(data: bytes, form: str, *, source_address: str, source_principal: str, policy: str) -> bytes:
    """The serialised CheckRequest that a text stands for. Raises NotUnderstood.

    `form` is one of FORMS. The peer and the pinned policy are added, in the place of any that the text has.
    """
    data = _without_mark(data)
    text = data.decode("latin-1").lstrip("\r\n \t").removeprefix("$ ")
    match _form_of(text) if form == "auto" else form:
        case "json":
            try:
                request = from_json(data)
            except NoCheckRequest as problem:
                raise NotUnderstood(str(problem)) from problem
        case "curl":
            request = _from_curl(read_curl(text)).encode()
        case _:
            request = _from_http(text).encode()
    return amended(request, source_address=source_address, source_principal=source_principal, policy=policy)


def _without_mark(data: bytes) -> bytes:
    """The text in UTF-8, without the byte order mark that editors and PowerShell put before it."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-16").encode()
    except UnicodeError as error:
        raise NotUnderstood("the request begins like UTF-16 and is not; save it as UTF-8") from error


def _form_of(text: str) -> str:
    first = text.split("\n", 1)[0].rstrip("\r")
    if text.startswith("{"):
        return "json"
    if first.split(" ", 1)[0].rpartition("/")[2] in {"curl", "curl.exe"}:
        return "curl"
    if _REQUEST_LINE.fullmatch(first) is not None:
        return "http"
    raise NotUnderstood(
        "the request is neither HTTP text, which begins like `GET /path HTTP/1.1`, nor a curl command, nor JSON; a"
        " browser's developer tools give one by `Copy as cURL`"
    )


def _from_http(text: str) -> Question:
    """A request in the form of RFC 9112. Line ends behind its body are those of the file that it was kept in."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise NotUnderstood("the first line is no request line such as `GET /path HTTP/1.1`")
    headers = [_header(line, number) for number, line in enumerate(lines, 2) if line]
    hosts = [value for name, value in headers if name.lower() == "host"]
    target = found[2]
    if not target.startswith("/"):
        url = _split(target)
        hosts, target = [url.netloc], _path(url)
    if len(hosts) != 1:
        raise NotUnderstood("exactly one `Host` header is needed")
    octets = body.rstrip("\n").encode("latin-1")
    return Question(
        method=found[1],
        scheme="https",
        host=hosts[0],
        path=target,
        headers=_told(headers, octets),
        body=octets,
    )


def _header(line: str, number: int) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or _NAME.fullmatch(name) is None:
        raise NotUnderstood(f"line {number} is no header such as `name: value`")
    return name, value.strip(" \t")


def _from_curl(call: CurlCall) -> Question:
    url = _split(call.url if "://" in call.url else f"http://{call.url}")
    if "$" in url.netloc:
        raise NotUnderstood("variables of a shell are not filled in here; put the host itself in place of `$…`")
    if not call.as_is:
        url = url._replace(path=_resolved(url.path))
    hosts = [value for name, value in call.headers if name.lower() == "host"]
    if len(hosts) > 1:
        raise NotUnderstood("`Host` is given more than once")
    body = call.body.encode("utf-8", "surrogatepass")
    return Question(
        method=call.method,
        scheme=url.scheme,
        host=hosts[0] if hosts else url.netloc.rpartition("@")[2],
        path=_path(url, call.query),
        headers=_told(call.headers, body),
        body=body,
    )


def _told(headers: Iterable[tuple[str, str]], body: bytes) -> tuple[tuple[str, str], ...]:
    """What Envoy tells of them: the host stands apart, and a client says how long its body is."""
    told = [(name, value) for name, value in headers if name.lower() != "host"]
    if body and {"content-length", "transfer-encoding"}.isdisjoint(name.lower() for name, _ in told):
        told.append(("content-length", str(len(body))))
    return tuple(told)


def _split(url: str) -> SplitResult:
    """The parts of the operator's own URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise NotUnderstood("the address is no URL such as `https://orders.shop.example/api/orders`")
    return parts


def _path(url: SplitResult, more: str = "") -> str:
    query = "&".join(part for part in (url.query, more) if part)
    return (url.path or "/") + (f"?{query}" if query else "")


def _resolved(path: str) -> str:
    """A path without its dot segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
