"""An issuer's introspection endpoint, and how we make ourselves known to it (RFC 7662, section 2.1).

INVARIANT: nothing here shows a secret: not a representation, not an error.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, assert_never
from urllib.parse import quote_plus, urlencode

from extauthz.keys.regular import read_regular
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef

MAX_SECRET: Final = 4096
"""Octets of a secret."""

_SECRET: Final = re.compile(r"[\x20-\x7e]+", re.ASCII)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class NoSecret(ValueError):
    """The secret cannot be used. The message says why and where, and shows nothing of it."""


@dataclass(frozen=True, slots=True)
class GivenSecret:
    """A secret that the policies' own Secret holds."""

    value: bytes = field(repr=False)
    place: str
    """For error texts."""

    def read(self) -> str:
        """The secret. Raises NoSecret."""
        return _checked(self.value, self.place)


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret in a file, read again each time, because it may be renewed."""

    path: Path

    def read(self) -> str:
        """The secret. Raises NoSecret."""
        place = f"the file `{self.path}`"
        try:
            return _checked(read_regular(self.path, MAX_SECRET + 3), place)
        except OSError as error:
            raise NoSecret(f"{place} cannot be read: {(error.strerror or 'unknown').lower()}") from error


Secret: TypeAlias = GivenSecret | SecretFile


@dataclass(frozen=True, slots=True)
class ClientSecretBasic:
    """Client id and secret in `Authorization: Basic` (RFC 6749, section 2.3.1)."""

    client_id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class ClientSecretPost:
    """Client id and secret in the body (RFC 6749, section 2.3.1), for servers that take nothing better."""

    client_id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A bearer token of our own (RFC 7662, section 2.1)."""

    secret: Secret


Client: TypeAlias = ClientSecretBasic | ClientSecretPost | BearerToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an issuer's tokens are asked about, and how."""

    ref: IssuerRef
    url: str
    client: Client
    ca_pem: str | None = field(default=None, repr=False)
    """Authorities that the server's certificate is checked against, instead of the system's."""
    cache_for: Seconds = Seconds(10)
    """For how long a token that was called active is not asked about again; 0 asks each time."""
    timeout: Seconds = Seconds(1)
    """For one exchange, from connecting to the last octet."""
    most_at_once: int = 8
    """Questions that are being asked at the same time."""
    most_per_second: int = 100
    """Questions that are sent in one second."""


def introduce(client: Client, form: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request with this form that shows who we are. Raises NoSecret."""
    match client:
        case ClientSecretBasic(client_id, secret):
            # Each is encoded as a form would be, so that a colon or a foreign character has one reading.
            words = f"{quote_plus(client_id)}:{quote_plus(secret.read())}"
            headers = {"Authorization": f"Basic {b64encode(words.encode('ascii')).decode('ascii')}"}
        case ClientSecretPost(client_id, secret):
            headers, form = {}, {**form, "client_id": client_id, "client_secret": secret.read()}
        case BearerToken(secret):
            token = secret.read()
            if _TOKEN68.fullmatch(token) is None:
                raise NoSecret("the bearer token for the endpoint holds characters that no token has")
            headers = {"Authorization": f"Bearer {token}"}
        case _:
            assert_never(client)
    return headers, urlencode(form).encode("ascii")


def secret_fault(endpoint: Endpoint) -> str | None:
    """What is wrong with the secret that an endpoint is asked with; None for nothing."""
    try:
        introduce(endpoint.client, {})
    except NoSecret as error:
        return str(error)
    return None


def _checked(value: bytes, place: str) -> str:
    """A secret in printable ASCII (RFC 6749, appendix A.2); the line end that editors put after it is no part of it."""
    text = value.decode("latin-1").removesuffix("\n").removesuffix("\r")
    if not text:
        raise NoSecret(f"{place} is empty")
    if len(text) > MAX_SECRET:
        raise NoSecret(f"{place} holds more than {MAX_SECRET} characters")
    if _SECRET.fullmatch(text) is None:
        raise NoSecret(f"{place} holds characters other than printable ASCII")
    return text
