"""The server on grpcio: Envoy's `Check`, with health (grpc.health.v1) and reflection beside it.

INVARIANT: a Check is answered with a CheckResponse whatever happens: too many at once, too large, too late, or a bug.
An RPC error would let the request through an Envoy that fails open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from extauthz.config import Address, TcpAddress, UnixAddress
from extauthz.model.reason import Reason
from extauthz.model.time import Clock, Seconds
from extauthz.model.verdict import Refusal
from extauthz.server.calls import Answering, Calls, Later, Ticket
from extauthz.server.codec import INTERNAL_DENIAL
from extauthz.server.sockets import Made, SocketRefused, created_with, make_room
from extauthz.server.tls import TlsFiles, server_credentials

SERVICE: Final = "envoy.service.auth.v3.Authorization"
METHOD: Final = f"/{SERVICE}/Check"
HARD_CAP: Final = 64 * 1024 * 1024
"""Messages beyond this many bytes are refused by gRPC itself, with an RPC error. Envoy's own bound on what it sends
(`max_request_bytes`, header limits) lies far below."""

_PING_INTERVAL_MS: Final = 5000
"""The least time between two pings of a client: Envoy's keepalive must not be taken for abuse."""


class Answers(Protocol):
    """Who answers Checks."""

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        """Answer one serialised CheckRequest within `budget` seconds. Does not wait: what must finishes the answer."""

    def refuse(self, refusal: Refusal) -> bytes:
        """The recorded denial of a request that is not even read."""


class CannotListen(Exception):
    """A listener cannot be opened. The message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How to serve."""

    listen: tuple[Address, ...]
    socket_mode: int
    tls: TlsFiles | None
    threads: int
    max_concurrent: int
    check_budget: Seconds
    max_request_bytes: int
    keepalive_time: Seconds
    keepalive_timeout: Seconds
    max_connection_age: Seconds
    max_connection_age_grace: Seconds

    def options(self) -> list[tuple[str, int]]:
        """gRPC's channel arguments. Zero seconds mean never."""
        options = {
            "grpc.max_receive_message_length": HARD_CAP,
            "grpc.so_reuseport": 0,
            "grpc.keepalive_timeout_ms": _ms(self.keepalive_timeout),
            "grpc.keepalive_permit_without_calls": 1,
            "grpc.http2.min_recv_ping_interval_without_data_ms": _PING_INTERVAL_MS,
        }
        if self.keepalive_time:
            options["grpc.keepalive_time_ms"] = _ms(self.keepalive_time)
        if self.max_connection_age:
            options["grpc.max_connection_age_ms"] = _ms(self.max_connection_age)
            options["grpc.max_connection_age_grace_ms"] = _ms(self.max_connection_age_grace)
        return list(options.items())


class Server:
    """Listens, answers, and drains."""

    def __init__(self, answers: Answers, serving: Serving, clock: Clock) -> None:
        self._answers = answers
        self._serving = serving
        self._clock = clock
        self._waiting = ThreadPoolExecutor(serving.threads, thread_name_prefix="check")
        self._others = ThreadPoolExecutor(max_workers=2, thread_name_prefix="health")
        self._health = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=self._others)
        self._sockets: list[Made] = []
        self._server = grpc.server(self._others, options=serving.options())
        answering = Answering(self._check, self._leave, INTERNAL_DENIAL)
        self._calls = Calls(self._server, METHOD, answering, clock, serving.max_concurrent)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self.say_serving(serving=False)

    def start(self) -> tuple[str, ...]:
        """Open every listener and begin to answer. Returns the addresses, with the ports that the system chose.

        Raises CannotListen when one cannot be opened, and TlsRefused; then nothing is left open.
        """
        credentials = server_credentials(self._serving.tls) if self._serving.tls is not None else None
        try:
            bound = tuple(self._open(address, credentials) for address in self._serving.listen)
        except CannotListen:
            # Listeners are open before the start, and gRPC closes only those of a server that runs.
            self._server.start()
            self._stop(Seconds(0.0))
            raise
        self._server.start()
        self._calls.start()
        return bound

    def say_serving(self, *, serving: bool) -> None:
        """Tell health checks whether this server should get calls."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", SERVICE):
            self._health.set(service, status)

    def drain(self, delay: Seconds, timeout: Seconds, hurry: threading.Event | None = None) -> None:
        """Stop: say so to health checks, take calls for `delay` more seconds, then finish those in flight for at most
        `timeout` seconds. `hurry` cuts the delay short."""
        self._health.enter_graceful_shutdown()
        (hurry or threading.Event()).wait(delay)
        self._stop(timeout)

    def _stop(self, timeout: Seconds) -> None:
        self._server.stop(timeout).wait(timeout + 1.0)
        self._waiting.shutdown(wait=False)
        self._others.shutdown(wait=False)
        for made in self._sockets:
            made.remove()

    def _open(self, address: Address, credentials: grpc.ServerCredentials | None) -> str:
        match address:
            case UnixAddress(path=path):
                try:
                    make_room(path)
                    with created_with(self._serving.socket_mode):
                        self._bind(str(address), None)
                    self._sockets.append(Made.at(path))
                    path.chmod(self._serving.socket_mode)
                except (SocketRefused, OSError) as error:
                    raise CannotListen(f"cannot listen on {address}: {error}") from error
                return str(address)
            case TcpAddress(host=host):
                return str(TcpAddress(host, self._bind(str(address), credentials)))

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise CannotListen(
                f"cannot listen on {address}: it is in use, not an address of this machine, or a port for more rights"
            ) from error

    def _leave(self, work: Callable[[], None]) -> None:
        self._waiting.submit(work)

    def _check(self, data: bytes, ticket: Ticket) -> bytes | Later:
        if ticket.crowded:
            most = self._serving.max_concurrent
            return self._answers.refuse(Refusal(Reason.OVERLOADED, f"more than {most} Checks at once"))
        # What is left of our own time for a Check since it arrived, or of the caller's when that is less.
        budget = Seconds(min(ticket.since + self._serving.check_budget, ticket.until) - self._clock.monotonic())
        if budget <= 0.0:
            return self._answers.refuse(Refusal(Reason.OVERLOADED, "the Check waited until its time was over"))
        if len(data) > self._serving.max_request_bytes:
            words = f"the CheckRequest has {len(data)} bytes, allowed are {self._serving.max_request_bytes}"
            return self._answers.refuse(Refusal(Reason.REQUEST_MALFORMED, words))
        return self._answers.begin(data, budget)


def _ms(seconds: Seconds) -> int:
    return round(seconds * 1000)
