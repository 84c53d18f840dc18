"""The embedded store: exact, bounded, for one replica, and empty after a restart.

INVARIANT: a live key is never dropped to make room. Whoever fills a store that evicts can have the used tokens in it
forgotten, and use them again. When full, this one goes on counting the keys it knows and refuses new ones.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never

from extauthz.model.time import Clock, Instant, Seconds
from extauthz.replay.expiring import Expiring
from extauthz.replay.rate import RateLog
from extauthz.replay.room import Account, Group, grouped, paid_until
from extauthz.replay.spend import Asked, Bind, Count, Mark, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import ATTEMPT_TTL, Committed, Left, Outcome, Refused, Unavailable

_Value = TypeVar("_Value")

_STEPS: Final = 32
"""Due entries looked at per commit: more than a commit makes, so they never pile up, and few enough to take no time."""

_MOST_ATTEMPTS: Final = 65_536

_LATE: Final = "the token's time ran out before its use could be counted"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A commit that may be repeated."""

    until: Instant
    marks: tuple[bytes, ...]
    committed: Committed


class MemoryStore:
    """Counts in this process, behind one lock. A commit takes microseconds, so waiting for it does too."""

    def __init__(self, clock: Clock, capacity: int = 1_000_000, attempt_ttl: Seconds = ATTEMPT_TTL) -> None:
        """Hold at most `capacity` keys, of any kind; know a repeated attempt again for `attempt_ttl` seconds.

        Raises ValueError for a capacity below 1.
        """
        if capacity < 1:
            raise ValueError(f"a store for `{capacity}` keys can count nothing; give at least 1")
        self._lock = threading.Lock()
        self._clock = clock
        self._capacity = capacity
        self._binds: Expiring[bytes] = Expiring()
        self._uses: Expiring[int] = Expiring()
        self._rates: Expiring[RateLog] = Expiring()
        self._marks: Expiring[bool] = Expiring()
        # At most one for each use, and for seconds only: they need no bound of their own.
        # Each with its end: a longer one of the use counted before keeps the entry for longer.
        self._graces: Expiring[tuple[bytes, Instant]] = Expiring()
        self._accounts: defaultdict[bytes, Account] = defaultdict(Account)
        # All live equally long, so the order of insertion is that of expiry.
        self._attempts: OrderedDict[bytes, _Attempt] = OrderedDict()
        self._most_attempts = min(capacity, _MOST_ATTEMPTS)
        self._attempt_ttl = attempt_ttl

    def __len__(self) -> int:
        """How many keys take up room."""
        return len(self._binds) + len(self._uses) + len(self._rates) + len(self._marks)

    @property
    def capacity(self) -> int:
        """How many keys fit."""
        return self._capacity

    def ready(self) -> bool:
        """Always: a full store still counts the keys it knows."""
        return True

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Count all spends, or none."""
        marks = tuple(_mark(spend) for spend in spends)
        with self._lock:
            # Read inside the lock: whoever commits later must not carry an earlier time.
            now = self._clock.now()
            self._drop_due(now)
            repeated = self._attempts.get(attempt) if attempt is not None else None
            if repeated is not None and repeated.marks == marks and now < repeated.until:
                return repeated.committed
            groups = grouped(spends)
            for group in groups:
                no = self._ask(group, now)
                if no is not None:
                    return no
            if not self._has_room(spends):
                return self._full()
            left = [self._count(count, now, group.rooms) for group in groups for count in group.asked]
            committed = Committed(min((each for each in left if each is not None), default=None))
            if attempt is not None:
                self._remember(attempt, _Attempt(Instant(now + self._attempt_ttl), marks, committed))
            return committed

    async def commit_async(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """`commit`, which never waits."""
        return self.commit(spends, attempt)

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """What is left for each spend. Counts nothing, and drops nothing either."""
        with self._lock:
            now = self._clock.now()
            left = tuple(each for group in grouped(spends) for each in self._left(group, now))
            possible = all(each.no is None for each in left)
            return left if not possible or self._has_room(spends, self._due(now)) else self._full()

    def _left(self, group: Group, now: Instant) -> Iterator[Left]:
        yield from (self._left_of(count, now) for count in group.asked)
        for room in group.rooms:
            no = self._no_room(room, group.counts, now)
            before = max(0, room.most - self._accounts[room.key].held(now))
            after = before if no is not None else before - self._fresh(room, group.counts, now)
            yield Left(spend=room, before=before, after=max(0, after), no=no)

    def _left_of(self, spend: Asked, now: Instant) -> Left:
        no = self._no(spend, now)
        match spend:
            case Bind() | Mark() | Unmarked():
                return Left(spend=spend, before=None, after=None, no=no)
            case Use():
                before = max(0, spend.max_uses - (self._uses.get(spend.key, now) or 0))
                counted = no is None and not self._is_repeat(spend, now)
            case Rate():
                log = self._rates.get(spend.key, now)
                before = max(0, spend.amount - (0 if log is None else log.count(spend.window, now)))
                counted = no is None
            case _:
                assert_never(spend)
        return Left(spend=spend, before=before, after=max(0, before - counted), no=no)

    def _ask(self, group: Group, now: Instant) -> Refused | Unavailable | None:
        """The first of these that is not possible now, with note taken of what was asked for. Counts nothing."""
        refusals = (self._no_room(room, group.counts, now) for room in group.rooms)
        full = next((no for no in refusals if no is not None), None)
        for count in group.asked:
            # INVARIANT: what an account has no room for is not kept for longer at its request.
            if isinstance(count, Rate) and full is None:
                self._note(count, now, group.rooms)
            no = self._no(count, now)
            if no is not None:
                return no
        return full

    def _note(self, rate: Rate, now: Instant, rooms: tuple[Room, ...]) -> None:
        """A longer window than asked before has the same requests remembered for longer."""
        log, until = self._rates.get(rate.key, now), self._rates.until(rate.key, now)
        if log is None or until is None:
            return
        log.note(rate.window, now)
        if log.until > until:
            self._put(self._rates, rate.key, log, log.until, now, rooms)

    def _no_room(self, room: Room, counts: tuple[Count, ...], now: Instant) -> Refused | None:
        """Why an account has no room for the keys that these counts would make."""
        account, new = self._accounts[room.key], self._fresh(room, counts, now)
        excess = account.held(now) + new - room.most
        return Refused(room, account.wait(excess, now)) if new and excess > 0 else None

    def _fresh(self, room: Room, counts: tuple[Count, ...], now: Instant) -> int:
        """How many keys an account would pay for with these counts, and does not yet.

        INVARIANT: keys that others pay for are among them, or one account could make keys that another keeps for ever.
        """
        ends = {(type(each), each.key): self._shelf(each).until(each.key, now) for each in counts}
        return self._accounts[room.key].lacks(ends.values())

    def _no(self, spend: Asked, now: Instant) -> Refused | Unavailable | None:
        """Why a spend is not possible now. Changes nothing."""
        match spend:
            case Bind() | Use() | Mark() if spend.until <= now:
                return Unavailable(_LATE)
            case Mark():
                return None
            case Unmarked():
                return None if self._marks.get(spend.key, now) is None else Refused(spend, None)
            case Bind():
                bound = self._binds.get(spend.key, now)
                return None if bound is None or bound == spend.value else Refused(spend, None)
            case Use():
                spent = self._uses.get(spend.key, now) or 0
                return None if spent < spend.max_uses or self._is_repeat(spend, now) else Refused(spend, None)
            case Rate():
                log = self._rates.get(spend.key, now)
                wait = None if log is None else log.wait(spend.amount, spend.window, now)
                return None if wait is None else Refused(spend, wait)
            case _:
                assert_never(spend)

    def _count(self, spend: Asked, now: Instant, rooms: tuple[Room, ...]) -> int | None:
        """Count a possible spend, at the expense of these rooms. Returns what is left."""
        match spend:
            case Bind():
                self._put(self._binds, spend.key, spend.value, spend.until, now, rooms)
                return None
            case Mark():
                self._put(self._marks, spend.key, True, spend.until, now, rooms)  # noqa: FBT003 - the value, no switch
                return None
            case Unmarked():
                return None
            case Use():
                return self._count_use(spend, now, rooms)
            case Rate():
                return self._count_rate(spend, now, rooms)
            case _:
                assert_never(spend)

    def _count_use(self, spend: Use, now: Instant, rooms: tuple[Room, ...]) -> int:
        spent = self._uses.get(spend.key, now) or 0
        if not self._is_repeat(spend, now):
            spent += 1
            if spend.grace is not None:
                end = Instant(now + spend.grace.within)
                self._graces.put(spend.key, (spend.grace.fingerprint, end), end)
        elif spend.grace is not None and spend.grace.once:
            self._graces.put(spend.key, (spend.grace.fingerprint, now), now)
        self._put(self._uses, spend.key, spent, spend.until, now, rooms)
        return max(0, spend.max_uses - spent)

    def _count_rate(self, spend: Rate, now: Instant, rooms: tuple[Room, ...]) -> int:
        log = self._rates.get(spend.key, now)
        if log is None:
            log = RateLog()
        log.add(spend.window, now)
        self._put(self._rates, spend.key, log, log.until, now, rooms)
        return max(0, spend.amount - log.count(spend.window, now))

    def _put(
        self, shelf: Expiring[_Value], key: bytes, value: _Value, until: Instant, now: Instant, rooms: tuple[Room, ...]
    ) -> None:
        if rooms:
            before, until = shelf.until(key, now), paid_until(until, now)
            for room in rooms:
                self._accounts[room.key].move(before, until)
        shelf.put(key, value, until)

    def _is_repeat(self, spend: Use, now: Instant) -> bool:
        leave = self._graces.get(spend.key, now)
        return leave is not None and spend.grace is not None and leave[0] == spend.grace.fingerprint and now < leave[1]

    def _has_room(self, spends: tuple[Spend, ...], due: frozenset[bytes] = frozenset()) -> bool:
        """Whether all keys fit. Those in `due` take up room, but would be dropped before."""
        counts = (spend for spend in spends if not isinstance(spend, (Room, Unmarked)))
        new = {count.key for count in counts if count.key in due or count.key not in self._shelf(count)}
        return len(self) - len(due) + len(new) <= self._capacity

    def _due(self, now: Instant) -> frozenset[bytes]:
        shelves = (self._binds, self._uses, self._rates, self._marks)
        return frozenset[bytes]().union(*(shelf.due(now, _STEPS) for shelf in shelves))

    def _full(self) -> Unavailable:
        return Unavailable(f"the memory store is full: {self._capacity} keys are live, and this needs another")

    def _shelf(self, spend: Count) -> Expiring[bytes] | Expiring[int] | Expiring[RateLog] | Expiring[bool]:
        match spend:
            case Bind():
                return self._binds
            case Use():
                return self._uses
            case Rate():
                return self._rates
            case Mark():
                return self._marks
            case _:
                assert_never(spend)

    def _remember(self, attempt: bytes, made: _Attempt) -> None:
        self._attempts.pop(attempt, None)
        if len(self._attempts) >= self._most_attempts:
            self._attempts.popitem(last=False)
        self._attempts[attempt] = made

    def _drop_due(self, now: Instant) -> None:
        for shelf in (self._binds, self._uses, self._rates, self._marks, self._graces):
            shelf.drop_due(now, _STEPS)
        # Two for each that a commit adds.
        for _ in range(2):
            oldest = next(iter(self._attempts), None)
            if oldest is not None and self._attempts[oldest].until <= now:
                del self._attempts[oldest]


def _mark(spend: Spend) -> bytes:
    """What must be the same in a repeated attempt: what is counted, and whom it is tied to."""
    match spend:
        case Bind():
            return spend.key + spend.value
        case Unmarked():
            # The key is that of the mark, and to ask is not to mark.
            return spend.key + b"?"
        case _:
            return spend.key
