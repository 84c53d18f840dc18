"""The shared store on a cluster of real nodes: histories, slots that move, nodes that die, networks that lie."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.config import ClusterAddress, Settings, StoreAddress, load
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.choose import target_of
from extauthz.replay.redis import ClusterStore, Options, Target, Tls
from extauthz.replay.redis.cluster import _Way
from extauthz.replay.redis.slots import slot_of, tag_of
from extauthz.replay.redis.steps import groups_of
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import Request
from extauthz.replay.spend import Bind, Rate, Room, Spend, Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable, foreseen
from tests.building import NOW
from tests.redis.certificates import Authority
from tests.redis.cluster import NODES, Cluster, ClusterClock, Member, clustered, connected_to
from tests.redis.proxy import Fault
from tests.redis.servers import free_port, running, wait_for
from tests.redis.test_connecting import HOW_TO, acl
from tests.redis.test_counting import LooseModel, race, spends_named

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]

CLOCK = SystemClock()
STEADY = Options(deadline=Seconds(4.0), check_every=Seconds(0.5))
BRISK = Options(deadline=Seconds(0.4), check_every=Seconds(0.1))
_TICKS = st.integers(0, 64 * 40).map(lambda n: n / 64)


def use(key: bytes = b"", most: int = 1) -> Use:
    """A use of a token."""
    return Use(key=key or os.urandom(16), max_uses=most, until=Instant(CLOCK.now() + 300))


def rate(key: bytes = b"", amount: int = 5) -> Rate:
    """A request within a rate."""
    return Rate(key=key or os.urandom(16), amount=amount, window=Seconds(60.0), label="l")


def at(cluster: Cluster, member: Member, most: int = 1) -> Use:
    """A use that this node counts."""
    while True:
        found = use(most=most)
        if cluster.holder(slot(found)) is member:
            return found


def slot(spend: Spend) -> int:
    """Where a spend is counted."""
    return slot_of(tag_of(spend))


def detail(outcome: Outcome) -> str:
    """Why a commit could not be made."""
    assert isinstance(outcome, Unavailable), outcome
    return outcome.detail


def test_each_slot_of_a_commit_knows_its_attempt_for_as_long_as_is_said(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK, replace(STEADY, attempt_ttl=Seconds(60.0))) as store:
        cluster.flush()
        assert isinstance(store.commit((use(), rate()), b"attempt"), Committed)
        kept = []
        for each in cluster.members:
            with each.server.client() as client:
                kept += [client.pttl(key) for key in client.scan_iter() if key.endswith(b"a")]
    # Those of probes, too.
    assert len(kept) >= 2
    assert all(30_000 < each <= 60_000 for each in kept)


def test_the_spends_of_a_token_are_one_call_and_nothing_of_the_token_stands_in_a_key(cluster: Cluster) -> None:
    token = use()
    tie = Bind(key=os.urandom(16), value=b"v" * 16, until=token.until, company=token.key)
    window = replace(rate(), company=token.key)
    with connected_to(cluster, CLOCK) as store:
        before = store.state().commits
        assert isinstance(store.commit((tie, token, window), b"attempt"), Committed)
        assert store.state().commits == before + 1
    keys = [key for key in cluster.held_keys() if any(each.key in key for each in (tie, token, window))]
    assert len(keys) == 3
    assert {key.partition(b"}")[0] for key in keys} == {b"x1:{" + tag_of(token)}


def test_a_lone_use_takes_one_small_key_wherever_it_lies(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK) as store:
        cluster.flush()
        token = use()
        store.commit((token,), None)
    [key] = [key for key in cluster.held_keys() if key.endswith(b"u")]
    with cluster.holder(slot(token)).server.client() as client:
        assert client.memory_usage(key) <= 120


def test_tags_spread_over_all_nodes_and_fill_slots_evenly(cluster: Cluster) -> None:
    slots = [slot(use()) for _ in range(3000)]
    held = [
        sum(number * 16384 // NODES <= each < (number + 1) * 16384 // NODES for each in slots)
        for number in range(NODES)
    ]
    assert min(held) > 850
    assert max(slots.count(each) for each in set(slots)) < 8


def test_F02_of_two_hundred_racing_commits_over_three_clients_one_wins_in_any_slot(cluster: Cluster) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected_to(cluster, CLOCK)) for _ in range(3)]
        for _ in range(5):
            token, limit = use(), rate(amount=500)
            outcomes = race(200, lambda n: replicas[n % 3].commit((token, limit), b"%d" % n))  # noqa: B023
            assert sum(isinstance(each, Committed) for each in outcomes) == 1
            assert sum(isinstance(each, Refused) for each in outcomes) == 199
            # What the losers took on their way is given back.
            looked = replicas[0].look((limit,))
            assert isinstance(looked, tuple)
            assert looked[0].before == 499


def test_racing_repetitions_over_slots_and_clients_are_one(cluster: Cluster) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected_to(cluster, CLOCK)) for _ in range(3)]
        spends = (use(most=50), rate(amount=40), use())
        assert len(groups_of(spends)) == 3
        outcomes = race(60, lambda n: replicas[n % 3].commit(spends, b"attempt"))
        assert outcomes == [Committed(0)] * 60
        looked = replicas[0].look(spends)
        assert isinstance(looked, tuple)
        assert [each.before for each in looked] == [49, 39, 0]


def test_commits_that_wait_together_share_round_trips_at_each_node(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK) as store:
        before = store.state()
        race(150, lambda _: store.commit((use(),), None))
        state = store.state()
        assert state.commits - before.commits == 150
        assert state.batches - before.batches < 150


@pytest.fixture(scope="module")
def turned() -> Iterator[Cluster]:
    """A cluster whose clocks the test turns."""
    with clustered(turned=True) as cluster:
        yield cluster


@pytest.fixture
def clock(turned: Cluster) -> ClusterClock:
    turned.flush()
    return ClusterClock(turned, NOW)


@pytest.fixture
def timed(turned: Cluster, clock: ClusterClock) -> Iterator[ClusterStore]:
    with connected_to(turned, clock) as store:
        yield store


@given(st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_history_is_answered_as_an_exact_store_would_and_as_a_look_foresaw(
    timed: ClusterStore, clock: ClusterClock, data: st.DataObject
) -> None:
    model = LooseModel()
    each = st.lists(spends_named(os.urandom(8)), max_size=5, unique_by=lambda spend: spend.key)
    for gap, spends in data.draw(st.lists(st.tuples(_TICKS, each), max_size=15)):
        clock.advance(gap)
        now = clock.now()
        foreknown = foreseen(timed.look(tuple(spends)))
        outcome = timed.commit(tuple(spends), None)
        assert type(foreknown) is type(outcome)
        match outcome:
            case Committed():
                assert foreknown == outcome
                assert not any(model.must_refuse(spend, now) for spend in spends)
                for spend in spends:
                    model.apply(spend, now)
            case Refused(spend=refused, retry_after=wait):
                # A step whose giving back was lost stays counted: then this says so.
                assert model.may_refuse(refused, now), timed.state().given_back
                assert not any(model.must_refuse(spend, now) for spend in spends[: spends.index(refused)])
                assert (wait is not None and 0 < wait <= 60) == isinstance(refused, Rate)
            case Unavailable(detail=why):
                raise AssertionError(why)


def test_a_rate_is_given_back_although_the_nodes_clock_was_set_back_meanwhile(
    timed: ClusterStore, clock: ClusterClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back = _Way.give_back

    async def turned_before(way: _Way, request: Request, tag: bytes) -> Trouble | None:
        clock.turn_servers(-1.0)
        return await give_back(way, request, tag)

    monkeypatch.setattr(_Way, "give_back", turned_before)
    free, full = rate(b"r" + os.urandom(8), 1), rate(b"r" + os.urandom(8), 1)
    assert isinstance(timed.commit((full,), None), Committed)
    assert isinstance(timed.commit((free, full), None), Refused)
    assert timed.state().given_back == {"made": 1, "lost": 0}
    assert isinstance(timed.commit((free,), None), Committed)


def test_a_task_that_is_cancelled_on_its_way_is_given_back_what_a_refused_commit_counted(cluster: Cluster) -> None:
    async def leave(store: ClusterStore, free: Rate, full: Rate, turns: int) -> None:
        task = asyncio.create_task(store.commit_async((free, full), None))
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    with connected_to(cluster, CLOCK, STEADY) as store:
        for turns in range(1, 16):
            free, full = rate(b"r" + os.urandom(8), 1), rate(b"r" + os.urandom(8), 1)
            assert isinstance(store.commit((full,), None), Committed)
            asyncio.run(leave(store, free, full, turns))
            assert isinstance(store.commit((free,), None), Committed), turns


def test_a_commit_whose_reply_was_lost_is_repeated_and_counted_once(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK, STEADY) as store:
        for fault in (Fault.CUT, Fault.LOSE):
            for spends in ((use(most=3),), (use(most=3), rate(), rate())):
                for each in cluster.members:
                    each.proxy.befall(fault, times=1)
                assert isinstance(store.commit(spends, b"attempt"), Committed)
                looked = store.look(spends)
                assert isinstance(looked, tuple)
                assert [left.before for left in looked] == [2, 4, 4][: len(spends)]


def test_a_count_whose_reply_was_lost_keeps_its_room_though_its_slot_moved_to_a_node_that_is_down_meanwhile(
    cluster: Cluster,
) -> None:
    old, new, third = cluster.members
    with connected_to(cluster, CLOCK, replace(STEADY, deadline=Seconds(20.0), check_every=Seconds(0.1))) as store:
        limit, room = rate(), Room(key=os.urandom(16), most=5, label="q")
        while cluster.holder(slot(limit)) is not old:
            limit = rate()
        while cluster.holder(slot(room)) is not third:
            room = replace(room, key=os.urandom(16))
        new.proxy.befall(Fault.LOSE)
        wait_for(lambda: store.note() is not None, "the node to be down")
        old.proxy.befall(Fault.HOLD)
        outcomes: list[Outcome] = []
        commit = threading.Thread(target=lambda: outcomes.append(store.commit((limit, room), None)))
        commit.start()
        key = limit.key + b"l"
        wait_for(lambda: any(each.endswith(key) for each in cluster.held_keys()), "the count")
        cluster.move(slot(limit), new)
        old.proxy.reset_all()
        old.proxy.befall(Fault.NONE)
        commit.join()
        assert isinstance(outcomes[0], Unavailable)
        assert store.state().given_back == {"made": 0, "lost": 2}
        looked = store.look((at(cluster, third), room))
        assert isinstance(looked, tuple), looked
        assert looked[1].before == 4  # what lives is paid for
        assert any(each.endswith(key) for each in cluster.held_keys())


def test_a_node_that_hangs_denies_what_it_counts_within_the_deadline_and_the_others_give_back(
    cluster: Cluster,
) -> None:
    well, hung = cluster.members[:2]
    with connected_to(cluster, CLOCK, replace(BRISK, deadline=Seconds(1.0), check_every=Seconds(3600.0))) as store:
        few, more, limit = at(cluster, hung, 5), at(cluster, well, 5), rate()
        hung.proxy.befall(Fault.HANG)
        started = CLOCK.monotonic()
        assert "did not answer" in detail(store.commit((more, few), b"attempt"))
        # Generous, for a busy machine: it would be twenty seconds and more without a deadline.
        assert CLOCK.monotonic() - started < 10
        # Nobody could ask the one that hangs to give back.
        assert store.state().given_back == {"made": 1, "lost": 1}
        looked = store.look((more,))
        assert isinstance(looked, tuple)
        assert looked[0].before == 5
        # What is irrevocable there is looked at first, so nothing was touched.
        while cluster.holder(slot(limit)) is not well:
            limit = rate()
        assert isinstance(store.commit((limit, at(cluster, hung)), None), Unavailable)
        looked = store.look((limit,))
        assert isinstance(looked, tuple)
        assert looked[0].before == 5
        assert store.state().given_back == {"made": 1, "lost": 1}
        hung.proxy.befall(Fault.NONE)
        wait_for(lambda: isinstance(store.commit((at(cluster, hung),), None), Committed), "the node")


def test_a_slot_that_moves_under_load_admits_each_token_once(cluster: Cluster) -> None:
    tokens = [use() for _ in range(40)]
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected_to(cluster, CLOCK, STEADY)) for _ in range(3)]
        stop, moved = threading.Event(), []

        def reshard() -> None:
            number = 0
            while not stop.is_set():
                for token in tokens:
                    number += 1
                    cluster.move(slot(token), cluster.members[number % NODES])
                    moved.append(slot(token))

        mover = threading.Thread(target=reshard)
        mover.start()
        try:
            for round_ in range(3):
                for token in tokens:
                    outcomes = race(9, lambda n: replicas[n % 3].commit((token, rate()), None))  # noqa: B023
                    wins = sum(isinstance(each, Committed) for each in outcomes)
                    unsure = any(isinstance(each, Unavailable) for each in outcomes)
                    assert wins == (0 if round_ else 1) or (wins == 0 and unsure), outcomes
        finally:
            stop.set()
            mover.join()
        assert len(moved) > NODES
        assert sum(each.state().redirects for each in replicas) > 0
        assert all(isinstance(replicas[0].commit((use(),), None), Committed) for _ in range(20))


def test_a_slot_that_is_left_half_moved_is_told_and_nothing_else_is_refused(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK, BRISK) as store:
        source, to = cluster.members[0], cluster.members[1]
        used, fresh, lone = at(cluster, source), use(), use()
        assert isinstance(store.commit((used,), None), Committed)
        cluster.begin_move(slot(used), source, to)
        try:
            # Known here, and new ones at the other node: one key can be asked for, two that are new cannot.
            assert isinstance(store.commit((used,), None), Refused)
            fresh = replace(fresh, company=used.key)
            lone = replace(lone, company=used.key)
            assert isinstance(store.commit((lone,), None), Committed)
            assert isinstance(store.commit((lone,), None), Refused)
            assert "TRYAGAIN" in detail(store.commit((fresh,), b"attempt"))
            cluster.move_keys(slot(used), source, to)
            assert isinstance(store.commit((used,), None), Refused)
            assert isinstance(store.commit((at(cluster, source),), b"attempt"), Committed)
            assert store.ready()
            assert store.note() is None
        finally:
            cluster.end_move(slot(used), source, to)
        assert isinstance(store.commit((fresh,), b"attempt"), Committed)
        assert isinstance(store.commit((used,), None), Refused)
        assert store.state().failures["moved"] == 1


def test_a_node_that_is_given_its_first_slot_is_asked_though_it_holds_none() -> None:
    with clustered("valkey", "--cluster-allow-replica-migration", "no") as cluster:
        source, _, empty = cluster.members
        lot = (2 * -(-16384 // NODES), 16383)
        for each in cluster.members:
            with each.server.client() as client:
                client.execute_command("CLUSTER", "DELSLOTSRANGE", *lot)
        with source.server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *lot)
        wait_for(cluster.settled, "the cluster to settle")
        with connected_to(cluster, CLOCK, STEADY) as store:
            assert store.state().nodes == {"up": NODES - 1, "down": 0}
            used = at(cluster, source)
            cluster.begin_move(slot(used), source, empty)
            # Each survey finds that it holds nothing, and each redirection that it is needed.
            for _ in range(10):
                token = replace(use(), company=used.key)
                assert isinstance(store.commit((token,), None), Committed)
                assert isinstance(store.commit((token,), None), Refused)
                asked = store._survey.node(empty.address)
                store._survey._publish(store._survey._ask_any())
                assert store._survey.node(empty.address) is asked
            cluster.end_move(slot(used), source, empty)
            wait_for(lambda: store.state().nodes == {"up": NODES, "down": 0}, "the node")


def test_nodes_that_name_each_other_keep_no_request_past_its_deadline(cluster: Cluster) -> None:
    source, to = cluster.members[0], cluster.members[1]
    with connected_to(cluster, CLOCK, BRISK) as store:
        token = at(cluster, source)
        # Each says that the slot is at the other.
        with source.server.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot(token), "NODE", to.name)
        outcomes = [store.commit((token,), None) for _ in range(20)]
        assert sum(isinstance(each, Committed) for each in outcomes) <= 1
        cluster.end_move(slot(token), source, to)
        wait_for(cluster.settled, "the cluster to agree")
        wait_for(lambda: not isinstance(store.commit((token,), None), Unavailable), "the slot")
        assert isinstance(store.commit((token,), None), Refused)


def test_a_cluster_that_lacks_slots_is_down_and_told_and_comes_back(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK, BRISK) as store:
        token = use()
        assert isinstance(store.commit((token,), None), Committed)
        missing = 7
        holder = cluster.holder(missing)
        for each in cluster.members:
            with each.server.client() as client:
                client.execute_command("CLUSTER", "DELSLOTS", missing)
        try:
            wait_for(lambda: not store.ready(), "the breakers to open")
            assert "CLUSTERDOWN" in detail(store.commit((use(),), None))
            assert store.state().nodes == {"up": 0, "down": NODES}
        finally:
            with holder.server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTS", missing)
        wait_for(lambda: store.ready() and store.note() is None, "the store")
        assert isinstance(store.commit((token,), None), Refused)


@pytest.mark.slow
def test_a_node_that_dies_is_followed_to_its_replica_and_the_others_count_meanwhile() -> None:
    with clustered("valkey", replicas=True, timeout_ms=1500) as cluster, connected_to(cluster, CLOCK, BRISK) as store:
        for victim, other in ((cluster.members[0], cluster.members[1]), (cluster.members[1], cluster.members[2])):
            used, elsewhere = at(cluster, victim), at(cluster, other)
            assert isinstance(store.commit((used,), None), Committed)
            copy = cluster.members[cluster.members.index(victim) + NODES]
            # WAIT would speak of this client's own writes.
            wait_for(lambda: _has(copy, used.key), "the count at the replica")  # noqa: B023
            victim.server.kill()
            assert isinstance(store.commit((elsewhere,), None), Committed | Unavailable)
            wait_for(lambda: not isinstance(store.commit((used,), None), Refused), "the outage")  # noqa: B023
            wait_for(lambda: isinstance(store.commit((used,), None), Refused), "the replica to be promoted")  # noqa: B023
            wait_for(lambda: store.note() is None, "the store to be whole")
            assert isinstance(store.commit((use(), rate()), None), Committed)
            # The old one comes back as a replica, and is not asked.
            victim.server.start()
            wait_for(cluster.settled, "the cluster to agree")
            assert isinstance(store.commit((used,), None), Refused)


def _has(member: Member, key: bytes) -> bool:
    with member.server.client() as client:
        client.execute_command("READONLY")
        return any(key in each for each in client.scan_iter())


def test_a_cluster_that_was_never_there_is_told_and_found_when_it_comes() -> None:
    gone = ("127.0.0.1", free_port())
    store = ClusterStore(Target(nodes=(gone,)), CLOCK, BRISK)
    assert detail(store.commit((use(),), None)) == "the store is not connected yet"
    store.start()
    try:
        wait_for(lambda: "refuses connections" in str(store.trouble()), "the reason")
        assert not store.ready()
        failed = store.state().failures
        assert isinstance(store.look((use(),)), Unavailable)
        assert store.state().failures == failed, "a look is no commit that failed"
    finally:
        store.stop()
    assert detail(store.commit((use(),), None)) == "the store is closed"


def test_a_dead_seed_is_passed_over(cluster: Cluster) -> None:
    seeds = (("127.0.0.1", free_port()), cluster.members[2].address)
    store = ClusterStore(Target(nodes=seeds), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: store.ready() and store.note() is None, "the store")
        assert isinstance(store.commit((use(), use(), rate()), None), Committed)
    finally:
        store.stop()


def test_a_server_that_is_no_cluster_node_is_told_as_such() -> None:
    with running("valkey") as server:
        store = ClusterStore(Target(nodes=(("127.0.0.1", server.port),)), CLOCK, BRISK)
        store.start()
        try:
            wait_for(lambda: "is no cluster" in str(store.trouble()), lambda: str(store.trouble()))
        finally:
            store.stop()


def test_the_user_of_the_how_to_counts_in_a_cluster_over_tls_with_a_password_from_a_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    users = tmp_path / "users.acl"
    more = ("+cluster|slots +asking", "+zadd +zcount +zscore +zrange +zrem +pexpireat")
    assert all(f"`{each}`" in HOW_TO.read_text(encoding="utf-8") for each in more)
    line = f"{acl().replace('>PASSWORD', '>hunter2')} {' '.join(more)}"
    users.write_text(f"user default on nopass ~* &* +@all\n{line}\n")
    password = tmp_path / "password"
    password.write_text("wrong\n")
    tls = (
        "--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority.ca),
        "--tls-auth-clients", "no", "--cluster-announce-hostname", "localhost",
        "--cluster-preferred-endpoint-type", "hostname", "--aclfile", str(users),
    )  # fmt: skip
    with clustered("redis", *tls, tls=True) as cluster:
        seeds = tuple(("localhost", each.server.tls_port) for each in cluster.members[:1])
        target = Target(nodes=seeds, user="extauthz", password_file=password, tls=Tls(ca=authority.ca))
        store = ClusterStore(target, CLOCK, STEADY)
        store.start()
        try:
            wait_for(lambda: "WRONGPASS" in str(store.trouble()), lambda: str(store.trouble()))
            password.write_text("hunter2\n")
            wait_for(lambda: store.ready() and store.note() is None, lambda: f"{store.trouble()} {store.note()}")
            token, limit, room = use(), rate(), Room(key=os.urandom(16), most=2, label="quota")
            assert isinstance(store.commit((token, limit, room), b"one"), Committed)
            assert isinstance(store.commit((token, limit, room), b"two"), Refused)
            full = use(most=2), rate(amount=1), rate(limit.key, amount=1), replace(room, most=9)
            assert isinstance(store.commit(full, b"three"), Refused)
            # Nor is there a command that giving back would lack.
            assert (store.state().given_back or {})["lost"] == 0
        finally:
            store.stop()


@pytest.mark.parametrize(
    ("text", "ports", "tls"),
    [("redis+cluster://a:1,b,[::1]:3", (1, 6379, 3), False), ("rediss+cluster://a,[::1]/", (6379, 6379), True)],
)
def test_the_setting_names_nodes(text: str, ports: tuple[int, ...], tls: bool) -> None:
    found = load({"policies": "p", "store": text, "pepper-file": "f"}, {})
    assert isinstance(found, Settings)
    assert isinstance(found.store, StoreAddress)
    assert isinstance(found.store.at, ClusterAddress)
    target = target_of(found, found.store)
    assert tuple(port for _, port in target.nodes) == ports
    assert (target.tls is not None) == tls


@pytest.mark.parametrize(
    "text",
    ["redis+cluster://a:0", "redis+cluster://", "redis+cluster://u:p@a", "redis+cluster://a/3", "redis+cluster://a,,b"],
)
def test_a_setting_that_names_no_cluster_is_refused_without_a_password_in_it(text: str) -> None:
    found = load({"policies": "p", "store": text, "pepper-file": "f"}, {})
    assert not isinstance(found, Settings)
    assert "u:p" not in str(found)
