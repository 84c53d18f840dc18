"""The guarded API of the catalogue: one policy with a rule of each kind, and every way to ask about a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from extauthz.model.encoding import base64url_encode
from extauthz.model.time import Seconds
from tests import issuing
from tests.building import obj, policy, with_token
from tests.catalogue.outcomes import METADATA
from tests.checks import Response, check_request, read_response
from tests.worlds import Asked

CHALLENGE = {"realm": "catalogue", "resourceMetadata": METADATA}


def at(name: str, *, slot: Mapping[str, str] | None = None, issuer: str = "corp", **more: Any) -> dict[str, Any]:
    """A rule for the path of its name, which needs a token of an issuer."""
    rule = with_token(name, match={"path": {"exact": f"/{name}"}}, **more)
    rule["token"]["issuers"] = [{"name": issuer}]
    if slot is not None:
        rule["token"]["from"] = dict(slot)
    return rule


def api(*rules: dict[str, Any], name: str = "api", **more: Any) -> dict[str, Any]:
    """The policy over these rules."""
    return policy(name, *rules, challenge=CHALLENGE, **more)


RULES = (
    at("plain"),
    at("key", slot={"header": "x-api-key"}),
    at("cookie", slot={"cookie": "session"}),
    at("once", reuse={"maxUses": 1}),
    at("once-key", slot={"header": "x-api-key"}, reuse={"maxUses": 1}),
    at("scoped", require={"scopes": ["orders.read", "orders.admin"]}),
    at("readable", require={"scopes": ["orders.read", "orders.write"]}),
    at("strong", require={"authentication": {"acrValues": ["mfa", "hwk"]}}),
    at("fresh", require={"authentication": {"maxAge": "5m"}}),
    at("user", require={"cel": "claims.sub != claims.client_id"}),
    at("identity", upstream={"claimHeaders": {"x-auth-sub": "sub", "x-auth-tenant": "tenant"}}),
)


def issuer(name: str, **more: Any) -> dict[str, Any]:
    """A TokenIssuer like `corp`, with settings of its own."""
    return obj("TokenIssuer", name, {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}, **more})


class Guarded(Asked):
    """The API, loaded in one process."""

    def __init__(self, *objects: dict[str, Any], **more: Any) -> None:
        """Load the policy with all rules, unless others are given."""
        super().__init__(*(objects or (api(*RULES),)), **more)

    def send(self, *lines: tuple[str, str], path: str = "/plain", raw: bool = False, **more: Any) -> Response:
        """Ask about a request with these header lines, in either form that Envoy has for headers."""
        self._count += 1
        more.setdefault("stream_id", str(self._count))
        return self._answer(check_request(path=path, headers=lines, raw=raw, **more))

    def present(self, token: str, path: str = "/plain", **more: Any) -> Response:
        """Ask about a request with this bearer token, of which nothing must come back."""
        response = self.send(("authorization", f"Bearer {token}"), path=path, **more)
        shown = f"{response} {self.seen[-1]}"
        assert not any(part in shown for part in token.split(".") if len(part) > 16)
        return response

    def _answer(self, data: bytes) -> Response:
        return read_response(self.answerer.answer(data, Seconds(1.0)))


def signed(
    head: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes], said: Mapping[str, Any] | bytes | None = None
) -> str:
    """A token with this header, and the claims of a good one unless others are given, signed by `sign`."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode()
        for part in (head, issuing.claims() if said is None else said)
    ]
    signing_input = ".".join(map(base64url_encode, parts))
    return f"{signing_input}.{base64url_encode(sign(signing_input.encode()))}"
