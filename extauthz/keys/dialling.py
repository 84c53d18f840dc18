"""Connections to an issuer's servers: to checked addresses only, over checked TLS, each cut off when its time is over.

urllib3's connections are used without its pools, so that there is nothing to switch off. The clock that counts is one
watchdog over the whole exchange: a timeout for each read would let a server that drips hold us for ever.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable
from functools import lru_cache
from http.client import HTTPException
from types import TracebackType
from typing import Final, Self, TypeAlias

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from extauthz.keys.address import Address, AddressRefused, check_peer, shown
from extauthz.model.time import Seconds

TROUBLE: Final = (OSError, ValueError, HTTPException, HTTPError)
"""What an exchange may raise, besides FetchFailed."""

# It quotes what a server sends, which may be the token that was asked about. What went wrong is told here.
logging.getLogger("urllib3").setLevel(logging.ERROR)
_MAX_ADDRESSES: Final = 4
_CHUNK: Final = 1 << 16
# Of one read, in seconds. Longer than any deadline: the watchdog is to be the one that ends an exchange.
_PATIENCE: Final = 30.0
_ITS_OWN: Final = frozenset({9, 10, 62, 64})
"""What OpenSSL calls a certificate that is not yet valid, expired, or for another name or address: no authority mends
that."""
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII)


class FetchFailed(Exception):
    """Nothing usable was fetched; the message says what, where and how to mend it, and holds no secret."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, when another than 200 was answered."""


class _Plain(HTTPConnection):
    dial: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.dial()


class _Secure(HTTPSConnection):
    dial: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.dial()


Connection: TypeAlias = _Plain | _Secure


def connection_to(
    address: Address, ca_pem: str | None, watchdog: Watchdog, deadline: Seconds, *, allow_loopback: bool
) -> Connection:
    """A connection that dials when it is first used, trusting the system's authorities or those in `ca_pem` instead.

    `watchdog` minds the connecting; later exchanges have to `watch` its socket themselves.
    """

    def dial() -> socket.socket:
        return _dial(address, watchdog, deadline, allow_loopback=allow_loopback)

    connection: Connection
    if address.secure:
        connection = _Secure(address.host, address.port, timeout=_PATIENCE, ssl_context=_tls(ca_pem))
    else:
        connection = _Plain(address.host, address.port, timeout=_PATIENCE)
    connection.dial = dial
    return connection


def _dial(address: Address, watchdog: Watchdog, deadline: Seconds, *, allow_loopback: bool) -> socket.socket:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[:_MAX_ADDRESSES]
    problem = OSError("its name has no address")
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        try:
            watchdog.watch(sock)
            # INVARIANT: nothing is sent, not even to connect, before it is known where the connection leads.
            check_peer(str(place[0]), secure=address.secure, allow_loopback=allow_loopback)
            # A question goes in two parts: held back, the second would wait for an acknowledgement that comes late.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(deadline / len(found))
            sock.connect(place)
        except OSError as error:
            sock.close()
            problem = error
        except AddressRefused:
            sock.close()
            raise
        else:
            sock.settimeout(_PATIENCE)
            return sock
    raise problem


class Watchdog:
    """Cuts a connection off when its time is over, whatever it is doing: connecting, shaking hands or dripping.

    It holds the socket by a descriptor of its own, because TLS takes the first one over.
    """

    def __init__(self, seconds: Seconds) -> None:
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.expired = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._release()

    def watch(self, sock: socket.socket) -> None:
        """Watch this socket from now on. Raises TimeoutError when the time is over already."""
        with self._lock:
            self._release()
            # A TLS socket cannot `dup` itself.
            self._twin = socket.fromfd(sock.fileno(), sock.family, sock.type)
        self.check()

    def check(self) -> None:
        """Raises TimeoutError when the time is over."""
        if self.expired:
            raise TimeoutError

    def _cut(self) -> None:
        with self._lock:
            self.expired = True
            if self._twin is not None:
                with contextlib.suppress(OSError):
                    self._twin.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None


@lru_cache(maxsize=64)
def _tls(ca_pem: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_pem is None:
        context.load_default_certs()
    else:
        _trust(context, ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _trust(context: ssl.SSLContext, ca_pem: str) -> None:
    # Bundles carry comments, not all of them in ASCII; and one without certificates is no wish for the system's.
    certificates = "\n".join(_CERTIFICATE.findall(ca_pem))
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError) as error:
        raise FetchFailed("is not fetched: the issuer's `caBundle` holds no certificates in PEM") from error


def refuse_redirect(response: HTTPResponse) -> None:
    """Raises FetchFailed for an answer that sends us elsewhere."""
    if 300 <= response.status < 400:
        where = shown(response.headers.get("Location", "nowhere"))
        raise FetchFailed(
            f"redirects to `{where}`, and redirects are not followed; configure the final address", response.status
        )


def body_of(response: HTTPResponse, most: int) -> bytes:
    """The whole body, to its end. Raises FetchFailed for one that is compressed, or longer than `most` octets."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("answers in a compressed form that was not asked for; let it answer plainly")
    body = bytearray()
    # To the end: only the read after the last octet tells a whole answer from one that broke off.
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > most:
            raise FetchFailed(f"answers with more than {most} octets")
    return bytes(body)


def why(error: Exception) -> str:
    """What went wrong in an exchange, for the operator."""
    match error:
        case AddressRefused():
            return str(error)
        case ssl.SSLCertVerificationError():
            mend = "" if error.verify_code in _ITS_OWN else "; set the issuer's `caBundle` to its authority"
            return f"its certificate is refused: {error.verify_message.rstrip('.')}{mend}"
        case ssl.SSLError():
            return f"TLS fails: {(error.reason or 'no reason given').lower().replace('_', ' ')}"
        case socket.gaierror() | UnicodeError():
            return "its name cannot be resolved"
        case TimeoutError():
            return "it does not answer"
        case OSError():
            return (error.strerror or str(error) or "the connection fails").lower()
        case _:
            return f"its answer is broken ({type(error).__name__})"
