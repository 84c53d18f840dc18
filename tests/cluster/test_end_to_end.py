"""From the API to the request: a real API server, the sidecar, and a real Envoy under steady load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.cli.demo.envoy import Envoy, Setup
from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Client, _echo
from extauthz.cli.demo.web import WebServer
from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import obj, policy, with_token
from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer
from tests.cluster.sidecar import ClusterSidecar, Writer
from tests.cluster.steady import NAMED, Intruder, Steady, Timeline, load
from tests.cluster.test_source import install, may_follow

EDITS: Final = 30
CLOCK: Final = SystemClock()


class World:
    """One namespace with an issuer, the sidecar that serves it, and Envoy before an upstream that echoes."""

    def __init__(self, access: Access, namespace: str, folder: Path, stack: ExitStack) -> None:
        self.namespace = namespace
        self.writer = Writer(access)
        self.timeline = Timeline(CLOCK)
        self._stack = stack
        spec = {"issuer": issuing.ISSUER, "audiences": ["orders-api"], "keys": {"inline": issuing.jwks("rsa")}}
        self.writer.apply(obj("TokenIssuer", "corp", spec, namespace))
        self.write("edit 0", self.edited(0))
        upstream = WebServer(_echo)
        upstream.start()
        stack.callback(upstream.stop)
        kubeconfig = access.kubeconfig(may_follow(access, namespace).token)
        self.sidecar = ClusterSidecar(folder, kubeconfig, namespace)
        stack.callback(self.sidecar.process.stop)
        self.sidecar.wait_ready()
        self._envoy = Envoy(Setup(upstream_port=upstream.port, sidecar=str(self.sidecar.socket), timeout="10s"), folder)
        stack.callback(self._envoy.stop)

    def edited(self, number: int, **more: Any) -> dict[str, Any]:
        """The policy after so many edits: who it admits is named to the upstream in a header of this edit's own."""
        claim_headers = {"claimHeaders": {f"{NAMED}{number}": "sub"}}
        rule = with_token("orders", require={"scopes": ["orders.write"], **more}, upstream=claim_headers)
        return policy("orders", rule, namespace=self.namespace)

    def write(self, label: str, wanted: dict[str, Any]) -> None:
        """Apply an object, after which a good request gets `label`."""
        self.timeline.write(label, lambda: self.writer.apply(wanted))

    def delete(self, label: str) -> None:
        """Delete the policy, after which a good request gets `label`."""
        self.timeline.write(label, lambda: self.writer.delete(self.edited(0)))

    def client(self) -> Client:
        """A client with a connection of its own."""
        client = Client(self._envoy.port, CLOCK)
        self._stack.callback(client.close)
        return client

    def good(self, count: int = 2) -> list[Steady]:
        """Clients whose token the policy admits."""
        return [Steady(self.client(), self.timeline, token()) for _ in range(count)]

    def intruder(self) -> Intruder:
        """A client whose token lacks the scope."""
        return Intruder(self.client(), self.timeline, token(scope="orders.read"))


def token(**more: Any) -> str:
    """A token that is good now."""
    now = CLOCK.now()
    return issuing.token(issuing.claims(iat=int(now) - 60, exp=int(now) + 300, **more))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[[Access, str], World]]:
    with ExitStack() as stack:
        yield lambda access, namespace: World(access, namespace, tmp_path, stack)


@pytest.fixture
def world(stage: Callable[[Access, str], World], access: Access, namespace: str) -> World:
    """A world on the shared API server."""
    install(access)
    return stage(access, namespace)


def test_edits_under_steady_load_lose_no_request_and_admit_none_wrongly(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    good, intruder = world.good(), world.intruder()
    with load(good, intruder) as settle:
        for number in range(1, EDITS + 1):
            world.write(f"edit {number}", world.edited(number))
            settle()
    assert intruder.statuses == {"403"}
    delays = sorted(delay for each in good for delay in each.delays)
    told = f"{len(delays)} times: median {delays[len(delays) // 2]:.3f} s, most {delays[-1]:.3f} s"
    record_property("enforcement", told)
    print(f"from write to enforcement, {told}")  # noqa: T201  # for people: no time is asserted


def test_break_mend_delete_and_make_anew_under_steady_load(world: World) -> None:
    good, intruder = world.good(), world.intruder()
    with load(good, intruder) as settle:
        for number in (1, 3, 5):
            # The API server knows no CEL of ours: it takes a condition that does not compile.
            world.write("503", world.edited(number, cel="claims.sub =="))
            settle()
            world.write(f"edit {number}", world.edited(number))
            settle()
            world.delete("403")
            settle()
            world.write(f"edit {number + 1}", world.edited(number + 1))
            settle()
    assert intruder.statuses == {"403", "503"}


def test_while_the_api_server_is_away_decisions_go_on_and_then_it_catches_up_alone(
    start_apiserver: Callable[..., ApiServer], stage: Callable[[Access, str], World]
) -> None:
    server = start_apiserver()
    install(server.access)
    world = stage(server.access, server.access.new_namespace())
    sidecar = world.sidecar
    assert sidecar.readiness() == (200, {"ready": True, "missing": {}, "notes": {}})
    assert sidecar.metric("extauthz_source_trouble") == 0
    good, intruder = world.good(1), world.intruder()
    with load(good, intruder) as settle:
        server.kill()
        poll_until(lambda: sidecar.metric("extauthz_source_trouble") == 1, sidecar.process, "the metric")
        silent, answers = sidecar.metric("extauthz_source_silent_seconds"), good[0].answers
        assert silent is not None
        status, page = sidecar.readiness()
        assert (status, page["ready"]) == (200, True)
        assert "the API server cannot be reached" in page["notes"]["source"]
        poll_until(lambda: good[0].answers > answers + 100, sidecar.process, "decisions that go on")
        poll_until(lambda: (sidecar.metric("extauthz_source_silent_seconds") or 0) > silent + 1, None, "the silence")
        server.restart()
        world.write("edit 1", world.edited(1))
        settle()
        poll_until(lambda: sidecar.metric("extauthz_source_trouble") == 0, sidecar.process, "the end of the trouble")
        assert sidecar.readiness() == (200, {"ready": True, "missing": {}, "notes": {}})


def test_a_sidecar_that_starts_while_the_api_server_is_away_is_not_ready_and_then_serves(
    start_apiserver: Callable[..., ApiServer], tmp_path: Path
) -> None:
    server = start_apiserver()
    access = server.access
    install(access)
    namespace = access.new_namespace()
    kubeconfig = access.kubeconfig(may_follow(access, namespace).token)
    server.kill()
    sidecar = ClusterSidecar(tmp_path, kubeconfig, namespace)
    try:
        poll_until(lambda: "\nlistening on " in sidecar.said(), sidecar.process, "its listener")
        poll_until(lambda: sidecar.metric("extauthz_source_trouble") == 1, sidecar.process, "the metric")
        status, page = sidecar.readiness()
        assert (status, page["ready"], page["notes"]) == (503, False, {})
        assert "the API server cannot be reached" in page["missing"]["policies"]
        assert sidecar.metric("extauthz_source_silent_seconds") is None
        server.restart()
        sidecar.wait_ready()
    finally:
        sidecar.process.stop()
