"""When a TokenRevocation is over, and which ones were over before they were there.

One that is over is of no use any longer and is pruned. One that was over when it was created never revoked anything:
somebody mistyped a year, or a tool applied an old file again. Its author is told, so it is left where it is, unless
there are very many.
"""

from __future__ import annotations

import math
from typing import Final

from extauthz.model.time import Instant
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.revocation import TokenRevocationSpec, instant_of

GRACE: Final = 300.0
"""Seconds after its `expires` that a revocation is kept, for clocks that differ."""
LEFT: Final = 500
"""How many that never counted are left of each namespace. Those beyond, which something writes without end, are pruned:
their author is told by the others."""


def expires_of(item: Parsed | Broken) -> Instant | None:
    """When a TokenRevocation is over; None for what is none, or has mistakes."""
    if isinstance(item, Parsed) and isinstance(item.spec, TokenRevocationSpec):
        return instant_of(item.spec.expires)
    return None


def has_expired(item: Parsed | Broken, now: Instant) -> bool:
    """Whether it is a TokenRevocation that is over."""
    expires = expires_of(item)
    return expires is not None and expires <= now


def never_counted(item: Parsed | Broken) -> bool:
    """Whether it is a TokenRevocation that was created after it was over, by more than clocks may differ.

    The API server's `creationTimestamp` tells; without one, nobody can know.
    """
    expires = expires_of(item)
    return expires is not None and not math.isinf(item.created) and expires + GRACE <= item.created
