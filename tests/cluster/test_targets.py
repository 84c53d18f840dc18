"""Policies for routes on a real API server with Gateway API's own definitions: they follow what they target."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.cli.demo.envoy import Envoy, Setup
from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Client, _echo
from extauthz.cli.demo.web import WebServer
from extauthz.control.controller import Controller, Post
from extauthz.control.rbac import TABLE, Mode
from extauthz.control.resources import TARGETS
from extauthz.model.time import SystemClock
from extauthz.model.verdict import Refusal
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from tests import issuing
from tests.building import anonymous, obj, policy, view, with_token
from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer
from tests.cluster.published import Published
from tests.cluster.rights import may
from tests.cluster.sidecar import ClusterSidecar
from tests.cluster.test_controller import BRIEF, QUICK, Looked
from tests.cluster.test_source import Follow, apply, delete, follow, install
from tests.gatewaying import Raw, gateway, grpc_route, listener, parent, route, targeting

__all__ = ["follow"]
pytestmark = pytest.mark.timeout(180)  # on a busy machine it takes a while until large definitions are served
CLOCK: Final = SystemClock()
PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "gateway-api.md"


class Team:
    """A namespace with a host of its own."""

    def __init__(self, access: Access, *, granted: bool = True) -> None:
        self.access = access
        self.namespace = access.new_namespace("team")
        self.host = f"{self.namespace}.example"
        if granted:
            hosts = f"extauthz.dev/hosts={self.host} *.{self.host}"
            assert access.kubectl("annotate", "namespace", self.namespace, hosts).returncode == 0

    def apply(self, *objects: Raw) -> None:
        """Apply objects in this namespace."""
        apply(self.access, *(self.mine(each) for each in objects))

    def mine(self, found: Raw) -> Raw:
        return {**found, "metadata": {**found["metadata"], "namespace": self.namespace}}

    def route(self, *paths: str, name: str = "orders", **more: Any) -> Raw:
        """An HTTPRoute for prefixes of the host."""
        matches = [{"path": {"type": "PathPrefix", "value": path}} for path in paths]
        return route(name, hostnames=more.pop("hostnames", [self.host]), matches=matches, **more)

    def chosen(self, found: Snapshot, path: str, host: str = "", **more: Any) -> str:
        """The rule that takes a request to the team's host, or why none does."""
        rule: Rule | Refusal = found.choose(view(path, host=host or self.host, **more))
        if isinstance(rule, Refusal):
            return rule.reason.name.lower()
        return f"{rule.policy.name}/{rule.name}{' broken' if rule.broken else ''}"


@pytest.fixture
def gatewayed(published: Published, access: Access) -> Access:
    """The shared API server with our kinds and those of Gateway API."""
    published.install("gateway-api-experimental")
    install(access)
    return access


@pytest.fixture
def team(gatewayed: Access) -> Team:
    """A team on it."""
    return Team(gatewayed)


def test_a_policy_follows_its_route_in_whatever_order_they_come(team: Team, follow: Follow) -> None:
    seen = follow(team.access, None)
    team.apply(targeting("p", "orders"))

    def until(path: str, wanted: str) -> Snapshot:
        return seen.until(lambda found: team.chosen(found, path) == wanted, f"`{wanted}` for {path}")

    seen.until(lambda found: any("no HTTPRoute `orders`" in str(each) for each in found.problems), "the problem")
    team.apply(team.route("/api"))
    found = until("/api/x", "p/all")
    assert team.chosen(found, "/other") == "no_policy"
    assert not any(each.object.namespace == team.namespace for each in found.problems)
    team.apply(team.route("/v2"))
    assert team.chosen(until("/v2", "p/all"), "/api/x") == "no_policy"
    team.apply(policy("wide", anonymous("all"), hosts=(team.host,)))
    until("/other", "wide/all")
    delete(team.access, "httproute", "orders", team.namespace)
    found = until("/v2", "p/no-target broken")
    assert team.chosen(found, "/other") == "wide/all"
    team.apply(team.route("/v3"))
    assert team.chosen(until("/v3", "p/all"), "/v2") == "wide/all"
    delete(team.access, "httproute", "orders", team.namespace)
    until("/v3", "p/no-target broken")
    delete(team.access, "accesspolicy", "p", team.namespace)
    until("/v3", "wide/all")


def test_hosts_come_from_listeners_and_stay_within_the_grants(team: Team, follow: Follow) -> None:
    thief, edge = Team(team.access), f"edge-{secrets.token_hex(2)}"
    team.apply(
        gateway(edge, listener("web", hostname=f"*.{team.host}"), listener("any", port=81)),
        team.route("/a", name="wild", hostnames=[], parents=[parent(edge, sectionName="web")]),
        team.route("/b", name="both", hostnames=[f"b.{team.host}", "b.example"], parents=[parent(edge)]),
        targeting("wild", "wild"),
        targeting("both", "both"),
        targeting("gate", edge, kind="Gateway", section="web"),
    )
    thief.apply(thief.route("/", hostnames=[team.host, f"b.{team.host}"]), targeting("thief", "orders"))
    found = follow(team.access, None).until(
        lambda found: (
            team.chosen(found, "/b", f"b.{team.host}") == "both/all"
            and any(each.object.namespace == thief.namespace for each in found.problems)
        ),
        "the policies",
    )
    assert team.chosen(found, "/a", f"x.{team.host}") == "wild/all"
    assert team.chosen(found, "/c", f"x.{team.host}") == "gate/all"
    assert team.chosen(found, "/c", team.host) == "no_policy"
    assert team.chosen(found, "/b", "b.example") == "no_policy"
    words = {each.object.name: str(each) for each in found.problems if each.object.name in {"both", "thief"}}
    assert f"may not claim `{team.host}`, `b.{team.host}` of HTTPRoute" in words["thief"]
    assert "may not claim `b.example` of HTTPRoute" in words["both"]


def test_every_form_of_match_that_gateway_api_has_is_understood(team: Team, follow: Follow) -> None:
    conditions = [{"name": "x-a", "value": "1"}, {"type": "RegularExpression", "name": "x-b", "value": "b+"}]
    queries = [{"name": "v", "value": "2"}, {"type": "RegularExpression", "name": "w", "value": ".*"}]
    paths = [{"type": "Exact", "value": "/e"}, {"type": "PathPrefix", "value": "/p"}]
    patterns = [{"type": "RegularExpression", "value": "/r[0-9]+"}]
    matches = [{"path": path, "method": "GET", "headers": conditions, "queryParams": queries} for path in paths]
    calls = [{"method": each} for each in ({"service": "a.B"}, {"method": "C"}, {"service": "a.B", "method": "C"})]
    team.apply(
        route("h", hostnames=[team.host], matches=[*matches, *({"path": path} for path in patterns)]),
        grpc_route("g", hostnames=[f"g.{team.host}"], matches=[*calls, {"headers": conditions}]),
        targeting("h", "h"),
        targeting("g", "g", kind="GRPCRoute"),
    )
    found = follow(team.access, None).until(lambda found: team.chosen(found, "/r1") == "h/all", "the policy")
    assert not [str(each) for each in found.problems if each.object.namespace == team.namespace]
    headers = {"x-a": "1", "x-b": "bb"}
    for path, wanted in (("/e?v=2&w=", "h/all"), ("/p/x?w=1&v=2", "h/all"), ("/e?v=2", "no_policy")):
        assert team.chosen(found, path, headers=headers) == wanted
    assert team.chosen(found, "/p?v=2&v=1&w=", headers=headers) == "request_malformed"
    assert team.chosen(found, "/x.Y/C", f"g.{team.host}") == "g/all"
    assert team.chosen(found, "/x.Y/D", f"g.{team.host}") == "no_policy"


def test_gateway_api_may_come_later_and_go_again(
    start_apiserver: Callable[..., ApiServer], published: Published, follow: Follow
) -> None:
    access = start_apiserver().access
    install(access)
    team = Team(access)
    team.apply(policy("p", anonymous("open"), hosts=(team.host,)), targeting("t", "orders"))
    seen = follow(access, None)
    assert seen.reconciler is not None
    found = seen.until(lambda found: team.chosen(found, "/") == "p/open", "the policy for a host")
    assert [each.cause.value for each in found.problems] == ["TargetNotFound"]
    # A server that was just given a definition answers 429 for a moment; a kind that is absent is no trouble at all.
    poll_until(lambda: seen.reconciler is not None and seen.reconciler.faults == (), None, "no trouble")
    Published(access).install("gateway-api")
    team.apply(team.route("/api"))
    seen.until(lambda found: team.chosen(found, "/api") == "t/all", "the route")
    assert access.kubectl("delete", "crd", "httproutes.gateway.networking.k8s.io", "--wait=false").returncode == 0
    found = seen.until(lambda found: team.chosen(found, "/api") == "t/no-target broken", "the end of the route")
    assert team.chosen(found, "/") == "p/open"
    poll_until(lambda: seen.reconciler is not None and seen.reconciler.faults == (), None, "no trouble")


@pytest.mark.parametrize("missing", [each.plural for each in TARGETS.values()])
def test_a_central_service_reads_no_more_than_it_needs_and_serves_nothing_with_less(
    gatewayed: Access, follow: Follow, missing: str
) -> None:
    account = gatewayed.service_account(gatewayed.new_namespace())
    for rule in TABLE[Mode.CENTRAL]:
        kept = tuple(each for each in rule.resources if each != missing)
        if kept and not rule.named:
            gatewayed.grant(account, {**rule.as_rule(), "resources": list(kept)}, everywhere=True)
    seen = follow(gatewayed, None, account)
    reconciler = seen.reconciler
    assert reconciler is not None
    poll_until(lambda: len(reconciler.faults) == 1, None, "the one fault")
    assert f"may not read {missing}.gateway.networking.k8s.io" in reconciler.faults[0]
    assert seen.last is None
    more = {"apiGroups": ["gateway.networking.k8s.io"], "resources": [missing], "verbs": ["list", "watch"]}
    gatewayed.grant(account, more, everywhere=True)
    seen.until(lambda _: True, "the first snapshot")


def test_the_how_to_page_is_taken_and_does_what_it_says(gatewayed: Access, follow: Follow, namespace: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    host = f"{namespace}.example"
    assert len(blocks) == 3
    for block in blocks:
        mine = block.replace("orders.shop.example", host).replace("namespace: shop", f"namespace: {namespace}")
        done = gatewayed.kubectl("apply", "-f", "-", stdin=mine.replace("name: shop", f"name: {namespace}"))
        assert done.returncode == 0, done.stderr

    def chosen(snapshot: Snapshot, path: str) -> str:
        rule = snapshot.choose(view(path, host=host))
        return rule.reason.name if isinstance(rule, Refusal) else rule.name

    found = follow(gatewayed, None).until(lambda found: chosen(found, "/api/healthz") == "health", "the policy")
    assert [chosen(found, path) for path in ("/api", "/api/x", "/other")] == ["orders", "orders", "NO_POLICY"]


# Status


@pytest.fixture
def control(gatewayed: Access) -> Iterator[None]:
    """A controller for all namespaces, with the rights of one."""
    home = gatewayed.new_namespace("home")
    account = may(gatewayed, home, Mode.CONTROLLER)
    post = Post(secrets.token_hex(4), namespace=None, install_namespace=home)
    controller = Controller(gatewayed.client(account.token), CLOCK, post, pace=QUICK, timing=BRIEF)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@pytest.mark.usefixtures("control")
def test_status_says_what_became_of_a_target(team: Team) -> None:
    looked = Looked(team.access, team.namespace)

    def until(name: str, status: str, reason: str, words: str = "") -> None:
        assert looked.until("accesspolicy", name, "Accepted", status, words)["reason"] == reason

    team.apply(targeting("p", "orders"))
    until("p", "False", "TargetNotFound", "there is no HTTPRoute `orders`")
    team.apply(team.route("/api"))
    until("p", "True", "Accepted")
    assert looked.condition("accesspolicy", "p", "Accepted")["observedGeneration"] == 1
    team.apply(policy("q", anonymous("all", path={"prefix": "/api"}), hosts=(team.host,)))
    until("q", "False", "Conflicted", f"{team.namespace}/p is older")
    team.apply(targeting("r", "orders"))
    until("r", "False", "Conflicted", f"{team.namespace}/p is older")
    team.apply(team.route("/api", hostnames=[team.host, "elsewhere.example"]))
    until("p", "False", "HostNotGranted", "may not claim `elsewhere.example`")
    delete(team.access, "httproute", "orders", team.namespace)
    until("p", "False", "TargetNotFound", "are denied until it is back")
    shown = team.access.kubectl("get", "accesspolicy", "p", "-n", team.namespace, "-o", "wide").stdout
    assert "orders" in shown
    assert "TARGETS" in shown


def test_a_controller_of_one_namespace_says_that_targets_are_for_a_central_service(team: Team) -> None:
    account = may(team.access, team.namespace, Mode.CONTROLLER_OF_ONE)
    post = Post(secrets.token_hex(4), namespace=team.namespace, install_namespace=team.namespace)
    controller = Controller(team.access.client(account.token), CLOCK, post, pace=QUICK, timing=BRIEF)
    controller.start()
    try:
        team.apply(team.route("/"), targeting("p", "orders"))
        found = Looked(team.access, team.namespace).until("accesspolicy", "p", "Accepted", "False", "central service")
        assert found["reason"] == "Invalid"
    finally:
        controller.stop()


# From the route to the request


class Stage:
    """A central service, and Envoy before an upstream that echoes."""

    def __init__(self, team: Team, folder: Path, stack: ExitStack) -> None:
        upstream = WebServer(_echo)
        upstream.start()
        stack.callback(upstream.stop)
        home = team.access.new_namespace("home")
        self.service = ClusterSidecar(folder, team.access.kubeconfig(), None, "--install-namespace", home)
        stack.callback(self.service.process.stop)
        self.service.wait_ready()
        envoy = Envoy(Setup(upstream_port=upstream.port, sidecar=str(self.service.socket), timeout="10s"), folder)
        stack.callback(envoy.stop)
        self._client = Client(envoy.port, CLOCK)
        stack.callback(self._client.close)
        self._host = team.host

    def status(self, path: str, token: str | None = None) -> int:
        """What a client gets."""
        return self._client.send(path, token, host=self._host).status

    def until(self, path: str, wanted: int, token: str | None = None) -> None:
        """Wait until a client gets this."""
        poll_until(lambda: self.status(path, token) == wanted, None, f"{wanted} for {path}")


def test_requests_are_guarded_as_their_route_says_and_follow_its_edits(team: Team, tmp_path: Path) -> None:
    spec = {"issuer": issuing.ISSUER, "audiences": ["orders-api"], "keys": {"inline": issuing.jwks("rsa")}}
    team.apply(obj("TokenIssuer", "corp", spec), team.route("/api"))
    team.apply(
        targeting("p", "orders", rules=[with_token("orders"), anonymous("health", path={"exact": "/api/health"})]),
        policy("wide", anonymous("all"), hosts=(f"*.{team.host}", team.host)),
    )
    now = int(CLOCK.now())
    token = issuing.token(issuing.claims(iat=now - 60, exp=now + 300))
    with ExitStack() as stack:
        stage = Stage(team, tmp_path, stack)
        stage.until("/api/x", 401)
        assert [stage.status("/api/x", token), stage.status("/api/health"), stage.status("/other")] == [200, 200, 200]
        team.apply(team.route("/v2"))
        stage.until("/v2/x", 401)
        assert [stage.status("/v2/x", token), stage.status("/api/x")] == [200, 200]
        delete(team.access, "httproute", "orders", team.namespace)
        stage.until("/v2/x", 503, token)
        assert stage.status("/other") == 200
        team.apply(team.route("/v2"))
        stage.until("/v2/x", 200, token)
        assert stage.status("/v2/x") == 401
