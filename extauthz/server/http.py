"""An HTTP server for few requests from many kinds of clients: so many at once, each for so long, over TLS or not."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from extauthz.config import TcpAddress
from extauthz.model.time import SystemClock

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What clients may take."""

    most: int
    """How many requests are answered at once; more are cut off."""
    silence: float
    """Seconds that a client may be silent."""
    whole: float
    """Seconds for a request from the first octet to the last, however steadily a client sends or reads."""


class HttpServer(ThreadingHTTPServer):
    """Answers each request from a thread of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        address: TcpAddress,
        handler: type[BaseHTTPRequestHandler],
        patience: Patience,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Open the port. `tls` is asked for each connection. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._patience = patience
        self._tls = tls
        self._free = threading.BoundedSemaphore(patience.most)
        self._clock = SystemClock()
        self._open: dict[int, tuple[float, socket.socket]] = {}
        super().__init__((address.host, address.port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as its base
        """Begin a thread, or cut off one too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as its base
        """Answer, within the time there is."""
        me = threading.get_ident()
        try:
            if self._tls is not None:
                # Not shaken hands yet: that is where a slow client would hold up everybody.
                request = self._tls().wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            request.settimeout(self._patience.silence)
            self._open[me] = self._clock.monotonic() + self._patience.whole, request
            if isinstance(request, ssl.SSLSocket):
                request.do_handshake()
            super().process_request_thread(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        finally:
            self._open.pop(me, None)
            self._free.release()

    def service_actions(self) -> None:
        """Cut off who takes too long. The base calls this several times a second."""
        now = self._clock.monotonic()
        for until, request in list(self._open.values()):
            if now >= until:
                try:
                    # Not the method of a TLS socket, which would take the session from under the thread that reads.
                    socket.socket.shutdown(request, socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as its base
        """Note it, without a word of what was sent."""
        _LOG.debug("a request broke off")


class Listener:
    """An HTTP server on a thread of its own."""

    def __init__(
        self,
        name: str,
        address: TcpAddress,
        handler: type[BaseHTTPRequestHandler],
        patience: Patience,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Open the port. Raises OSError when that cannot be."""
        self._server = HttpServer(address, handler, patience, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=name, daemon=True)
        self.address = TcpAddress(address.host, self._server.server_address[1])
        """With the port that the system chose."""

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        # Waits for the loop to end, forever when it never began.
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
