"""Where an issuer's keys come from: written in the policy, a file, a URL, or the issuer's own metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, assert_never

from extauthz.keys.address import never_asked, shown
from extauthz.keys.discovery import find_jwks_uri, well_known
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.jwk import MAX_DOCUMENT, KeyRules
from extauthz.keys.regular import read_regular
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef


@dataclass(frozen=True, slots=True)
class InlineKeys:
    """A key set in the policy itself."""

    document: bytes = field(repr=False)
    place: str = "the policy's own key set"
    """For error texts."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key set in a file, read again when it changes."""

    path: Path


@dataclass(frozen=True, slots=True)
class JwksUrl:
    """A key set at a URL (RFC 7517, section 5)."""

    url: str
    ca_pem: str | None = field(default=None, repr=False)
    """Authorities that the server's certificate is checked against, instead of the system's."""
    authenticate: bool = False
    """Whether to present our own ServiceAccount; the server is then the cluster's API server."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The key set that the issuer's metadata names."""

    issuer: str
    """The issuer, byte for byte as the metadata must name it."""
    url: str | None = None
    """Where the metadata stands, when not at the issuer's well-known place."""
    ca_pem: str | None = field(default=None, repr=False)
    """Authorities that the servers' certificates are checked against, instead of the system's."""
    authenticate: bool = False
    """Whether to present our own ServiceAccount; the servers are then the cluster's API server."""


Source: TypeAlias = InlineKeys | KeyFile | JwksUrl | Discovery


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """Whose keys to keep, from where, and how fresh."""

    ref: IssuerRef
    source: Source
    rules: KeyRules
    interval: Seconds = Seconds(300)
    """Time between two fetches; a server may ask for a shorter one, never for a longer one."""
    max_stale: Seconds = Seconds(3600)
    """For how long the last good keys serve while fetching fails."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document that should be a key set, and where it was found."""

    document: bytes
    place: str
    """For error texts."""
    max_age: Seconds | None = None


def load(source: Source, fetcher: Fetcher) -> Loaded:
    """Read a source's document. Blocks; raises FetchFailed."""
    match source:
        case InlineKeys() | KeyFile():
            return at_hand(source)
        case JwksUrl(url, ca_pem, authenticate):
            return _fetch(fetcher.presenting(authenticate), url, ca_pem)
        case Discovery(issuer, url, ca_pem, authenticate):
            fetcher = fetcher.presenting(authenticate)
            return _fetch_found(fetcher, find_jwks_uri(fetcher, issuer, url, ca_pem), ca_pem)
        case _:
            assert_never(source)


def at_hand(source: InlineKeys | KeyFile) -> Loaded:
    """The document of a source that asks nobody. Raises FetchFailed."""
    match source:
        case InlineKeys(document, place):
            return Loaded(document, place)
        case KeyFile(path):
            return Loaded(_read(path), f"the key set in `{path}`")
        case _:
            assert_never(source)


def never_loaded(source: JwksUrl | Discovery) -> str | None:
    """Why this source is never read, whoever may answer; None where that is not known before it is tried."""
    url, mend = source.url, ""
    if url is None and isinstance(source, Discovery):
        mend = "; set `keys.discovery.url`, or name the key set in `keys.jwksUri`"
        try:
            url, _ = well_known(source.issuer)
        except FetchFailed as error:
            return str(error)
    why = None if url is None else never_asked(url)
    return None if url is None or why is None else f"`{shown(url)}` is not fetched: {why}{mend}"


def _fetch_found(fetcher: Fetcher, url: str, ca_pem: str | None) -> Loaded:
    """The key set that the metadata names. An issuer behind a proxy often names an address that is none from here."""
    try:
        return _fetch(fetcher, url, ca_pem)
    except FetchFailed as error:
        words = f"{error}; the issuer's metadata names it as `jwks_uri`, and `keys.jwksUri` can name another"
        raise FetchFailed(words, error.status) from error


def _fetch(fetcher: Fetcher, url: str, ca_pem: str | None) -> Loaded:
    fetched = fetcher.get(url, ca_pem)
    return Loaded(fetched.body, f"the key set at `{shown(url)}`", fetched.max_age)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_DOCUMENT + 1)
    except OSError as error:
        raise FetchFailed(f"the key file `{path}` cannot be read: {(error.strerror or 'unknown').lower()}") from error
