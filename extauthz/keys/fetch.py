"""One careful GET: https, no redirect, no proxy, no compression, bounded in size and in time.

urllib3's connections are used without its pools, so that there is nothing to switch off. The clock that counts is one
watchdog over the whole exchange: a timeout for each read would let a server that drips hold us for ever.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from http.client import HTTPException
from types import TracebackType
from typing import Final, Self

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from extauthz import __version__
from extauthz.keys.account import NoAccount, ServiceAccount
from extauthz.keys.address import Address, AddressRefused, check_peer, parse_address, shown
from extauthz.keys.jwk import MAX_DOCUMENT
from extauthz.model.time import Seconds, format_duration

DEADLINE: Final = Seconds(3.0)
"""For one exchange, from connecting to the last octet. Only looking up the name may add to it."""

_MAX_ADDRESSES: Final = 4
_CHUNK: Final = 1 << 16
# Of one read, in seconds. Longer than any deadline: the watchdog is to be the one that ends an exchange.
_PATIENCE: Final = 30.0
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})", re.ASCII | re.IGNORECASE)
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII)
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"extauthz/{__version__}",
}


class FetchFailed(Exception):
    """Nothing usable was fetched; the message says what, where and how to mend it, and holds no secret."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, when another than 200 was answered."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server answered."""

    body: bytes
    max_age: Seconds | None
    """For how long the server calls it fresh (RFC 9111, section 5.2.2.1); None when it does not say."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches documents. Safe to share between threads."""

    allow_loopback: bool = False
    """Whether a server on this machine may be asked, over plain http too. For development only."""
    deadline: Seconds = DEADLINE
    account: ServiceAccount | None = None
    """Our own ServiceAccount, if we have one."""
    present: bool = False
    """Whether to present it."""

    def presenting(self, present: bool) -> Fetcher:  # noqa: FBT001 - a setting of the source
        """The same fetcher, presenting our ServiceAccount or not."""
        return replace(self, present=present)

    def get(self, url: str, ca_pem: str | None = None) -> Fetched:
        """Fetch `url`, trusting the system's authorities or those in `ca_pem` instead. Raises FetchFailed."""
        try:
            address = parse_address(url, allow_loopback=self.allow_loopback)
        except AddressRefused as error:
            raise FetchFailed(f"`{shown(url)}` is not fetched: {error}") from error
        with _Watchdog(self.deadline) as watchdog:
            try:
                return self._exchange(address, ca_pem, watchdog)
            except FetchFailed as error:
                raise FetchFailed(f"`{shown(url)}` {error}", error.status) from error
            except NoAccount as error:
                raise FetchFailed(f"`{shown(url)}` is not fetched: {error}") from error
            except (OSError, ValueError, HTTPException, HTTPError) as error:
                reason = f"it took longer than {format_duration(self.deadline)}" if watchdog.expired else _reason(error)
                raise FetchFailed(f"`{shown(url)}` cannot be fetched: {reason}") from error

    def _exchange(self, address: Address, ca_pem: str | None, watchdog: _Watchdog) -> Fetched:
        def dial() -> socket.socket:
            return self._dial(address, watchdog)

        headers, ca_pem = self._introduction(address, ca_pem)
        connection: _Plain | _Secure
        if address.secure:
            connection = _Secure(address.host, address.port, timeout=_PATIENCE, ssl_context=_tls(ca_pem))
        else:
            connection = _Plain(address.host, address.port, timeout=_PATIENCE)
        connection.dial = dial
        with contextlib.closing(connection):
            connection.request("GET", address.target, headers=headers, preload_content=False, decode_content=False)
            with contextlib.closing(connection.getresponse()) as response:
                fetched = Fetched(_body(response), _max_age(response.headers.get("Cache-Control", "")))
        # A connection that was cut off can look like an answer without length that has ended.
        watchdog.check()
        return fetched

    def _introduction(self, address: Address, ca_pem: str | None) -> tuple[dict[str, str], str | None]:
        """The headers to send, and the authorities to trust: the cluster's, where we present our account."""
        if not self.present:
            return _HEADERS, ca_pem
        if self.account is None or not address.secure:
            raise NoAccount("a service account is presented to the cluster's API server over https only")
        headers = {**_HEADERS, "Authorization": self.account.authorization(address.host)}
        return headers, self.account.ca_pem()

    def _dial(self, address: Address, watchdog: _Watchdog) -> socket.socket:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[:_MAX_ADDRESSES]
        problem = OSError("its name has no address")
        for family, kind, protocol, _, place in found:
            sock = socket.socket(family, kind, protocol)
            try:
                watchdog.watch(sock)
                # INVARIANT: nothing is sent, not even to connect, before it is known where the connection leads.
                check_peer(str(place[0]), secure=address.secure, allow_loopback=self.allow_loopback)
                sock.settimeout(self.deadline / len(found))
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


class _Plain(HTTPConnection):
    dial: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.dial()


class _Secure(HTTPSConnection):
    dial: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.dial()


class _Watchdog:
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
            self._twin = sock.dup()
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


def _body(response: HTTPResponse) -> bytes:
    if 300 <= response.status < 400:
        where = shown(response.headers.get("Location", "nowhere"))
        raise FetchFailed(
            f"redirects to `{where}`, and redirects are not followed; configure the final address", response.status
        )
    if response.status != 200:
        raise FetchFailed(f"answers with HTTP status {response.status}", response.status)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("answers in a compressed form that was not asked for; let it answer plainly")
    body = bytearray()
    # To the end: only the read after the last octet tells a whole answer from one that broke off.
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > MAX_DOCUMENT:
            raise FetchFailed(f"answers with more than {MAX_DOCUMENT} octets")
    return bytes(body)


def _max_age(cache_control: str) -> Seconds | None:
    found = _MAX_AGE.search(cache_control)
    return Seconds(float(found[1])) if found is not None else None


def _reason(error: Exception) -> str:
    match error:
        case AddressRefused():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}; set the issuer's `caBundle` to its authority"
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
