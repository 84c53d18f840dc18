"""The checked words that policies are written in: names, claims, durations, URLs, each with its bounds.

Every bound stands in the type, so that the parser, the reference page and the CRD schema read the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from extauthz.model.target import Malformed, parse_method, parse_policy_path
from extauthz.model.time import Seconds, format_duration, parse_duration
from extauthz.model.token import ClaimPath
from extauthz.policy.path import regex, template

STRICT: Final = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, use_attribute_docstrings=True)
"""How every spec is read: camelCase names, nothing coerced, nothing unknown, docstrings as descriptions."""


@dataclass(frozen=True, slots=True)
class Between:
    """Marks a duration field: Go style text, from `low` to `high` seconds, both included."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(strict=True, min_length=1, max_length=32)
        return core_schema.no_info_after_validator_function(self._read, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        found["title"] = f"duration from {format_duration(self.low)} to {format_duration(self.high)}"
        return found

    def _read(self, text: str) -> Seconds:
        seconds = parse_duration(text)
        if not self.low <= seconds <= self.high:
            raise ValueError(f"allowed is {format_duration(self.low)} to {format_duration(self.high)}")
        return seconds


class Union:
    """Mixin for unions: exactly one of the fields named by `members` is set."""

    __slots__ = ()
    members: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        found = [to_camel(name) for name in self.members if getattr(self, name) is not None]
        if len(found) != 1:
            allowed = ", ".join(f"`{to_camel(name)}`" for name in self.members)
            raise ValueError(f"exactly one of {allowed} is needed, found {' and '.join(found) or 'none'}")


def checked(check: Callable[[str], object]) -> AfterValidator:
    """A validator that keeps the text as written when `check` does not raise ValueError."""

    def keep(text: str) -> str:
        check(text)
        return text

    return AfterValidator(keep)


SHAPES: Final[dict[str, str]] = {}
"""What each pattern means, in words for whoever wrote something else."""


def shaped(pattern: str, words: str, *, low: int = 1, high: int = 256) -> FieldInfo:
    """A text of `low` to `high` characters that matches `pattern`, which `words` describe to authors."""
    SHAPES[pattern] = words
    field: FieldInfo = Field(min_length=low, max_length=high, pattern=pattern)
    return field


def _as_list(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _no_fragment(url: str) -> None:
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    if "#" in url or "@" in authority or not url.isascii():
        raise Malformed("the URL must hold no user information, fragment or character outside ASCII")


ObjectName: TypeAlias = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "lower-case letters, digits, `-` and `.`, as Kubernetes names objects",
        high=253,
    ),
]
"""A Kubernetes object name (RFC 1123 subdomain)."""

Label: TypeAlias = Annotated[
    str, shaped(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "lower-case letters, digits and `-`", high=63)
]
"""A name inside an object (RFC 1123 label)."""

HostPattern: TypeAlias = Annotated[
    str,
    shaped(
        r"^(\*|(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])$",
        "a host in lower case without scheme, port or trailing dot, such as `api.example`, `*.example` or `*`",
        high=253,
    ),
]
"""A host in lower case without port, `*.` before it for its subdomains, or `*` for every host."""

Method: TypeAlias = Annotated[str, Field(min_length=1, max_length=32), checked(parse_method)]
"""A request method; case matters."""

LiteralPath: TypeAlias = Annotated[
    str, shaped("^/", "a path that begins with `/`", high=1024), checked(parse_policy_path)
]
"""A path without query."""

Pattern: TypeAlias = Annotated[str, Field(min_length=1, max_length=512), checked(regex)]
"""A regular expression in RE2 syntax, matched against the whole path."""

Template: TypeAlias = Annotated[
    str, shaped("^/.", "a path that begins with `/`, with `{name}` for a segment", high=1024), checked(template)
]
"""A path in which a whole segment may be `{name}`, standing for any one segment that is not empty."""

_TOKEN: Final = r"^[a-z0-9!#$%&'*+.^_`|~-]+$"
HeaderName: TypeAlias = Annotated[str, shaped(_TOKEN, "a header name in lower case", high=128)]
"""A header name in lower case."""

HeaderValue: TypeAlias = Annotated[
    str, shaped(r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", "printable ASCII without spaces at its ends", high=1024)
]
"""A header value in printable ASCII."""

CookieName: TypeAlias = Annotated[str, shaped(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "a cookie name", high=128)]
"""A cookie name (RFC 6265, section 4.1.1)."""

ParameterName: TypeAlias = Annotated[str, shaped(r"^[A-Za-z0-9._~-]+$", "letters, digits and `-._~`", high=64)]
"""A query parameter that needs no percent-encoding."""

Word: TypeAlias = Annotated[str, shaped(r"^[\x20-\x7e]+$", "printable ASCII")]
"""Printable ASCII."""

ClaimWord: TypeAlias = Word
"""A claim by name, or by JSON Pointer (RFC 6901) when it begins with `/`."""

ClaimWords: TypeAlias = Annotated[tuple[ClaimWord, ...], BeforeValidator(_as_list), Field(max_length=8)]
"""One claim, or a list tried in order; an empty list for none."""

Scope: TypeAlias = Annotated[
    str, shaped(r"^[\x21\x23-\x5b\x5d-\x7e]+$", 'printable ASCII without spaces, `"` and `\\`')
]
"""One scope token (RFC 6749, section 3.3)."""

Realm: TypeAlias = Annotated[
    str, shaped(r"^[\x20\x21\x23-\x5b\x5d-\x7e]+$", 'printable ASCII without `"` and `\\`', high=128)
]
"""A protection space (RFC 9110, section 11.5)."""

IssuerTemplate: TypeAlias = Annotated[
    str,
    shaped(
        r"^[\x21-\x7a|\x7e]*\{[A-Za-z_]+\}[\x21-\x7a|\x7e]*$",
        "printable ASCII without spaces, with one `{name}` for the tenant",
        low=3,
        high=2048,
    ),
]
"""An issuer with one placeholder for the tenant."""

Tenant: TypeAlias = Annotated[str, shaped(r"^[A-Za-z0-9._-]+$", "letters, digits and `._-`", high=128)]
"""What a tenant is called in `iss`."""

TrustDomain: TypeAlias = Annotated[
    str, shaped(r"^[a-z0-9._-]+$", "a SPIFFE trust domain: lower-case letters, digits and `._-`", high=255)
]
"""A SPIFFE trust domain (SPIFFE-ID, section 2.1)."""

DataKey: TypeAlias = Annotated[str, shaped(r"^[-._a-zA-Z0-9]+$", "letters, digits and `-._`", high=253)]
"""The name of an entry in a Secret or ConfigMap."""

Issuer: TypeAlias = Annotated[str, shaped(r"^[\x21-\x7e]+$", "printable ASCII without spaces", high=2048)]
"""An `iss` claim, byte for byte."""

HttpsUrl: TypeAlias = Annotated[
    str, shaped(r"^https?://[^\s/]+", "a URL that begins with `https://`", low=9, high=2048), checked(_no_fragment)
]
"""An https URL. http is read too, and refused when keys are fetched unless loopback http is allowed for development."""

FilePath: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
"""A file, relative to the policy file that names it."""

CaPem: TypeAlias = Annotated[str, shaped("-----BEGIN CERTIFICATE-----", "certificates in PEM", high=262_144)]
"""Certificates in PEM."""

TokenLifetime: TypeAlias = Annotated[Seconds, Between(1, 400 * 86400)]
ClockSkew: TypeAlias = Annotated[Seconds, Between(0, 300)]
Window: TypeAlias = Annotated[Seconds, Between(1, 31 * 86400)]
RetryWithin: TypeAlias = Annotated[Seconds, Between(0.1, 5)]
RefreshInterval: TypeAlias = Annotated[Seconds, Between(30, 86400)]
MaxStale: TypeAlias = Annotated[Seconds, Between(30, 7 * 86400)]
MaxAge: TypeAlias = Annotated[Seconds, Between(0, 31 * 86400)]


def claim_paths(words: tuple[str, ...]) -> tuple[ClaimPath, ...]:
    """Claim words as the model's type."""
    return tuple(ClaimPath(word) for word in words)
