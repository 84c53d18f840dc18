"""A server of external authorization that keeps what it is asked: it shows what an Envoy sends, and decides nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2_grpc import (
    AuthorizationServicer,
    add_AuthorizationServicer_to_server,
)


class Recorder(AuthorizationServicer):
    """Admits everything, unless it is told to fail. Listens on a Unix socket and on a port of loopback."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "recorder.sock"
        self.seen: list[AttributeContext] = []
        """What was asked, in order."""
        self._failures = 0
        self._guard = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_AuthorizationServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self.socket}")
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def Check(self, request: CheckRequest, context: grpc.ServicerContext) -> CheckResponse:
        """Keep the question; fail it if that was asked for, else admit."""
        with self._guard:
            self.seen.append(request.attributes)
            failing, self._failures = self._failures > 0, max(self._failures - 1, 0)
        if failing:
            context.abort(grpc.StatusCode.UNAVAILABLE, "asked to fail")
        return CheckResponse()

    def fail(self, count: int) -> None:
        """End the next calls as UNAVAILABLE."""
        with self._guard:
            self._failures = count

    def last(self) -> AttributeContext:
        """The last question."""
        assert self.seen, "nothing was asked"
        return self.seen[-1]

    def stop(self) -> None:
        """Answer nothing more."""
        self._server.stop(None).wait()
