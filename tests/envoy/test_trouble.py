"""What clients of a real Envoy get while the sidecar is edited, frozen, drained and dead."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

import pytest

from extauthz.cli.demo.envoy import Envoy
from extauthz.cli.demo.policies import REPORTS
from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Sidecar, Stage

pytestmark = pytest.mark.envoy


class Traffic:
    """A steady stream from several clients, and what came of it."""

    def __init__(self, stage: Stage, host: str, clients: int = 4) -> None:
        self._stage = stage
        self._host = host
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.statuses: Counter[int | str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def reach(self, count: int) -> None:
        """Wait until this many more answers came."""
        wanted = sum(self.statuses.values()) + count
        poll_until(lambda: sum(self.statuses.values()) >= wanted, None, "answers")

    def stop(self) -> Counter[int | str]:
        """End the stream."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.statuses

    def _run(self) -> None:
        client, token = self._stage.client(), self._stage.issuer.token()
        while not self._stop.is_set():
            try:
                status: int | str = client.send("/", token, host=self._host).status
            except OSError as error:
                status = str(error)
            with self._lock:
                self.statuses[status] += 1


def test_policies_are_edited_under_load_and_every_answer_is_of_the_old_or_the_new(fresh: Stage) -> None:
    traffic = Traffic(fresh, "reports.example")
    try:
        for number in range(40):
            scope = "reports.read" if number % 2 else "orders.read"
            fresh.write_policy("reports.yaml", REPORTS.replace("SCOPE", scope))
            traffic.reach(10)
    finally:
        statuses = traffic.stop()
    assert set(statuses) <= {200, 403}
    assert statuses[200] > 0


def test_a_broken_edit_denies_its_own_host_and_no_other(fresh: Stage) -> None:
    client, token = fresh.client(), fresh.issuer.token()
    fresh.write_policy("reports.yaml", REPORTS.replace("SCOPE", "orders.read").replace("rules:", "ruls:"))
    poll_until(lambda: client.send("/", token, host="reports.example").status == 503, None, "the broken edit")
    assert client.send("/orders", token).status == 200
    fresh.write_policy("reports.yaml", REPORTS.replace("SCOPE", "orders.read"))
    poll_until(lambda: client.send("/", token, host="reports.example").status == 200, None, "the mended edit")


def test_a_dead_sidecar_is_503_and_a_new_one_serves(fresh: Stage) -> None:
    client, token = fresh.client(), fresh.issuer.token()
    assert client.send("/orders", token).status == 200
    fresh.sidecar.process.stop()
    assert client.send("/orders", token).status == 503
    assert client.send("/healthz").status == 503
    fresh.sidecar = Sidecar(fresh.folder, fresh.policies)
    poll_until(lambda: client.send("/orders", token).status == 200, fresh.sidecar.process, "the new sidecar")


def test_a_frozen_sidecar_is_503(fresh: Stage) -> None:
    client, token = fresh.client(), fresh.issuer.token()
    assert client.send("/orders", token).status == 200
    os.kill(fresh.sidecar.process.pid, signal.SIGSTOP)
    try:
        assert client.send("/orders", token).status == 503
    finally:
        os.kill(fresh.sidecar.process.pid, signal.SIGCONT)
    poll_until(lambda: client.send("/orders", token).status == 200, fresh.sidecar.process, "recovery")


def test_a_drained_sidecar_admits_nothing_wrongly_and_ends_by_itself(fresh: Stage) -> None:
    traffic = Traffic(fresh, "reports.example")
    traffic.reach(50)
    fresh.sidecar.process.terminate()
    poll_until(lambda: not fresh.sidecar.process.running(), None, "the end of the sidecar")
    statuses = traffic.stop()
    assert set(statuses) <= {200, 503}
    assert fresh.sidecar.process.stop() == 0
    assert "stopped" in fresh.sidecar.said()


def test_an_issuer_that_is_down_ends_nothing_that_is_known(fresh: Stage) -> None:
    client, token = fresh.client(), fresh.issuer.token()
    assert client.send("/orders", token).status == 200
    fresh.issuer.stop()
    assert client.send("/orders", fresh.issuer.token()).status == 200
    unknown = fresh.issuer.sign({"alg": "RS256", "typ": "at+jwt", "kid": "new"}, {"iss": fresh.issuer.url})
    assert client.send("/orders", unknown).status == 401


def test_an_envoy_in_front_of_nothing_denies(fresh: Stage) -> None:
    fresh.sidecar.process.stop()
    fresh.envoy.stop()
    fresh.envoy = Envoy(fresh.setup(), fresh.folder)
    assert fresh.client().send("/healthz").status == 503
