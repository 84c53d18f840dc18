"""Envoy's router sends a request again when the upstream fails: behind one Check, and so for one use."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.cli.demo.envoy import Hop, Setup
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.stage import Stage
from extauthz.cli.demo.web import Page, WebServer
from extauthz.model.time import SystemClock
from tests.envoy.conftest import POLICIES

pytestmark = pytest.mark.envoy


class Faltering(Stage):
    """A stage whose upstream fails the first tries of each request."""

    failing: WebServer

    def setup(self) -> Setup:
        """Both forms of headers; each request is sent up to four times."""
        self.tries: Counter[str] = Counter()
        self.failing = WebServer(self._page)
        self.failing.start()
        hops = (Hop(retry_upstream=3), Hop(name="map", raw_headers=False, retry_upstream=3))
        return Setup(upstream_port=self.failing.port, sidecar=str(self.sidecar.socket), hops=hops, timeout="10s")

    def _page(self, path: str, headers: list[tuple[str, str]], method: str) -> Page:
        self.tries[path] += 1
        return (200 if path.startswith("/last") and self.tries[path] == 4 else 503), {"headers": headers}


@pytest.fixture
def faltering() -> Iterator[Faltering]:
    """A stage of a test's own."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Faltering(Path(folder), {**FILES, "tests.yaml": POLICIES}, SystemClock(), "--check-budget", "10s")
        yield stage
        stage.stop()
        stage.failing.stop()


@pytest.mark.parametrize("hop", ["demo", "map"])
def test_F14_the_routers_tries_are_one_use(faltering: Faltering, hop: str) -> None:
    client, token = faltering.client(hop), faltering.issuer.token()
    reply = client.send("/last", token, host="retried.example", x_request_id="tried")
    assert (reply.status, faltering.tries["/last"]) == (200, 4)
    assert "authorization" not in reply.upstream_headers
    assert client.send("/last", token, host="retried.example").status == 401
    assert faltering.tries["/last"] == 4
    assert faltering.sidecar.decision("tried")["decision"] == "allow"
    lines = faltering.sidecar.decisions.read_text().splitlines()
    assert sum('"tried"' in line for line in lines) == 1


def test_F14_an_upstream_that_fails_for_good_has_cost_the_use(faltering: Faltering) -> None:
    """What the upstream answers is not told to us: a use that was admitted stays spent."""
    client, token = faltering.client(), faltering.issuer.token()
    assert client.send("/never", token, host="retried.example").status == 503
    assert faltering.tries["/never"] == 4
    assert client.send("/never", token, host="retried.example").status == 401
