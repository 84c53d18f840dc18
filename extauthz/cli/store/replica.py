"""How a running replica sees the shared store: its breaker, from the admin port's `/readyz` and `/metrics`."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from typing import Final

_UP: Final = re.compile(rb"^extauthz_store_up ([01])(?:\.0)?$", re.MULTILINE)
_LONGEST: Final = 8 << 20


class NoAnswer(Exception):
    """The replica did not say. The message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica's breaker."""

    address: str
    state: str
    """`closed`, `open`, or `none` where the replica has no shared store."""
    trouble: str
    """What it says is wrong; empty for nothing."""

    @property
    def words(self) -> str:
        """For people."""
        return {
            "closed": "closed: requests are counted",
            "open": f"open: {self.trouble or 'requests are refused'}",
            "none": "none: it counts in no shared store",
        }[self.state]


def ask_replica(address: str, timeout: float) -> Replica:
    """Ask the replica whose admin port this is. Raises NoAnswer."""
    up = _UP.search(_get(address, "/metrics", timeout))
    try:
        missing = json.loads(_get(address, "/readyz", timeout))["missing"]
        trouble = str(missing.get("store", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoAnswer(f"what answers at {address} is no admin port of extauthz") from None
    state = "none" if up is None else "open" if trouble or up[1] == b"0" else "closed"
    return Replica(address=address, state=state, trouble=trouble)


def _get(address: str, path: str, timeout: float) -> bytes:
    host, colon, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    if not colon or not port.isdecimal():
        raise NoAnswer(f"`{address}` is no address of an admin port, which is HOST:PORT")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(
            f"{address} does not answer: {getattr(error, 'strerror', None) or type(error).__name__}"
        ) from error
    finally:
        connection.close()
