"""An API server that takes writes: it notes each call, and answers by a rule of the test's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from kubernetes.client import ApiClient, Configuration


@dataclass(frozen=True)
class Call:
    """One call."""

    method: str
    path: str
    body: Mapping[str, Any]


Rule = Callable[[Call], tuple[int, Mapping[str, Any]]]
"""From a call to a status and a body; `date` in the body becomes the header."""


@dataclass
class WritableApi:
    """Answers `good` unless a test says otherwise."""

    rule: Rule = lambda _: (200, {})
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    def client(self) -> ApiClient:
        """The official client, without credentials."""
        settings = Configuration()
        settings.host = f"http://127.0.0.1:{self.port}"
        settings.retries = False
        return ApiClient(settings)


NEVER: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


@contextmanager
def writable() -> Iterator[WritableApi]:
    """A server while the block runs."""
    api = WritableApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            call = Call(self.command, self.path, json.loads(self.rfile.read(length) or b"{}"))
            api.calls.append(call)
            status, said = api.rule(call)
            date = said.get("date")
            body = json.dumps({name: value for name, value in said.items() if name != "date"}).encode()
            self.send_response_only(status)
            if date is not None:
                self.send_header("Date", str(date))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that the base calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
