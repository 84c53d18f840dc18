"""Builders for what tests are about: objects as authors write them, and requests as the core sees them."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from extauthz.model.encoding import Json
from extauthz.model.request import RequestView, Source
from extauthz.model.target import parse_host, parse_target
from extauthz.model.time import AcceptanceWindow, Instant, Seconds
from extauthz.model.token import ClaimMapping, IssuerRef, Trust, VerifiedToken

API = "extauthz.dev/v1alpha1"


def obj(
    kind: str, name: str, spec: Mapping[str, Any], namespace: str = "shop", created: str | None = None
) -> dict[str, Any]:
    """An object as a source hands it over."""
    metadata: dict[str, Any] = {"name": name}
    if kind != "ClusterTokenIssuer":
        metadata["namespace"] = namespace
    if created is not None:
        metadata["creationTimestamp"] = created
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def policy(
    name: str, *rules: Mapping[str, Any], hosts: tuple[str, ...] = ("api.example",), **more: Any
) -> dict[str, Any]:
    """An AccessPolicy. Keywords `namespace` and `created` go to the metadata, others to the spec."""
    namespace, created = more.pop("namespace", "shop"), more.pop("created", None)
    return obj("AccessPolicy", name, {"hosts": list(hosts), "rules": list(rules), **more}, namespace, created)


def anonymous(name: str, **match: Any) -> dict[str, Any]:
    """A rule that admits without a token; keywords make its one alternative, none of them every request."""
    return {"name": name, "anonymous": True} | ({"match": [match]} if match else {})


def with_token(name: str, *, match: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A rule that needs a token of the issuer `corp`."""
    rule = {"name": name, "token": {"issuers": [{"name": "corp"}], "audiences": ["orders-api"]}, **more}
    return rule if match is None else rule | {"match": [dict(match)]}


def moment(at: float) -> str:
    """A time as RFC 3339 writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def revocation(name: str, namespace: str = "shop", **said: Any) -> dict[str, Any]:
    """A TokenRevocation of tokens of the issuer `corp`, for an hour, unless something else is said."""
    spec = {"issuer": {"name": "corp"}, "expires": moment(NOW + 3600), **said}
    return obj("TokenRevocation", name, {key: value for key, value in spec.items() if value is not ...}, namespace)


def view(
    path: str = "/",
    *,
    method: str = "GET",
    host: str = "api.example",
    headers: Mapping[str, str | tuple[str, ...]] | None = None,
    address: str = "10.0.0.7",
    principal: str = "",
    stream_id: str = "",
    pinned: str | None = None,
) -> RequestView:
    """A request as the core sees it."""
    return RequestView(
        method=method,
        host=parse_host(host),
        target=parse_target(path),
        headers={n: (v,) if isinstance(v, str) else v for n, v in (headers or {}).items()},
        source=Source(address=address, principal=principal),
        stream_id=stream_id,
        request_id="",
        pinned_policy=pinned,
    )


NOW = 1_790_000_000.0

TRUST = Trust(
    ref=IssuerRef("TokenIssuer", "shop", "corp"),
    issuer="https://corp.example",
    algorithms=frozenset({"RS256", "ES256"}),
    audiences=frozenset({"orders-api"}),
    max_lifetime=Seconds(3600),
    clock_skew=Seconds(30),
    token_types=frozenset({"at+jwt"}),
    required_claims=frozenset({"sub"}),
    claim_equals={},
    claim_present=frozenset(),
    mapping=ClaimMapping(),
)


def verified(
    claims: Mapping[str, Json] | None = None, *, identity: bytes = b"\x01" * 32, trust: Trust = TRUST
) -> VerifiedToken:
    """A token that was verified, about `alice` unless the claims say otherwise."""
    said: dict[str, Json] = {
        "iss": trust.issuer,
        "sub": "alice",
        "jti": "id-1",
        "client_id": "web",
        "iat": NOW - 60,
        **(claims or {}),
    }
    subject, client, token_id, scope = (said.get(name) for name in ("sub", "client_id", "jti", "scope"))
    return VerifiedToken(
        trust=trust,
        claims=said,
        identity=identity,
        signing_hash=hashlib.sha256(identity).digest(),
        window=AcceptanceWindow(Instant(NOW - 90), Instant(NOW + 330)),
        issued_at=Instant(NOW - 60),
        lifetime=Seconds(360),
        audiences=frozenset({"orders-api"}),
        subject=subject if isinstance(subject, str) else None,
        client=client if isinstance(client, str) else None,
        token_id=token_id if isinstance(token_id, str) else None,
        scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
    )
