"""The admin port, over plain HTTP for operators and kubelet: health, readiness, metrics, what is loaded, and why a
request would be denied.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final

from extauthz.config import TcpAddress
from extauthz.server import explaining
from extauthz.server.http import Listener, Patience

_LOG: Final = logging.getLogger(__name__)
_PATIENCE: Final = Patience(most=16, silence=5.0, whole=30.0)
MAX_BODY: Final = 1 << 20
"""Octets of a question's body. Envoy's own limit of a request's headers is 60 KiB."""
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_FOR_LOOPBACK: Final = frozenset({"/snapshot"})
_PORT: Final = re.compile(r":[0-9]*$", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What the pages show."""

    missing: Callable[[], Mapping[str, str]]
    """What keeps us from being ready: name to the reason, in words. Empty when ready."""
    metrics: Callable[[], tuple[bytes, str]]
    """The metrics and their content type."""
    snapshot: Callable[[], Mapping[str, Any]]
    """What is loaded, without secrets."""
    explain: Callable[[bytes], bytes] | None = None
    """The story of a serialised CheckRequest, in JSON. Counts nothing. None where no request is decided."""
    notes: Callable[[], Mapping[str, str]] = dict
    """What is wrong and keeps us from nothing yet: name to the words."""
    about: Callable[[], Mapping[str, str]] = dict
    """What we rely on is, right or wrong: name to the words."""


class Admin(Listener):
    """Serves the pages from threads of its own."""

    def __init__(self, address: TcpAddress, pages: Pages) -> None:
        """Open the port. Raises OSError when that cannot be."""
        super().__init__("admin", address, _handler(_routes(pages), _questions(pages)), _PATIENCE)


_Page = tuple[HTTPStatus, str, bytes]
_Routes = Mapping[str, Callable[[], _Page]]
_Questions = Mapping[str, Callable[[bytes, str], _Page]]
"""What is asked with a body of a content type."""


def _routes(pages: Pages) -> _Routes:
    return {
        "/healthz": lambda: (HTTPStatus.OK, _TEXT, b"ok\n"),
        "/readyz": lambda: _ready(pages.missing(), pages.notes(), pages.about()),
        "/metrics": lambda: _metrics(*pages.metrics()),
        "/snapshot": lambda: (HTTPStatus.OK, _JSON, _json(pages.snapshot())),
    }


def _questions(pages: Pages) -> _Questions:
    explain = pages.explain
    if explain is None:
        return {}
    return {"/explain": lambda body, content_type: _explain(explain, body, content_type)}


def _explain(explain: Callable[[bytes], bytes], body: bytes, content_type: str) -> _Page:
    """The story of a CheckRequest. Both content types are such as no page in a browser may send without asking."""
    match content_type.partition(";")[0].strip().lower():
        case explaining.JSON:
            try:
                data = explaining.from_json(body)
            except explaining.NoCheckRequest as problem:
                return HTTPStatus.BAD_REQUEST, _TEXT, f"{problem}\n".encode()
        case explaining.BINARY:
            data = body
        case _:
            words = f"send a CheckRequest as {explaining.JSON} or {explaining.BINARY}\n"
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _TEXT, words.encode()
    return HTTPStatus.OK, _JSON, explain(data) + b"\n"


def _ready(missing: Mapping[str, str], notes: Mapping[str, str], about: Mapping[str, str]) -> _Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    told = {"missing": dict(missing), "notes": dict(notes), **({"about": dict(about)} if about else {})}
    return status, _JSON, _json({"ready": not missing, **told})


def _metrics(text: bytes, content_type: str) -> _Page:
    return HTTPStatus.OK, content_type, text


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    routes: ClassVar[_Routes]
    questions: ClassVar[_Questions]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = self.routes.get(path)
        if path in _FOR_LOOPBACK and self._misdirected():
            return
        if page is None:
            self._send(HTTPStatus.NOT_FOUND, _TEXT, f"pages: {' '.join(self.routes)}\n".encode())
        else:
            self._answer(page)

    do_HEAD = do_GET  # noqa: N815 - the name that the base calls

    def do_POST(self) -> None:
        question = self.questions.get(self.path.partition("?")[0])
        if question is None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED)
            return
        if self._misdirected():
            return
        length = self.headers.get("content-length", "")
        if not _LENGTH.fullmatch(length) or "transfer-encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            self._answer(lambda: question(body, self.headers.get("content-type", "")))

    def _misdirected(self) -> bool:
        """Refuse what came from another machine, or was sent to another name than this machine's own (RFC 9110, section
        7.4). INVARIANT: neither a neighbour, for whom the port may be open as it is for kubelet, nor a page in a
        browser, whose name was made to lead here (DNS rebinding), reads what is for loopback only."""
        names = self.headers.get_all("host", [])
        if (
            _over_loopback(self.connection.getsockname()[0], self.client_address[0])
            and len(names) < 2
            and all(_is_loopback(_host_of(name)) for name in names)
        ):
            return False
        words = b"ask over loopback, by its address or `localhost`; `kubectl port-forward` leads there\n"
        self._send(HTTPStatus.MISDIRECTED_REQUEST, _TEXT, words)
        return True

    def _answer(self, page: Callable[[], _Page]) -> None:
        try:
            self._send(*page())
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  # a page that fails must not end the thread without an answer
            _LOG.error("an admin page failed: %s", type(error).__name__)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"failed; see the log\n")

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("x-content-type-options", "nosniff")
        # One request for each connection, so that a client who keeps one open holds no thread.
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what the status means, and nothing of the request, which the base would quote."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(status, _TEXT, f"{status.phrase.lower()}\n".encode())

    def version_string(self) -> str:
        return "extauthz"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
        """Say nothing: probes come every few seconds."""


def _handler(routes: _Routes, questions: _Questions) -> type[BaseHTTPRequestHandler]:
    """The base makes a handler for each request, so what it serves stands on a class."""
    return type("Handler", (_Handler,), {"routes": routes, "questions": questions})


def _host_of(authority: str) -> str:
    """The host of a `Host` field: without its port and the brackets of IPv6."""
    return _PORT.sub("", authority.strip()).strip("[]").lower()


def _over_loopback(local: str, peer: str) -> bool:
    """Whether a connection between these addresses never left this machine, or pod. Both ends must say so: a mesh's
    proxy comes from a loopback address too, to the address that others know."""
    return all(_is_loopback(end.removeprefix("::ffff:")) for end in (local, peer))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
