"""How a running replica sees the shared store: its breaker, from the admin port's `/readyz` and `/metrics`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from extauthz.cli.asking import NoAnswer, ask_admin

_UP: Final = re.compile(rb"^extauthz_store_up ([01])(?:\.0)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica's breaker."""

    address: str
    state: str
    """`closed`, `open`, `none` where the replica has no shared store, or `unknown` where it does not say."""
    trouble: str
    """What it says is wrong; empty for nothing."""

    @property
    def words(self) -> str:
        """For people."""
        return {
            "closed": "closed: requests are counted",
            "open": f"open: {self.trouble or 'requests are refused'}",
            "none": "none: it counts in no shared store",
            "unknown": f"unknown: {self.trouble}",
        }[self.state]


def ask_replica(address: str, timeout: float) -> Replica:
    """Ask the replica whose admin port this is. One that does not say keeps nobody from what others say."""
    try:
        return _asked(address, timeout)
    except NoAnswer as no:
        return Replica(address=address, state="unknown", trouble=str(no))


def _asked(address: str, timeout: float) -> Replica:
    up = _UP.search(ask_admin(address, "/metrics", timeout).body)
    try:
        missing = json.loads(ask_admin(address, "/readyz", timeout).body)["missing"]
        trouble = str(missing.get("store", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoAnswer(f"what answers at {address} is no admin port of extauthz") from None
    state = "none" if up is None else "open" if trouble or up[1] == b"0" else "closed"
    return Replica(address=address, state=state, trouble=trouble)
