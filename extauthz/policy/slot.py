"""Where a rule's credential stands, as authors write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from extauthz.policy.lists import once, twin
from extauthz.policy.ruled import CelRule, Union
from extauthz.policy.words import STRICT, CookieName, HeaderName, OtherGrant, ParameterName


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpec(Union):
    """Where the credential stands: exactly one of `header`, `cookie`, `query` and `form`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("header", "cookie", "query", "form")
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "!has(self.otherGrants) || self.otherGrants.size() == 0 || has(self.form)",
            "`otherGrants` goes with `form: refresh_token`, and only with it",
            lambda spec: bool(spec.other_grants) and spec.form is None,
        ),
        CelRule(
            once("self.otherGrants"),
            "`otherGrants` names one grant twice; name it once",
            lambda spec: twin(spec.other_grants),
        ),
    )
    header: HeaderName | None = None
    """A header. `authorization` takes the Bearer scheme, any other the bare token."""
    cookie: CookieName | None = None
    """A cookie that holds the bare token."""
    query: ParameterName | None = None
    """A query parameter that holds the bare token. URLs leak into logs: use a header where you can. The parameter is
    removed before the request goes upstream; Envoy then writes the rest of the query anew, sorted by name."""
    form: Literal["refresh_token"] | None = None
    """The refresh token of a token request (RFC 6749, section 6), for an authorization server behind the gateway. Envoy
    must send the body along (`with_request_body`). The server gets it as it is, whatever `forwardToken` says. Denials
    are those of a token endpoint (RFC 6749, section 5.2)."""
    other_grants: Annotated[tuple[OtherGrant, ...], Field(max_length=8)] = ()
    """With `form`, grants whose token requests pass without a token: nothing is required of them, and of `limits` only
    those `by: [SourceAddress]` count them. Any other grant is refused. Grants that take a refresh token in another
    way, such as token exchange, cannot stand here."""
