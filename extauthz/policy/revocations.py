"""All TokenRevocations as one immutable index: to ask about a token takes a fixed number of look-ups.

Each combination of fields that objects name (`subject`; `subject` and `client`; …) is a table of its own, with the
values as its key. A token is looked up once in each, however many objects there are: there can be 17 of a namespace,
and 17 that count everywhere.

INVARIANT: a namespace revokes for itself alone. What its objects say counts for requests under its own policies; only
an object of the install namespace that names a ClusterTokenIssuer counts for all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.problem import ObjectRef

EVERYWHERE: Final = ""
"""Stands for all namespaces. No policy with a token is in a namespace without a name."""
FOREVER: Final = Instant(math.inf)

FIELDS: Final = ("jti", "subject", "session", "client", "token_hash")
"""What may be said about a token, in the order of `_values`."""
_WRITTEN: Final = ("jti", "subject", "session", "client", "tokenHash")
"""The same as authors write it."""
_ALWAYS: Final = len(FIELDS)
"""A field that all tokens share, for objects that mean every token of an issuer."""


class Mark(NamedTuple):
    """What one object says of the tokens that it names."""

    issued_before: Instant
    """Those issued earlier are revoked; infinite for all."""
    expires: Instant
    """The first instant at which the object no longer counts."""
    ref: ObjectRef
    broken: str | None = None
    """What is wrong with the object, in one that could not be read as a whole."""

    def covers(self, issued: object) -> bool:
        """Whether it means a token with this `iat`. Without one nobody can tell that the token came later."""
        if self.issued_before == math.inf or isinstance(issued, bool) or not isinstance(issued, int | float):
            return True
        return issued < self.issued_before


class Entry(NamedTuple):
    """One object, ready for the index."""

    issuer: IssuerRef
    namespace: str
    """Whose policies it counts for, or EVERYWHERE."""
    fields: int
    """Which of FIELDS it names: a bit for each, the first the lowest. A number, because there can be very many."""
    key: Any
    """Their values: a tuple, or the value itself where there is one."""
    mark: Mark


_Marks: TypeAlias = "Mark | tuple[Mark, ...]"
"""One mark, or those with an equal key: rising in `expires`, so falling in `issued_before`; the others add nothing."""


class _Table(NamedTuple):
    pick: Callable[[tuple[Any, ...]], Any]
    """The key of a token, from its values."""
    marks: Mapping[Any, _Marks]
    means: str
    """Which tokens its objects mean, for operators: by the fields that they name, never by a value."""


class Revocations:
    """The index. Immutable by convention: nothing is assigned after construction."""

    __slots__ = ("_tables", "count")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.count = 0
        """How many objects are in it."""
        grouped: defaultdict[tuple[IssuerRef, str], defaultdict[int, dict[Any, _Marks]]]
        grouped = defaultdict(lambda: defaultdict(dict))
        crowds: defaultdict[tuple[IssuerRef, str, int, Any], list[Mark]] = defaultdict(list)
        for issuer, namespace, fields, key, mark in entries:
            self.count += 1
            first = grouped[issuer, namespace][fields].setdefault(key, mark)
            if first is not mark:
                crowds[issuer, namespace, fields, key].append(mark)
        for (issuer, namespace, fields, key), crowd in crowds.items():
            marks = grouped[issuer, namespace][fields]
            first = marks[key]
            marks[key] = tuple(_frontier([*crowd, first] if isinstance(first, Mark) else crowd))
        self._tables: dict[IssuerRef, dict[str, tuple[_Table, ...]]] = {}
        for (issuer, namespace), tables in grouped.items():
            found = tuple(_Table(_picker(fields), marks, _meant(fields)) for fields, marks in tables.items())
            self._tables.setdefault(issuer, {})[namespace] = found

    def refuse(self, token: VerifiedToken, namespace: str, now: Instant) -> Refusal | None:
        """Why a policy of this namespace must not accept the token at `now`; None when no object says so."""
        tables = self._tables.get(token.trust.ref)
        if tables is None:
            return None
        values = _values(token)
        for scope in (namespace, EVERYWHERE):
            for pick, marks, means in tables.get(scope, ()):
                found = marks.get(pick(values))
                if found is not None:
                    mark = found if isinstance(found, Mark) else _latest(found, now)
                    if now < mark.expires and mark.covers(token.claims.get("iat")):
                        return _refusal(mark, token, means)
        return None


def key_of(values: Mapping[str, str | bytes | None]) -> tuple[int, Any]:
    """The fields and the key of an object that says this; one that says nothing means every token."""
    said = [(1 << at, values[name]) for at, name in enumerate(FIELDS) if values.get(name) is not None]
    if not said:
        return 1 << _ALWAYS, True
    key = tuple(value for _, value in said)
    return sum(bit for bit, _ in said), key if len(key) > 1 else key[0]


def _picker(fields: int) -> Callable[[tuple[Any, ...]], Any]:
    return itemgetter(*(at for at in range(_ALWAYS + 1) if fields >> at & 1))


def _meant(fields: int) -> str:
    said = [f"`{_WRITTEN[at]}`" for at in range(_ALWAYS) if fields >> at & 1]
    return f"the token, by its {' and '.join(said)}" if said else "every token of the issuer"


def _values(token: VerifiedToken) -> tuple[Any, ...]:
    session = token.claims.get("sid")
    return (
        token.token_id,
        token.subject,
        session if isinstance(session, str) else None,
        token.client,
        token.signing_hash,
        True,
    )


def _frontier(marks: list[Mark]) -> Iterator[Mark]:
    """The marks of which no other lasts as long and covers as much, rising in `expires`."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (-mark.expires, -mark.issued_before)):
        if not kept or mark.issued_before > kept[-1].issued_before:
            kept.append(mark)
    return reversed(kept)


def _latest(marks: tuple[Mark, ...], now: Instant) -> Mark:
    """Of those that still count the one that covers most; the last, when none does."""
    at = bisect_right(marks, now, key=lambda mark: mark.expires)
    return marks[min(at, len(marks) - 1)]


def _refusal(mark: Mark, token: VerifiedToken, means: str) -> Refusal:
    ref = token.trust.ref
    if mark.broken is not None:
        words = f"{mark.broken}; until that is mended, every token that it could name is refused"
        return Refusal(Reason.POLICY_INVALID, words, issuer=ref, at=Step.REVOCATION)
    if mark.issued_before == math.inf:
        return Refusal(Reason.TOKEN_REVOKED, f"{mark.ref} revokes {means}", issuer=ref)
    why = "was issued before" if "iat" in token.claims else "has no `iat`, so nobody can tell that it came after"
    return Refusal(Reason.TOKEN_REVOKED, f"{mark.ref} revokes {means}; this one {why} its `issuedBefore`", issuer=ref)
