"""Three sentinels, a primary and a replica: the primary is found, and found again after a failover."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from extauthz.config import SentinelAddress, Settings, StoreAddress, TcpAddress, load
from extauthz.model.time import Seconds, SystemClock
from extauthz.replay.choose import target_of
from extauthz.replay.redis import Options, RedisStore, Target
from extauthz.replay.spend import Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable
from tests.contract.running import run
from tests.redis.servers import Server, binary, connected, free_port, running, wait_for
from tests.redis.test_outage import BRISK, is_back, tells, use

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(180)]

NAME = "ours"
CLOCK = SystemClock()
OPTIONS = Options(deadline=Seconds(2.0), check_every=Seconds(0.2))


@contextmanager
def sentinels(primary: Server, folder: Path) -> Iterator[Target]:
    """Three sentinels that watch a primary; where they are."""
    ports = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        for port in ports:
            process = stack.enter_context(_sentinel(port, primary.port, folder))
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield Target(sentinels=tuple(("127.0.0.1", port) for port in ports), primary=NAME)


def _sentinel(port: int, watched: int, folder: Path) -> subprocess.Popen[bytes]:
    home = folder / str(port)
    home.mkdir()
    file = home / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {home}\nlogfile log\nsentinel monitor {NAME} 127.0.0.1 {watched} 2\n"
        f"sentinel down-after-milliseconds {NAME} 1500\nsentinel failover-timeout {NAME} 6000\n"
    )
    return subprocess.Popen([str(binary("valkey")), str(file), "--sentinel"], stdout=subprocess.DEVNULL)


def test_a_failover_is_followed_and_what_was_replicated_stays_counted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(running("valkey"))
        replica = stack.enter_context(running("valkey", "--replicaof", "127.0.0.1", str(primary.port)))
        target = stack.enter_context(sentinels(primary, tmp_path))
        ask = stack.enter_context(primary.client())
        wait_for(lambda: _online(ask), "the replica")
        for host, port in target.sentinels:
            watching = stack.enter_context(replace_port(primary, port).client())
            wait_for(lambda who=watching: _sees_all(who), f"the sentinel {host}:{port}")  # type: ignore[misc]
        store = stack.enter_context(connected(target, CLOCK, OPTIONS))
        assert isinstance(store.commit((use(),), None), Committed)
        # WAIT would speak of this client's own writes.
        copy = stack.enter_context(replica.client())
        wait_for(lambda: any(key.endswith(b"u") for key in copy.scan_iter()), "the count at the replica")
        primary.kill()
        wait_for(lambda: not is_back(store), "the outage")
        wait_for(lambda: is_back(store), "the new primary")
        assert isinstance(store.commit((use(),), None), Refused)
        # The old one comes back and calls itself a primary until the sentinels have turned it: it is not asked.
        primary.start()
        assert isinstance(store.commit((use(),), None), Refused)
        assert is_back(store)
        assert copy.info("replication")["role"] == "master"


def test_a_failover_that_is_ordered_while_writes_are_paused_forgets_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(running("valkey"))
        replica = stack.enter_context(running("valkey", "--replicaof", "127.0.0.1", str(primary.port)))
        target = stack.enter_context(sentinels(primary, tmp_path))
        ask, copy = (stack.enter_context(each.client()) for each in (primary, replica))
        wait_for(lambda: _online(ask), "the replica")
        watching = [stack.enter_context(replace_port(primary, port).client()) for _, port in target.sentinels]
        for each in watching:
            wait_for(lambda who=each: _sees_all(who), "a sentinel")  # type: ignore[misc]
        # Nobody asks the sentinels anew unless something fails.
        store = stack.enter_context(connected(target, CLOCK, replace(BRISK, check_every=Seconds(3600.0))))
        admitted = []

        def is_admitted() -> bool:
            each = use(os.urandom(16))
            if not isinstance(store.commit((each,), None), Committed):
                return False
            admitted.append(each)
            return True

        wait_for(lambda: is_admitted() and len(admitted) >= 50, "uses before it")
        ask.execute_command("CLIENT", "PAUSE", "10000", "WRITE")
        watching[0].execute_command("SENTINEL", "FAILOVER", NAME)
        wait_for(lambda: is_admitted() and _is_turned(ask, copy), "the old primary to follow the new one")
        wait_for(is_admitted, "a use after it")
        assert [each for each in admitted if not isinstance(_answer(store, each), Refused)] == []


def _answer(store: RedisStore, spend: Use) -> Outcome:
    """What becomes of it, once the store can say: connections may still be cut."""
    found: list[Outcome] = []

    def is_told() -> bool:
        found.append(store.commit((spend,), None))
        return not isinstance(found[-1], Unavailable)

    wait_for(is_told, "an answer")
    return found[-1]


def _is_turned(old: redis.Redis, new: redis.Redis) -> bool:
    return (old.info("replication")["role"], new.info("replication")["role"]) == ("slave", "master")


def _online(client: object) -> bool:
    found = client.info("replication").get("slave0")  # type: ignore[attr-defined]
    return isinstance(found, dict) and found.get("state") == "online"


def _sees_all(client: object) -> bool:
    """Whether a sentinel knows the replica and both other sentinels."""
    rows = client.execute_command("SENTINEL", "MASTER", NAME)  # type: ignore[attr-defined]
    found = rows if isinstance(rows, dict) else dict(zip(rows[::2], rows[1::2], strict=True))
    told = {_text(name): _text(value) for name, value in found.items()}
    return told.get("num-slaves") == "1" and told.get("num-other-sentinels") == "2"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def replace_port(server: Server, port: int) -> Server:
    """The same loopback address at another port."""
    return replace(server, port=port, process=None)


def test_a_dead_sentinel_is_passed_over_and_a_name_that_nobody_watches_is_told(tmp_path: Path) -> None:
    with running("valkey") as primary, sentinels(primary, tmp_path) as target:
        wait_for(lambda: Path(tmp_path, str(target.sentinels[0][1]), "log").exists(), "a sentinel")
        dead = ("127.0.0.1", free_port())
        with connected(replace(target, sentinels=(dead, *target.sentinels)), CLOCK, OPTIONS) as store:
            assert isinstance(store.commit((use(),), None), Committed)
        lost = RedisStore(replace(target, primary="other"), CLOCK, BRISK)
        lost.start()
        try:
            wait_for(lambda: tells(lost, "knows no primary", "/other`"), "the reason")
        finally:
            lost.stop()


def test_a_replica_that_the_sentinels_name_is_told_as_theirs(tmp_path: Path) -> None:
    with running("valkey") as primary, sentinels(primary, tmp_path) as target:
        wait_for(lambda: Path(tmp_path, str(target.sentinels[0][1]), "log").exists(), "a sentinel")
        with primary.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
        store = RedisStore(target, CLOCK, BRISK)
        store.start()
        try:
            wait_for(lambda: tells(store, "the sentinels of the store", "name a replica"), "the reason")
        finally:
            store.stop()
        url = "redis+sentinel://" + ",".join(f"{host}:{port}" for host, port in target.sentinels) + f"/{NAME}"
        assert "name a replica" in run("store", "ping", "--store", url).stderr


def test_sentinels_that_are_all_gone_are_told() -> None:
    gone = RedisStore(Target(sentinels=(("127.0.0.1", free_port()),), primary=NAME), CLOCK, BRISK)
    gone.start()
    try:
        wait_for(lambda: tells(gone, "sentinel", "refuses connections"), "the reason")
    finally:
        gone.stop()


@pytest.mark.parametrize(
    ("text", "ports", "tls", "database"),
    [
        ("redis+sentinel://a:1,b,[::1]:3/ours", (1, 26379, 3), False, 0),
        ("rediss+sentinel://a,[::1]/ours/7", (26379, 26379), True, 7),
    ],
)
def test_the_setting_names_sentinels(text: str, ports: tuple[int, ...], tls: bool, database: int) -> None:
    found = load({"policies": "p", "store": text, "pepper-file": "f"}, {})
    assert isinstance(found, Settings)
    assert isinstance(found.store, StoreAddress)
    assert isinstance(found.store.at, SentinelAddress)
    assert all(isinstance(each, TcpAddress) for each in found.store.at.sentinels)
    target = target_of(found, found.store)
    assert (tuple(port for _, port in target.sentinels), target.primary) == (ports, "ours")
    assert (target.tls is not None, target.database) == (tls, database)


@pytest.mark.parametrize(
    "text",
    ["redis+sentinel://a:1", "redis+sentinel://a:0/ours", "redis+sentinel:///ours", "redis+sentinel://u:p@a/ours"],
)
def test_a_setting_that_names_none_is_refused_without_a_password_in_it(text: str) -> None:
    found = load({"policies": "p", "store": text, "pepper-file": "f"}, {})
    assert not isinstance(found, Settings)
    assert "u:p" not in str(found)
