"""One leader, by a Lease: taken, kept, lost, given back, with clocks that tests turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extauthz.control.leader import Denied, Election, Lease, Timing
from extauthz.control.writing import Unreached
from extauthz.model.time import Seconds
from tests.clock import FakeClock


class Kept:
    """A Lease in memory, guarded by versions as the API server guards it; may be cut off."""

    def __init__(self, clock: FakeClock) -> None:
        self.lease: Lease | None = None
        self.clock = clock
        self.cut = False
        self.lose_answer = False
        self.takes = 0.0
        self.denied = ""
        self.writes = 0

    def read(self) -> Lease | None:
        self._reach()
        return self.lease

    def create(self, lease: Lease) -> Lease | None:
        self._reach()
        return None if self.lease is not None else self._put(lease)

    def update(self, lease: Lease) -> Lease | None:
        self._reach()
        if self.lease is None or self.lease.version != lease.version:
            return None
        return self._put(lease)

    def _reach(self) -> None:
        self.clock.advance(self.takes)
        if self.denied:
            raise Denied(self.denied)
        if self.cut:
            raise Unreached("cut")

    def _put(self, lease: Lease) -> Lease:
        self.writes += 1
        self.lease = replace(lease, version=str(self.writes))
        if self.lose_answer:
            raise Unreached("the answer was lost")
        return self.lease


class Two:
    """Two candidates for one Lease."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kept = Kept(self.clock)
        self.a, self.b = (Election(self.kept, name, self.clock) for name in "ab")

    def pass_time(self, seconds: float, *who: Election) -> None:
        """Let time pass in steps, as candidates take them."""
        for _ in range(round(seconds / 2)):
            self.clock.advance(2.0)
            for each in who:
                each.step()
            assert not (self.a.leading() and self.b.leading())


@pytest.fixture
def two() -> Two:
    return Two()


def test_the_first_to_ask_leads_and_the_second_waits(two: Two) -> None:
    two.a.step()
    two.b.step()
    assert (two.a.leading(), two.b.leading()) == (True, False)
    two.pass_time(300, two.a, two.b)
    assert (two.a.leading(), two.b.leading()) == (True, False)


def test_who_no_longer_renews_is_followed_after_the_lease(two: Two) -> None:
    two.a.step()
    two.b.step()
    two.pass_time(14, two.b)
    assert not two.b.leading()
    two.pass_time(4, two.b)
    assert two.b.leading()
    assert two.kept.lease is not None
    assert two.kept.lease.transitions == 1


def test_a_leader_stops_before_its_lease_ends_although_nobody_told_it(two: Two) -> None:
    two.a.step()
    two.kept.cut = True
    two.pass_time(8, two.a)
    assert two.a.leading()
    two.pass_time(2, two.a)
    assert not two.a.leading()
    assert two.a.trouble == "cut"


def test_the_time_of_a_slow_renewal_counts_from_its_start(two: Two) -> None:
    two.kept.takes = 3.0
    two.a.step()  # reads and creates: six seconds
    two.clock.advance(3.9)
    assert two.a.leading()
    two.clock.advance(0.1)
    assert not two.a.leading()


def test_a_renewal_whose_answer_was_lost_keeps_the_lead(two: Two) -> None:
    two.a.step()
    two.clock.advance(2.0)
    two.kept.lose_answer = True
    two.a.step()
    two.kept.lose_answer = False
    assert two.a.leading()
    two.clock.advance(2.0)
    two.a.step()
    assert two.a.leading()
    assert two.kept.lease is not None
    assert two.kept.lease.transitions == 0


def test_who_was_replaced_knows_it_at_its_next_step(two: Two) -> None:
    two.a.step()
    two.b.step()
    two.kept.cut = True
    two.pass_time(10, two.a)
    two.kept.cut = False
    two.pass_time(18, two.b)
    assert two.b.leading()
    two.a.step()
    assert not two.a.leading()


def test_of_two_that_take_a_free_lease_at_once_the_version_lets_one_through(two: Two) -> None:
    two.a.step()
    two.b.step()
    found = two.kept.read()
    two.clock.advance(20.0)
    two.b.step()
    assert two.b.leading()
    assert found is not None
    assert two.kept.update(replace(found, holder="c")) is None


def test_a_lease_that_is_given_back_is_taken_at_once(two: Two) -> None:
    two.a.step()
    two.b.step()
    two.a.resign()
    assert not two.a.leading()
    two.b.step()
    assert two.b.leading()


def test_who_never_led_gives_nothing_back(two: Two) -> None:
    two.a.step()
    two.b.resign()
    two.a.step()
    assert two.a.leading()


def test_a_wall_clock_that_jumps_moves_no_lead(two: Two) -> None:
    two.a.step()
    two.b.step()
    two.clock.set_wall(two.clock.now() + 10_000)
    two.b.step()
    assert not two.b.leading()
    assert two.a.leading()


def test_the_length_that_the_holder_wrote_is_waited_for() -> None:
    clock = FakeClock()
    kept = Kept(clock)
    slow = Election(kept, "slow", clock, Timing(lease=Seconds(60.0)))
    quick = Election(kept, "quick", clock)
    slow.step()
    quick.step()
    clock.advance(59.0)
    quick.step()
    assert not quick.leading()
    clock.advance(1.0)
    quick.step()
    assert quick.leading()


def test_a_lease_that_was_deleted_is_made_anew(two: Two) -> None:
    two.a.step()
    two.kept.lease = None
    two.a.step()
    assert two.a.leading()


def test_a_refusal_is_told_and_nobody_leads(two: Two) -> None:
    two.kept.denied = "403"
    two.a.step()
    assert not two.a.leading()
    assert two.a.trouble == "403"
    two.kept.denied = ""
    two.a.step()
    assert two.a.trouble == ""


@pytest.mark.parametrize("bad", [{"renew": 12.0}, {"lease": 13.0}, {"retry": 10.0}, {"call": 6.0}])
def test_times_in_which_two_could_write_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must fit"):
        Timing(**{name: Seconds(value) for name, value in bad.items()})
