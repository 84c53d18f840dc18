"""The tutorial, walked as a newcomer would: its own commands, on a real API server and through a real Envoy.

No kubelet runs here. So nothing pulls the image, and what the Deployments would run is started by hand: each
container's command line as the API server has it, under its own ServiceAccount, on loopback ports. The issuer of the
page is nobody's: its keys stand in the object.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import yaml
from kubernetes import client

from extauthz.cli.demo.envoy import Proxy
from extauthz.cli.demo.process import Process, poll_until
from extauthz.cli.demo.stage import Client, _echo
from extauthz.cli.demo.web import WebServer
from extauthz.model.time import SystemClock
from tests import issuing
from tests.chart.rendering import NAMESPACE, Object, run
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import Binaries
from tests.contract.running import SCRIPT, environment

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "tutorial" / "kubernetes.md").read_text()
BOOTSTRAP: Final = ROOT / "deploy" / "envoy" / "central.yaml"
RUNBOOK: Final = (ROOT / "docs" / "how-to" / "runbook.md").read_text()
CLOCK: Final = SystemClock()
NOT_HERE: Final = ("rollout status",)
"""What needs a kubelet."""


def blocks(language: str) -> list[str]:
    """The blocks of the page in a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the page, as words: lines that go on are joined, `&&` parts them, remarks are left out."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" && ") if part.strip()]


def asked() -> list[tuple[list[str], int]]:
    """The requests of the page, and the status that its remark promises."""
    lines = [line for line in "".join(blocks("sh")).splitlines() if line.startswith("curl")]
    return [(shlex.split(line, comments=True), int(re.findall(r"# (\d{3})", line)[0])) for line in lines]


class Walk:
    """A newcomer with a cluster and a folder of their own."""

    def __init__(self, helm: str, server: ApiServer, folder: Path, stack: ExitStack) -> None:
        self.server = server
        self.folder = folder
        self.own = folder / "own"
        self._helm = helm
        self._stack = stack
        self._write_policies()
        for words in commands():
            self._step(words)
        self.controller = self._start("extauthz-controller", "extauthz-controller")
        self.process = self._start("extauthz", "extauthz")
        poll_until(lambda: "\nready: " in self.said(), self.process, "the server's readiness", 40.0)
        self.client = self._envoy()

    def said(self) -> str:
        """All that the server printed."""
        return "\n" + self.process.log.read_text(errors="replace")

    def kubectl(self, *words: str, stdin: str = "") -> str:
        done = self.server.access.kubectl(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def container(self, deployment: str) -> Object:
        """As the API server has it."""
        found = json.loads(self.kubectl("get", "deployment", deployment, "-n", NAMESPACE, "-o", "json"))
        (container,) = found["spec"]["template"]["spec"]["containers"]
        return dict(container)

    def port(self) -> int:
        """Where the server takes Checks."""
        return int(re.findall(r"listening on 127\.0\.0\.1:(\d+)", self.said())[0])

    def _write_policies(self) -> None:
        (block,) = (each for each in blocks("yaml") if "kind: AccessPolicy" in each)
        held = block.replace("{discovery: {}}", json.dumps({"inline": issuing.jwks("rsa")}))
        assert held != block
        (self.own / "policies").mkdir(parents=True)
        (self.own / "policies" / "orders.yaml").write_text(held)

    def _step(self, words: list[str]) -> None:
        line = " ".join(words)
        match words[0]:
            case "helm":
                here = {"charts/extauthz": str(ROOT / "charts" / "extauthz")}
                arguments = [here.get(each, each).replace("REGISTRY", "registry.example") for each in words[1:]]
                # Time is not what is asked here.
                more = (f"--kubeconfig={self.server.access.kubeconfig()}", "--set", "settings.checkBudget=10s")
                done = run(self._helm, *arguments, *more, home=self.folder)
                assert done.returncode == 0, done.stderr
                assert "rollout status deployment/extauthz" in done.stdout
            case "kubectl" if not any(each in line for each in NOT_HERE):
                found = [str(self.own / each) if each == "policies" else each for each in words[1:]]
                self.kubectl(*found)
            case "extauthz":
                done = subprocess.run(
                    [SCRIPT, *words[1:]], cwd=self.own, capture_output=True, text=True, timeout=50, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
            case _:
                assert words[0] in {"curl", "kubectl"}, line

    def _start(self, deployment: str, account: str) -> Process:
        moved = {"--listen": "127.0.0.1:0", "--admin": "127.0.0.1:0"}
        arguments = [
            f"{name}={moved[name]}" if (name := each.partition("=")[0]) in moved else each
            for each in self.container(deployment)["args"]
        ]
        asked_for = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        core = client.CoreV1Api(self.server.access.client())
        answer = core.create_namespaced_service_account_token(account, NAMESPACE, asked_for)
        assert answer.status is not None
        kubeconfig = self.server.access.kubeconfig(answer.status.token)
        log = self.folder / f"{deployment}.log"
        process = Process([SCRIPT, *arguments], log, environment(KUBECONFIG=str(kubeconfig)))
        self._stack.callback(process.stop)
        return process

    def _envoy(self) -> Client:
        """Step 4: the bootstrap without TLS, with the lines that say CHANGE changed."""
        upstream = WebServer(_echo)
        upstream.start()
        self._stack.callback(upstream.stop)
        found: Object = yaml.safe_load(BOOTSTRAP.read_text().replace("0.3s", "10s"))
        found["admin"]["address"]["socket_address"]["port_value"] = 0
        (listener,) = found["static_resources"]["listeners"]
        listener["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": 0}
        for cluster, port in zip(found["static_resources"]["clusters"], (self.port(), upstream.port), strict=True):
            cluster.pop("transport_socket", None)
            endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            endpoint["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": port}
        proxy = Proxy(found, self.folder)
        self._stack.callback(proxy.stop)
        found_client = Client(proxy.port, CLOCK)
        self._stack.callback(found_client.close)
        return found_client


@pytest.fixture(scope="module")
def walk(binaries: Binaries, helm: str) -> Iterator[Walk]:
    with tempfile.TemporaryDirectory(prefix="extauthz-walk-") as name, ExitStack() as stack:
        server = ApiServer(Path(name), binaries)
        stack.callback(server.stop)
        yield Walk(helm, server, Path(name), stack)


def test_the_page_has_commands_that_a_test_can_run() -> None:
    assert [words[0] for words in commands()].count("kubectl") >= 5
    assert len(asked()) == 4


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_request_of_the_tutorial_is_answered_as_it_says(walk: Walk) -> None:
    now = int(CLOCK.now())
    said = issuing.claims(iss="https://login.corp.example", iat=now - 60, exp=now + 300)
    token = issuing.token(said)
    statuses = []
    for words, _ in asked():
        options = dict(pairwise(words))
        path = words[-1].removeprefix("http://ENVOY")
        shown = token if any("$TOKEN" in each for each in words) else None
        reply = walk.client.send(path, shown, method=options.get("-X", "GET"), host="orders.shop.example")
        statuses.append(reply.status)
    assert statuses == [status for _, status in asked()]

    def reasons() -> list[str]:
        return re.findall(r'"reason":"(\w+)"', walk.said())

    poll_until(lambda: len(reasons()) == 2, walk.process, "the log of two denials")
    assert reasons() == ["token_reused", "no_policy"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_status_says_that_the_policy_is_in_force(walk: Walk) -> None:
    def programmed() -> bool:
        found = json.loads(walk.kubectl("get", "accesspolicy", "orders", "-n", "shop", "-o", "json"))
        conditions = found.get("status", {}).get("conditions", [])
        return any(each["type"] == "Programmed" and each["status"] == "True" for each in conditions)

    poll_until(programmed, walk.controller, "Programmed", 60.0)
    shown = walk.kubectl("get", "extauthz", "-n", "shop")
    assert "accesspolicy.extauthz.dev/orders" in shown
    assert "tokenissuer.extauthz.dev/corp" in shown


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("account", "unused"),
    [
        # The Lease is taken away when the server ends, which is after this test.
        ("extauthz", {("leases", "delete")}),
        # Nothing expired, no condition turned to worse, and no replica was lost.
        (
            "extauthz-controller",
            {("leases", "delete"), ("tokenrevocations", "get"), ("tokenrevocations", "delete"), ("events", "create")},
        ),
    ],
)
def test_an_account_is_refused_nothing_and_uses_what_its_roles_grant(
    walk: Walk, account: str, unused: set[tuple[str, str]]
) -> None:
    """By the API server's own log. A kind that has no object here gets no status."""
    none_here = {(f"{kind}/status", "patch") for kind in ("clustertokenissuers", "tokenrevocations")}
    granted = set(_granted(walk, account)) - unused - none_here
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    poll_until(lambda: _used(walk, user) >= {each for each in granted if each[1] != "watch"}, None, "every right", 60.0)
    calls = _calls(walk, user)
    assert [each["requestURI"] for each in calls if each["responseStatus"]["code"] in {401, 403}] == []
    assert _used(walk, user) - set(_granted(walk, account)) == set()
    # An open watch is logged when it ends; whatever is listed is watched.
    assert {kind for kind, verb in granted if verb == "watch"} <= {kind for kind, verb in granted if verb == "list"}


def _calls(walk: Walk, user: str) -> list[Object]:
    return [each for each in walk.server.calls(user) if each["user"]["username"] == user]


def _used(walk: Walk, user: str) -> set[tuple[str, str]]:
    found = set()
    for each in _calls(walk, user):
        ref = each["objectRef"]
        kind = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
        found.add((kind, each["verb"]))
    return found


def _granted(walk: Walk, account: str) -> Iterator[tuple[str, str]]:
    """Kind and verb of every rule of every role that is bound to the account."""
    kinds = "clusterrolebindings,rolebindings"
    for binding in json.loads(walk.kubectl("get", kinds, "-A", "-o", "json"))["items"]:
        if any(each["name"] == account and each["kind"] == "ServiceAccount" for each in binding.get("subjects", [])):
            ref, where = binding["roleRef"], binding["metadata"].get("namespace", "default")
            role = json.loads(walk.kubectl("get", ref["kind"].lower(), ref["name"], "-n", where, "-o", "json"))
            for rule in role["rules"]:
                yield from ((kind, verb) for kind in rule["resources"] for verb in rule["verbs"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_runbook_finds_the_flags_of_the_store_in_a_release(walk: Walk, helm: str) -> None:
    """By its own line, in a shell, with the kubectl of the tests."""
    values = "store.url=rediss://counts.example:6379/0,store.secretName=counts,pepper.secretName=p,crds.install=false"
    install = ("install", "shared", str(ROOT / "charts" / "extauthz"), "--namespace", "shop", "--set", values)
    done = run(helm, *install, f"--kubeconfig={walk.server.access.kubeconfig()}", home=walk.folder)
    assert done.returncode == 0, done.stderr
    (line,) = re.findall(r"^STORE=\$\(.*\)$", RUNBOOK, re.MULTILINE)
    kubectl = f'kubectl() {{ "{walk.server.access._kubectl}" "--kubeconfig={walk.server.access.kubeconfig()}" "$@"; }}'
    script = f"NS=shop NAME=shared\n{kubectl}\n{line}\nprintf '%s\\n' $STORE"
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=50, check=False)
    flags = found.stdout.split()
    assert "--store=rediss://counts.example:6379/0" in flags, found.stderr
    assert "--store-password-file=/etc/extauthz/store/password" in flags
    told = subprocess.run(
        [SCRIPT, "store", "ping", "--help", *flags], capture_output=True, text=True, timeout=50, check=False
    )
    known = set(re.findall(r"--store[\w-]*", told.stdout))
    assert {flag.partition("=")[0] for flag in flags} <= known
