"""Three replicas of `extauthz serve` before one server, each behind a network of its own, and races among them.

`python -m tests.redis.fleet --rounds 1000` races longer than a test may.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import click
import grpc

from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import policy, with_token
from tests.checks import check_request, read_response
from tests.contract.running import PATIENCE, Serve, serving, write
from tests.redis.cluster import Cluster
from tests.redis.proxy import Fault, Proxy, before
from tests.redis.servers import Server, running, wait_for
from tests.redis.test_serving import readiness
from tests.unit.server.serving import channel, check
from tests.worlds import CORP

REPLICAS: Final = 3
DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""A server that forgets nothing that it answered, so that a restart may not give a use back."""
GONE: Final = "no answer"
UNSURE: Final = frozenset({GONE, "store_unavailable"})
"""Answers that leave open whether the use is counted. Neither admits."""
_RACERS: Final = 200
# As long as settings allow: what is asked is who is admitted, on however busy a machine.
_BUDGETS: Final = ("--check-budget", "10s", "--store-deadline", "5s", "--threads", "8", "--max-concurrent", "1000")


def fresh_token() -> str:
    """A token that is good by the machine's own clock."""
    now = int(SystemClock().now())
    return issuing.token(issuing.claims(iat=now - 60, exp=now + 300, jti=os.urandom(8).hex()))


@dataclass
class Replica:
    """One process, its way to the server, and a connection to it."""

    served: Serve
    proxy: Proxy
    connection: grpc.Channel

    def kill(self) -> None:
        """End it as a crash would."""
        self.served.process.kill()
        self.served.process.wait()


@dataclass
class Fleet:
    """All replicas, and their server."""

    server: Server
    replicas: list[Replica] = field(default_factory=list)
    _streams: Iterator[int] = field(default_factory=count)

    def ask(self, replica: Replica, token: str) -> Any:
        """Begin one Check, as Envoy would: with a stream id of its own. `answer` waits for it."""
        request = check_request(headers={"authorization": f"Bearer {token}"}, stream_id=f"s{next(self._streams)}")
        method: Any = check(replica.connection)
        return method.future(request, timeout=PATIENCE)

    def race(self, token: str, racers: int = _RACERS) -> Counter[str]:
        """So many Checks of one token at once, over all replicas. How often each answer was given."""
        calls = [self.ask(self.replicas[number % len(self.replicas)], token) for number in range(racers)]
        return Counter(map(answer, calls))

    def wait(self) -> None:
        """Until every replica is ready."""
        for each in self.replicas:
            wait_for(lambda each=each: readiness(each.served)[0] == 200, "readiness")  # type: ignore[misc]

    def restart_server(self) -> None:
        """Kill the server, start it again, and let every replica find it."""
        self.server.kill()
        for each in self.replicas:
            wait_for(lambda each=each: readiness(each.served)[0] == 503, "unreadiness")  # type: ignore[misc]
        self.server.start()
        self.wait()


def answer(call: Any) -> str:
    """The reason of a denial, `allow`, or GONE where no answer came."""
    try:
        response = read_response(call.result())
    except grpc.RpcError:
        return GONE
    return "allow" if response.code == 0 else str(response.metadata["reason"])


@contextmanager
def fleet(server: Server, folder: Path, **reuse: Any) -> Iterator[Fleet]:
    """Replicas that are ready, over one rule with this `reuse`."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(before(server.port)) for _ in range(REPLICAS)]
        urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in proxies]
        yield Fleet(server, stack.enter_context(_replicas(zip(urls, proxies, strict=True), folder, reuse)))


@contextmanager
def cluster_fleet(cluster: Cluster, folder: Path, **reuse: Any) -> Iterator[Fleet]:
    """The same before a cluster. A proxy stands before each node, for all replicas."""
    proxies = [member.proxy for member in cluster.members[:REPLICAS]]
    with _replicas(((cluster.url, proxy) for proxy in proxies), folder, reuse) as replicas:
        yield Fleet(cluster.members[0].server, replicas)


@contextmanager
def _replicas(stores: Iterable[tuple[str, Proxy]], folder: Path, reuse: dict[str, Any]) -> Iterator[list[Replica]]:
    policies = folder / "fleet"
    policies.mkdir()
    write(policies, "all.yaml", CORP, policy("p", with_token("counted", reuse=reuse)))
    pepper = folder / "fleet-pepper"
    pepper.write_bytes(b"p" * 32)
    with ExitStack() as stack:
        made = []
        for url, proxy in stores:
            where = ("--store", url, "--pepper-file", pepper)
            served = stack.enter_context(serving(policies, *where, "--admin", "127.0.0.1:0", *_BUDGETS))
            made.append(Replica(served, proxy, stack.enter_context(channel(served.address))))
        yield made


def disturb(fleet: Fleet, chance: random.Random) -> str:
    """Something that happens to a network or a server, before a round or in it. What it was."""
    victim = chance.choice(fleet.replicas)
    match chance.choice(("nothing", "nothing", "cut before", "cut all before", "cut reply", "lose reply")):
        case "cut before" as what:
            victim.proxy.reset_all()
        case "cut all before" as what:
            for each in fleet.replicas:
                each.proxy.reset_all()
        case "cut reply" as what:
            victim.proxy.befall(Fault.CUT, times=1)
        case "lose reply" as what:
            victim.proxy.befall(Fault.LOSE, times=1)
        case what:
            pass
    return what


def judge(answers: Counter[str], what: str) -> None:
    """Exactly one was admitted; none only where an answer leaves open whether a use that was refused is counted."""
    assert answers["allow"] <= 1, f"{answers['allow']} admissions of one token ({what}): {dict(answers)}"
    assert answers["allow"] == 1 or UNSURE & answers.keys(), f"nobody was admitted ({what}): {dict(answers)}"
    assert set(answers) <= {"allow", "token_reused", *UNSURE}, dict(answers)


@click.command()
@click.option("--rounds", default=1000, show_default=True)
@click.option("--restart-every", default=100, show_default=True, help="Rounds between two restarts of the server.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, restart_every: int, seed: int) -> None:
    """Race 200 Checks of a single-use token over three replicas, round after round, and tell what was answered."""
    chance, disturbed, total, unsure = random.Random(seed), Counter[str](), Counter[str](), 0
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        running("valkey", *DURABLE) as server,
        fleet(server, Path(folder), maxUses=1) as ours,
    ):
        for number in range(1, rounds + 1):
            what, token = disturb(ours, chance), fresh_token()
            answers = ours.race(token)
            judge(answers, what)
            disturbed[what] += 1
            total += answers
            unsure += answers["allow"] == 0
            ours.wait()
            if number % restart_every == 0:
                ours.restart_server()
                assert "allow" not in ours.race(token, REPLICAS), "a restart gave a use back"
                disturbed["server restarted after"] += 1
    told = {"rounds": rounds, "without an admission": unsure, "answers": dict(total), "disturbed": dict(disturbed)}
    click.echo(json.dumps(told | {"seconds": round(time.monotonic() - started)}, indent=1))


if __name__ == "__main__":
    main()
