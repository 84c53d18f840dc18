"""Which hosts a namespace may claim, where many teams share one service.

A Namespace's annotation says it, and whoever may write Namespaces decides. A host that is not granted is not claimed at
all: if such a policy denied it, one team could shut another's API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

HOSTS_ANNOTATION: Final = "extauthz.dev/hosts"
"""On a Namespace: the hosts that its policies may claim, separated by commas or blanks."""

Grants: TypeAlias = Mapping[str, tuple[str, ...]]
"""For each namespace the hosts granted: exact ones, `*.` and a domain for all below it, `*` for every host."""


def granted(grants: Grants | None, namespace: str, host: str) -> bool:
    """Whether policies of the namespace may claim this host; with None, where nobody shares, they all may."""
    return grants is None or any(covers(grant, host) for grant in grants.get(namespace, ()))


def covers(grant: str, host: str) -> bool:
    """Whether a host, or all that a wildcard stands for, is among what another stands for."""
    if grant in {"*", host}:
        return True
    # `*.example` covers `a.example`, `b.a.example` and `*.a.example`; never `example` itself, and never `*`.
    return grant.startswith("*.") and host.endswith(grant[1:]) and host != grant[1:]
