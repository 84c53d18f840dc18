"""TokenRevocations with a `*` in a value, by somebody who takes it for a wildcard.

Values are compared byte for byte, so such an object revokes tokens that say exactly this, and there are none in all
likelihood. A `*` may stand in a `sub` or a `jti` (RFC 7519, sections 4.1.2 and 4.1.7), so it is no mistake, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.problem import Problem
from extauthz.policy.revocation import TokenRevocationSpec

_SELECTORS: Final = ("jti", "subject", "session", "client")
_WORDS: Final = (
    "has a `*`, which stands for nothing but itself: only tokens with exactly this value are revoked; write the value"
    " out, or for all of the issuer's tokens `issuedBefore` alone"
)


def taken_literally(objects: Iterable[Parsed | Broken]) -> Iterator[Problem]:
    """Each such value, and what to write where all are meant."""
    for each in objects:
        spec = each.spec if isinstance(each, Parsed) else None
        if not isinstance(spec, TokenRevocationSpec):
            continue
        for name in _SELECTORS:
            value = getattr(spec, name)
            if value is not None and "*" in value:
                yield Problem(each.ref, ("spec", name), _WORDS)
