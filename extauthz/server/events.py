"""Where issuers tell of what happened, on a listener of its own: a logout is posted to it as a form.

It stands apart from the admin port, because strangers may reach it. Nothing of a request is quoted, in answers or logs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import ClassVar, Final, TypeAlias

from extauthz.config import TcpAddress
from extauthz.server.http import Listener, Patience
from extauthz.server.tls import ServerContext, TlsFiles
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)

PATH: Final = "/backchannel-logout"
MAX_BODY: Final = 32 * 1024
"""Octets of a request; a logout token has about one thousand."""
PATIENCE: Final = Patience(most=64, silence=5.0, whole=10.0)

_LENGTH: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

Receive: TypeAlias = Callable[[str, bytes], tuple[HTTPStatus, bytes]]
"""From a content type and a body to a status and a body in JSON, which may be empty."""


class Events(Listener):
    """Serves the listener from threads of its own."""

    def __init__(
        self, address: TcpAddress, receive: Receive, tls: TlsFiles | None, patience: Patience = PATIENCE
    ) -> None:
        """Open the port. Raises OSError when that cannot be, TlsRefused when the files cannot be used."""
        context = None if tls is None else ServerContext(tls)
        handler = type("Handler", (_Handler,), {"answer": staticmethod(receive)})
        super().__init__("events", address, handler, patience, context)


class _Handler(BaseHTTPRequestHandler):
    """The base makes one for each request, so what receives stands on the class."""

    answer: ClassVar[Receive]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._send(*self._answer(body))

    def _answer(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        try:
            return type(self).answer(self.headers.get("content-type", ""), body)
        except Exception as error:  # noqa: BLE001  # a bug must not leave an issuer without an answer
            _LOG.error("an event could not be taken: %s at %s", type(error).__name__, frames_of(error))
            return HTTPStatus.INTERNAL_SERVER_ERROR, b""

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        # One request for each connection, so that a client who keeps one open holds no thread.
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what the status means, and nothing of the request, which the base would quote."""
        self.close_connection = True
        self._send(HTTPStatus(code), b"")

    def version_string(self) -> str:
        return "extauthz"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
        """Say nothing: what came of a request is told where it is decided."""
