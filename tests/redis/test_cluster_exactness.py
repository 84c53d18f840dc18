"""Exactness over three replicas as processes before a cluster: the race, where slots move besides."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extauthz.replay.redis.slots import slot_of
from tests.redis.blows import Kind
from tests.redis.cluster import NODES, Cluster, clustered
from tests.redis.fleet import DURABLE, RACERS, Asked, answer, cluster_fleet
from tests.redis.race import HAND, Race
from tests.redis.saturating import LIMIT, rate_race
from tests.redis.servers import wait_for
from tests.redis.test_exactness import seed

__all__ = ["seed"]

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Nodes that forget nothing that they answered, so that a restart may not give a use back."""
    with clustered("valkey", *DURABLE, timeout_ms=5000) as cluster:
        yield cluster


def test_F02_of_two_hundred_racing_checks_before_a_cluster_one_is_admitted_whatever_breaks_and_moves(
    cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    with cluster_fleet(cluster, tmp_path, maxUses=1) as ours:
        race = MovingRace(ours, random.Random(seed), cluster=cluster)
        race.run(HAND)
    assert {each.value for each in Kind} <= set(race.told)
    assert race.told["slots moved"] > HAND / 2


def test_no_window_admits_more_than_its_amount_before_a_cluster_whatever_breaks(
    cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    with cluster_fleet(cluster, tmp_path, **LIMIT) as ours:
        told = rate_race(ours, random.Random(seed), seconds=1.0)
    assert {each.value for each in Kind} <= set(told)


@dataclass(kw_only=True)
class MovingRace(Race):
    """After each race, the slots of its tokens go from node to node while others ask for the token again."""

    cluster: Cluster
    _seen: set[int] = field(default_factory=set)
    """Slots of earlier rounds."""

    def ask_again(self, token: str) -> list[Asked]:
        """As many Checks as in the race."""
        fresh = uses(self.cluster) - self._seen
        self._seen |= fresh
        with moving(self.cluster, sorted(fresh)) as moved:
            asked = self.fleet.begin_race(token, RACERS)
            for each in asked:
                answer(each.call)
        self.told["slots moved"] += len(set(moved))
        self.fleet.wait()
        return asked


def uses(cluster: Cluster) -> set[int]:
    """The slots that hold uses of tokens."""
    keys = [key for key in cluster.held_keys() if key.endswith(b"u")]
    return {slot_of(key.partition(b"{")[2].partition(b"}")[0]) for key in keys}


@contextmanager
def moving(cluster: Cluster, slots: list[int]) -> Iterator[list[int]]:
    """Slots go from node to node, each once at least. Which have moved."""
    stop, moved = threading.Event(), list[int]()

    def move() -> None:
        number = 0
        while not (stop.is_set() and number > NODES):
            for slot in slots:
                cluster.move(slot, cluster.members[number % NODES])
                moved.append(slot)
            number += 1

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield moved
    finally:
        stop.set()
        mover.join()
    wait_for(cluster.settled, "the cluster to agree")
