"""What is known of one identity provider: the TokenIssuer that lets its access tokens in, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PLACEHOLDER: Final = re.compile(r"<([a-z]+)>", re.ASCII)
_PLAIN: Final = re.compile(r"[!#-&(-\[\]-~]+", re.ASCII)
UNFILLED: Final = "FILL-IN"
"""What a value begins with that only the operator knows."""


class WrongUrl(ValueError):
    """The URL is none of this provider's, or the audience none of anybody's. The message says what one looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokens:
    """How a provider's ID tokens (OpenID Connect Core 1.0, section 2) are like its access tokens, where they can be for
    the same audience and what `spec` demands keeps them out."""

    known_by: str
    """A regular expression for issuers, or claims in `mapping`, that are nobody else's."""
    audience: str
    """The same for what they have in `aud`: the client's id."""
    common: frozenset[str] = frozenset()
    """Claims beside the standard's that they have as well. To demand one of these keeps none of them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, or one of the shapes that its tokens come in."""

    name: str
    """How it is called on the command line."""
    title: str
    url: str
    """A regular expression for the issuer's URL; its groups may be named in `spec`."""
    example: str
    """A URL that the expression takes."""
    spec: str
    """The spec of the TokenIssuer in YAML, with `<issuer>`, `<audience>` and the groups of `url` to be filled in."""
    audience: str
    """What the audience is at this provider, in words."""
    audience_example: str = "https://api.example"
    fill: tuple[str, ...] = ()
    """What remains to be filled in or looked at."""
    notes: tuple[str, ...] = ()
    """What to know of its tokens, a sentence or two each."""
    id_tokens: IdTokens | None = None
    """None where settings do not tell whose tokens they are for, or the audience alone keeps ID tokens out."""

    def values(self, url: str) -> Mapping[str, str]:
        """The parts of a URL. Raises WrongUrl when it is none of this provider's."""
        found = re.fullmatch(self.url, url)
        if found is None or _PLAIN.fullmatch(url) is None:
            raise WrongUrl(f"`{url[:200]}` is no issuer of {self.title}; one looks like `{self.example}`")
        return {"issuer": url, **found.groupdict()}

    def write(self, url: str, audience: str | None = None) -> str:
        """The spec for an issuer. Raises WrongUrl, for an audience that no token has as well."""
        if audience is not None and _PLAIN.fullmatch(audience) is None:
            raise WrongUrl("an audience is printable ASCII without spaces, quotes and backslashes")
        values = {**self.values(url), "audience": audience or f"{UNFILLED}-audience"}
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), self.spec)
