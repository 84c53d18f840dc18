"""When a TokenRevocation is over, and which ones were over before they were there.

One that is over is of no use any longer and is pruned. One that was over when it was created never revoked anything:
somebody mistyped a year, or a tool applied an old file again. Its author is told, and it is left where it is, unless
there are very many, or clocks may have differed by so much.
"""

from __future__ import annotations

import math
from typing import Final

from extauthz.model.time import Instant
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.revocation import TokenRevocationSpec, instant_of

GRACE: Final = 300.0
"""Seconds after its `expires` that a revocation is kept, for clocks that differ."""


def expires_of(item: Parsed | Broken) -> Instant | None:
    """When a TokenRevocation is over; None for what is none, or has mistakes."""
    if isinstance(item, Parsed) and isinstance(item.spec, TokenRevocationSpec):
        return instant_of(item.spec.expires)
    return None


def has_expired(item: Parsed | Broken, now: Instant) -> bool:
    """Whether it is a TokenRevocation that is over."""
    expires = expires_of(item)
    return expires is not None and expires <= now


def over_from_the_start(item: Parsed | Broken) -> bool:
    """Whether it is a TokenRevocation that was over when it was created.

    The API server's `creationTimestamp` tells; without one, nobody can know.
    """
    return _late_by(item) >= 0.0


def never_counted(item: Parsed | Broken) -> bool:
    """Whether it was so by more than clocks may differ."""
    return _late_by(item) >= GRACE


def _late_by(item: Parsed | Broken) -> float:
    """Seconds from its end to its creation; less than none where that cannot be told."""
    expires = expires_of(item)
    return -math.inf if expires is None or math.isinf(item.created) else item.created - expires
