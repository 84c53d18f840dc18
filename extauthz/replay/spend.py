"""What a request spends, and under which keys.

A spend is one count that a request draws on: a use of a token, a request within a rate, or the tie of a token to its
caller. `plan` says what a request spends, the store commits it, all or none.

INVARIANT: a key tells an outsider nothing. It is HMAC-SHA256 (RFC 2104) under a secret pepper over parts that each
carry their length, so that no two lists of parts read alike. Limits and windows are no parts: editing a number keeps
the count.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant, Seconds

_FORMAT: Final = "extauthz/1"
"""Begins every list of parts; a change of what the parts mean gets another number."""

_KEY_BYTES: Final = 16
"""Keys are cut to 128 bits. Without the pepper nobody can search for two parts of one key, so only chance is left:
among 2^30 live keys two fall together with a probability below 2^-68, and then a request is refused, none admitted."""

_LEAST_PEPPER: Final = 32

Parts: TypeAlias = "tuple[str | bytes, ...]"


class Pepper:
    """The secret under which keys are derived. Replicas that share counts share it; a new one forgets every count.

    Unless it knows the previous one: then everything is counted under both, and none of the counts is forgotten.
    """

    __slots__ = ("_fingerprints", "_secret", "previous")

    def __init__(self, secret: bytes, previous: Pepper | None = None) -> None:
        """Take at least 32 secret random bytes (RFC 2104, section 3). Raises ValueError for fewer."""
        if len(secret) < _LEAST_PEPPER:
            raise ValueError(
                f"a pepper of {len(secret)} bytes can be guessed; give at least {_LEAST_PEPPER} random ones"
            )
        self._secret = secret
        self._fingerprints = hashlib.blake2b(key=self._digest("log", ()), digest_size=8)
        self.previous: Final = previous

    @property
    def all(self) -> tuple[Pepper, ...]:
        """This one, and the previous one where there is one."""
        return (self,) if self.previous is None else (self, self.previous)

    @property
    def name(self) -> str:
        """Sixteen hexadecimal digits by which people tell peppers apart, and which lead back to none."""
        return self._digest("name", ())[:8].hex()

    def shares_counts(self, other: Pepper) -> bool:
        """Whether what is counted under the one is found under the other."""
        return not {each.name for each in self.all}.isdisjoint(each.name for each in other.all)

    def key(self, kind: str, *parts: str | bytes) -> bytes:
        """The key for a list of parts, 16 bytes. Different kinds never share a key."""
        return self._digest(kind, parts)[:_KEY_BYTES]

    def fingerprint(self, identity: bytes) -> str:
        """Sixteen hexadecimal digits that tell tokens apart in a log and lead back to none (BLAKE2b, RFC 7693)."""
        found = self._fingerprints.copy()
        found.update(identity)
        return found.hexdigest()

    def pseudonym(self, name: str, text: str) -> str:
        """What stands for a text in a log: the same for equal texts under one name, and nothing leads back to it."""
        return f"~{self._digest('pseudonym', (name, text))[:8].hex()}"

    def _digest(self, kind: str, parts: Parts) -> bytes:
        message = _beginning(kind)
        for part in parts:
            octets = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            message += len(octets).to_bytes(4, "big") + octets
        return hmac.digest(self._secret, message, "sha256")


def counted_as(key: bytes) -> str:
    """Eight hexadecimal digits that tell in a log whether requests share a count, and lead back to none."""
    return hashlib.sha256(key).hexdigest()[:8]


@cache
def _beginning(kind: str) -> bytes:
    """What every list of parts of a kind begins with. Kinds are words of this program, so there are few."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in (_FORMAT.encode("ascii"), kind.encode("ascii")))


@dataclass(frozen=True, slots=True)
class Grace:
    """Leave to repeat one request after a lost response: the same fingerprint within the time is not counted."""

    fingerprint: bytes
    within: Seconds
    """From the use that was counted, at most 10 s. A repeat does not prolong it."""
    once: bool = False
    """Whether the first repeat uses it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """The first commit ties the key to a value; another value is refused until then."""

    key: bytes
    value: bytes
    until: Instant
    reason: Reason = Reason.TOKEN_BOUND_ELSEWHERE
    step: Step = Step.BINDING
    label: str = "bindTo"
    company: bytes = b""
    """The key of what it is always counted with, whose slot it shares in a cluster; empty for its own slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One of at most `max_uses` uses of the key before `until`."""

    key: bytes
    max_uses: int
    until: Instant
    """The instant before which the use must not be forgotten."""
    reason: Reason = Reason.TOKEN_REUSED
    step: Step = Step.REUSE
    grace: Grace | None = None
    label: str = "reuse"
    company: bytes = b""
    """As with a `Bind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One of at most `amount` requests in any interval of length `window`."""

    key: bytes
    amount: int
    window: Seconds
    reason: Reason = Reason.RATE_EXCEEDED
    step: Step = Step.LIMITS
    allow_on_store_error: bool = False
    label: str
    company: bytes = b""
    """As with a `Bind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Marks the key until then: whatever asks that there is no mark is refused. To mark it again may prolong that."""

    key: bytes
    until: Instant
    reason: Reason = Reason.TOKEN_REVOKED
    step: Step = Step.REUSE
    label: str = "family"
    company: bytes = b""
    """As with a `Bind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmarked:
    """Asks whether the key is free of a mark. Counts nothing, so it makes no key and takes no room.

    INVARIANT: a mark outlives what is counted beside this: a server that forgets too early is noticed by that.
    """

    key: bytes
    until: Instant
    """Until when a mark would have to be kept that was made now."""
    reason: Reason = Reason.TOKEN_REVOKED
    step: Step = Step.REUSE
    label: str = "family"
    company: bytes = b""
    """As with a `Bind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Room in an account that holds at most so many keys, for those that the counts before it make.

    That is every count back to the last `Room` before them. Keys that it pays for already cost nothing, so an account
    that is full still counts what it knows.
    """

    key: bytes
    most: int
    reason: Reason = Reason.STORE_QUOTA
    step: Step = Step.STORE
    label: str


Count: TypeAlias = Bind | Use | Rate | Mark

Asked: TypeAlias = Count | Unmarked
"""What is asked of one key, and may count there."""

Spend: TypeAlias = Asked | Room
