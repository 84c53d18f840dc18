"""`extauthz store` on a real server: the console script, as the on-call runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.spend import Bind, Rate, Use
from tests.building import policy, with_token
from tests.checks import check_request, read_response
from tests.contract.running import PATIENCE, Serve, run, serving, write
from tests.redis.servers import KINDS, Server, connected, free_port, running, wait_for
from tests.redis.test_serving import address, decide, flags, fresh_token, metrics, readiness
from tests.unit.server.serving import channel, check
from tests.worlds import CORP

__all__ = ["flags"]

pytestmark = pytest.mark.redis
CLOCK = SystemClock()
RIGHTS = (
    *("~x1:*", "resetchannels", "-@all"),
    *("+evalsha", "+eval", "+info", "+get", "+set", "+pttl", "+pexpire", "+pexpiretime", "+wait", "+time", "+select"),
)
"""Of the how-to's user that serves."""
URL = "http://api.example/"


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """Valkey alone: what differs between the two is asked of both where it matters."""
    with running("valkey") as server:
        yield server


def store(name: str, server: Server, *more: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `extauthz store NAME` for this server."""
    return run("store", name, "--store", address(server.target), *more, stdin=stdin)


@pytest.fixture
def counting(tmp_path: Path) -> tuple[object, ...]:
    """Flags that name a folder whose one rule has a tie, two uses and a limit, and the pepper."""
    folder = tmp_path / "counting"
    folder.mkdir()
    rule = with_token(
        "twice",
        reuse={"maxUses": 2, "bindTo": ["SourceAddress"]},
        limits=[{"name": "per-subject", "by": ["Subject"], "requests": 9, "window": "1m"}],
    )
    write(folder, "all.yaml", CORP, policy("p", rule))
    pepper = tmp_path / "pepper"
    pepper.write_bytes(b"p" * 32)
    return "--policies", folder, "--pepper-file", pepper


def test_ping_takes_a_commit_and_leaves_no_count(server: Server) -> None:
    done = store("ping", server)
    assert done.returncode == 0, done.stderr
    assert f"`{address(server.target)}` takes commits: " in done.stdout
    with server.client() as client:
        assert all(key.endswith(b"a") for key in client.scan_iter())


def test_ping_says_why_a_server_does_not_answer() -> None:
    port = free_port()
    done = run("store", "ping", "--store", f"redis://127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "refuses connections" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_ping_tells_a_user_who_may_not_do_what_the_script_does(kind: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    with running(kind) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "extauthz", "on", ">secret", *RIGHTS, "-set")
        done = store("ping", server, "--store-user", "extauthz", "--store-password-file", password)
    assert done.returncode == 1
    what = "the command `set`" if kind == "valkey" else "a command or key"
    assert f"does not allow this user {what} in the script; see the ACL in the how-to" in done.stderr


def test_ping_refuses_a_server_that_a_replica_would_refuse() -> None:
    with running("valkey", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        done = store("ping", server)
        assert done.returncode == 1
        assert "`allkeys-lru`" in done.stderr
        assert store("ping", server, "--store-allow-eviction").returncode == 0


def test_ping_refuses_a_server_that_too_few_replicas_follow(server: Server) -> None:
    done = store("ping", server, "--store-min-replicas", "1")
    assert done.returncode == 1
    assert "followed by 0 replicas" in done.stderr


def test_ping_waits_for_the_replicas_that_a_commit_waits_for(server: Server) -> None:
    done = store("ping", server, "--store-wait-replicas", "1")
    assert done.returncode == 1
    assert "only 0 of the 1 replicas" in done.stderr


def test_the_memory_store_is_nowhere_to_be_asked() -> None:
    done = run("store", "ping")
    assert done.returncode == 2
    assert "--store URL" in done.stderr


def test_stats_tells_the_server_and_counts_our_keys_of_each_kind_in_our_namespace(server: Server) -> None:
    until = Instant(CLOCK.now() + 300)
    spends = (
        Use(key=b"k" * 16, max_uses=1, until=until),
        Bind(key=b"k" * 16, value=b"v" * 16, until=until),
        Rate(key=b"k" * 16, amount=9, window=Seconds(60.0), label="l"),
    )
    with connected(server.target, CLOCK) as ours, server.client() as client:
        ours.commit(spends, b"attempt")
        client.set(b"x1:foreign", "1")
        client.set(b"shop:x1:" + b"k" * 16 + b"u", "1")
        done = store("stats", server, "--output", "json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
    assert told["server"].startswith(server.kind.capitalize())
    assert (told["role"], told["cluster"], told["eviction"], told["mayEvict"]) == (
        "primary",
        False,
        "noeviction",
        False,
    )
    assert told["memory"] > 0
    assert (told["keys uses"], told["keys ties"], told["keys rates"], told["keysCounted"]) == (1, 1, 1, "all")
    assert told["keys"] == 3 + told["keys attempts"]
    assert "keys uses" in store("stats", server).stdout
    other = json.loads(store("stats", server, "--store-namespace", "shop:", "--output", "json").stdout)
    assert other["keys"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_stats_tells_the_product_and_its_persistence(kind: str) -> None:
    with running(kind, "--appendonly", "yes", "--maxmemory", "100mb") as server:
        done = store("stats", server)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert told["server"].startswith(kind.capitalize())
    assert told["persistence"] == "AOF"
    assert told["maxMemory"] == "104,857,600 bytes"


def test_stats_tells_a_replica_apart_and_exits_1(server: Server) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
        try:
            done = store("stats", server)
        finally:
            client.replicaof("NO", "ONE")
    assert done.returncode == 1
    assert "name its primary" in done.stdout


def test_stats_tells_what_it_can_to_the_user_that_serves(server: Server, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "extauthz", "on", ">secret", *RIGHTS)
        try:
            done = store("stats", server, "--store-user", "extauthz", "--store-password-file", password)
        finally:
            client.execute_command("ACL", "DELUSER", "extauthz")
    assert done.returncode == 0, done.stderr
    assert "may not `scan`" in done.stdout


def test_stats_tells_the_breaker_of_a_replica(flags: tuple[object, ...], server: Server) -> None:
    with serving(*flags) as served:  # type: ignore[arg-type]
        admin = served.admin.removeprefix("http://")
        assert f"breaker {admin}" in store("stats", server, "--admin", admin).stdout
        assert "closed: requests are counted" in store("stats", server, "--admin", admin).stdout
        with server.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
            try:
                wait_for(lambda: readiness(served)[0] == 503, "unreadiness")
                assert "open: the store" in store("stats", server, "--admin", admin).stdout
            finally:
                client.replicaof("NO", "ONE")


def test_stats_tells_the_breaker_although_nobody_can_see_the_server(
    flags: tuple[object, ...], server: Server, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("nobody-knows")
    with serving(*flags) as served:  # type: ignore[arg-type]
        admin = served.admin.removeprefix("http://")
        done = store("stats", server, "--admin", admin, "--store-password-file", wrong)
        assert done.returncode == 2
        assert "cannot tell: " in done.stderr
        assert f"breaker {admin}" in done.stdout
        assert "closed: requests are counted" in done.stdout
        told = store("stats", server, "--admin", admin, "--store-password-file", wrong, "--output", "json").stdout
    assert json.loads(told)["server"] is None
    assert [each["state"] for each in json.loads(told)["breakers"]] == ["closed"]


def test_stats_tells_of_the_server_although_a_replica_does_not_answer(server: Server) -> None:
    silent = f"127.0.0.1:{free_port()}"
    done = store("stats", server, "--admin", silent)
    assert done.returncode == 2
    assert "noeviction" in done.stdout
    assert f"unknown: {silent} cannot be reached: connection refused" in done.stdout
    told = json.loads(store("stats", server, "--admin", silent, "--output", "json").stdout)
    assert [each["state"] for each in told["breakers"]] == ["unknown"]


def test_inspect_tells_what_is_left_and_counts_nothing(server: Server, counting: tuple[object, ...]) -> None:
    token = fresh_token()
    for _ in range(2):
        done = store("inspect", server, *counting, "--source-address", "10.0.0.1", URL, stdin=token)
        assert done.returncode == 0, done.stderr
        assert "policy shop/p, rule twice" in done.stdout
        assert "reuse: 2 of 2 left in the token's whole life" in done.stdout
        assert "per-subject: 9 of 9 left in any 1m" in done.stdout
        assert "free, or tied to this caller" in done.stdout
    with server.client() as client:
        assert [key for key in client.scan_iter() if not key.endswith((b"a", b"witness"))] == []


def test_inspect_shows_nothing_of_the_token(server: Server, counting: tuple[object, ...]) -> None:
    token = fresh_token()
    for output in ("text", "json"):
        done = store("inspect", server, *counting, "--output", output, "--source-address", "::1", URL, stdin=token)
        assert done.stdout
        for part in token.split("."):
            assert part[:12] not in done.stdout + done.stderr


def test_inspect_asks_a_running_server_by_its_admin_port(flags: tuple[object, ...]) -> None:
    token = fresh_token()
    with serving(*flags) as served:  # type: ignore[arg-type]
        admin = served.admin.removeprefix("http://")
        assert "1 of 1 left" in run("store", "inspect", "--admin", admin, URL, stdin=token).stdout
        assert decide(served, token, "1") == "allow"
        done = run("store", "inspect", "--admin", admin, URL, stdin=f"Bearer {token}\n")
    assert done.returncode == 1
    assert "0 of 1 left" in done.stdout


def test_inspect_of_a_store_that_is_gone_cannot_tell(counting: tuple[object, ...]) -> None:
    gone = f"redis://127.0.0.1:{free_port()}"
    done = run("store", "inspect", "--store", gone, *counting, URL, stdin=fresh_token())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("refuses connections") == 1


@pytest.mark.parametrize("stdin", ["", "two tokens", "x" * 20000])
def test_what_is_no_token_is_refused_without_showing_it(
    server: Server, counting: tuple[object, ...], stdin: str
) -> None:
    done = store("inspect", server, *counting, URL, stdin=stdin)
    assert done.returncode == 2
    assert "standard input" in done.stderr
    assert not stdin or stdin[:12] not in done.stderr


def test_a_token_that_is_refused_before_the_counts_says_why(server: Server, counting: tuple[object, ...]) -> None:
    done = store("inspect", server, *counting, URL, stdin="e30.e30.e30")
    assert done.returncode == 1
    assert "denied before anything is counted: " in done.stdout


def test_forget_wants_a_yes_then_lets_the_token_be_used_again_and_leaves_a_line(
    flags: tuple[object, ...], server: Server, tmp_path: Path
) -> None:
    token, other, log = fresh_token(), fresh_token(), tmp_path / "decisions"
    known = ("--policies", flags[0], "--pepper-file", tmp_path / "pepper", "--decision-log", log)
    with serving(*flags) as served:  # type: ignore[arg-type]
        assert decide(served, token, "1") == "allow"
        assert decide(served, other, "2") == "allow"
        unsure = store("forget", server, *known, URL, stdin=token)
        assert unsure.returncode == 2
        assert "--yes" in unsure.stderr
        assert decide(served, token, "3") == "token_reused"
        done = store("forget", server, *known, "--yes", "--why", "ticket 7", URL, stdin=token)
        assert done.returncode == 0, done.stderr
        assert decide(served, token, "4") == "allow"
        assert decide(served, token, "5") == "token_reused"
        assert decide(served, other, "6") == "token_reused"
        assert store("forget", server, *known, "--yes", URL, stdin=fresh_token()).returncode == 1
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["decision"], first["policy"], first["rule"]) == ("forget", "shop/p", "once")
    assert first["detail"] == "1 of 1 counts forgotten (reuse); ticket 7"
    assert len(first["token"]) == 16
    assert second["detail"].startswith("0 of 1 ")
    assert all(part[:12] not in log.read_text() + done.stderr for part in token.split("."))


def test_forget_leaves_limits_and_forgets_ties(server: Server, counting: tuple[object, ...], tmp_path: Path) -> None:
    token, password = fresh_token(), tmp_path / "password"
    password.write_text("any")
    with serving(counting[1], "--store", address(server.target), *counting[2:], "--check-budget", "5s") as served:  # type: ignore[arg-type]
        from_here = ("--source-address", "127.0.0.1")
        assert decide(served, token, "1", source="127.0.0.1") == "allow"
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "oncall", "on", "nopass", *RIGHTS, "+scan", "+del")
        known = (*counting, *from_here, "--store-user", "oncall", "--store-password-file", password)
        done = store("forget", server, *known, "--yes", "--decision-log", "off", URL, stdin=token)
        assert done.returncode == 0, done.stderr
        assert '"decision":"forget"' in done.stderr
        told = store("inspect", server, *counting, "--source-address", "10.9.9.9", URL, stdin=token).stdout
    assert "reuse: 2 of 2 left" in told
    assert "per-subject: 8 of 9 left" in told
    assert "free, or tied to this caller" in told


def test_what_would_leave_no_line_is_not_forgotten(flags: tuple[object, ...], server: Server, tmp_path: Path) -> None:
    token = fresh_token()
    known = ("--policies", flags[0], "--pepper-file", tmp_path / "pepper", "--decision-log", tmp_path / "none" / "log")
    with serving(*flags) as served:  # type: ignore[arg-type]
        assert decide(served, token, "1") == "allow"
        done = store("forget", server, *known, "--yes", URL, stdin=token)
        assert done.returncode == 2
        assert "cannot be written" in done.stderr
        assert decide(served, token, "2") == "token_reused"


def test_what_is_forgotten_in_part_leaves_a_line_and_is_told(
    flags: tuple[object, ...], server: Server, tmp_path: Path
) -> None:
    rule = with_token("once", reuse={"maxUses": 1, "bindTo": ["SourceAddress"]})
    write(Path(str(flags[0])), "all.yaml", CORP, policy("p", rule))
    token, password, log = fresh_token(), tmp_path / "password", tmp_path / "decisions"
    password.write_text("any")
    from_here = ("--policies", flags[0], "--pepper-file", tmp_path / "pepper", "--source-address", "192.0.2.7")
    with server.client() as client, serving(*flags) as served:  # type: ignore[arg-type]
        assert decide(served, token, "1") == "allow"
        # A user who may delete ties, and no uses.
        keys = ("resetkeys", "~x1:*b", "~x1:*a", "%R~x1:*")
        client.execute_command("ACL", "SETUSER", "half", "on", "nopass", *RIGHTS, "+del", *keys)
        as_half = (*from_here, "--store-user", "half", "--store-password-file", password)
        done = store("forget", server, *as_half, "--decision-log", log, "--yes", "--why", "ticket 7", URL, stdin=token)
        client.execute_command("ACL", "DELUSER", "half")
        told = store("inspect", server, *from_here, URL, stdin=token).stdout
    assert "reuse: 0 of 1 left" in told
    assert "free, or tied to this caller" in told
    assert done.returncode == 2
    assert "forgotten in part at most, 1 of 2 counts for sure: the store" in done.stderr
    (line,) = (json.loads(line) for line in log.read_text().splitlines())
    assert line["decision"] == "forget"
    assert line["detail"].startswith("1 of 2 counts forgotten (")
    assert ", perhaps one more: the store" in line["detail"]
    assert line["detail"].endswith("; ticket 7")


def refreshed(served: Serve, token: str, stream: str) -> str:
    """Why a token request with this refresh token is refused; `allow` when it is not."""
    form = urlencode({"grant_type": "refresh_token", "refresh_token": token})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    with channel(served.address) as connection:
        request = check_request("POST", "/token", headers=headers, stream_id=stream, body=form, raw=True)
        answer = read_response(check(connection)(request, timeout=PATIENCE))
    return "allow" if answer.code == 0 else str(answer.metadata["reason"])


def test_a_family_is_revoked_for_every_replica_told_and_forgiven(
    flags: tuple[object, ...], server: Server, tmp_path: Path
) -> None:
    rule = with_token("refresh", reuse={"maxUses": 1, "family": {"claim": "client_id"}})
    rule["token"]["from"] = {"form": "refresh_token"}
    write(Path(str(flags[0])), "all.yaml", CORP, policy("p", rule))
    url, known = f"{URL}token", ("--policies", flags[0], "--pepper-file", tmp_path / "pepper", "--token-form")
    used, next_one, last = fresh_token(), fresh_token(), fresh_token()
    with serving(*flags) as one, serving(*flags) as other:  # type: ignore[arg-type]
        assert refreshed(one, used, "1") == "allow"
        assert "family: not revoked" in store("inspect", server, *known, url, stdin=next_one).stdout
        assert refreshed(other, used, "2") == "token_reused"
        assert refreshed(one, next_one, "3") == "token_revoked"
        assert 'extauthz_family_revocations_total{outcome="revoked"} 1.0' in metrics(other)
        told = store("inspect", server, *known, url, stdin=next_one)
        assert told.returncode == 1
        assert "family: revoked: a token of it was used again" in told.stdout
        assert json.loads(store("stats", server, "--output", "json").stdout)["keys marks"] == 1
        done = store("forget", server, *known, "--yes", "--decision-log", "off", url, stdin=next_one)
        assert done.returncode == 0, done.stderr
        assert "1 of 2 counts" in done.stderr
        assert refreshed(other, last, "4") == "allow"
        assert refreshed(one, used, "5") == "token_reused"
