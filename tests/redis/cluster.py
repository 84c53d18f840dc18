"""A cluster of real processes on loopback: three nodes with slots, replicas where a test wants a failover.

Each node announces a proxy before it, so that a test may cut, hang or lose what a client reads, while the nodes talk to
each other undisturbed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis

from extauthz.model.time import Clock
from extauthz.replay.redis import ClusterStore, Options, Target
from extauthz.replay.redis.slots import SLOTS
from tests.clock import FakeClock
from tests.redis.proxy import Proxy, before
from tests.redis.servers import PATIENT, START, Server, free_port, tells_time, turn, wait_for

NODES = 3
_LEAD = 100.0


@dataclass
class Member:
    """One node, and the proxy that clients come through."""

    server: Server
    proxy: Proxy
    name: str

    @property
    def address(self) -> tuple[str, int]:
        """Where clients come."""
        return "127.0.0.1", self.proxy.port


@dataclass
class Cluster:
    """All nodes: first those that hold slots at the start, then their replicas in the same order."""

    kind: str
    clock_file: Path | None
    members: list[Member] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Where it is."""
        return Target(nodes=tuple(each.address for each in self.members))

    @property
    def url(self) -> str:
        """The same as a setting."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.proxy.port}" for each in self.members)

    def flush(self) -> None:
        """Let every node hold nothing."""
        for each in self.members:
            with each.server.client() as client, contextlib.suppress(redis.ReadOnlyError):
                client.flushall()

    def held_keys(self) -> list[bytes]:
        """All keys on nodes that are primaries."""
        found: list[bytes] = []
        for each in self.members:
            with each.server.client() as client:
                if client.info("replication")["role"] == "master":
                    found += client.scan_iter()
        return found

    def holder(self, slot: int) -> Member:
        """The node that holds a slot, by the word of the first that lives."""
        for each in self.members:
            with each.server.client() as client, contextlib.suppress(redis.ConnectionError):
                for first, last, primary, *_ in client.execute_command("CLUSTER SLOTS", **_RAW):
                    if first <= slot <= last:
                        return next(one for one in self.members if one.proxy.port == primary[1])
        raise AssertionError(f"nobody holds slot {slot}")

    def settled(self) -> bool:
        """Whether every living node says that all is well, and they agree."""
        told = set()
        for each in self.members:
            if each.server.process is None:
                continue
            with each.server.client() as client:
                info = _ask(client, "CLUSTER INFO")
                if b"cluster_state:ok" not in info or f"cluster_known_nodes:{len(self.members)}".encode() not in info:
                    return False
                slots = client.execute_command("CLUSTER SLOTS", **_RAW)
                told.add(str(sorted((row[0], row[1], row[2][1]) for row in slots)))
        return len(told) == 1

    def begin_move(self, slot: int, source: Member, to: Member) -> None:
        """Say that a slot is on its way."""
        with source.server.client() as here, to.server.client() as there:
            _ask(there, f"CLUSTER SETSLOT {slot} IMPORTING {source.name}")
            _ask(here, f"CLUSTER SETSLOT {slot} MIGRATING {to.name}")

    def move_keys(self, slot: int, source: Member, to: Member) -> int:
        """Take the keys of a slot along. How many there were."""
        with source.server.client() as here:
            keys = here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
            for key in keys:
                # A key may expire on its way; NOKEY is no error.
                here.execute_command("MIGRATE", "127.0.0.1", to.server.port, key, 0, 5000)
            return len(keys)

    def end_move(self, slot: int, source: Member, to: Member) -> None:
        """Say where the slot is now, to all."""
        for each in (to, source, *self.members):
            with each.server.client() as client, contextlib.suppress(redis.ResponseError, redis.ConnectionError):
                _ask(client, f"CLUSTER SETSLOT {slot} NODE {to.name}")

    def move(self, slot: int, to: Member) -> None:
        """Move a slot with its keys, as `redis-cli --cluster reshard` does."""
        source = self.holder(slot)
        if source is to:
            return
        self.begin_move(slot, source, to)
        while self.move_keys(slot, source, to):
            pass
        self.end_move(slot, source, to)


class ClusterClock(FakeClock):
    """A test's clock that takes those of all nodes along when time passes."""

    def __init__(self, cluster: Cluster, wall: float = START) -> None:
        super().__init__(wall)
        self._cluster = cluster
        self._passed = 0.0
        self._clients = [each.server.client() for each in cluster.members]
        self.turn_servers(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, here and at the nodes."""
        super().advance(seconds)
        self.turn_servers(seconds)

    def turn_servers(self, seconds: float) -> None:
        """Turn the nodes' clocks alone, forward or back."""
        self._passed += seconds
        assert self._cluster.clock_file is not None
        turn(self._cluster.clock_file, self._passed)
        for each in self._clients:
            wait_for(lambda client=each: tells_time(client, self._passed), "a node's clock to be turned")  # type: ignore[misc]


_RAW: dict[str, Any] = {"NEVER_DECODE": True}


def _ask(client: redis.Redis, command: str) -> Any:
    return client.execute_command(*command.split(), **_RAW)


@contextmanager
def clustered(
    kind: str = "valkey",
    *arguments: str,
    replicas: bool = False,
    turned: bool = False,
    tls: bool = False,
    timeout_ms: int = 5000,
) -> Iterator[Cluster]:
    """A cluster whose nodes agree. `turned` puts the clocks of all nodes into a test's hands.

    With `tls`, each node has a port for it besides, before which stands no proxy.
    """
    with ExitStack() as stack:
        clock_file = None
        if turned:
            clock_file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="extauthz-")), "clock")
            # Before the start: nodes that have just met wait for a while of their own time.
            turn(clock_file, -_LEAD)
            # They would take each other for dead when their time jumps.
            timeout_ms = 1_000_000_000
        cluster = Cluster(kind, clock_file)
        for _ in range(2 * NODES if replicas else NODES):
            timing = ("--cluster-node-timeout", str(timeout_ms))
            cluster.members.append(_node(stack, cluster, (*arguments, *timing), tls_port=free_port() if tls else 0))
        _join(cluster)
        yield cluster


def _node(stack: ExitStack, cluster: Cluster, arguments: tuple[str, ...], tls_port: int) -> Member:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="extauthz-")))
    server = Server(cluster.kind, folder, clock_file=cluster.clock_file, tls_port=tls_port)
    proxy = stack.enter_context(before(server.port))
    # Ten thousand above the other port, where its own would be, there may be no port.
    bus = free_port()
    server.arguments = (
        "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-announce-port", str(proxy.port),
        "--cluster-announce-bus-port", str(bus), "--cluster-announce-ip", "127.0.0.1",
        "--cluster-replica-validity-factor", "0", *(_with_tls(tls_port) if tls_port else ()), *arguments,
    )  # fmt: skip
    server.start()
    stack.callback(server.kill)
    with server.client() as client:
        return Member(server, proxy, _ask(client, "CLUSTER MYID").decode())


def _with_tls(port: int) -> tuple[str, ...]:
    # Only where the nodes speak it among themselves does Redis 7.0 tell clients its port.
    return "--tls-port", str(port), "--cluster-announce-tls-port", str(port), "--tls-cluster", "yes"


def _join(cluster: Cluster) -> None:
    first, *others = cluster.members
    share = -(-SLOTS // NODES)
    for number, each in enumerate(cluster.members[:NODES]):
        with each.server.client() as client:
            _ask(client, f"CLUSTER ADDSLOTSRANGE {number * share} {min(SLOTS, (number + 1) * share) - 1}")
            _ask(client, f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
    for each in others:
        bus = each.server.arguments[3]
        with first.server.client() as client:
            _ask(client, f"CLUSTER MEET 127.0.0.1 {each.proxy.port} {bus}")
    wait_for(lambda: all(_knows(each, len(cluster.members)) for each in cluster.members), "the nodes to meet")
    for primary, replica in zip(cluster.members, cluster.members[NODES:], strict=False):
        with replica.server.client() as client:
            _ask(client, f"CLUSTER REPLICATE {primary.name}")
    passed = count()
    wait_for(lambda: cluster.settled() or _let_pass(cluster, next(passed)), "the cluster to settle")
    for replica in cluster.members[NODES:]:
        with replica.server.client() as client:
            wait_for(
                lambda client=client: client.info("replication").get("master_link_status") == "up",  # type: ignore[misc]
                "a replica to follow",
            )


def _let_pass(cluster: Cluster, looks: int) -> bool:
    """Where time stands still, let a little of it pass."""
    if cluster.clock_file is not None:
        turn(cluster.clock_file, min(0.0, looks / 4 - _LEAD))
    return False


def _knows(member: Member, count: int) -> bool:
    with member.server.client() as client:
        return len(_ask(client, "CLUSTER NODES").splitlines()) == count


@contextmanager
def connected_to(cluster: Cluster, clock: Clock, options: Options = PATIENT) -> Iterator[ClusterStore]:
    """A store whose every node is ready, closed at the end."""
    store = ClusterStore(cluster.target, clock, options)
    store.start()
    try:
        wait_for(
            lambda: store.ready() and store.note() is None, lambda: f"the store: {store.trouble() or store.note()}"
        )
        yield store
    finally:
        store.stop()
