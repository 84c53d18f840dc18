"""Every order of failure of a commit over several slots: none leaves a wrong admission, and what stays counted is said.

The script runs on a real server; what happens on the way to it is played out case by case.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import combinations, combinations_with_replacement, permutations

import pytest

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis.connect import Lane
from extauthz.replay.redis.slots import tag_of
from extauthz.replay.redis.steps import Steps, can_be_given_back, groups_of
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.waiting import at_once
from extauthz.replay.redis.wire import Codec, Request
from extauthz.replay.spend import Bind, Grace, Mark, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Left, Outcome, Refused

pytestmark = pytest.mark.redis

CLOCK = SystemClock()
CODEC = Codec(tagged=True)
GONE = Trouble("timeout", "it did not answer")
REFUSING = Trouble("refused", "its breaker is open", sent=False)


class Fault(Enum):
    """What happens to one step."""

    REFUSE = auto()
    """Others have used it up by the time it comes."""
    DOWN = auto()
    """It is known that it was not sent."""
    UNREACHABLE = auto()
    """It does not arrive, which nobody knows."""
    REPLY_LOST = auto()
    """It is counted, and the answer does not arrive."""
    LATE = auto()
    """It arrives after all is over."""


@dataclass
class Ways:
    """To the server, with one fault at one commit, and with or without the way back."""

    lane: Lane
    fault: Fault | None = None
    at: int = 0
    can_give_back: bool = True
    commits: int = 0
    late: list[Request] = field(default_factory=list)

    def run(self, request: Request) -> object:
        """Ask the server."""
        return self.lane.run([request], CLOCK.monotonic() + 20)[0]

    async def commit(self, request: Request, tag: bytes) -> Outcome | Trouble:
        assert all(b"{" + tag + b"}" in key for key in request.keys)
        number, self.commits = self.commits, self.commits + 1
        if self.fault is None or number != self.at:
            return self._read(request)
        match self.fault:
            case Fault.REFUSE:
                use_up(self.lane, request.spends)
                return self._read(request)
            case Fault.DOWN:
                return REFUSING
            case Fault.UNREACHABLE:
                return GONE
            case Fault.REPLY_LOST:
                self._read(request)
                return GONE
            case Fault.LATE:
                self.late.append(request)
                return GONE

    async def foresee(self, request: Request, tag: bytes) -> tuple[Left, ...] | Outcome | Trouble:
        reply = self.run(request)
        seen = CODEC.read_look(reply, request.spends) or CODEC.read(reply, request.spends)
        assert seen is not None, (reply, tag)
        return seen

    async def give_back(self, request: Request, tag: bytes) -> Trouble | None:
        assert can_be_given_back(request.spends[0]), tag
        if not self.can_give_back:
            return GONE
        assert CODEC.is_given_back(self.run(request))
        return None

    def finish(self) -> None:
        """Let arrive what is late."""
        for request in self.late:
            self.run(request)

    def _read(self, request: Request) -> Outcome:
        reply = CODEC.read(self.run(request), request.spends)
        assert reply is not None
        return reply


def use_up(lane: Lane, spends: tuple[Spend, ...]) -> None:
    """Let others take all that is left of these."""
    for spend in spends:
        if isinstance(spend, Bind):
            spend = Bind(key=spend.key, value=b"another", until=spend.until)  # noqa: PLW2901
        if isinstance(spend, Unmarked):
            spend = Mark(key=spend.key, until=spend.until)  # noqa: PLW2901
        for _ in range(5):
            paid = ((some_use(),),) if isinstance(spend, Room) else ()
            lane.run([CODEC.write((spend,), None, CLOCK.now(), paid=paid)], CLOCK.monotonic() + 20)


def counted(lane: Lane, spend: Spend) -> int:
    """How often a spend is counted."""
    if isinstance(spend, Bind):
        spend = Bind(key=spend.key, value=b"whoever", until=spend.until)
    if isinstance(spend, Mark):
        spend = Unmarked(key=spend.key, until=spend.until)
    reply = lane.run([CODEC.write_look((spend,), CLOCK.now())], CLOCK.monotonic() + 20)[0]
    looked = CODEC.read_look(reply, (spend,))
    assert looked is not None
    left = looked[0]
    if left.before is None:
        return 0 if left.no is None else 1
    return (spend.max_uses if isinstance(spend, Use) else spend.amount) - left.before  # type: ignore[union-attr]


def some_use() -> Use:
    return Use(key=os.urandom(16), max_uses=5, until=Instant(CLOCK.now() + 300))


def single_use() -> Use:
    return Use(key=os.urandom(16), max_uses=1, until=Instant(CLOCK.now() + 300))


def graced_use() -> Use:
    grace = Grace(b"g" * 16, Seconds(3.0))
    return Use(key=os.urandom(16), max_uses=5, until=Instant(CLOCK.now() + 300), grace=grace)


def rate() -> Rate:
    return Rate(key=os.urandom(16), amount=5, window=Seconds(60.0), label="l")


def tie() -> Bind:
    return Bind(key=os.urandom(16), value=b"v" * 16, until=Instant(CLOCK.now() + 300))


def mark() -> Mark:
    return Mark(key=os.urandom(16), until=Instant(CLOCK.now() + 300))


def unmarked() -> Unmarked:
    return Unmarked(key=os.urandom(16), until=Instant(CLOCK.now() + 300))


KINDS: tuple[Callable[[], Spend], ...] = (rate, some_use, single_use, tie)


def apart(*kinds: Callable[[], Spend]) -> tuple[Spend, ...]:
    """Spends of these kinds, each in a slot of its own. Random keys share one now and then."""
    while True:
        spends = tuple(kind() for kind in kinds)
        if len(groups_of(spends)) == len(spends):
            return spends


def attempted(ways: Ways, spends: tuple[Spend, ...], attempt: bytes) -> tuple[Outcome | Trouble, Steps]:
    """One try of a commit, each spend of which is a step."""
    groups = groups_of(spends)
    assert len(groups) == len(spends)
    steps = Steps(groups, attempt, CLOCK.now(), CODEC, ways)
    return at_once(steps.commit()), steps


def plans(count: int) -> Iterator[tuple[int, tuple[Spend, ...]]]:
    """Spends of every mixture of kinds, each in a slot of its own; and each step that the fault may befall."""
    for kinds in combinations_with_replacement(KINDS, count):
        for at in range(count):
            yield at, apart(*kinds)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("can_give_back", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_no_order_of_failure_admits_wrongly_or_leaves_more_counted_than_is_said(
    lane: Lane, count: int, can_give_back: bool, fault: Fault
) -> None:
    for at, spends in plans(count):
        ways, attempt = Ways(lane, fault, at, can_give_back), os.urandom(16)
        outcome, steps = attempted(ways, spends, attempt)
        ways.finish()
        assert not isinstance(outcome, Committed), (spends, at)
        victim = groups_of(spends)[at].spends[0]
        for spend in spends:
            stays = counted(lane, spend)
            if spend is victim and fault is Fault.REFUSE:
                assert stays == counted_up(spend)
            elif can_be_given_back(spend):
                # Only what could not be given back stays counted, once.
                assert stays == 0 or (stays == 1 and not can_give_back and steps.lost > 0), (spends, at, spend)
            else:
                # A single use or a tie is never given back: it may be spent, and nobody was admitted by it.
                assert stays in {0, 1}
        # Envoy repeats the Check: it is refused where others were first, and else counted as if nothing had happened.
        again, _ = attempted(Ways(lane), spends, attempt)
        if fault is Fault.REFUSE:
            assert isinstance(again, Refused)
            continue
        assert isinstance(again, Committed), (spends, at, again)
        assert all(counted(lane, spend) == 1 for spend in spends), (spends, at)
        other, _ = attempted(Ways(lane), spends, os.urandom(16))
        assert isinstance(other, Refused) == any(isinstance(each, Use) and each.max_uses == 1 for each in spends)


def counted_up(spend: Spend) -> int:
    """What is counted when all of it is used up."""
    match spend:
        case Use(max_uses=most):
            return most
        case Rate(amount=most) | Room(most=most):
            return most
        case Bind() | Mark():
            return 1
        case Unmarked():
            return 0


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("can_give_back", [True, False])
def test_what_asks_for_a_mark_stays_uncounted_in_every_order_of_failure(
    lane: Lane, can_give_back: bool, fault: Fault
) -> None:
    for kinds in combinations_with_replacement(KINDS, 2):
        for at in range(3):
            spends = apart(unmarked, *kinds)
            asking, attempt = spends[0], os.urandom(16)
            outcome, _ = attempted(Ways(lane, fault, at, can_give_back), spends, attempt)
            assert not isinstance(outcome, Committed)
            marked = fault is Fault.REFUSE and groups_of(spends)[at].spends[0] is asking
            assert counted(lane, asking) == int(marked)
            again, _ = attempted(Ways(lane), spends, attempt)
            assert isinstance(again, Refused) == (fault is Fault.REFUSE)


def test_a_mark_refuses_first_whatever_else_is_spent(lane: Lane) -> None:
    for kinds in combinations_with_replacement((*KINDS, graced_use), 2):
        spends = apart(unmarked, *kinds)
        use_up(lane, spends)
        refused, steps = attempted(Ways(lane), spends, os.urandom(16))
        assert isinstance(refused, Refused)
        assert refused.spend is spends[0]
        assert steps.lost == 0


def test_a_mark_and_its_room_in_every_order_of_failure(lane: Lane) -> None:
    """It is there with room, or not there."""
    for fault in Fault:
        for at in range(2):
            made = mark()
            room = Room(key=os.urandom(16), most=5, label="q")
            groups = groups_of((made, room))
            if len(groups) < 2:
                continue
            ways = Ways(lane, fault, at)
            outcome = at_once(Steps(groups, None, CLOCK.now(), CODEC, ways).commit())
            ways.finish()
            assert isinstance(outcome, Committed) == (fault is Fault.REFUSE and at == 1)
            if counted(lane, made):
                look = CODEC.write_look((room,), CLOCK.now(), ((made,),))
                looked = CODEC.read_look(ways.run(look), (room,))
                assert looked is not None
                assert looked[0].before is not None
                assert looked[0].before <= 4


def test_what_can_be_given_back_is_committed_before_what_cannot(lane: Lane) -> None:
    given = apart(tie, single_use, rate, some_use, graced_use)
    for spends in permutations(given):
        kinds = [can_be_given_back(group.spends[0]) for group in groups_of(spends)]
        assert kinds == sorted(kinds, reverse=True)


def test_a_use_with_leave_to_repeat_a_tie_and_a_single_use_cannot_be_given_back() -> None:
    assert [can_be_given_back(make()) for make in (rate, some_use, single_use, tie, graced_use)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_a_used_token_takes_nothing_from_a_rate_on_its_way(lane: Lane) -> None:
    token, limit = apart(single_use, rate)
    assert isinstance(attempted(Ways(lane), (token, limit), os.urandom(16))[0], Committed)
    ways = Ways(lane)
    refused, steps = attempted(ways, (token, limit), os.urandom(16))
    assert isinstance(refused, Refused)
    assert refused.spend is token
    assert (ways.commits, steps.given_back) == (0, 0)


def test_the_first_spend_in_the_order_of_the_request_is_the_one_reported(lane: Lane) -> None:
    given = apart(rate, some_use, rate)
    for spends in permutations(given):
        for full in (spends[:1], spends[1:], spends[1:2], spends):
            use_up(lane, full)
        refused, _ = attempted(Ways(lane), spends, os.urandom(16))
        assert isinstance(refused, Refused)
        assert refused.spend is spends[0]


def test_giving_back_takes_out_one_request_and_no_other(lane: Lane) -> None:
    limit, *tokens = apart(rate, *[single_use] * (3 + len(Fault)))
    for token in tokens[:3]:
        assert isinstance(attempted(Ways(lane), (token, limit), os.urandom(16))[0], Committed)
    for token, fault in zip(tokens[3:], Fault, strict=True):
        ways = Ways(lane, fault, at=1)
        attempted(ways, (token, limit), os.urandom(16))
        ways.finish()
        assert counted(lane, limit) == 3


@pytest.mark.parametrize("make", [rate, some_use])
def test_a_try_that_gave_a_step_back_neither_counts_nor_holds_it_whenever_its_commit_arrives(
    lane: Lane, make: Callable[[], Spend]
) -> None:
    # The commit of N was sent twice, for its connection broke. M gives back what it was answered.
    for order in {*permutations(("N", "N", "N gives back", "M", "M gives back"))}:
        if order.index("M gives back") < order.index("M"):
            continue
        spend, attempt = make(), os.urandom(16)
        tries = {n: CODEC.write_step((spend,), attempt, CLOCK.now(), tag_of(spend), n.encode()) for n in "NM"}
        for what in order:
            step = tries[what[0]]
            lane.run([CODEC.write_giving_back(step) if "back" in what else step], CLOCK.monotonic() + 20)
        assert counted(lane, spend) == 0, order


class Turns:
    """Lets tries take their steps in a given order, one at a time."""

    def __init__(self, names: str) -> None:
        self._go = {name: threading.Semaphore(0) for name in names}
        self._parked = {name: threading.Semaphore(0) for name in names}
        self._over: set[str] = set()

    def park(self, name: str) -> None:
        """Wait for one's turn."""
        self._parked[name].release()
        self._go[name].acquire()

    def end(self, name: str) -> None:
        """No more steps."""
        self._over.add(name)
        self._parked[name].release()

    def begin(self, name: str) -> None:
        """Until a try waits for its first turn."""
        self._parked[name].acquire()

    def step(self, name: str) -> None:
        """Let a try take one step, unless it is over."""
        if name not in self._over:
            self._go[name].release()
            self._parked[name].acquire()


@dataclass
class InTurn(Ways):
    """A way on which every request waits for its turn."""

    name: str = ""
    turns: Turns | None = None

    def run(self, request: Request) -> object:
        if self.turns is not None:
            self.turns.park(self.name)
        return super().run(request)


_MOST_STEPS = 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [None, Fault.UNREACHABLE, Fault.REPLY_LOST, Fault.LATE, Fault.DOWN])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("make", [(single_use, rate), (some_use, rate)])
def test_two_tries_of_one_check_at_once_share_a_count_and_neither_is_admitted_without_it(
    lane: Lane, make: tuple[Callable[[], Spend], ...], at: int, fault: Fault | None
) -> None:
    # The first suffers the fault, and gives back what the second may rely on by then.
    for places in combinations(range(2 * _MOST_STEPS), _MOST_STEPS):
        order = "".join("N" if at in places else "M" for at in range(2 * _MOST_STEPS))
        spends, attempt, turns = apart(*make), os.urandom(16), Turns("NM")
        ways = {"N": InTurn(lane, fault, at, name="N", turns=turns), "M": InTurn(lane, name="M", turns=turns)}
        outcomes: dict[str, Outcome | Trouble] = {}

        def run(name: str) -> None:
            try:
                outcomes[name] = attempted(ways[name], spends, attempt)[0]  # noqa: B023
            finally:
                turns.end(name)  # noqa: B023

        threads = [threading.Thread(target=run, args=(name,)) for name in "NM"]
        for name, thread in zip("NM", threads, strict=True):
            thread.start()
            turns.begin(name)
        for name in order + "NM" * _MOST_STEPS:
            turns.step(name)
        for thread in threads:
            thread.join()
        for each in ways.values():
            each.turns = None
            each.finish()
        admitted = [name for name, outcome in outcomes.items() if isinstance(outcome, Committed)]
        # The second meets no fault, and answers as the first would have.
        assert "M" in admitted, (order, outcomes)
        assert [counted(lane, spend) for spend in spends] == [1, 1], (order, outcomes)
