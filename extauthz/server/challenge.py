"""The `WWW-Authenticate` challenge of a denial: RFC 6750, section 3; RFC 9728, section 5.1; RFC 9470, section 3.

A challenge is written from our own words and the policy's settings, never from the request. Each parameter has its
own alphabet; one that does not fit is left out, for a challenge that parses wrongly misleads every client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from math import isfinite
from typing import Final

from extauthz.model.reason import Reason
from extauthz.model.verdict import Challenge

_TEXT: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""What `error_description` may hold (RFC 6750, section 3): printable ASCII without quote and backslash, so that a
quoted string of it needs no escapes. `realm` is held to the same."""

_WORD: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""The same without the space: one scope token (RFC 6749, section 3.3), one acr value, a URL."""

_INSUFFICIENT_SCOPE: Final = "insufficient_scope"
_STEP_UP: Final = "insufficient_user_authentication"
_SCOPE_HELPS: Final = frozenset({"", _INSUFFICIENT_SCOPE, _STEP_UP})


@lru_cache(maxsize=1024)
def www_authenticate(reason: Reason, challenge: Challenge) -> str | None:
    """The value of `WWW-Authenticate`, or None for a reason that a new token would not mend.

    INVARIANT: no parameter occurs twice, and there is at least one (RFC 6750, section 3).
    """
    if reason.error is None:
        return None
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in _parameters(reason, reason.error, challenge))


def _parameters(reason: Reason, error: str, challenge: Challenge) -> Iterator[tuple[str, str]]:
    yield "realm", challenge.realm if _TEXT.fullmatch(challenge.realm) else Challenge().realm
    # Without a credential there was no error to tell of (RFC 6750, section 3.1).
    if error:
        yield "error", error
        yield "error_description", reason.text
    if error in _SCOPE_HELPS:
        yield from _words("scope", challenge.scopes)
    if error == _STEP_UP:
        yield from _words("acr_values", challenge.acr_values)
        yield from _max_age(challenge)
    if challenge.resource_metadata is not None:
        yield from _words("resource_metadata", (challenge.resource_metadata,))


def _words(name: str, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A list parameter, all or nothing: a client that asks for half of the scopes is refused again."""
    if words and all(_WORD.fullmatch(word) for word in words):
        yield name, " ".join(words)


def _max_age(challenge: Challenge) -> Iterator[tuple[str, str]]:
    """Whole seconds, rounded down: an authentication that the client thinks recent enough must be."""
    if challenge.max_age is not None and isfinite(challenge.max_age) and challenge.max_age >= 0:
        yield "max_age", str(int(challenge.max_age))
