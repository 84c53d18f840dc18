"""Envoy repeats a Check whose answer was lost: the client is served, and one use is counted (`attributes.http.id`)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli.demo.envoy import Hop, Setup
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import SystemClock
from tests.envoy.losing import LosingWire

pytestmark = pytest.mark.envoy


class Lossy(Stage):
    """A stage whose Envoy reaches the sidecar over a wire that can lose an answer."""

    wire: LosingWire

    def setup(self) -> Setup:
        """One listener repeats a Check, one does not."""
        path = self.folder / "wire.sock"
        self.wire = LosingWire(path, self.sidecar.socket)
        return Setup(
            upstream_port=self.upstream.port,
            sidecar=str(path),
            hops=(Hop(name="retrying", retry_check=True), Hop(name="plain")),
            timeout="5s",
        )

    def decided(self, request_id: str, count: int) -> list[dict[str, Any]]:
        """The lines of the decision log for a request, once there are `count`."""
        found: list[dict[str, Any]] = []

        def written() -> bool:
            lines = self.sidecar.decisions.read_text().splitlines()
            found[:] = [json.loads(line) for line in lines if f'"{request_id}"' in line]
            return len(found) >= count

        poll_until(written, self.sidecar.process, f"{count} decisions")
        return found


@pytest.fixture
def lossy() -> Iterator[Lossy]:
    """A stage of a test's own."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Lossy(Path(folder), FILES, SystemClock())
        yield stage
        stage.stop()
        stage.wire.close()


def test_F13_a_check_that_envoy_repeats_is_answered_the_same_and_counted_once(lossy: Lossy) -> None:
    client, token = lossy.client("retrying"), lossy.issuer.token()
    assert client.send("/healthz").status == 200
    lossy.wire.lose_next()
    assert client.send("/orders", token, method="POST", x_request_id="twice-asked").status == 200
    assert lossy.wire.lost == 1
    first, second = lossy.decided("twice-asked", 2)
    assert (first["decision"], second["decision"]) == ("allow", "allow")
    assert first["stream_id"] == second["stream_id"] != ""
    assert client.send("/orders", token, method="POST").status == 401


def test_F13_another_request_with_the_same_request_id_is_no_repetition(lossy: Lossy) -> None:
    client, token = lossy.client("retrying"), lossy.issuer.token()
    statuses = [client.send("/orders", token, method="POST", x_request_id="same").status for _ in range(3)]
    assert statuses == [200, 401, 401]


def test_an_answer_that_is_lost_for_good_is_503_and_the_use_stays_counted(lossy: Lossy) -> None:
    client, token = lossy.client("plain"), lossy.issuer.token()
    assert client.send("/healthz").status == 200
    lossy.wire.lose_next()
    assert client.send("/orders", token, method="POST", x_request_id="lost").status == 503
    assert [line["decision"] for line in lossy.decided("lost", 1)] == ["allow"]
    assert client.send("/orders", token, method="POST").status == 401
