"""What other authorization servers reach, measured elsewhere: another machine, one run, one core for the server.

They got CheckRequests of the same size with an RS256 token, 32 in flight, and every answer was looked at. Only their
ratios to that run's own yardsticks are worth comparing: an empty grpcio handler, and PyJWT's bare RS256 decode.
None of them counts how often a token is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EMPTY_PER_SECOND: Final = 10_649.0
"""Calls a second of an empty grpcio handler with 4 threads, in that run."""
DECODE_MICROSECONDS: Final = 48.0
"""PyJWT's bare RS256 decode on that machine."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of the same trade."""

    name: str
    per_second: float
    """Checks a second with one token."""
    new_per_second: float
    """With tokens never seen before."""
    microseconds: float
    """CPU of the server for one Check."""


PEERS: Final = (
    Peer("heimdall 0.17 (Go)", 8_662, 8_482, 112),
    Peer("OPA-Envoy 1.19 (Go)", 3_963, 3_718, 244),
    Peer("Authorino 0.27 (Go), JSON patterns", 3_242, 2_980, 318),
    Peer("Authorino 0.27 (Go), CEL", 1_521, 1_437, 605),
)
