"""Exactness over three replicas as processes, whatever becomes of the server, the network and the replicas."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.blows import Kind
from tests.redis.fleet import DURABLE, GONE, REPLICAS, Fleet, answer, fleet, fresh_token, judge
from tests.redis.proxy import Fault
from tests.redis.race import HAND, Race
from tests.redis.saturating import AMOUNT, LIMIT, WINDOW, Load, most_in_a_window, rate_race
from tests.redis.servers import Server, running, wait_for

ROUNDS = max(HAND, int(os.environ.get("RACE_ROUNDS", "0")))
pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(240 + 3 * ROUNDS)]


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server that forgets nothing."""
    with running("valkey", *DURABLE) as server:
        yield server


@pytest.fixture
def seed() -> int:
    """Where chance begins: another place each time, unless the variable RACE_SEED names one."""
    chosen = int(os.environ.get("RACE_SEED", secrets.randbelow(1 << 32)))
    print(f"RACE_SEED={chosen}")  # noqa: T201 (shown where the test fails)
    return chosen


@pytest.fixture
def once(durable: Server, tmp_path: Path) -> Iterator[Fleet]:
    """Replicas whose tokens are good once, before a server that holds nothing."""
    with durable.client() as client:
        client.flushall()
    with fleet(durable, tmp_path, maxUses=1) as ours:
        yield ours


def test_F02_of_two_hundred_racing_checks_over_three_replicas_one_is_admitted_whatever_breaks(
    once: Fleet, seed: int
) -> None:
    race = Race(once, random.Random(seed))
    race.run(ROUNDS)
    assert {each.value for each in Kind} <= set(race.told)


def test_no_window_admits_more_than_its_amount_whatever_breaks(durable: Server, tmp_path: Path, seed: int) -> None:
    with fleet(durable, tmp_path, **LIMIT) as ours:
        told = rate_race(ours, random.Random(seed), seconds=1.0)
    assert {each.value for each in Kind} <= set(told)


def test_a_replica_that_is_killed_between_the_count_and_the_answer_leaves_no_second_use(
    once: Fleet, durable: Server
) -> None:
    victim, *others = once.replicas
    token = fresh_token()
    victim.proxy.befall(Fault.HANG)
    lost = once.ask(victim, token)
    with durable.client() as client:
        wait_for(lambda: any(key.endswith(b"u") for key in client.scan_iter()), "the count")
    victim.kill()
    assert answer(lost) == GONE
    once.replicas = others
    assert set(once.race(token)) == {"token_reused"}


def test_replicas_killed_in_the_middle_of_a_race_leave_at_most_one_admission(once: Fleet) -> None:
    token = fresh_token()
    calls = [once.ask(once.replicas[number % REPLICAS], token) for number in range(200)]
    once.replicas.pop().kill()
    answers = [answer(call) for call in calls]
    assert (answers + list(once.race(token).elements())).count("allow") <= 1
    judge(once.race(fresh_token()), "after a kill")


def test_no_window_admits_more_than_its_amount_under_a_load_on_three_replicas(durable: Server, tmp_path: Path) -> None:
    with fleet(durable, tmp_path, **LIMIT) as ours:
        load = Load(ours, fresh_token())
        load.run(lambda: time.monotonic() < load.began + 3 * WINDOW)
    assert set(load.answers) == {"allow", "rate_exceeded"}
    assert len(load.admitted) > AMOUNT
    assert most_in_a_window(load.admitted, WINDOW) <= AMOUNT


def test_admissions_are_in_one_window_where_even_the_widest_bounds_are() -> None:
    near = [(0.0, 0.5), (0.4, 1.9), (0.3, 2.5), (1.8, 1.9), (1.9, 3.7)]
    assert most_in_a_window(near, 2.0) == 3
    assert most_in_a_window([], 2.0) == 0
