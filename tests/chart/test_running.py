"""From the chart to a request: an injected pod's own command line, under its own account, serves a real Envoy.

No kubelet runs here. So the socket, the admin port and the account's token stand elsewhere than in a pod; all else of
the command line is what the pod was given, and Envoy's bootstrap is the one of deploy/envoy.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from kubernetes import client

from extauthz.cli.demo.envoy import Proxy
from extauthz.cli.demo.process import Process, poll_until
from extauthz.cli.demo.stage import Client, _echo
from extauthz.cli.demo.web import WebServer
from extauthz.cli.inject.sidecar import SOCKET
from extauthz.cli.main import main
from extauthz.control.rbac import TABLE, Mode
from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import obj, policy, with_token
from tests.chart.admitting import WANTED, Admission
from tests.chart.rendering import NAMESPACE, Object
from tests.chart.sidecars import Sample, injected, pod
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import Binaries
from tests.cluster.sidecar import Writer
from tests.cluster.test_source import secret
from tests.contract.running import SCRIPT, environment

BOOTSTRAP: Final = Path(__file__).parents[2] / "deploy" / "envoy" / "sidecar.yaml"
CLOCK: Final = SystemClock()
VALUES: Final[Object] = {
    "mode": "sidecar",
    # What is asked here is what is answered, not how soon.
    "settings": {"checkBudget": "10s"},
    "sidecar": {
        "namespaces": [
            {"namespace": "by-policy", "serviceAccounts": ["*"], "secrets": ["corp-keys"]},
            {"namespace": "by-library", "serviceAccounts": ["orders"], "secrets": ["corp-keys"]},
        ],
        "injection": {"enabled": True},
    },
}
"""The namespace `by-inject` is none of the release's: there `extauthz inject --rbac` grants."""
WAYS: Final = ("by-policy", "by-library", "by-inject")


@dataclass(frozen=True, slots=True)
class Stage:
    """A release, and charts of somebody else."""

    admission: Admission
    sample: Sample
    folder: Path

    def spec(self, way: str) -> Object:
        """The pod in the namespace of that name, as the API server has it."""
        options = self.admission.options()
        match way:
            case "by-policy":
                template = pod(labels=WANTED)
            case "by-library":
                template = self.sample.rendered(pod(), options)
            case _:
                template = injected(pod(), options, self.folder)
        return self.admission.make(template, way).spec

    def kubeconfig(self, namespace: str) -> Path:
        """Of the account `orders`, which exists once in each namespace."""
        asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        core = client.CoreV1Api(self.admission.server.access.client())
        answer = core.create_namespaced_service_account_token("orders", namespace, asked)
        assert answer.status is not None
        return self.admission.server.access.kubeconfig(answer.status.token)


@pytest.fixture(scope="module")
def stage(binaries: Binaries, helm: str) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="extauthz-running-") as name:
        folder = Path(name)
        server = ApiServer(folder, binaries)
        try:
            for namespace in WAYS:
                server.access.kubectl("create", "namespace", namespace)
                made = server.access.kubectl("create", "serviceaccount", "orders", "-n", namespace)
                assert made.returncode == 0, made.stderr
            admission = Admission(helm, server, folder)
            admission.release(VALUES)
            for namespace in WAYS:
                _write_policies(server, namespace)
            _grant(server)
            yield Stage(admission, Sample(helm, folder), folder)
        finally:
            server.stop()


def _write_policies(server: ApiServer, namespace: str) -> None:
    done = server.access.kubectl(
        "apply", "-f", "-", stdin=json.dumps(secret("corp-keys", namespace, issuing.jwks("rsa")))
    )
    assert done.returncode == 0, done.stderr
    keys = {"secretRef": {"name": "corp-keys", "key": "jwks"}}
    issuer = {"issuer": issuing.ISSUER, "audiences": ["orders-api"], "keys": keys}
    writer = Writer(server.access)
    writer.apply(obj("TokenIssuer", "corp", issuer, namespace))
    writer.apply(policy("orders", with_token("orders", require={"scopes": ["orders.write"]}), namespace=namespace))


def _grant(server: ApiServer) -> None:
    manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", **pod()})
    command = ("inject", "--rbac", "--namespace", "by-inject", "--read", "secret/corp-keys", "-")
    printed = CliRunner().invoke(main, command, input=manifest)
    assert printed.exit_code == 0, printed.stderr
    done = server.access.kubectl("apply", "--server-side", "-f", "-", stdin=printed.stdout)
    assert done.returncode == 0, done.stderr


class Running:
    """The sidecar of a pod, with Envoy before an upstream that echoes."""

    def __init__(self, stage: Stage, way: str, folder: Path, stack: ExitStack) -> None:
        (sidecar,) = (each for each in stage.spec(way)["initContainers"] if each["name"] == "extauthz")
        self.socket = folder / "extauthz.sock"
        arguments = [self._moved(each) for each in sidecar["args"]]
        self.environment = {each["name"]: way for each in sidecar["env"]}  # each is the pod's namespace
        started = environment(**self.environment, KUBECONFIG=str(stage.kubeconfig(way)))
        self.process = Process([SCRIPT, *arguments], folder / "extauthz.log", started)
        stack.callback(self.process.stop)
        poll_until(lambda: "\nready: " in self.said(), self.process, "the sidecar's readiness", 30.0)
        upstream = WebServer(_echo)
        upstream.start()
        stack.callback(upstream.stop)
        self.client = Client(self._envoy(upstream.port, folder, stack), CLOCK)
        stack.callback(self.client.close)

    def said(self) -> str:
        """All that the sidecar printed."""
        return "\n" + self.process.log.read_text(errors="replace")

    def _moved(self, argument: str) -> str:
        if argument.startswith("--admin="):
            return "--admin=127.0.0.1:0"
        return argument.replace(SOCKET, str(self.socket))

    def _envoy(self, upstream: int, folder: Path, stack: ExitStack) -> int:
        """A real Envoy, whose port it is."""
        proxy = Proxy(_bootstrap(self.socket, upstream), folder)
        stack.callback(proxy.stop)
        return proxy.port


def _bootstrap(socket: Path, upstream: int) -> Object:
    """The bootstrap of deploy/envoy with its three places changed, on ports of loopback that the system chooses."""
    found: Object = yaml.safe_load(BOOTSTRAP.read_text().replace(SOCKET, str(socket)).replace("0.3s", "10s"))
    found["admin"]["address"]["socket_address"]["port_value"] = 0
    (listener,) = found["static_resources"]["listeners"]
    listener["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": 0}
    (target,) = (each for each in found["static_resources"]["clusters"] if each["name"] == "upstream")
    endpoint = target["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["port_value"] = upstream
    return found


def token(**more: Any) -> str:
    now = CLOCK.now()
    return issuing.token(issuing.claims(iat=int(now) - 60, exp=int(now) + 300, **more))


@pytest.mark.envoy
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", WAYS)
def test_a_sidecar_serves_envoy_and_reads_what_it_must_and_no_more(stage: Stage, way: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = Running(stage, way, tmp_path, stack)
        assert "ready: 1 policy" in running.said()
        assert "mistake" not in running.said()
        assert running.client.send("/").status == 401
        assert running.client.send("/", token(scope="orders.read")).status == 403
        assert running.client.send("/", token()).status == 200
    _read_what_it_must(stage.admission.server, way)


def _read_what_it_must(server: ApiServer, namespace: str) -> None:
    """By the API server's own log of calls: nothing was refused, and nothing granted goes unused."""
    table = {(rule.group, name, verb) for rule in TABLE[Mode.SIDECAR] for name in rule.resources for verb in rule.verbs}
    wanted = {each for each in table if each[1] != "configmaps"}  # no issuer here refers to one

    def calls() -> list[Object]:
        return server.calls(f"system:serviceaccount:{namespace}:orders")

    def used() -> set[tuple[str, str, str]]:
        return {
            (each["objectRef"].get("apiGroup", ""), each["objectRef"]["resource"], each["verb"]) for each in calls()
        }

    # A watch is logged when it has ended.
    poll_until(lambda: used() >= wanted, None, "the log of every call", 15.0)
    assert used() == wanted
    assert {each["responseStatus"]["code"] for each in calls()} == {200}
    refs = [each["objectRef"] for each in calls()]
    assert {ref.get("namespace", "") for ref in refs} == {namespace, NAMESPACE, ""}
    assert {ref["resource"] for ref in refs if ref.get("namespace") == NAMESPACE} == {"tokenrevocations"}
    assert {ref.get("name") for ref in refs if ref["resource"] == "secrets"} == {"corp-keys"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("verb", "what", "where"),
    [
        ("list", "secrets", ""),
        ("get", "secrets/corp-keys", ""),
        ("list", "secrets/other", ""),
        ("list", "configmaps", ""),
        ("update", "accesspolicies.extauthz.dev", ""),
        ("get", "accesspolicies.extauthz.dev", ""),
        ("delete", "tokenrevocations.extauthz.dev", ""),
        ("list", "accesspolicies.extauthz.dev", "default"),
        ("list", "accesspolicies.extauthz.dev", NAMESPACE),
        ("list", "secrets", NAMESPACE),
        ("list", "namespaces", ""),
        ("create", "pods", ""),
    ],
)
def test_an_injected_account_may_not(stage: Stage, way: str, verb: str, what: str, where: str) -> None:
    user = f"--as=system:serviceaccount:{way}:orders"
    groups = [f"--as-group=system:serviceaccounts{each}" for each in ("", f":{way}")]
    asked = stage.admission.server.access.kubectl("auth", "can-i", verb, what, user, *groups, "-n", where or way)
    assert asked.stdout.strip() == "no"


def test_accounts_that_were_not_named_have_no_rights(stage: Stage) -> None:
    """`*` is for one namespace, a name for one account."""
    for way, has in (("by-policy", "yes"), ("by-library", "no"), ("by-inject", "no")):
        user = f"--as=system:serviceaccount:{way}:other"
        groups = [f"--as-group=system:serviceaccounts{each}" for each in ("", f":{way}")]
        what = ("list", "accesspolicies.extauthz.dev", "-n", way)
        asked = stage.admission.server.access.kubectl("auth", "can-i", *what, user, *groups)
        assert asked.stdout.strip() == has
