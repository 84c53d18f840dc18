"""`extauthz serve` over a shared store: two replicas count together, and an outage is told and outlived."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from extauthz.model.time import SystemClock
from extauthz.replay.redis import Target
from tests import issuing
from tests.building import policy, with_token
from tests.checks import check_request, read_response
from tests.contract.running import PATIENCE, Serve, serving, write
from tests.redis.servers import Server, wait_for
from tests.unit.server.serving import channel, check
from tests.worlds import CORP

pytestmark = pytest.mark.redis


def fresh_token() -> str:
    """A token that is good by the machine's own clock."""
    now = int(SystemClock().now())
    return issuing.token(issuing.claims(iat=now - 60, exp=now + 300, jti=os.urandom(8).hex()))


def readiness(served: Serve) -> tuple[int, str]:
    """What `/readyz` says."""
    try:
        with urllib.request.urlopen(f"{served.admin}/readyz", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(served: Serve) -> str:
    """What `/metrics` says."""
    with urllib.request.urlopen(f"{served.admin}/metrics", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def decide(served: Serve, token: str, stream: str, source: str = "192.0.2.7") -> str:
    """Why a request with this token is refused; `allow` when it is not."""
    with channel(served.address) as connection:
        headers = {"authorization": f"Bearer {token}"}
        request = check_request(path="/", headers=headers, stream_id=stream, source=source)
        answer = read_response(check(connection)(request, timeout=PATIENCE))
    return "allow" if answer.code == 0 else str(answer.metadata["reason"])


@pytest.fixture
def flags(tmp_path: Path, server: Server) -> tuple[object, ...]:
    """Flags of a replica, and the folder with one rule of single use."""
    folder = tmp_path / "policies"
    folder.mkdir()
    write(folder, "all.yaml", CORP, policy("p", with_token("once", reuse={"maxUses": 1})))
    pepper = tmp_path / "pepper"
    pepper.write_bytes(b"p" * 32)
    # Deadlines that a busy machine keeps.
    budgets = ("--check-budget", "5s", "--store-deadline", "2s")
    return folder, "--store", address(server.target), "--pepper-file", pepper, "--admin", "127.0.0.1:0", *budgets


def address(target: Target) -> str:
    """The URL of a server."""
    return f"redis://{target.host}:{target.port}/0"


def test_two_replicas_count_one_token_together(flags: tuple[object, ...]) -> None:
    token = fresh_token()
    with ExitStack() as stack:
        one, other = (stack.enter_context(serving(*flags)) for _ in range(2))  # type: ignore[arg-type]
        assert decide(one, token, "1") == "allow"
        assert decide(other, token, "2") == "token_reused"
        # Envoy's repetition of the first Check, to the other replica.
        assert decide(other, token, "1") == "allow"
        assert "extauthz_store_up 1.0" in metrics(one)
        assert "extauthz_store_may_evict 0.0" in metrics(one)


def test_an_outage_makes_a_replica_unready_and_requests_503_until_it_ends(
    flags: tuple[object, ...], server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving(*flags, errors=log) as served:  # type: ignore[arg-type]
        assert readiness(served)[0] == 200
        server.kill()
        try:
            assert decide(served, fresh_token(), "1") == "store_unavailable"
            wait_for(lambda: readiness(served)[0] == 503, "unreadiness")
            wait_for(lambda: "refuses connections" in readiness(served)[1], "the reason")
            assert "extauthz_store_up 0.0" in metrics(served)
        finally:
            server.start()
        wait_for(lambda: readiness(served)[0] == 200, "readiness")
        assert decide(served, fresh_token(), "2") == "allow"
        assert "extauthz_store_restarts_total 1.0" in metrics(served)
        # It saves nothing.
        assert "extauthz_store_emptied_total 1.0" in metrics(served)
        served.end()
    told = log.read_text()
    assert "persistence" in told
    assert "restarted or replaced" in told
    assert "has lost what it held" in told
