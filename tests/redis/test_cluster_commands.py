"""`extauthz store` and `extauthz serve` before a cluster: every node is asked, and a token is found where it lies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import policy, with_token
from tests.contract.running import Serve, run, serving, write
from tests.redis.cluster import NODES, Cluster, Member, clustered
from tests.redis.servers import wait_for
from tests.redis.test_serving import decide, fresh_token, metrics, readiness
from tests.worlds import CORP

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]
URL = "http://api.example/"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture
def flags(tmp_path: Path, cluster: Cluster) -> tuple[object, ...]:
    """Flags of a replica whose one rule has a tie, one use and a limit."""
    folder = tmp_path / "policies"
    folder.mkdir()
    rule = with_token(
        "once",
        reuse={"maxUses": 1, "bindTo": ["SourceAddress"]},
        limits=[{"name": "per-subject", "by": ["Subject"], "requests": 9, "window": "1m"}],
    )
    write(folder, "all.yaml", CORP, policy("p", rule))
    pepper = tmp_path / "pepper"
    pepper.write_bytes(b"p" * 32)
    return "--policies", folder, "--store", cluster.url, "--pepper-file", pepper


def test_ping_and_stats_ask_every_node(cluster: Cluster) -> None:
    done = run("store", "ping", "--store", cluster.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("takes commits: ") == NODES
    told = json.loads(run("store", "stats", "--store", cluster.url, "--output", "json").stdout)
    assert [each["cluster"] for each in told["nodes"]] == [True] * NODES
    assert {each["store"] for each in told["nodes"]} == {
        f"redis://127.0.0.1:{each.proxy.port}" for each in cluster.members
    }
    shown = run("store", "stats", "--store", cluster.url)
    assert shown.returncode == 0
    assert shown.stdout.count("persistence") == NODES


def test_a_node_named_as_a_single_server_is_told_how_to_name_the_cluster(cluster: Cluster) -> None:
    done = run("store", "ping", "--store", f"redis://127.0.0.1:{cluster.members[0].proxy.port}")
    assert done.returncode == 1
    assert "name the cluster by `redis+cluster://`" in done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [("--store-min-replicas", "is followed by 0 replicas"), ("--store-wait-replicas", "have the count in time")],
)
def test_ping_refuses_nodes_without_the_replicas_that_are_wanted(cluster: Cluster, setting: str, words: str) -> None:
    done = run("store", "ping", "--store", cluster.url, setting, "1")
    assert done.returncode == 1
    assert words in done.stderr


def test_a_token_is_used_inspected_and_forgotten_where_it_lies(
    cluster: Cluster, flags: tuple[object, ...], tmp_path: Path
) -> None:
    budgets = ("--check-budget", "5s", "--store-deadline", "2s", "--admin", "127.0.0.1:0")
    with serving(flags[1], *flags[2:], *budgets) as served:  # type: ignore[arg-type]
        wait_for(lambda: readiness(served)[0] == 200, "readiness")
        for number in range(NODES):
            token = fresh_token()
            assert decide(served, token, f"{number}a") == "allow"
            assert decide(served, token, f"{number}b") == "token_reused"
            # Envoy's repetition of the first Check.
            assert decide(served, token, f"{number}a") == "allow"
            caller = ("--source-address", "192.0.2.7")
            told = run("store", "inspect", *flags, *caller, URL, stdin=token)
            assert "reuse: 0 of 1 left" in told.stdout, told.stderr
            assert f"per-subject: {8 - number} of 9 left" in told.stdout
            log = ("--decision-log", tmp_path / "log")
            done = run("store", "forget", *flags, *caller, *log, "--yes", URL, stdin=token)
            assert done.returncode == 0, done.stderr
            assert "reuse: 1 of 1 left" in run("store", "inspect", *flags, *caller, URL, stdin=token).stdout
        assert 'extauthz_store_nodes{state="up"} 3.0' in metrics(served)
        assert 'extauthz_store_given_back_total{result="lost"} 0.0' in metrics(served)


def test_a_node_that_is_gone_leaves_a_replica_ready_and_is_named(flags: tuple[object, ...], tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    write(lone, "all.yaml", CORP, policy("p", with_token("once", reuse={"maxUses": 1})))
    # Without full coverage the others serve on.
    with clustered("valkey", "--cluster-require-full-coverage", "no", timeout_ms=1500) as cluster:
        where = ("--store", cluster.url, *flags[4:], "--check-budget", "5s", "--store-deadline", "1s")
        log = tmp_path / "process-log"
        with serving(lone, *where, "--admin", "127.0.0.1:0", errors=log) as served:
            wait_for(lambda: readiness(served)[0] == 200 and "refuses" not in readiness(served)[1], "readiness")
            cluster.members[0].server.kill()
            wait_for(lambda: 'extauthz_store_nodes{state="down"} 1.0' in metrics(served), "the node to be missed")
            code, page = readiness(served)
            assert code == 200
            assert f"127.0.0.1:{cluster.members[0].proxy.port}" in json.loads(page)["notes"]["store"]
            answers = {decide(served, fresh_token(), f"{number}") for number in range(30)}
            assert answers == {"allow", "store_unavailable"}
            cluster.members[0].server.start()
            wait_for(lambda: "store" not in json.loads(readiness(served)[1])["notes"], "the node")
            wait_for(lambda: decide(served, fresh_token(), "x") == "allow", "the store")
            served.end()
        assert str(cluster.members[0].proxy.port) in log.read_text()


@pytest.mark.slow
def test_the_commands_tell_of_the_other_nodes_while_one_is_gone(flags: tuple[object, ...], tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    write(lone, "all.yaml", CORP, policy("p", with_token("once", reuse={"maxUses": 1})))
    with clustered("valkey", "--cluster-require-full-coverage", "no", timeout_ms=1500) as cluster:
        # The first that is asked.
        gone = min(cluster.members, key=lambda each: each.proxy.port)
        known = ("--policies", lone, "--store", cluster.url, *flags[4:])
        with serving(*known[1:], "--check-budget", "5s", "--store-deadline", "1s", "--admin", "127.0.0.1:0") as served:  # type: ignore[arg-type]
            wait_for(lambda: readiness(served)[0] == 200, "readiness")
            wait_for(lambda: "store" not in json.loads(readiness(served)[1])["notes"], "all nodes")
            token = next(each for each in iter(fresh_token, "") if not _lies_at(cluster, gone, served, each))
            gone.proxy.close()
            gone.server.kill()
            admin = served.admin.removeprefix("http://")
            stats = ("store", "stats", "--store", cluster.url, "--admin", admin)
            pinged, shown = run("store", "ping", "--store", cluster.url), run(*stats)
            told = json.loads(run(*stats, "--output", "json").stdout)
        forgotten = run("store", "forget", *known, "--decision-log", "off", "--yes", URL, stdin=token)
    assert pinged.returncode == 1
    assert pinged.stdout.count("takes commits: ") == NODES - 1
    assert f"127.0.0.1:{gone.proxy.port}" in pinged.stderr
    assert shown.returncode == 2
    assert shown.stdout.count("persistence") == NODES - 1
    assert shown.stdout.count("NOT USED") == 1
    assert f"breaker {admin}" in shown.stdout
    assert [each["server"] is None for each in told["nodes"]].count(True) == 1
    assert forgotten.returncode == 0, forgotten.stderr
    assert "forgotten: 1 of 1 counts were there" in forgotten.stderr


def _lies_at(cluster: Cluster, member: Member, served: Serve, token: str) -> bool:
    """Use the token. Whether this node counts it."""
    before = _uses(member)
    assert decide(served, token, os.urandom(4).hex()) == "allow"
    return _uses(member) != before


def _uses(member: Member) -> int:
    with member.server.client() as client:
        return sum(key.endswith(b"u") for key in client.scan_iter())


def test_an_issuer_makes_as_many_keys_as_its_quota_has_room_for_and_used_tokens_stay_used(
    cluster: Cluster, flags: tuple[object, ...]
) -> None:
    cluster.flush()
    budgets = ("--check-budget", "5s", "--store-deadline", "2s", "--admin", "127.0.0.1:0")
    # Two tokens of one subject: a use and a tie each, and a limit that they share.
    quotas = ("--store-quota-issuer", "5", "--store-quota-namespace", "9")
    with serving(flags[1], *flags[2:], *budgets, *quotas) as served:  # type: ignore[arg-type]
        wait_for(lambda: readiness(served)[0] == 200, "readiness")
        one, two, three = fresh_token(), fresh_token(), fresh_token()
        assert [decide(served, token, token[-9:]) for token in (one, two, three)] == ["allow", "allow", "store_quota"]
        assert [decide(served, token, "again") for token in (one, two)] == ["token_reused", "token_reused"]
    assert sum(key[-1:] in b"ubl" for key in cluster.held_keys()) == 5
