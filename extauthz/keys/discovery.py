"""Finding an issuer's key set: OpenID Connect Discovery 1.0 section 4, and RFC 8414 section 3 where that has nothing.

The document is believed only when it names the issuer that was asked for, byte for byte (RFC 8414, section 3.3):
otherwise one issuer could have its tokens checked with another's keys.
"""

from __future__ import annotations

from typing import Final

from extauthz.keys.address import shown
from extauthz.keys.fetch import Fetched, Fetcher, FetchFailed
from extauthz.model.encoding import Ambiguous, Json, parse_json_object

_MAX_SHOWN: Final = 200


def find_jwks_uri(fetcher: Fetcher, issuer: str, url: str | None, ca_pem: str | None) -> str:
    """The `jwks_uri` of the issuer's metadata, at `url` or at its well-known place. Raises FetchFailed."""
    place, metadata = _fetch(fetcher, issuer, url, ca_pem)
    try:
        document = parse_json_object(metadata.body)
    except Ambiguous as error:
        raise FetchFailed(f"the metadata at `{shown(place)}` is no JSON object: {error}") from error
    found = document.get("issuer")
    if found != issuer:
        raise FetchFailed(
            f"the metadata at `{shown(place)}` names the issuer {_quoted(found)}, not `{issuer}`; {_mend(found)}"
        )
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise FetchFailed(f"the metadata at `{shown(place)}` has no `jwks_uri`; name the key set in `keys.jwksUri`")
    return jwks_uri


def well_known(issuer: str) -> tuple[str, str]:
    """Where an issuer's metadata stands: appended to its path, and the form of RFC 8414, put before it.

    Raises FetchFailed for an issuer that is no https URL, or has a query or fragment.
    """
    scheme, _, rest = issuer.partition("://")
    host, _, path = rest.partition("/")
    if scheme not in {"https", "http"} or not host or set(issuer) & {"?", "#"}:
        raise FetchFailed(
            f"the issuer `{issuer}` is no https URL to discover keys from; "
            "set `keys.discovery.url`, or name the key set in `keys.jwksUri`"
        )
    path = path.rstrip("/")
    below = f"/{path}" if path else ""
    appended = f"{scheme}://{host}{below}/.well-known/openid-configuration"
    return appended, f"{scheme}://{host}/.well-known/oauth-authorization-server{below}"


def _fetch(fetcher: Fetcher, issuer: str, url: str | None, ca_pem: str | None) -> tuple[str, Fetched]:
    if url is not None:
        return url, fetcher.get(url, ca_pem)
    first, second = well_known(issuer)
    try:
        return first, fetcher.get(first, ca_pem)
    except FetchFailed as error:
        if error.status != 404:
            raise _pointing_elsewhere(str(error), error.status) from error
    try:
        return second, fetcher.get(second, ca_pem)
    except FetchFailed as error:
        words = (
            f"there is no metadata at `{shown(first)}` nor at `{shown(second)}`" if error.status == 404 else str(error)
        )
        raise _pointing_elsewhere(words, error.status) from error


def _pointing_elsewhere(words: str, status: int | None) -> FetchFailed:
    """The failure, and what to set where a server has nothing for us in these places."""
    refused = status is not None and 400 <= status < 500
    elsewhere = "; name the metadata in `keys.discovery.url`, or the key set in `keys.jwksUri`" if refused else ""
    return FetchFailed(f"{words}{elsewhere}", status)


def _mend(found: Json) -> str:
    """What to do about metadata that names another issuer."""
    if isinstance(found, str) and "{" in found:
        return (
            "it is for many tenants: name one tenant in `issuer`, or several by `issuerTemplate` and `tenants`, with "
            "`keys.jwksUri`"
        )
    return "correct `issuer`, or name the key set itself in `keys.jwksUri`"


def _quoted(found: Json) -> str:
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        return "nowhere" if found is None else "in no plain text"
    return f"`{found[:_MAX_SHOWN]}`"
