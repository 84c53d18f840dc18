"""Servers that the tests of a module share; each test finds them empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis.servers import KINDS, Server, running


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
