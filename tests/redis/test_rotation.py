"""The pepper is exchanged while replicas count over one server, and none of the counts is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.model.reuse import BindTo, Limit, LimitBy, Reuse
from extauthz.model.time import AcceptanceWindow, Instant, Seconds, SystemClock
from extauthz.model.verdict import PolicyRef
from extauthz.replay.plan import Owner, plan_spends
from extauthz.replay.spend import Pepper
from extauthz.replay.store import Committed, Refused
from tests.building import policy, verified, view, with_token
from tests.contract.running import serving, write
from tests.redis.servers import Server, connected, wait_for
from tests.redis.test_serving import address, decide, fresh_token, metrics, readiness
from tests.worlds import CORP

pytestmark = pytest.mark.redis

OLD, NEW = b"o" * 32, b"n" * 32
BEFORE, OVERLAP, TURNED, AFTER = Pepper(OLD), Pepper(NEW, Pepper(OLD)), Pepper(OLD, Pepper(NEW)), Pepper(NEW)
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
COUNTED: dict[str, dict[str, Any]] = {
    "use": {"reuse": Reuse(max_uses=1), "limits": ()},
    "window": {"reuse": Reuse(max_uses=1, window=Seconds(60.0)), "limits": ()},
    "limit": {"reuse": None, "limits": (Limit(name="l", by=(LimitBy.SUBJECT,), requests=1, window=Seconds(60.0)),)},
}


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(BEFORE, OVERLAP, id="the old one alone, then both"),
        pytest.param(OVERLAP, BEFORE, id="both, then the old one alone"),
        pytest.param(OVERLAP, AFTER, id="both, then the new one alone"),
        pytest.param(AFTER, OVERLAP, id="the new one alone, then both"),
        pytest.param(OVERLAP, TURNED, id="both, then both the other way round"),
        pytest.param(TURNED, OVERLAP, id="both the other way round, then both"),
    ],
)
def test_what_one_replica_counted_the_other_finds(server: Server, one: Pepper, other: Pepper, counted: str) -> None:
    clock = SystemClock()
    with connected(server.target, clock) as here, connected(server.target, clock) as there:
        outcomes = []
        for store, pepper in ((here, one), (there, other)):
            spends = plan_spends(
                **COUNTED[counted], token=_token(), view=view("/"), owner=OWNER, pepper=pepper, now=clock.now()
            )
            assert isinstance(spends, tuple)
            outcomes.append(store.commit(spends, None))
    first, second = outcomes
    assert isinstance(first, Committed)
    assert isinstance(second, Refused)


@pytest.mark.parametrize(("one", "other"), [(BEFORE, OVERLAP), (OVERLAP, BEFORE), (OVERLAP, AFTER), (AFTER, OVERLAP)])
def test_a_token_tied_at_one_replica_is_tied_at_the_other(server: Server, one: Pepper, other: Pepper) -> None:
    clock, reuse = SystemClock(), Reuse(max_uses=9, bind_to=(BindTo.SOURCE_ADDRESS,))
    with connected(server.target, clock) as store:
        outcomes = []
        for pepper, source in ((one, "192.0.2.7"), (other, "192.0.2.8"), (other, "192.0.2.7")):
            spends = plan_spends(reuse, (), _token(), view("/", address=source), OWNER, pepper, clock.now())
            assert isinstance(spends, tuple)
            outcomes.append(type(store.commit(spends, None)))
    assert outcomes == [Committed, Refused, Committed]


def _token() -> Any:
    now = SystemClock().now()
    return verified()._replace(window=AcceptanceWindow(Instant(now - 60), Instant(now + 300)))


@pytest.mark.slow
def test_two_running_replicas_exchange_the_pepper_one_after_the_other(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    write(folder, "all.yaml", CORP, policy("p", with_token("once", reuse={"maxUses": 1})))
    files = [tmp_path / "one", tmp_path / "other"]
    for file in files:
        file.write_bytes(OLD)
    flags = (
        "--store",
        address(server.target),
        "--admin",
        "127.0.0.1:0",
        "--check-budget",
        "5s",
        "--store-deadline",
        "2s",
    )
    with (
        serving(folder, *flags, "--pepper-file", files[0]) as one,
        serving(folder, *flags, "--pepper-file", files[1]) as other,
    ):

        def turn(number: int, content: bytes) -> None:
            peppers, served = content.count(b"\n") + 1, (one, other)[number]
            files[number].write_bytes(content)
            wait_for(lambda: f"extauthz_peppers {peppers}.0" in metrics(served), "the pepper to be read")

        def used_up(token: str) -> None:
            assert decide(one, token, "") == decide(other, token, "") == "token_reused"

        def use(at: Any) -> str:
            token = fresh_token()
            assert decide(at, token, "") == "allow"
            used_up(token)
            return token

        tokens = [use(one), use(other)]
        for number, content in ((0, NEW + b"\n" + OLD), (1, NEW + b"\n" + OLD), (1, NEW), (0, NEW)):
            turn(number, content)
            tokens += [use(one), use(other)]
            # Tokens from before the overlap have expired by its end; those from within it have not.
            for token in tokens if content != NEW else tokens[4:]:
                used_up(token)
        files[0].write_bytes(OLD)
        wait_for(lambda: "would forget them all" in readiness(one)[1], "the note")
        used_up(tokens[-1])
