"""Who sends and when, without any server: lanes are texts, work is numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from extauthz.replay.redis.batches import Batches, Ticket

Queue = Batches[str, int, str]
Task = Ticket[str, int, str]


@dataclass
class Woken:
    """Whom a queue has woken, in order."""

    who: list[int] = field(default_factory=list)

    def ticket(self, work: int) -> Task:
        """A ticket that notes when it is woken."""
        return Ticket(work, lambda: self.who.append(work))


def entered(queue: Queue, woken: Woken, *works: int) -> list[Task]:
    """Tickets that queue up, in this order."""
    tickets = [woken.ticket(work) for work in works]
    for ticket in tickets:
        queue.enter(ticket)
    return tickets


def batch_of(queue: Queue, ticket: Task, *, late: bool = False) -> list[int] | None:
    """The work that boards with a ticket."""
    boarded = queue.board(ticket, late=late)
    return None if boarded is None else [each.work for each in boarded[1]]


def test_who_comes_when_a_lane_is_free_sends_alone_and_at_once() -> None:
    queue, woken = Queue(8), Woken()
    queue.offer("a")
    ticket = woken.ticket(1)
    assert queue.enter(ticket)
    assert queue.board(ticket, late=False) == ("a", [ticket])
    assert woken.who == []


def test_those_who_waited_travel_together_in_the_order_in_which_they_came() -> None:
    queue, woken = Queue(8), Woken()
    first, *_ = entered(queue, woken, 1, 2, 3)
    queue.offer("a")
    assert woken.who == [1]
    # One more comes before the first has boarded.
    entered(queue, woken, 4)
    assert batch_of(queue, first) == [1, 2, 3, 4]
    assert queue.waiting() == 0


def test_a_batch_is_bounded_and_the_rest_is_first_in_the_next() -> None:
    queue, woken = Queue(2), Woken()
    first, _, third, *_ = entered(queue, woken, 1, 2, 3, 4, 5)
    queue.offer("a")
    assert batch_of(queue, first) == [1, 2]
    queue.offer("a")
    assert woken.who == [1, 3]
    assert batch_of(queue, third) == [3, 4]


def test_of_many_half_stay_for_the_next_lane_where_there_is_one() -> None:
    for lanes, aboard in ((1, 20), (2, 10), (8, 10)):
        queue, woken = Queue(64, lanes), Woken()
        first, *_ = entered(queue, woken, *range(20))
        queue.offer("a")
        assert batch_of(queue, first) == list(range(aboard))


def test_a_few_are_not_parted() -> None:
    queue, woken = Queue(64, 2), Woken()
    first, *_ = entered(queue, woken, *range(8))
    queue.offer("a")
    assert batch_of(queue, first) == list(range(8))


def test_two_who_lead_take_nobody_twice_and_not_each_other() -> None:
    queue, woken = Queue(8), Woken()
    first, second, *_ = entered(queue, woken, 1, 2, 3, 4)
    queue.offer("a")
    queue.offer("b")
    assert batch_of(queue, first) == [1, 3, 4]
    assert batch_of(queue, second) == [2]


def test_a_result_is_handed_over_and_its_owner_woken() -> None:
    queue, woken = Queue(8), Woken()
    first, second = entered(queue, woken, 1, 2)
    queue.offer("a")
    queue.board(first, late=False)
    queue.settle([(first, "one")])
    queue.settle([(second, "two")])
    assert woken.who == [1, 1, 2]
    assert queue.board(second, late=False) is None
    assert (first.result, second.result) == ("one", "two")


def test_who_gives_up_while_waiting_is_not_sent() -> None:
    queue, woken = Queue(8), Woken()
    first, second = entered(queue, woken, 1, 2)
    assert batch_of(queue, first) is None
    queue.offer("a")
    assert woken.who == [2]
    assert batch_of(queue, second) == [2]


def test_who_gives_up_aboard_gets_no_result_and_is_not_woken() -> None:
    queue, woken = Queue(8), Woken()
    first, second = entered(queue, woken, 1, 2)
    queue.offer("a")
    queue.board(first, late=False)
    assert batch_of(queue, second) is None
    queue.settle([(second, "late")])
    assert second.result is None
    assert 2 not in woken.who


def test_who_leads_too_late_passes_the_lane_on() -> None:
    queue, woken = Queue(8), Woken()
    first, second = entered(queue, woken, 1, 2)
    queue.offer("a")
    assert batch_of(queue, first, late=True) is None
    assert woken.who == [1, 2]
    assert queue.board(second, late=False) == ("a", [second])


def test_a_lane_passed_on_to_nobody_is_free() -> None:
    queue, woken = Queue(8), Woken()
    (first,) = entered(queue, woken, 1)
    queue.offer("a")
    assert batch_of(queue, first, late=True) is None
    assert queue.take_free() == ["a"]


def test_all_who_wait_are_dismissed_with_one_word() -> None:
    queue, woken = Queue(8), Woken()
    tickets = entered(queue, woken, 1, 2)
    queue.dismiss("gone")
    assert woken.who == [1, 2]
    assert [ticket.result for ticket in tickets] == ["gone", "gone"]
    queue.offer("a")
    assert queue.take_free() == ["a"]


@dataclass
class Traffic:
    """A queue, and what a plain model knows of those in it."""

    queue: Queue
    lanes: int
    woken: Woken = field(default_factory=Woken)
    leading: list[Task] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def act(self, number: int, what: str, most: int) -> None:
        """One step, where it is possible."""
        match what:
            case "enter":
                ticket = self.woken.ticket(number)
                (self.leading if self.queue.enter(ticket) else self.waiting).append(ticket)
            case "lead" | "late" if self.leading:
                self._board(self.leading.pop(0), most, late=what == "late")
            case "give up" if self.waiting:
                assert self.queue.board(self.waiting.pop(0), late=True) is None
            case "done" if self.under_way:
                self.queue.offer(self.under_way.pop(0))
            case "dismiss":
                self.queue.dismiss("gone")
                self.waiting = []
            case _:
                pass
        self.leading += [each for each in self.waiting if each.lane is not None]
        self.waiting = [each for each in self.waiting if each.lane is None]

    def _board(self, ticket: Task, most: int, *, late: bool) -> None:
        boarded = self.queue.board(ticket, late=late)
        if boarded is None:
            return
        lane, batch = boarded
        company = len(batch) - 1
        assert batch == [ticket, *self.waiting[:company]]
        assert company <= most - 1
        # Whoever stays behind does so for the bound, or for another lane.
        stay = len(self.waiting) - company
        assert stay == 0 or company == most - 1 or (self.lanes > 1 and stay - company in {0, 1})
        self.under_way.append(lane)
        self.sent += [each.work for each in batch]
        self.waiting = self.waiting[company:]


@given(
    st.lists(st.sampled_from(["enter", "enter", "lead", "late", "give up", "done", "dismiss"]), max_size=120),
    st.integers(1, 4) | st.integers(5, 40),
    st.integers(1, 3),
)
def test_whatever_happens_no_lane_is_lost_nobody_travels_twice_and_nobody_overtakes(
    history: list[str], most: int, lanes: int
) -> None:
    names = [f"lane {number}" for number in range(lanes)]
    traffic = Traffic(Batches(most, lanes), lanes)
    for name in names:
        traffic.queue.offer(name)
    for number, what in enumerate(history):
        traffic.act(number, what, most)
    assert len(traffic.sent) == len(set(traffic.sent))
    held = traffic.under_way + [ticket.lane for ticket in traffic.leading if ticket.lane is not None]
    assert sorted(held + traffic.queue.take_free()) == names
    assert traffic.queue.waiting() == len(traffic.waiting)


def test_racing_threads_lose_no_work_and_do_none_twice() -> None:
    queue: Queue = Batches(4)
    for lane in ("a", "b"):
        queue.offer(lane)
    done: list[int] = []

    def run(base: int) -> None:
        for work in range(base, base + 50):
            event = threading.Event()
            ticket: Task = Ticket(work, event.set)
            if not queue.enter(ticket):
                assert event.wait(30)
            boarded = queue.board(ticket, late=False)
            if boarded is not None:
                lane, batch = boarded
                done.extend(each.work for each in batch)
                queue.offer(lane)
                for each in batch:
                    queue.settle([(each, str(each.work))])
            assert ticket.result == str(work)

    threads = [threading.Thread(target=run, args=(base,)) for base in range(0, 1000, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(1000))


def test_eight_who_wait_are_many() -> None:
    queue, woken = Queue(64, lanes=2), Woken()
    entered(queue, woken, *range(7))
    assert not queue.many_wait()
    entered(queue, woken, 7)
    assert queue.many_wait()
