"""Hostnames of listeners and routes, and what two of them have in common (Gateway API, `HTTPRouteSpec.hostnames`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from extauthz.policy.grants import Grants, covers, granted

ANY: Final = "*"
"""Every host: what a listener without a hostname takes."""

_LABEL: Final = "[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?"
_HOSTNAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.ASCII)
_MAX: Final = 253


def is_hostname(found: object) -> bool:
    """Whether this is a hostname as Gateway API has them: exact, or with `*.` before it."""
    return isinstance(found, str) and len(found) <= _MAX and _HOSTNAME.fullmatch(found) is not None


def meet(one: str, other: str) -> str | None:
    """The hosts that both take: the more specific of the two, None when there is none."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def met(some: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """All that any of the first has in common with any of the second."""
    second = tuple(others)
    found = (meet(one, other) for one in some for other in second)
    return tuple(dict.fromkeys(host for host in found if host is not None))


def clipped(grants: Grants | None, namespace: str, host: str) -> tuple[str, ...]:
    """What of a host the namespace may claim; with None, where nobody shares, all of it.

    INVARIANT: nothing that comes out is outside the grants, whatever a route says.
    """
    if grants is None or granted(grants, namespace, host):
        return (host,)
    mine = (grant for grant in grants.get(namespace, ()) if grant == ANY or is_hostname(grant))
    return met((host,), mine)
