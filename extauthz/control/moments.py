"""Times as Kubernetes writes them: RFC 3339 in UTC, in whole seconds (`Time`) or microseconds (`MicroTime`)."""

from __future__ import annotations

from datetime import UTC, datetime

from extauthz.model.time import Instant


def whole(at: Instant) -> str:
    """In whole seconds, cut off."""
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")


def micro(at: Instant) -> str:
    """In microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def exact(at: Instant) -> str:
    """With a fraction only where there is one."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
