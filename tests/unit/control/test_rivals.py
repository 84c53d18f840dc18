"""Two that write one status: each gives way, longer each time, and says so."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from extauthz.control.objects import Written
from extauthz.control.rivals import Rivals
from extauthz.policy.problem import ObjectRef
from tests.building import NOW
from tests.clock import FakeClock

REF = ObjectRef("AccessPolicy", "shop", "orders")


def status(word: str = "True", *, active: str = "1/1", since: str = "2031-01-01T00:00:00Z") -> dict[str, Any]:
    condition = {
        "type": "Accepted",
        "status": word,
        "reason": "R",
        "message": "m",
        "observedGeneration": 1,
        "lastTransitionTime": since,
    }
    return {"active": active, "conditions": [condition]}


def there(found: dict[str, Any], uid: str = "u") -> Written:
    return Written(uid=uid, generation=1, version="1", status=found)


OURS, THEIRS = status(), status("False")


class Contest:
    """A rival that writes over ours as soon as it is there."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.rivals = Rivals(self.clock)

    def writes(self, seconds: int) -> int:
        """How often ours is written, when it is asked for each second."""
        found = 0
        for _ in range(seconds):
            if not self.rivals.hold(REF, there(THEIRS), OURS):
                self.rivals.wrote(REF, there(THEIRS), OURS)
                found += 1
            self.clock.advance(1.0)
        return found


@pytest.fixture
def contest() -> Contest:
    return Contest()


def test_a_status_that_is_written_over_again_and_again_is_written_less_and_less(contest: Contest) -> None:
    assert contest.writes(60) <= 7
    assert contest.writes(3600) <= 16
    assert contest.writes(3600) == 12, "once in five minutes, so that ours is there when the other ends"


def test_a_hand_that_writes_over_ours_once_is_answered_at_once(contest: Contest) -> None:
    contest.rivals.wrote(REF, there({}), OURS)
    assert not contest.rivals.hold(REF, there(THEIRS), OURS)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (there(OURS), status("False")),
        (there(OURS), status(active="2/2")),
        (there(THEIRS), status(active="2/2")),
        (there(status(since="2032-01-01T00:00:00Z")), OURS),
        (there({}, uid="of another with the same name"), OURS),
    ],
    ids=["turned", "counted anew", "another", "since when", "made anew"],
)
def test_what_is_new_is_never_held_back(contest: Contest, before: Written, wanted: dict[str, Any]) -> None:
    contest.writes(30)
    assert not contest.rivals.hold(REF, before, wanted)


def test_it_is_due_when_the_wait_is_over_and_once(contest: Contest) -> None:
    contest.writes(2)
    assert contest.rivals.hold(REF, there(THEIRS), OURS)
    assert not contest.rivals.due()
    contest.clock.advance(2.0)
    assert contest.rivals.due()
    assert not contest.rivals.due()


def test_it_is_said_once_and_noted_while_it_lasts(contest: Contest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert contest.rivals.note == ""
    contest.writes(900)
    assert "1 objects, the first is AccessPolicy shop/orders; let one controller alone" in contest.rivals.note
    assert caplog.text.count("somebody else writes over the status of AccessPolicy shop/orders") == 1
    contest.clock.advance(700.0)
    assert contest.rivals.note == "", "the other has ended"
    contest.writes(1)
    assert contest.rivals.note == ""


def test_objects_that_are_gone_are_forgotten(contest: Contest) -> None:
    contest.writes(60)
    contest.rivals.keep(())
    assert contest.rivals.note == ""
