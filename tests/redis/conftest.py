"""Servers that the tests of a module share; each test finds them empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extauthz.model.time import SystemClock
from extauthz.replay.redis import Target
from extauthz.replay.redis.connect import Lane
from extauthz.replay.redis.wire import commit_script
from tests.redis.cluster import Cluster, clustered
from tests.redis.proxy import Fault
from tests.redis.servers import KINDS, Server, running, wait_for


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.redis) for kind in KINDS])
def shared(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each kind."""
    with running(request.param) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """A server that holds nothing."""
    with shared.client() as client:
        client.flushall()
    return shared


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    """One server, that keeps what the tests of a module leave."""
    with running("valkey") as server:
        yield server


@pytest.fixture(scope="module")
def lane(valkey: Server) -> Iterator[Lane]:
    """A connection to it."""
    lane = Lane(Target(host="127.0.0.1", port=valkey.port), commit_script(), SystemClock().monotonic)
    yield lane
    lane.close()


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.redis) for kind in KINDS])
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of three, of each kind."""
    with clustered(request.param) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """A cluster that holds nothing, and through whose proxies everything passes."""
    for each in shared_cluster.members:
        each.proxy.befall(Fault.NONE)
    wait_for(shared_cluster.settled, "the cluster to agree")
    shared_cluster.flush()
    return shared_cluster
