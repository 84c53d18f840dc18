"""Maps from claims, headers and labels: what their names may be, said in CEL, and what a claim is compared with.

An API server checks no name of a map by pattern, and takes the length of a name for unbounded, so that it refuses a
rule that reads one as a whole. Character by character the cost is known.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema

from extauthz.policy.incluster import InCluster
from extauthz.policy.ruled import ApiServer
from extauthz.policy.words import ClaimWord, HeaderName

_WIDTH: Final = 16


def map_names(test: str, longest: int, words: str) -> ApiServer:
    """Each name of a map has 1 to `longest` characters that pass `test`, which is CEL over `sign`."""
    starts, steps = list(range(0, longest, _WIDTH)), list(range(_WIDTH))
    passed = test.replace("sign", "name.charAt(start + step)")
    each = f"{starts}.all(start, {steps}.all(step, start + step >= name.size() || {passed}))"
    return ApiServer(rules=((f"self.all(name, name.size() > 0 && name.size() <= {longest} && {each})", words),))


_CLAIMS: Final = map_names("sign >= ' ' && sign <= '~'", 256, "a claim has 1 to 256 characters of printable ASCII")
_SIGNS: Final = [*"!#$%&*+.^_`|~-", "'"]
_HEADERS: Final = map_names(
    f"(sign >= 'a' && sign <= 'z' || sign >= '0' && sign <= '9' || sign in {_SIGNS})",
    128,
    "a header name has 1 to 128 characters: lower-case letters, digits and signs such as `-`",
)

_MOST: Final = 2**53 - 1


def _comparable(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("in a cluster, write truth values under `claimFlags`")
    if not isinstance(value, str | int):
        raise ValueError("in a cluster, a text or a whole number is needed")
    if len(value) > 1024 if isinstance(value, str) else abs(value) > _MOST:
        raise ValueError(f"allowed is a text of at most 1024 characters, or a number of at most {_MOST}")
    return value


_Comparable: TypeAlias = Annotated[
    Any,
    AfterValidator(_comparable),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 1024,
            "minimum": -_MOST,
            "maximum": _MOST,
            "description": "A text or a whole number.",
        }
    ),
]

ClaimValues: TypeAlias = Annotated[
    dict[ClaimWord, Annotated[Any, InCluster(_Comparable, "write a text or a whole number")]],
    Field(max_length=32),
    _CLAIMS,
]
"""Claims and JSON values; in a cluster, texts and whole numbers."""

ClaimFlags: TypeAlias = Annotated[
    dict[ClaimWord, Annotated[bool, Field(description="What the claim must be.")]], Field(max_length=32), _CLAIMS
]
"""Claims and truth values."""

ClaimHeaders: TypeAlias = Annotated[dict[HeaderName, ClaimWord], Field(max_length=16), _HEADERS]
"""Headers and the claims that they are set from."""
