"""A commit over several slots: slot by slot, with what can be given back first. No I/O here.

One script can write one slot only, so the spends of a request that lie in several are committed in steps, each all or
none. A step that can be given back comes before one that cannot. When a later step refuses, or nobody knows what became
of it, the earlier ones are given back.

INVARIANT: a request is admitted only when every step is counted and this try has given none of them back. What is given
back is remembered by the attempt at each slot together with the tries that rely on it: a count that another try of the
same attempt was admitted by is never given back, and a step that arrives after it was given back counts nothing.

INVARIANT: no key is made before the room for it is taken, and a room is given back only when none of its keys can be
left: so an account never holds less than what lives. What it holds too much ends by itself, when the key would have.

INVARIANT: a single use, a tie and a leave to repeat are never given back. They are committed last, and all that a
request has of them share a slot (two while a pepper is exchanged): so next to nothing can refuse after them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

from extauthz.model.time import Instant
from extauthz.replay.redis.fields import Paid
from extauthz.replay.redis.slots import tag_of
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import Codec, Request
from extauthz.replay.room import grouped
from extauthz.replay.spend import Count, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Left, Outcome, Refused, Unavailable

_TRY_BYTES: Final = 6
_ATTEMPT_BYTES: Final = 16


class Way(Protocol):
    """How a request comes to the node that holds a tag's slot, and what comes back in time."""

    async def commit(self, request: Request, tag: bytes) -> Outcome | Trouble:
        """What is answered to a commit."""

    async def foresee(self, request: Request, tag: bytes) -> tuple[Left, ...] | Outcome | Trouble:
        """What would be answered to a step; an Outcome where the attempt was answered before."""

    async def give_back(self, request: Request, tag: bytes) -> Trouble | None:
        """None when nothing of it is counted for this try any more."""


@dataclass(frozen=True, slots=True)
class Group:
    """The spends of a request that lie in one slot, and share a tag."""

    tag: bytes
    spends: tuple[Spend, ...]
    at: tuple[int, ...]
    """Where each of them stands in the request."""
    paid: Paid = ()
    """For each, when they are rooms, the counts that it pays for: these lie elsewhere."""

    @property
    def can_be_given_back(self) -> bool:
        """Whether counting it can be undone without a doubt."""
        return all(map(can_be_given_back, self.spends))

    @property
    def rank(self) -> tuple[int, int]:
        """When it is committed: rooms, what else can be given back, ties, uses; else in the order of the request."""
        if self.paid:
            return 0, self.at[0]
        last = any(isinstance(spend, Use) for spend in self.spends)
        return (1 if self.can_be_given_back else 3 if last else 2, self.at[0])


def can_be_given_back(spend: Spend) -> bool:
    """Room, a request within a rate, one of several uses, what counts nothing. Not a single use, a tie, a mark, nor a
    use with leave to repeat."""
    return isinstance(spend, (Room, Rate, Unmarked)) or (
        isinstance(spend, Use) and spend.max_uses > 1 and spend.grace is None
    )


def groups_of(spends: Sequence[Spend]) -> tuple[Group, ...]:
    """The spends by slot, in the order in which they are committed. Rooms stand alone: they come before all else."""
    paid = _paid(spends)
    found: dict[tuple[bytes, bool], list[int]] = {}
    for at, spend in enumerate(spends):
        found.setdefault((tag_of(spend), at in paid), []).append(at)
    groups = (
        Group(tag, tuple(spends[at] for at in places), tuple(places), tuple(paid[at] for at in places if at in paid))
        for (tag, _), places in found.items()
    )
    return tuple(sorted(groups, key=lambda group: group.rank))


def _paid(spends: Sequence[Spend]) -> dict[int, tuple[Count, ...]]:
    """What each room pays for, by where it stands."""
    rooms = (at for at, spend in enumerate(spends) if isinstance(spend, Room))
    paying = (group.counts for group in grouped(tuple(spends)) for _ in group.rooms)
    return dict(zip(rooms, paying, strict=True))


class Steps:
    """One try of one commit."""

    def __init__(self, groups: tuple[Group, ...], attempt: bytes | None, now: Instant, codec: Codec, way: Way) -> None:
        """Commit the groups in this order. Without an attempt, one is made up: what was counted must be found again."""
        self._groups = groups
        self._way = way
        self._codec = codec
        attempt = attempt or secrets.token_bytes(_ATTEMPT_BYTES)
        name = secrets.token_urlsafe(_TRY_BYTES).encode("ascii")
        self._requests = {
            each: codec.write_step(each.spends, attempt, now, each.tag, name, each.paid) for each in groups
        }
        self.given_back = 0
        """How many steps are known to be counted no more."""
        self.lost = 0
        """How many may stay counted although the request is refused."""

    async def commit(self) -> Outcome | Trouble:
        """Every step, or none that can be given back."""
        refused = await self._foresee()
        if refused is not None:
            return refused
        held: list[Group] = []
        remaining: list[int] = []
        for group in self._groups:
            found = await self._way.commit(self._requests[group], group.tag)
            match found:
                case Committed(remaining=left):
                    held.append(group)
                    remaining += [] if left is None else [left]
                case Trouble():
                    # Once it was sent, nobody knows whether it is counted.
                    await self._give_back([*held, group] if found.sent else held)
                    return found
                case outcome:
                    await self._give_back(held)
                    return await self._refused(outcome, group)
        return Committed(min(remaining, default=None))

    async def _foresee(self) -> Outcome | Trouble | None:
        """Why a step that cannot be given back would be refused, before others are counted in vain.

        Otherwise whoever holds a used token could keep the rates of its owner full with it.
        """
        found: dict[int, Refused | Unavailable] = {}
        for group in self._groups:
            if not group.can_be_given_back:
                seen = await self._seen(group)
                if isinstance(seen, Trouble):
                    return seen
                found |= seen
        if not found:
            return None
        return await self._first(found, [each for each in self._groups if each.can_be_given_back])

    async def _seen(self, group: Group) -> dict[int, Refused | Unavailable] | Trouble:
        """Which spends of a group are not possible now, by where they stand; none where the attempt was answered."""
        seen = await self._way.foresee(self._codec.write_foresight(self._requests[group]), group.tag)
        if isinstance(seen, Trouble):
            return seen
        looked = seen if isinstance(seen, tuple) else ()
        return {at: left.no for at, left in zip(group.at, looked, strict=False) if left.no is not None}

    async def _first(self, found: Mapping[int, Outcome], unseen: Sequence[Group]) -> Outcome:
        """The first spend in the order of the request that refuses: one that was not asked yet may come before."""
        refused = dict(found)
        for group in unseen:
            if group.at[0] < min(refused):
                seen = await self._seen(group)
                refused |= {} if isinstance(seen, Trouble) else seen
        return refused[min(refused)]

    async def _refused(self, outcome: Outcome, by: Group) -> Outcome:
        if not isinstance(outcome, Refused):
            return outcome
        unseen = [each for each in self._groups[self._groups.index(by) + 1 :] if each.can_be_given_back]
        return await self._first({by.at[by.spends.index(outcome.spend)]: outcome}, unseen)

    async def _give_back(self, groups: list[Group]) -> None:
        """Undo what can be, rooms last: so it is known which of their keys may stay."""
        staying: set[Spend] = set()
        for group in sorted(groups, key=lambda each: bool(each.paid)):
            if not group.can_be_given_back:
                staying.update(group.spends)
            elif staying.isdisjoint(chain(*group.paid)) and await self._is_given_back(group):
                self.given_back += 1
            else:
                staying.update(group.spends)
                self.lost += 1

    async def _is_given_back(self, group: Group) -> bool:
        request = self._codec.write_giving_back(self._requests[group])
        return await self._way.give_back(request, group.tag) is None
