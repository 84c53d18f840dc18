"""The checked words that policies are written in: names, claims, durations, URLs, each with its bounds.

Every bound stands in the type, so that the parser, the reference page and the CRD schema read the same one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from extauthz.model.target import parse_method, parse_policy_path
from extauthz.model.time import MAX_CLOCK_SKEW, Seconds, format_duration, parse_duration
from extauthz.model.token import ClaimPath
from extauthz.policy.incluster import InCluster
from extauthz.policy.path import regex, template
from extauthz.policy.path_shape import COLON_NAME, LITERAL_PATH, METHOD, PATH_PATTERN, PATH_TEMPLATE, PATTERN_BREACHES
from extauthz.policy.ruled import ApiServer

STRICT: Final = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, use_attribute_docstrings=True)
"""How every spec is read: camelCase names, nothing coerced, nothing unknown, docstrings as descriptions."""


DURATION: Final = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$"
"""What `parse_duration` reads, but for the empty text."""


@dataclass(frozen=True, slots=True)
class Between:
    """Marks a duration field: Go style text, from `low` to `high` seconds, both included."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(strict=True, min_length=1, max_length=32)
        return core_schema.no_info_before_validator_function(
            _with_unit, core_schema.no_info_after_validator_function(self._read, text)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        low, high = format_duration(self.low), format_duration(self.high)
        within = f"duration(self) >= duration('{low}') && duration(self) <= duration('{high}')"
        found = ApiServer(DURATION, ((within, f"allowed is {low} to {high}"),)).amend(handler(schema))
        found["title"] = f"duration from {low} to {high}"
        return found

    def _read(self, text: str) -> Seconds:
        seconds = parse_duration(text)
        if not self.low <= seconds <= self.high:
            raise ValueError(f"allowed is {format_duration(self.low)} to {format_duration(self.high)}")
        return seconds


def _with_unit(value: object) -> object:
    """YAML reads `60` as a number, and quotes alone would not make a duration of it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("a duration has a unit; write it like `90s`, `10m` or `1h30m`")
    return value


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


_METHOD: Final = re.compile(METHOD, re.ASCII)


def _method(text: str) -> None:
    if text != text.upper():
        raise ValueError(f"methods are in upper case; did you mean `{text.upper()}`?")
    parse_method(text)
    if _METHOD.fullmatch(text) is None:
        raise ValueError("a method has letters, digits, `-` and `_`; name each by itself, and none for every method")


Method: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=32, description="A request method in upper case, such as `POST`."),
    checked(_method),
    ApiServer(METHOD),
]
"""A request method. Case matters, and no method in use has lower case or a sign besides these: `post`, `*` or
`GET|POST` would take no request at all, and leave those that it means to a laxer rule."""

_PATTERN_SIGNS: Final = "*{}<>|"
_NO_PATTERN: Final = (
    "write `prefix` for all below a path, `template` with `{name}` for a segment; for the character, `%2A`"
)


def _literal(text: str) -> None:
    """Refuses what looks like a pattern: taken as it stands it would fit no request, and leave what it means to a laxer
    rule."""
    _refuse_signs(text, _PATTERN_SIGNS)
    parse_policy_path(text)


def _template(text: str) -> None:
    _refuse_signs(text, _PATTERN_SIGNS.replace("{}", ""))
    template(text)


def _refuse_signs(text: str, signs: str) -> None:
    found = next((sign for sign in signs if sign in text), ":" if COLON_NAME.search(text) is not None else None)
    if found is not None:
        words = _NO_PATTERN.replace("2A", f"{ord(found):2X}")
        raise ValueError(f"`{found}` stands for nothing but itself here; {words}")


def _pattern(text: str) -> None:
    """Refuses a pattern that fits no path as paths are matched: whole, from their `/` on, and percent-encoded."""
    regex(text)
    found = next((words for breach, words in PATTERN_BREACHES if breach.search(text) is not None), None)
    if found is not None:
        raise ValueError(found)


LiteralPath: TypeAlias = Annotated[
    str, shaped("^/", "a path that begins with `/`", high=1024), checked(_literal), LITERAL_PATH
]
"""A path without query."""

Pattern: TypeAlias = Annotated[str, Field(min_length=1, max_length=512), checked(_pattern), PATH_PATTERN]
"""A regular expression in RE2 syntax, matched against the whole path as it is percent-encoded."""

Template: TypeAlias = Annotated[
    str,
    shaped("^/.", "a path that begins with `/`, with `{name}` for a segment", high=1024),
    checked(_template),
    PATH_TEMPLATE,
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

OtherGrant: TypeAlias = Literal[
    "authorization_code",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:openid:params:grant-type:ciba",
]
"""A `grant_type` whose requests hold no refresh token (RFC 6749, section 4; RFC 7523; RFC 8628; CIBA)."""

Word: TypeAlias = Annotated[str, shaped(r"^[\x20-\x7e]+$", "printable ASCII")]
"""Printable ASCII."""

Text: TypeAlias = Annotated[str, shaped(r"^[^\x00-\x1f\x7f]+$", "text without control characters", high=1024)]
"""What a claim may say."""

ClaimWord: TypeAlias = Word
"""A claim by name, or by JSON Pointer (RFC 6901) when it begins with `/`."""

_SomeClaims: TypeAlias = Annotated[tuple[ClaimWord, ...], Field(max_length=8)]
ClaimWords: TypeAlias = Annotated[
    _SomeClaims, BeforeValidator(_as_list), InCluster(_SomeClaims, "write a list, such as `[scope]`")
]
"""Claims, tried in order; an empty list for none. In a folder, a single one may stand without its list."""

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

_LOOPBACK: Final = r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?"
HttpsUrl: TypeAlias = Annotated[
    str,
    shaped(
        # RFC 3986: no user information, no fragment, no zone, and no character that a URL does not hold as it is.
        rf"^(https://[0-9A-Za-z._:\[\]-]+|http://{_LOOPBACK})([/?][!$-;=?-Z\[\]_a-z~]*)?$",
        "a URL that begins with `https://`, in ASCII, without user information and fragment",
        low=9,
        high=2048,
    ),
]
"""An https URL. `http://` is read for this machine only, and fetched when loopback http is allowed for development."""

FilePath: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=4096), InCluster(None, "name a Secret or ConfigMap, or write it inline")
]
"""A file, relative to the policy file that names it. In folders only."""

CaPem: TypeAlias = Annotated[str, shaped("-----BEGIN CERTIFICATE-----", "certificates in PEM", high=262_144)]
"""Certificates in PEM."""

TokenLifetime: TypeAlias = Annotated[Seconds, Between(1, 400 * 86400)]
ClockSkew: TypeAlias = Annotated[Seconds, Between(0, MAX_CLOCK_SKEW)]
Window: TypeAlias = Annotated[Seconds, Between(1, 31 * 86400)]
RetryWithin: TypeAlias = Annotated[Seconds, Between(0.1, 10)]
RefreshInterval: TypeAlias = Annotated[Seconds, Between(30, 86400)]
MaxStale: TypeAlias = Annotated[Seconds, Between(30, 7 * 86400)]
MaxAge: TypeAlias = Annotated[Seconds, Between(0, 31 * 86400)]


def claim_paths(words: tuple[str, ...]) -> tuple[ClaimPath, ...]:
    """Claim words as the model's type."""
    return tuple(ClaimPath(word) for word in words)
