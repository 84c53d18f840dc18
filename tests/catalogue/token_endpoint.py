"""The token endpoint of the catalogue: an authorization server behind the gateway, whose refresh tokens are JWTs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from extauthz.model.time import Seconds
from tests import issuing
from tests.building import NOW, obj
from tests.catalogue.guarded import Guarded, api, at
from tests.checks import Response, check_request, read_response

FORM = {"content-type": "application/x-www-form-urlencoded"}
ALICE = "spiffe://mesh.example/ns/shop/sa/web"
MALLORY = "spiffe://mesh.example/ns/evil/sa/web"


def refresh_token(number: int = 1, *, family: Any = "family-1", **said: Any) -> str:
    """A refresh token of a family; each number is another token of it."""
    made = {"aud": "https://as.example", "jti": f"rt-{number}", "sid": family, "exp": NOW + 3000, **said}
    return issuing.token(issuing.claims(**made), issuing.header(typ="rt+jwt"))


def rule(*, other_grants: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """The rule for the token endpoint."""
    slot: dict[str, Any] = {"form": "refresh_token"}
    if other_grants is not None:
        slot["otherGrants"] = other_grants
    made = at("token", issuer="as", **more)
    made["token"] |= {"from": slot, "audiences": ["https://as.example"]}
    return made


class TokenEndpoint(Guarded):
    """The endpoint, loaded in one process."""

    def __init__(self, *rules: dict[str, Any], objects: tuple[dict[str, Any], ...] = (), **more: Any) -> None:
        """Load a policy with these rules, and other objects."""
        issuer = {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}, "tokenTypes": ["rt+jwt"]}
        super().__init__(api(*rules), obj("TokenIssuer", "as", issuer), *objects, **more)

    def post(self, body: str, *, path: str = "/token", headers: Mapping[str, str] = FORM, **more: Any) -> Response:
        """Ask about a request with this body, of which nothing must come back."""
        self._count += 1
        asked = {"method": "POST", "stream_id": str(self._count), "raw": True, "principal": ALICE, **more}
        data = check_request(path=path, headers=headers, body=body, **asked)
        response = read_response(self.answerer.answer(data, Seconds(1.0)))
        shown = f"{response} {self.seen[-1]}"
        assert not any(part in shown for part in body.replace("&", ".").split(".") if len(part) > 30)
        return response

    def refresh(self, token: str, **more: Any) -> Response:
        """Ask about a request that presents a refresh token."""
        return self.post(grant(token), **more)


def grant(token: str, **more: str) -> str:
    """The form of RFC 6749, section 6."""
    return urlencode({"grant_type": "refresh_token", "refresh_token": token, **more})
