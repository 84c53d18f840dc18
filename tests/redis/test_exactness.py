"""Exactness over three replicas as processes, whatever becomes of the server, the network and the replicas."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis.fleet import DURABLE, GONE, REPLICAS, Fleet, answer, disturb, fleet, fresh_token, judge
from tests.redis.proxy import Fault
from tests.redis.servers import Server, running, wait_for

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(240)]

WINDOW = 2.0
AMOUNT = 20
ROUNDS = 8


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server that forgets nothing."""
    with running("valkey", *DURABLE) as server:
        yield server


@pytest.fixture
def once(durable: Server, tmp_path: Path) -> Iterator[Fleet]:
    """Replicas whose tokens are good once, before a server that holds nothing."""
    with durable.client() as client:
        client.flushall()
    with fleet(durable, tmp_path, maxUses=1) as ours:
        yield ours


def test_F02_of_two_hundred_racing_checks_over_three_replicas_one_is_admitted_whatever_breaks(once: Fleet) -> None:
    chance = random.Random(7)
    for number in range(ROUNDS):
        what, token = disturb(once, chance), fresh_token()
        judge(once.race(token), what)
        if number % 3 == 2:
            once.restart_server()
        once.wait()
        # Neither a cut nor a restart gives it back.
        assert "allow" not in once.race(token, REPLICAS)


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
    token = fresh_token()
    with fleet(durable, tmp_path, maxUses=AMOUNT, window=f"{WINDOW:g}s") as ours:
        admitted = saturate(ours, token, 3 * WINDOW)
    # More than one window was filled, and an admission is between when it was asked for and when it was told: where
    # even the widest of such bounds lie within one window, too many were admitted in it.
    assert len(admitted) > AMOUNT
    for first in range(len(admitted) - AMOUNT):
        together = admitted[first : first + AMOUNT + 1]
        assert max(told for _, told in together) - min(asked for asked, _ in together) >= WINDOW


def saturate(ours: Fleet, token: str, seconds: float) -> list[tuple[float, float]]:
    """Keep many Checks in flight for so long. When each admission was asked for, and told, in order of the latter."""
    admitted: list[tuple[float, float]] = []
    told: dict[Any, float] = {}
    flying: deque[tuple[float, Any]] = deque()
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until or flying:
        while len(flying) < 48 and time.monotonic() < until:
            asked, call = time.monotonic(), ours.ask(ours.replicas[number % REPLICAS], token)
            call.add_done_callback(lambda done: told.setdefault(done, time.monotonic()))
            flying.append((asked, call))
            number += 1
        asked, call = flying.popleft()
        found = answer(call)
        assert found in {"allow", "rate_exceeded"}
        if found == "allow":
            admitted.append((asked, told.get(call, time.monotonic())))
    return sorted(admitted, key=lambda each: each[1])
