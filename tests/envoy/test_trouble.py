"""What clients of a real Envoy get while the sidecar is edited, frozen, drained and dead."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.cli.demo.envoy import Envoy, Setup
from extauthz.cli.demo.policies import FILES, REPORTS
from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Sidecar, Stage
from extauthz.model.time import SystemClock

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
        # One thread is told, and until it runs the others go on.
        poll_until(lambda: _is_stopped(fresh.sidecar.process.pid), fresh.sidecar.process, "all threads to stop")
        assert client.send("/orders", token).status == 503
    finally:
        os.kill(fresh.sidecar.process.pid, signal.SIGCONT)
    poll_until(lambda: client.send("/orders", token).status == 200, fresh.sidecar.process, "recovery")


def _is_stopped(pid: int) -> bool:
    """Whether every thread is stopped (proc_pid_stat(5))."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


class Patient(Stage):
    """A stage whose Envoy waits long for a Check, so that every answer is heard."""

    def setup(self) -> Setup:
        """As usual, but for the time."""
        return replace(super().setup(), timeout="20s")


def test_a_drained_sidecar_is_heard_to_its_last_answer_and_ends_by_itself() -> None:
    """Requests of a drained sidecar get 503; a use that it counted is never lost on the way to the client."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Patient(Path(folder), FILES, SystemClock())
        try:
            traffic = Traffic(stage, "reports.example", clients=8)
            try:
                traffic.reach(200)
                stage.sidecar.process.terminate()
                poll_until(lambda: not stage.sidecar.process.running(), None, "the end of the sidecar")
                traffic.reach(8)
            finally:
                statuses = traffic.stop()
            assert set(statuses) == {200, 503}
            assert stage.sidecar.process.stop() == 0
            assert "stopped" in stage.sidecar.said()
            lines = stage.sidecar.decisions.read_text().splitlines()
            assert Counter(json.loads(line)["decision"] for line in lines) == {"allow": statuses[200]}
        finally:
            stage.stop()


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
