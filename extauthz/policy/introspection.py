"""`introspection` of a TokenIssuer as authors write it: which endpoint is asked about opaque tokens (RFC 7662)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from pydantic import ConfigDict, Field

from extauthz.model.time import Seconds
from extauthz.model.token import TokenForms
from extauthz.policy.reference import DataRefSpec
from extauthz.policy.ruled import CelRule, Union
from extauthz.policy.words import STRICT, Between, FilePath, HttpsUrl, shaped

ClientId: TypeAlias = Annotated[str, shaped(r"^[\x20-\x7e]+$", "printable ASCII")]
"""A client id (RFC 6749, appendix A.1)."""
Prefix: TypeAlias = Annotated[
    str, shaped(r"^[A-Za-z0-9._~+/-]+$", "characters that tokens have: letters, digits and `._~+/-`", high=64)
]
"""What a token begins with."""
CacheFor: TypeAlias = Annotated[Seconds, Between(0, 300)]
Timeout: TypeAlias = Annotated[Seconds, Between(0.05, 5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecretSpec(Union):
    """Who we are at the endpoint, and the secret that shows it: exactly one of `secretRef` and `file`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("secret_ref", "file")
    client_id: ClientId
    """Our client id."""
    secret_ref: DataRefSpec | None = None
    """The secret, in a Secret."""
    file: FilePath | None = None
    """A file with the secret, relative to the policy file that names it. Read again for each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerSpec(Union):
    """A bearer token of our own that the endpoint asks for: exactly one of `secretRef` and `file`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("secret_ref", "file")
    secret_ref: DataRefSpec | None = None
    """The token, in a Secret."""
    file: FilePath | None = None
    """A file with the token, relative to the policy file that names it. Read again for each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionSpec(Union):
    """Which endpoint is asked about this issuer's tokens (RFC 7662). How we show who we are is exactly one of
    `clientSecretBasic`, `clientSecretPost` and `bearer`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("client_secret_basic", "client_secret_post", "bearer")
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "!self.url.contains('?')",
            "`url` has a query, and what it holds would be shown in logs; write it without",
            lambda spec: "?" in spec.url,
        ),
    )
    url: HttpsUrl
    """The endpoint, which is a POST over https. Redirects are not followed."""
    client_secret_basic: ClientSecretSpec | None = None
    """Client id and secret in `Authorization: Basic` (RFC 6749, section 2.3.1)."""
    client_secret_post: ClientSecretSpec | None = None
    """Client id and secret in the body, for servers that take nothing better."""
    bearer: BearerSpec | None = None
    """A bearer token of our own."""
    tokens: TokenForms = TokenForms.OPAQUE
    """`Opaque`: only tokens that are no JWTs. `Any`: also JWTs whose `iss` is this issuer, where their keys are kept
    secret."""
    prefixes: Annotated[tuple[Prefix, ...], Field(max_length=8)] = ()
    """What every opaque token of this issuer begins with, such as `ory_at_`: the endpoint is not asked about others."""
    cache_for: CacheFor = Seconds(10)
    """For how long a token that is active is not asked about again: so late its end may be noticed. `0s`: ask each
    time."""
    timeout: Timeout = Seconds(1)
    """For one question. A request waits for it only as long as `--check-budget` says; the answer then serves the next.
    """
    max_concurrent: Annotated[int, Field(ge=1, le=32)] = 8
    """Questions that a replica asks at the same time."""
    max_per_second: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Questions that a replica asks in one second: what a flood of invented tokens can do to the endpoint."""

    @property
    def secret_ref(self) -> DataRefSpec | None:
        """The Secret that shows who we are, where it is none in a file."""
        client = self.client_secret_basic or self.client_secret_post or self.bearer
        return None if client is None else client.secret_ref
