"""Servers on loopback that answer as a test says, over http or https, and the authority that signs for them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.loopback import Handler, listening


class Site:
    """What a server answers, path by path, and what it was asked. An answer is given as bytes, as a status with
    headers and bytes, or as a function that writes to the connection itself."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def count(self, path: str) -> int:
        """How often the path was asked for."""
        return self.asked.count(path)


class _Handler(Handler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        self.site.headers.append({name.lower(): value for name, value in self.headers.items()})
        answer = self.site.answers.get(self.path, (404, {}, b"nothing here"))
        if callable(answer):
            answer = answer(self)
        if answer is None:
            return
        self.write(*(answer if isinstance(answer, tuple) else (200, {}, answer)))


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> Iterator[Site]:
    """A server while the block runs."""
    site = Site()
    with listening(type("Site", (_Handler,), {"site": site}), tls=tls, host=host, port=port) as site.url:
        yield site


def dripping(stop: threading.Event, *, in_headers: bool) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that never ends, an octet every few milliseconds, until the test is over or the client hangs up."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-Drip: " if in_headers else b"\r\n"))
            while not stop.wait(0.005):
                handler.wfile.write(b" ")
        except OSError:
            pass
        handler.close_connection = True

    return drip


@cache
def authority(name: str = "a") -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate(f"authority {name}", f"authority {name}", key.public_key(), key, ca=True)


def ca_pem(name: str = "a") -> str:
    """The authority's certificate."""
    return authority(name)[1].public_bytes(serialization.Encoding.PEM).decode()


def server_tls(folder: Path, name: str = "a") -> ssl.SSLContext:
    """What a server on localhost needs for TLS, signed by the authority."""
    issuer_key, issuer = authority(name)
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = str(issuer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    certificate = _certificate("localhost", common_name, key.public_key(), issuer_key, ca=False)
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _certificate(
    subject: str, issuer: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
