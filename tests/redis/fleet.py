"""Three replicas of `extauthz serve` before one server, each behind a network of its own, and races among them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc

from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import policy, with_token
from tests.checks import check_request, read_response
from tests.contract.running import PATIENCE, Serve, serving, write
from tests.redis.cluster import Cluster
from tests.redis.proxy import Proxy, before
from tests.redis.servers import Server, wait_for
from tests.redis.test_serving import readiness
from tests.unit.server.serving import channel, check
from tests.worlds import CORP

REPLICAS: Final = 3
DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""A server that forgets nothing that it answered, so that a restart may not give a use back."""
GONE: Final = "no answer"
UNSURE: Final = frozenset({GONE, "store_unavailable"})
"""Answers that leave open whether the use is counted. Neither admits."""
_STATUS: Final = {"store_unavailable": 503, "token_reused": 401, "rate_exceeded": 429}
RACERS: Final = 200
DEADLINE: Final = 2.0
"""Seconds that a commit may take: a busy machine keeps it, for what is asked is who is admitted."""
_BUDGETS: Final = (
    *("--check-budget", "10s", "--store-deadline", f"{DEADLINE:g}s"),
    *("--threads", "8", "--max-concurrent", "1000"),
)


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
    start_another: Callable[[], Replica]
    """One like it, behind the same proxy."""
    killed: bool = False

    def kill(self) -> None:
        """End it as a crash would."""
        self.killed = True
        self.served.process.kill()
        self.served.process.wait()


@dataclass(frozen=True)
class Asked:
    """One Check on its way to a replica. `answer` waits for what comes of it."""

    replica: Replica
    token: str
    stream: str
    """Tells it from others; its repetition has the same."""
    call: Any


@dataclass
class Fleet:
    """All replicas, and their server, or those of a cluster."""

    servers: Sequence[Server]
    replicas: list[Replica] = field(default_factory=list)
    settled: Callable[[], bool] = lambda: True
    """Whether the servers agree, where there are several."""
    _streams: Iterator[int] = field(default_factory=count)

    def ask(self, replica: Replica, token: str) -> Any:
        """Begin one Check, as Envoy would: with a stream id of its own. `answer` waits for it."""
        return self.begin(replica, token).call

    def begin(self, replica: Replica, token: str, stream: str = "") -> Asked:
        """The same, or with the stream id of an earlier Check: its repetition."""
        stream = stream or f"s{next(self._streams)}"
        request = check_request(headers={"authorization": f"Bearer {token}"}, stream_id=stream)
        method: Any = check(replica.connection)
        return Asked(replica, token, stream, method.future(request, timeout=PATIENCE))

    def begin_race(self, token: str, racers: int = RACERS) -> list[Asked]:
        """So many Checks of one token at once, over all replicas."""
        replicas = tuple(self.replicas)
        return [self.begin(replicas[number % len(replicas)], token) for number in range(racers)]

    def race(self, token: str, racers: int = RACERS) -> Counter[str]:
        """The same to its end. How often each answer was given."""
        return Counter(answer(each.call) for each in self.begin_race(token, racers))

    def replace_killed(self) -> None:
        """Start another in the place of each replica that was killed."""
        self.replicas = [each.start_another() if each.killed else each for each in self.replicas]

    def wait(self) -> None:
        """Until every living replica is ready, and all servers."""
        wait_for(self.settled, "the servers to agree")
        for each in self.replicas:
            wait_for(lambda each=each: each.killed or readiness(each.served)[0] == 200, "readiness")  # type: ignore[misc]


def answer(call: Any) -> str:
    """The reason of a denial, `allow`, or GONE where no answer came."""
    try:
        response = read_response(call.result())
    except grpc.RpcError:
        return GONE
    if response.code == 0:
        return "allow"
    reason = str(response.metadata["reason"])
    assert response.http_status == _STATUS.get(reason, response.http_status)
    return reason


@contextmanager
def fleet(server: Server, folder: Path, **reuse: Any) -> Iterator[Fleet]:
    """Replicas that are ready, over one rule with this `reuse`."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(before(server.port)) for _ in range(REPLICAS)]
        urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in proxies]
        yield Fleet((server,), stack.enter_context(_replicas(zip(urls, proxies, strict=True), folder, reuse)))


@contextmanager
def cluster_fleet(cluster: Cluster, folder: Path, **reuse: Any) -> Iterator[Fleet]:
    """The same before a cluster. A proxy stands before each node, for all replicas."""
    proxies = [member.proxy for member in cluster.members[:REPLICAS]]
    with _replicas(((cluster.url, proxy) for proxy in proxies), folder, reuse) as replicas:
        yield Fleet([member.server for member in cluster.members], replicas, cluster.settled)


@contextmanager
def _replicas(stores: Iterable[tuple[str, Proxy]], folder: Path, reuse: dict[str, Any]) -> Iterator[list[Replica]]:
    policies = folder / "fleet"
    policies.mkdir(parents=True)
    write(policies, "all.yaml", CORP, policy("p", with_token("counted", reuse=reuse)))
    pepper = folder / "fleet-pepper"
    pepper.write_bytes(b"p" * 32)
    with ExitStack() as stack:

        def start(url: str, proxy: Proxy) -> Replica:
            where = ("--store", url, "--pepper-file", pepper)
            served = stack.enter_context(serving(policies, *where, "--admin", "127.0.0.1:0", *_BUDGETS))
            connection = stack.enter_context(channel(served.address))
            return Replica(served, proxy, connection, lambda: start(url, proxy))

        yield [start(url, proxy) for url, proxy in stores]


def judge(answers: Counter[str], what: str) -> None:
    """Exactly one was admitted; none only where an answer leaves open whether a use that was refused is counted."""
    assert answers["allow"] <= 1, f"{answers['allow']} admissions of one token ({what}): {dict(answers)}"
    assert answers["allow"] == 1 or UNSURE & answers.keys(), f"nobody was admitted ({what}): {dict(answers)}"
    assert set(answers) <= {"allow", "token_reused", *UNSURE}, dict(answers)
