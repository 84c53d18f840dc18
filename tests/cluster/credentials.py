"""What an API server is started with: a serving certificate, the key that signs ServiceAccount tokens, one admin."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files, and the one secret that tests use."""

    certificate: Path
    """It signs itself, so it is the CA of clients too."""
    key: Path
    accounts_key: Path
    """Signs and verifies ServiceAccount tokens."""
    tokens: Path
    """The static token file: admin only."""
    audit_policy: Path
    admin_token: str


def make_credentials(folder: Path) -> Credentials:
    """Fresh ones, written into a folder."""
    made = Credentials(
        folder / "server.crt",
        folder / "server.key",
        folder / "accounts.key",
        folder / "tokens.csv",
        folder / "audit.yaml",
        secrets.token_hex(16),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    made.certificate.write_bytes(_certificate(key).public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(_pem(key))
    made.accounts_key.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    made.tokens.write_text(f'{made.admin_token},admin,admin,"system:masters"\n')
    policy = {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
    made.audit_policy.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **policy}))
    return made


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback, x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # The form of RFC 5915: an API server reads no other as a key that also verifies.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
