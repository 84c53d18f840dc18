"""A real server on loopback whose answers a test chooses, and the certificates for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from extauthz.config import TcpAddress
from extauthz.model.time import Clock, Seconds, SystemClock
from extauthz.model.verdict import Deny, Refusal
from extauthz.server.calls import Later
from extauthz.server.codec import write_verdict
from extauthz.server.grpcio import METHOD, Server, Serving
from extauthz.server.tls import TlsFiles
from tests.unit.keys.servers import ca_pem, server_tls

PATIENCE = 20.0
"""Seconds after which a test that waits for an answer gives up."""
SERVING = Serving(
    listen=(TcpAddress("127.0.0.1", 0),),
    socket_mode=0o660,
    tls=None,
    threads=2,
    max_concurrent=8,
    check_budget=Seconds(10.0),
    max_request_bytes=4096,
    keepalive_time=Seconds(30.0),
    keepalive_timeout=Seconds(10.0),
    max_connection_age=Seconds(0.0),
    max_connection_age_grace=Seconds(1.0),
)


@dataclass
class Echo:
    """Answers with the request itself, and keeps what it was asked."""

    budgets: list[float] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        self.budgets.append(budget)
        return data

    def refuse(self, refusal: Refusal) -> bytes:
        self.refusals.append(refusal)
        return write_verdict(Deny(refusal=refusal))


@dataclass
class Gate(Echo):
    """Answers requests that begin with `wait` only once the gate is open."""

    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released by each request that waits."""
    opened: threading.Event = field(default_factory=threading.Event)

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        answer = super().begin(data, budget)
        if not data.startswith(b"wait"):
            return answer
        return lambda send, leave: leave(partial(self._wait, data, send))

    def _wait(self, data: bytes, send: Callable[[bytes], None]) -> None:
        self.entered.release()
        assert self.opened.wait(PATIENCE)
        send(data)


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    server: Server
    bound: tuple[str, ...]
    """Where, as a client writes it."""

    @property
    def target(self) -> str:
        """The first address."""
        return self.bound[0]


@contextmanager
def running(answers: Any = None, clock: Clock | None = None, **changes: Any) -> Iterator[Running]:
    """A server while the block runs; `changes` are to its Serving."""
    server = Server(answers or Echo(), replace(SERVING, **changes), clock or SystemClock())
    bound = server.start()
    try:
        yield Running(server, bound)
    finally:
        server.drain(Seconds(0.0), Seconds(0.0))


@contextmanager
def channel(target: str, credentials: grpc.ChannelCredentials | None = None) -> Iterator[grpc.Channel]:
    """A connection of its own: channels of one target would share theirs."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        made = grpc.insecure_channel(target, options)
    else:
        made = grpc.secure_channel(target, credentials, options)
    with made:
        yield made


def check(connection: grpc.Channel) -> Callable[..., Any]:
    """The method `Check`, from bytes to bytes."""
    return connection.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)


def ask(
    target: str,
    data: bytes = b"data",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    timeout: float | None = PATIENCE,
) -> bytes:
    """Ask once, over a new connection."""
    with channel(target, credentials) as connection:
        answer: bytes = check(connection)(data, timeout=timeout)
        return answer


def tls_files(folder: Path, name: str = "a", *, client_ca: str | None = None) -> TlsFiles:
    """Files of a certificate for loopback that the authority of that name signed."""
    files = TlsFiles(folder / "tls.crt", folder / "tls.key", None if client_ca is None else folder / "clients.crt")
    write_pair(folder, name)
    if files.client_ca is not None:
        files.client_ca.write_text(ca_pem(client_ca or name))
    return files


def write_pair(folder: Path, name: str) -> None:
    """Put another certificate with its key into the place of the ones there."""
    key, cert = key_pair(folder, name)
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(cert)


def key_pair(folder: Path, name: str) -> tuple[bytes, bytes]:
    """A new key and its certificate, in PEM."""
    server_tls(folder, name)
    both = (folder / "server.pem").read_bytes()
    start = both.index(b"-----BEGIN CERTIFICATE")
    return both[:start], both[start:]


def trusting(name: str, pair: tuple[bytes, bytes] | None = None) -> grpc.ChannelCredentials:
    """A client that trusts the authority, and shows a certificate when it has one."""
    key, cert = pair or (None, None)
    return grpc.ssl_channel_credentials(ca_pem(name).encode(), key, cert)
