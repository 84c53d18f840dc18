"""From TokenRevocation objects to the index of what is revoked, without reading again what did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import is_not

from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef
from extauthz.policy.issuers import Issuers
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.problem import Problem, Unmet
from extauthz.policy.remembered import Remembered, digest_of
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.policy.revocations import EVERYWHERE, FOREVER, Entry, Revocations
from extauthz.policy.revoked import entry_of, salvage


@dataclass(frozen=True, slots=True)
class Revoked:
    """All TokenRevocations of a set."""

    index: Revocations | None
    """None when none of them counts."""
    digest: bytes
    """Of the content of all objects."""
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class _Last:
    """What a set came to."""

    items: list[Parsed | Broken]
    issuers: Issuers
    now: Instant | None
    until: Instant
    """When the first of those that count is over."""
    revoked: Revoked

    def holds(self, items: list[Parsed | Broken], issuers: Issuers, now: Instant | None) -> bool:
        """Whether it is the same for this set: the very same objects, beside the same issuers, none of them over."""
        if len(items) != len(self.items) or any(map(is_not, items, self.items)):
            return False
        in_time = now is self.now if now is None or self.now is None else self.now <= now < self.until
        mine, others = self.issuers, issuers
        same = (mine.good, mine.allowed, mine.broken) == (others.good, others.allowed, others.broken)
        return in_time and same


class Revoking:
    """Compiles the TokenRevocations of one set of objects after the other."""

    def __init__(self, install_namespace: str) -> None:
        self._install_namespace = install_namespace
        self._read = Remembered(self._read_one)
        self._last: _Last | None = None

    def compile(self, items: Iterable[Parsed | Broken], issuers: Issuers, now: Instant | None) -> Revoked:
        """The index of a set, without what is over at `now`.

        INVARIANT: requests are decided later than `now`, so that leaving those out changes no decision.
        """
        found, last = list(items), self._last
        if last is not None and last.holds(found, issuers, now):
            return last.revoked
        read = self._read.all(found)
        entries = [entry for _, entry in read if isinstance(entry, Entry)]
        problems = list(_without_issuer(entries, issuers))
        known = sorted({*issuers.good, *issuers.broken})
        for _, broken in read:
            if isinstance(broken, Broken):
                problems += broken.problems
                entries += salvage(broken, self._install_namespace, known)
        live = [entry for entry in entries if now is None or now < entry.mark.expires]
        digest = hashlib.sha256(b"".join(sorted(digest for digest, _ in read))).digest()
        revoked = Revoked(Revocations(live) if live else None, digest, sorted(problems, key=str))
        until = min((entry.mark.expires for entry in live), default=FOREVER)
        self._last = _Last(found, issuers, now, until, revoked)
        return revoked

    def _read_one(self, item: Parsed | Broken) -> tuple[bytes, Entry | Broken]:
        match item:
            case Parsed(spec=TokenRevocationSpec() as spec):
                return digest_of(item), entry_of(spec, item.ref, self._install_namespace)
            case Broken():
                return digest_of(item), item
            case _:
                raise AssertionError("a TokenRevocation has the spec of one")


def _without_issuer(entries: Iterable[Entry], issuers: Issuers) -> Iterator[Problem]:
    """Objects that name an issuer which their namespace cannot have: they revoke nothing, and must not seem to."""
    found = {
        (issuer, namespace): _why_not(issuer, namespace, issuers)
        for issuer, namespace in {(entry.issuer, entry.namespace) for entry in entries}
    }
    for entry in entries:
        why = found[entry.issuer, entry.namespace]
        if why is not None:
            yield Problem(entry.mark.ref, ("spec", "issuer"), why.words, why.cause)


def _why_not(issuer: IssuerRef, namespace: str, issuers: Issuers) -> Unmet | None:
    """Why a namespace cannot have an issuer. One with mistakes of its own is there, and may be mended."""
    if issuer in issuers.broken or (namespace == EVERYWHERE and issuer in issuers.good):
        return None
    found = issuers.resolve(issuer, namespace)
    return found if isinstance(found, Unmet) else None
