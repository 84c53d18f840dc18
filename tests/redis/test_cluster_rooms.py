"""Quotas over several slots: what an account holds is never less than what lives, whatever fails, and is given back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations, combinations_with_replacement

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.replay.redis import Options
from extauthz.replay.redis.connect import Lane
from extauthz.replay.redis.slots import slot_of, tag_of
from extauthz.replay.redis.steps import groups_of
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.spend import Bind, Count, Room, Spend
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable
from tests.redis.cluster import Cluster, connected_to
from tests.redis.proxy import Fault as Cut
from tests.redis.servers import Server
from tests.redis.test_cluster_steps import (
    CLOCK,
    CODEC,
    KINDS,
    Fault,
    InTurn,
    Turns,
    Ways,
    attempted,
    rate,
    single_use,
    some_use,
    use_up,
)
from tests.redis.test_counting import race

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]

MOST = 5
BRISK = Options(deadline=Seconds(0.4), check_every=Seconds(0.1))
SURE = {Fault.REFUSE, Fault.DOWN}
"""After these it is known that the step counted nothing."""


def room(most: int = MOST, key: bytes = b"") -> Room:
    """Room in an account, its own unless a key is given."""
    return Room(key=key or os.urandom(16), most=most, label="quota")


def held(lane: Lane, account: Room) -> int:
    """How many keys an account holds."""
    request = CODEC.write_look((account,), CLOCK.now(), ((some_use(),),))
    looked = CODEC.read_look(lane.run([request], CLOCK.monotonic() + 20)[0], (account,))
    assert looked is not None
    assert looked[0].before is not None
    return account.most - looked[0].before


def living(valkey: Server, spends: tuple[Spend, ...]) -> int:
    """How many keys of these there are."""
    with valkey.client() as client:
        return sum(client.exists(key) for key in CODEC.keys(spends))


def mixtures(count: int) -> Iterator[tuple[Count, ...]]:
    """Counts of every mixture of kinds, each in a slot of its own."""
    for kinds in combinations_with_replacement(KINDS, count):
        while True:
            spends = tuple(kind() for kind in kinds)
            if len(set(map(tag_of, spends))) == count:
                yield spends  # type: ignore[misc]
                break


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("can_give_back", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_in_no_order_of_failure_is_there_a_key_without_room_or_room_that_is_held_unsaid(
    valkey: Server, lane: Lane, count: int, can_give_back: bool, fault: Fault
) -> None:
    for at in range(count + 1):
        for counts in mixtures(count):
            account, attempt, ways = room(), os.urandom(16), Ways(lane, fault, at, can_give_back)
            spends: tuple[Spend, ...] = (*counts, account)
            groups = groups_of(spends)
            outcome, steps = attempted(ways, spends, attempt)
            ways.finish()
            assert not isinstance(outcome, Committed)
            # What others made to be first is theirs to pay for.
            others = groups[at].spends if fault is Fault.REFUSE else ()
            mine = tuple(each for each in counts if each not in others)
            taken = held(lane, account) - (MOST if others == (account,) else 0)
            assert taken >= living(valkey, mine), (spends, at)
            reached = groups[: at + (fault not in SURE)]
            if can_give_back and all(group.can_be_given_back for group in reached):
                assert (taken, living(valkey, mine), steps.lost) == (0, 0, 0), (spends, at)
            assert taken == 0 or steps.lost > 0, (spends, at)
            again = attempted(Ways(lane), spends, attempt)[0]
            if fault is Fault.REFUSE:
                assert isinstance(again, Refused)
                continue
            assert isinstance(again, Committed), (spends, at, again)
            # Repetitions, and other requests with the same keys, have their room already.
            for repeated in (attempt, os.urandom(16), os.urandom(16)):
                attempted(Ways(lane), spends, repeated)
                assert held(lane, account) == living(valkey, counts) == count, (spends, at)


def test_room_is_the_first_step_also_where_its_tag_is_that_of_a_count(lane: Lane) -> None:
    token, account = single_use(), room()
    while tag_of(token) != tag_of(account):
        account = room()
    groups = groups_of((token, account))
    assert [group.spends for group in groups] == [(account,), (token,)]
    assert isinstance(attempted(Ways(lane), (token, account), os.urandom(16))[0], Committed)
    assert held(lane, account) == 1


def test_a_room_pays_for_the_counts_before_it_and_two_peppers_each_for_their_own(lane: Lane) -> None:
    spends = (single_use(), rate(), room(), room(), single_use(), room())
    assert isinstance(attempted(Ways(lane), spends, os.urandom(16))[0], Committed)
    assert [held(lane, each) for each in spends if isinstance(each, Room)] == [2, 2, 1]


def test_a_full_account_counts_what_it_knows_and_tells_when_it_has_room(lane: Lane) -> None:
    limit, account = rate(), room(most=1)
    for _ in range(5):
        assert isinstance(attempted(Ways(lane), (limit, account), os.urandom(16))[0], Committed)
    refused, steps = attempted(Ways(lane), (rate(), account), os.urandom(16))
    assert isinstance(refused, Refused)
    assert refused.spend == account
    assert refused.retry_after is not None
    assert 60 < refused.retry_after <= 64
    assert steps.given_back == 0
    # Smaller by now, it tells when as many have ended as must; and never, where it is too small for ever.
    assert isinstance(attempted(Ways(lane), (some_use(), replace(account, most=2)), os.urandom(16))[0], Committed)
    for most, longest in ((2, 64), (1, 400)):
        later = attempted(Ways(lane), (rate(), replace(account, most=most)), os.urandom(16))[0]
        assert isinstance(later, Refused)
        assert later.retry_after is not None
        assert longest - 100 < later.retry_after <= longest
    never = attempted(Ways(lane), (rate(), rate(), room(most=1)), os.urandom(16))[0]
    assert isinstance(never, Refused)
    assert never.retry_after is None


def test_the_same_attempt_with_other_counts_takes_room_for_those(lane: Lane) -> None:
    account = room()
    for number in (1, 2):
        assert isinstance(attempted(Ways(lane), (single_use(), account), b"one attempt")[0], Committed)
        assert held(lane, account) == number


def test_a_name_stays_until_the_latest_end_that_was_asked_for(lane: Lane) -> None:
    longer, account = rate(), room(most=1)
    for window in (600.0, 6.0):
        asked = replace(longer, window=Seconds(window))
        assert isinstance(attempted(Ways(lane), (asked, account), os.urandom(16))[0], Committed)
    refused = attempted(Ways(lane), (rate(), account), os.urandom(16))[0]
    assert isinstance(refused, Refused)
    assert refused.retry_after is not None
    assert 500 < refused.retry_after <= 604


def test_names_that_ended_and_are_not_swept_out_yet_take_no_room_and_tell_no_time(valkey: Server, lane: Lane) -> None:
    account = room(most=1)
    [key] = CODEC.keys((account,))
    with valkey.client() as client:
        client.zadd(key, {b"ended %d" % number: number * 1024 + 1 for number in range(1, 201)})
    assert held(lane, account) == 0
    assert isinstance(attempted(Ways(lane), (rate(), account), os.urandom(16))[0], Committed)
    refused = attempted(Ways(lane), (rate(), account), os.urandom(16))[0]
    assert isinstance(refused, Refused)
    assert refused.retry_after is not None
    assert 60 < refused.retry_after <= 64


def test_what_refuses_first_in_the_order_of_the_request_is_told_though_room_comes_first(lane: Lane) -> None:
    limit, account = rate(), room()
    use_up(lane, (limit, account))
    refused = attempted(Ways(lane), (limit, some_use(), account), os.urandom(16))[0]
    assert isinstance(refused, Refused)
    assert refused.spend == limit


def in_turn(lane: Lane, plans: dict[str, tuple[Spend, ...]], order: str) -> dict[str, Outcome | Trouble]:
    """Several requests at once, which take their steps in this order."""
    turns, outcomes = Turns("".join(plans)), dict[str, Outcome | Trouble]()

    def run(name: str) -> None:
        spends = plans[name]
        try:
            outcomes[name] = attempted(InTurn(lane, name=name, turns=turns), spends, os.urandom(16))[0]
        finally:
            turns.end(name)

    threads = [threading.Thread(target=run, args=(name,)) for name in plans]
    for name, thread in zip(plans, threads, strict=True):
        thread.start()
        turns.begin(name)
    for name in order + "".join(plans) * 12:
        turns.step(name)
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("admits", [False, True])
def test_of_two_requests_that_hold_the_same_room_the_one_that_is_refused_takes_none_from_the_other(
    valkey: Server, lane: Lane, admits: bool
) -> None:
    full = rate()
    use_up(lane, (full,))
    for places in combinations(range(8), 4):
        order = "".join("N" if at in places else "M" for at in range(8))
        token, account = some_use(), room()
        plans: dict[str, tuple[Spend, ...]] = {
            "N": (token, full, account),
            "M": (token, account) if admits else (token, full, account),
        }
        outcomes = in_turn(lane, plans, order)
        assert isinstance(outcomes["N"], Refused)
        assert isinstance(outcomes["M"], Committed) == admits
        assert held(lane, account) == living(valkey, (token,)) == admits, order


def token_of(issuer: bytes, namespace: bytes, most: int, most_of_all: int = 1000) -> tuple[Spend, ...]:
    """What a token of an issuer spends: a use, its tie, and room in two accounts."""
    token = single_use()
    tie = Bind(key=os.urandom(16), value=b"v" * 16, until=token.until, company=token.key)
    return tie, token, room(most, issuer * 16), room(most_of_all, namespace * 16)


@pytest.mark.parametrize(("most", "most_of_all"), [(40, 1000), (1000, 40)])
def test_racing_clients_fill_a_quota_and_never_more_and_leave_other_issuers_untouched(
    cluster: Cluster, most: int, most_of_all: int
) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected_to(cluster, CLOCK)) for _ in range(3)]
        calm: list[Outcome] = []

        def one(number: int) -> Outcome:
            if number % 6 == 0:
                calm.append(replicas[number % 3].commit(token_of(b"c", b"d", 1000), os.urandom(16)))
            return replicas[number % 3].commit(token_of(b"f", b"n", most, most_of_all), os.urandom(16))

        outcomes = race(90, one)
        admitted = [each for each in outcomes if isinstance(each, Committed)]
        assert len(admitted) == 20
        refused = [each for each in outcomes if isinstance(each, Refused)]
        assert len(refused) == 70
        assert {each.spend.reason for each in refused} == {Reason.STORE_QUOTA}
        assert all(isinstance(each, Committed) for each in calm)
        # Who was refused by the one account gave back what it held of the other.
        left = replicas[0].look(token_of(b"f", b"n", 1000, 1000))
        assert isinstance(left, tuple)
        assert [each.before for each in left[2:]] == [960, 960]
    assert sum(key.endswith(b"u") for key in cluster.held_keys()) == 20 + len(calm)


def test_racing_repetitions_of_a_check_take_their_room_once(cluster: Cluster) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected_to(cluster, CLOCK)) for _ in range(3)]
        spends = token_of(b"f", b"n", 2, 2)
        outcomes = race(30, lambda number: replicas[number % 3].commit(spends, b"one and the same"))
        assert all(isinstance(each, Committed) for each in outcomes)
        refused = replicas[0].commit(token_of(b"f", b"n", 2, 2), b"another")
        assert isinstance(refused, Refused)
        assert refused.spend.reason is Reason.STORE_QUOTA


def test_without_the_node_of_its_account_nothing_of_an_issuer_is_counted(cluster: Cluster) -> None:
    account, known = room(), some_use()
    where = cluster.holder(slot_of(tag_of(account)))
    while cluster.holder(slot_of(tag_of(known))) is where:
        known = some_use()
    with connected_to(cluster, CLOCK, BRISK) as store:
        assert isinstance(store.commit((known, account), None), Committed)
        where.proxy.befall(Cut.HANG)
        for attempt in (b"1", b"2"):
            assert isinstance(store.commit((known, account), attempt), Unavailable)
        looked = store.look((known,))
        assert isinstance(looked, tuple)
        assert looked[0].before == 4


def test_an_account_sweeps_out_what_ended_and_ends_with_its_last_key(cluster: Cluster) -> None:
    account = room(most=1000)
    where = cluster.holder(slot_of(tag_of(account))).server
    [key] = CODEC.keys((account,))
    with connected_to(cluster, CLOCK) as store, where.client() as client:
        client.zadd(key, {b"ended %d" % number: number * 1024 + 1 for number in range(1, 101)})
        for left in (100 - 64 + 1, 2):
            assert isinstance(store.commit((some_use(), account), None), Committed)
            assert client.zcard(key) == left
        [(_, score)] = client.zrange(key, -1, -1, withscores=True)
        assert client.pexpiretime(key) == int(score) // 1024
        # A name of 17 bytes, 16 of which tell nothing without the pepper.
        assert {len(name) for name in client.zrange(key, 0, -1)} == {17}
