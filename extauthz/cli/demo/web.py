"""A small JSON server on a loopback port that the system chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Page: TypeAlias = tuple[int, Any]
"""Status and JSON body."""
Answer: TypeAlias = Callable[[str, list[tuple[str, str]], str], Page]
"""From path with query, headers in order and method to a page."""


class WebServer:
    """Answers every request by one function, from threads of its own."""

    def __init__(self, answer: Answer) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(answer))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="web", daemon=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: apart, the second waits for the first one's acknowledgement.
        wbufsize = -1

        def do_GET(self) -> None:
            length = self.headers.get("content-length", "0")
            self.rfile.read(int(length) if length.isdigit() else 0)
            status, page = answer(self.path, list(self.headers.items()), self.command)
            body = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the base calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
            """Say nothing."""

    return Handler
