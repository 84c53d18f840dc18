"""TLS for the listeners, with certificates that are read again when their files change."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

_LOG: Final = logging.getLogger(__name__)


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
    pair = _Pair(files)
    # The stubs do not know that None stands for no change.
    changed: Any = pair.changed
    return grpc.dynamic_ssl_server_credentials(pair.read(), changed, files.client_ca is not None)


class _Pair:
    """The last good certificate and key."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen: tuple[tuple[int, int, int], ...] = ()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read and check all files. Raises TlsRefused."""
        files = self._files
        self._seen = self._signature()
        chain, key = _content(files.cert), _content(files.key)
        _check_pair(files, chain, key)
        authorities = None if files.client_ca is None else _content(files.client_ca)
        if authorities is not None and files.client_ca is not None:
            _check_certificates(files.client_ca, authorities)
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What new connections get from now on, None for the same as before. gRPC asks for each connection."""
        with self._lock:
            try:
                return None if self._signature() == self._seen else self.read()
            except TlsRefused as error:
                _LOG.error("the TLS files changed and cannot be used, the last good ones serve on: %s", error)
                return None

    def _signature(self) -> tuple[tuple[int, int, int], ...]:
        paths = [path for path in (self._files.cert, self._files.key, self._files.client_ca) if path is not None]
        stats = [_stat(path) for path in paths]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


def _stat(path: Path) -> os.stat_result:
    """Of the file itself, behind the links of a mounted Secret."""
    try:
        return path.stat()
    except OSError as error:
        raise TlsRefused(f"`{path}` cannot be read: {error.strerror}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
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
