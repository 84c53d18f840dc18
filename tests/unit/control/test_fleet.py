"""Which replicas live, and what each serves."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.control.events import Applied, Deleted, Listed
from extauthz.control.fleet import Fleet, Progress, Replica
from extauthz.control.leases import leases
from extauthz.control.moments import micro
from extauthz.model.time import Instant
from extauthz.policy.problem import ObjectRef
from tests.clock import FakeClock

HOME = leases("system")
P, Q = (ObjectRef("AccessPolicy", "shop", name) for name in "pq")


def lease(name: str, renewed: float, version: str = "v1") -> dict[str, Any]:
    metadata = {"name": f"extauthz-replica-{name}", "annotations": {"extauthz.dev/snapshot-version": version}}
    return {"metadata": metadata, "spec": {"renewTime": micro(Instant(renewed))}}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fleet(clock: FakeClock) -> Fleet:
    return Fleet(clock)


def names(fleet: Fleet) -> list[str]:
    return [replica.name.removeprefix("extauthz-replica-") for replica in fleet.live()]


def test_a_replica_lives_while_its_lease_is_renewed(clock: FakeClock, fleet: Fleet) -> None:
    fleet.take(Listed(HOME, (lease("a", clock.now()), lease("b", clock.now()))))
    clock.advance(30)
    fleet.take(Applied(HOME, lease("a", clock.now(), "v2")))
    assert fleet.live() == (Replica("extauthz-replica-a", "v2"), Replica("extauthz-replica-b", "v1"))
    clock.advance(10)
    assert names(fleet) == ["a"]


def test_a_replica_that_takes_its_lease_away_is_gone_at_once(clock: FakeClock, fleet: Fleet) -> None:
    fleet.take(Listed(HOME, (lease("a", clock.now()),)))
    fleet.take(Deleted(HOME, lease("a", clock.now())))
    assert names(fleet) == []


def test_a_replica_whose_clock_is_wrong_lives_all_the_same(clock: FakeClock, fleet: Fleet) -> None:
    fleet.take(Listed(HOME, (lease("a", clock.now() - 50), lease("b", clock.now() + 9000))))
    assert names(fleet) == ["a", "b"]


def test_a_lease_that_was_left_behind_before_we_came_is_no_replica(clock: FakeClock, fleet: Fleet) -> None:
    fleet.take(Listed(HOME, (lease("old", clock.now() - 101), lease("dead", clock.now() - 700))))
    assert names(fleet) == []
    assert fleet.left_behind() == ("extauthz-replica-dead",)


def test_a_list_anew_does_not_make_the_dead_alive(clock: FakeClock, fleet: Fleet) -> None:
    written = lease("a", clock.now())
    fleet.take(Listed(HOME, (written,)))
    clock.advance(45)
    fleet.take(Listed(HOME, (written,)))
    assert names(fleet) == []


@pytest.mark.parametrize(
    "other",
    [
        {"metadata": {"name": "extauthz-controller"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}},
        {"metadata": {"name": "extauthz-replica-x"}},
        {"metadata": {"name": "extauthz-replica-x"}, "spec": {"renewTime": 7}},
        {},
    ],
)
def test_other_leases_are_no_replicas(fleet: Fleet, other: dict[str, Any]) -> None:
    fleet.take(Listed(HOME, (other,)))
    assert names(fleet) == []


def test_a_version_holds_what_did_not_change_since() -> None:
    progress = Progress()
    progress.note("v1", {P: 1, Q: 1})
    progress.note("v2", {P: 1, Q: 2})
    assert [progress.holds(P, version) for version in ("v1", "v2", "v3")] == [True, True, None]
    assert [progress.holds(Q, version) for version in ("v1", "v2")] == [False, True]


def test_going_back_to_what_was_makes_the_old_version_the_newest() -> None:
    progress = Progress()
    progress.note("v1", {P: 1})
    progress.note("v2", {P: 2})
    progress.note("v1", {P: 1})
    assert [progress.holds(P, version) for version in ("v1", "v2")] == [True, False]


def test_an_object_that_is_gone_is_unknown_and_new_when_it_comes_back() -> None:
    progress = Progress()
    progress.note("v1", {P: 1})
    progress.note("v2", {})
    assert progress.holds(P, "v2") is None
    progress.note("v3", {P: 1})
    assert [progress.holds(P, version) for version in ("v1", "v2", "v3")] == [False, False, True]


def test_only_so_many_versions_are_remembered() -> None:
    progress = Progress()
    for number in range(300):
        progress.note(f"v{number}", {P: 1})
    assert progress.holds(P, "v0") is None
    assert progress.holds(P, "v299") is True
