"""An API server that answers by a script: for the oddities that a real one shows only when one is not looking."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration


@dataclass(frozen=True)
class Answer:
    """One answer: a body, or lines that are sent one by one and then ended, dropped or held open."""

    status: int = 200
    body: bytes | None = None
    lines: Sequence[dict[str, Any] | bytes] = ()
    then: Literal["end", "drop", "hold"] = "hold"


def objects(version: str, *names: str, kind: str = "ConfigMap", more: str = "") -> Answer:
    """A list, or with `more` a chunk of one. Its items do not say their kind, as those of built-in kinds do not."""
    items = [{"metadata": {"name": name, "resourceVersion": version, "managedFields": []}} for name in names]
    metadata = {"resourceVersion": version, **({"continue": more} if more else {})}
    listing = {"apiVersion": "v1", "kind": f"{kind}List", "metadata": metadata, "items": items}
    return Answer(body=json.dumps(listing).encode())


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    """A line of a watch."""
    metadata = {"name": name, "resourceVersion": version}
    return {"type": kind, "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}}


def failure(code: int, reason: str, message: str = "") -> dict[str, Any]:
    """A Status that says no."""
    return {"apiVersion": "v1", "kind": "Status", "code": code, "reason": reason, "message": message}


def refusal(code: int, reason: str, message: str = "") -> Answer:
    """An answer that says no."""
    return Answer(code, json.dumps(failure(code, reason, message)).encode())


class ScriptedApi:
    """Gives one answer after the other; when there are none left, watches and lists hang."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Path and query of each request."""
        self.authorizations: list[str | None] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def plan(self, *answers: Answer) -> None:
        """Add answers."""
        with self._lock:
            self.script.extend(answers)

    def kinds(self) -> list[str]:
        """What each request was: `list`, or `watch` and the version it starts from."""
        return [f"watch {query['resourceVersion']}" if "watch" in query else "list" for _, query in list(self.asked)]

    def client(self) -> ApiClient:
        """The official client, without credentials."""
        settings = Configuration()
        settings.host = f"http://127.0.0.1:{self.port}"
        settings.retries = False
        return ApiClient(settings)

    def close(self) -> None:
        """Let go of everyone who hangs, and end."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, path: str, authorization: str | None) -> Answer:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self._lock:
            self.asked.append((parts.path, query))
            self.authorizations.append(authorization)
            return self.script.pop(0) if self.script else Answer()

    def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer = api._next(self.path, self.headers.get("Authorization"))
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                if answer.body is not None:
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for line in answer.lines:
                    self._chunk(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
                if answer.then == "hold":
                    api.over.wait()
                if answer.then == "drop":
                    self.close_connection = True
                else:
                    self._chunk(b"")

            def _chunk(self, data: bytes) -> None:
                try:
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

        return Handler


@contextmanager
def scripted() -> Iterator[ScriptedApi]:
    """A scripted API server for a block."""
    api = ScriptedApi()
    try:
        yield api
    finally:
        api.close()
