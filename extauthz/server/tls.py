"""TLS for the listeners, with certificates that are read again when their files change."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from extauthz.keys.regular import Stamp, read_regular, stamp_of
from extauthz.model.time import Clock, Instant

_LOG: Final = logging.getLogger(__name__)

_LONGEST: Final = 1 << 20
"""Octets of a file; the bundles of whole systems have a quarter of it."""

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

_Made = TypeVar("_Made")
_Read: TypeAlias = Callable[[Path], bytes]
_Signature: TypeAlias = tuple[Stamp | None, ...]


class TlsRefused(ValueError):
    """The files cannot be used. The message names the file and the mistake, and quotes none of their content."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate chain, its private key and the authorities for clients stand, all in PEM."""

    cert: Path
    key: Path
    client_ca: Path | None
    """With it, clients must show a certificate (mutual TLS)."""


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow their files. Raises TlsRefused when the files cannot be used now.

    Later, new connections get what the files hold then; files that cannot be used leave the last good ones in force.
    """
    followed = _Followed(files, _configuration)
    # The stubs do not know that None stands for no change.
    changed: Any = followed.changed
    return grpc.dynamic_ssl_server_credentials(followed.read(), changed, files.client_ca is not None)


class ServerContext:
    """A context of the standard library for servers, which follows its files in the same way."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsRefused when the files cannot be used now."""
        self._followed = _Followed(files, _context)
        self._last = self._followed.read()

    def __call__(self) -> ssl.SSLContext:
        """What a new connection gets."""
        self._last = self._followed.changed() or self._last
        return self._last


def _configuration(files: TlsFiles, read: _Read) -> grpc.ServerCertificateConfiguration:
    chain, key = _content(files.cert, read), _content(files.key, read)
    _check_pair(files, chain, key)
    authorities = None if files.client_ca is None else _content(files.client_ca, read)
    if authorities is not None and files.client_ca is not None:
        _check_certificates(files.client_ca, authorities)
    return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)


def _context(files: TlsFiles, read: _Read) -> ssl.SSLContext:
    _check_pair(files, _content(files.cert, read), _content(files.key, read))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise TlsRefused(f"`{files.cert}` cannot be used: {type(error).__name__}") from error
    return context


class _Followed(Generic[_Made]):
    """What is made of the last good files."""

    def __init__(self, files: TlsFiles, make: Callable[[TlsFiles, _Read], _Made]) -> None:
        """`make` raises TlsRefused."""
        self._files = files
        self._make = make
        self._lock = threading.Lock()
        self._seen: _Signature = ()
        self._problem = ""

    def read(self, read: _Read = Path.read_bytes) -> _Made:
        """Read and check all files. Raises TlsRefused."""
        self._seen = _signature(self._files)
        return self._make(self._files, read)

    def changed(self) -> _Made | None:
        """What new connections get from now on, None for the same as before. It is asked for each connection."""
        with self._lock:
            try:
                found = None if _signature(self._files) == self._seen else self.read(_at_once)
            except TlsRefused as error:
                # Once, not for each connection.
                if str(error) != self._problem:
                    _LOG.error("the TLS files changed and cannot be used, the last good ones serve on: %s", error)
                self._problem = str(error)
                return None
            self._problem = ""
            return found


class TlsWatch:
    """Tells between two connections whether a new one would get what the files hold now, and whether clients can take
    that. Not safe for threads: one looks."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._good: _Signature | None = None
        self._life: _Life | None = None
        self.problem = ""
        """Why not, for people; empty when all is well."""

    @property
    def certificate(self) -> tuple[Instant, Instant] | None:
        """From when to when the certificate that new connections get is good; None where that cannot be known."""
        life = self._life
        return None if life is None else (Instant(life.begins.timestamp()), Instant(life.ends.timestamp()))

    def look(self) -> None:
        """Look at the files. The first look takes them for good: the server has just begun with them."""
        try:
            found = _signature(self._files)
            if self._good not in {None, found}:
                _configuration(self._files, _at_once)
            if self._good != found:
                self._life = _life_of(self._files.cert)
        except TlsRefused as error:
            self.problem = f"new connections get the last good certificate: {error}"
        else:
            self._good, before = found, self.problem
            self.problem = "" if self._life is None else self._life.fault(self._clock.now())
            if self.problem and self.problem != before:
                _LOG.error("%s", self.problem)


@dataclass(frozen=True, slots=True)
class _Life:
    """From when to when the server's certificate is good (RFC 5280, section 4.1.2.5)."""

    cert: Path
    begins: datetime
    ends: datetime

    def fault(self, now: Instant) -> str:
        """Why clients refuse it at this time; empty when they need not."""
        if now > self.ends.timestamp():
            return f"clients refuse the certificate in `{self.cert}`: it expired at {self.ends:{_TIME}}; renew it"
        if now < self.begins.timestamp():
            return f"clients refuse the certificate in `{self.cert}`: it is good from {self.begins:{_TIME}} on"
        return ""


def _life_of(path: Path) -> _Life | None:
    """None of what cannot be read twice, as a pipe that the server began with."""
    try:
        first = load_pem_x509_certificates(_content(path, _at_once))[0]
    except (TlsRefused, ValueError, IndexError):
        return None
    return _Life(path, first.not_valid_before_utc, first.not_valid_after_utc)


def _signature(files: TlsFiles) -> _Signature:
    """Tells files that changed from those that did not. Raises TlsRefused."""
    return tuple(_stamp(path) for path in (files.cert, files.key, files.client_ca) if path is not None)


def _at_once(path: Path) -> bytes:
    """What a file holds, when others wait: a pipe in its place is refused."""
    return read_regular(path, _LONGEST)


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path)
    except OSError as error:
        raise TlsRefused(f"`{path}` cannot be read: {error.strerror}") from error


def _content(path: Path, read: _Read) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise TlsRefused(f"`{path}` cannot be read: {error.strerror}") from error


def _check_certificates(path: Path, pem: bytes) -> object:
    try:
        return load_pem_x509_certificates(pem)[0].public_key()
    except (ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise TlsRefused(f"`{path}` holds no certificate in PEM") from error


def _check_pair(files: TlsFiles, chain: bytes, key: bytes) -> None:
    public = _check_certificates(files.cert, chain)
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsRefused(f"`{files.key}` holds no private key in PEM without a password") from error
    if private.public_key() != public:
        raise TlsRefused(f"the key in `{files.key}` is not the one of the certificate in `{files.cert}`")
