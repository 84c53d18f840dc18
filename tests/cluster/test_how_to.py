"""The YAML of the how-to page on a real API server: it is taken, and grants what a server needs and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from kubernetes import client

from extauthz.cli.demo.process import poll_until
from tests import issuing
from tests.cluster.access import Access
from tests.cluster.sidecar import ClusterSidecar
from tests.cluster.test_source import apply, install, secret

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "kubernetes.md"
BLOCKS: Final = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
SIDECAR: Final = "system:serviceaccount:shop:orders"
CENTRAL: Final = "system:serviceaccount:extauthz-system:extauthz"


@pytest.fixture(scope="module")
def applied(access: Access) -> Access:
    """An API server to which everything on the page was applied."""
    install(access)
    for name in ("shop", "extauthz-system"):
        access.kubectl("create", "namespace", name)  # there already, when another test has made it
    assert len(BLOCKS) == 5
    for block in BLOCKS:
        done = access.kubectl("apply", "--server-side", "-f", "-", stdin=block)
        assert done.returncode == 0, done.stderr
    return access


def may(access: Access, user: str, verb: str, what: str, namespace: str = "shop") -> bool:
    return access.kubectl("auth", "can-i", verb, what, f"--as={user}", "-n", namespace).stdout.strip() == "yes"


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("list", "accesspolicies.extauthz.dev"),
        ("watch", "tokenrevocations.extauthz.dev"),
        ("list", "clustertokenissuers.extauthz.dev"),
        ("watch", "secrets/corp-keys"),
        ("list", "configmaps/corp-ca"),
    ],
)
def test_the_sidecar_may(applied: Access, verb: str, what: str) -> None:
    assert may(applied, SIDECAR, verb, what)


@pytest.mark.parametrize(
    ("verb", "what", "namespace"),
    [
        ("list", "secrets", "shop"),
        ("get", "secrets/corp-keys", "shop"),
        ("list", "secrets/other", "shop"),
        ("list", "accesspolicies.extauthz.dev", "default"),
        ("update", "accesspolicies.extauthz.dev", "shop"),
        ("delete", "tokenrevocations.extauthz.dev", "shop"),
        ("list", "namespaces", "shop"),
    ],
)
def test_the_sidecar_may_not(applied: Access, verb: str, what: str, namespace: str) -> None:
    assert not may(applied, SIDECAR, verb, what, namespace)


def test_the_central_service_may_read_our_kinds_everywhere_and_no_secret(applied: Access) -> None:
    assert may(applied, CENTRAL, "list", "accesspolicies.extauthz.dev", "default")
    assert may(applied, CENTRAL, "watch", "namespaces")
    assert not may(applied, CENTRAL, "list", "secrets")
    assert not may(applied, CENTRAL, "patch", "accesspolicies.extauthz.dev")


def test_a_sidecar_with_this_account_is_ready_and_in_step(applied: Access, tmp_path: Path) -> None:
    apply(applied, secret("corp-keys", "shop", issuing.jwks("rsa"), entry="jwks.json"))
    asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    core = client.CoreV1Api(applied.client())
    answer = core.create_namespaced_service_account_token("orders", "shop", asked)
    assert answer.status is not None
    sidecar = ClusterSidecar(tmp_path, applied.kubeconfig(answer.status.token), "shop")
    try:
        sidecar.wait_ready()
        # A server that was just given the definitions answers 429 for a moment, which is noted as long as it lasts.
        in_step = (200, {"ready": True, "missing": {}, "notes": {}})
        poll_until(lambda: sidecar.readiness() == in_step, sidecar.process, "no note of any trouble", 10.0)
        assert "ready: 1 policy" in sidecar.said()
        assert "mistake" not in sidecar.said()
    finally:
        sidecar.process.stop()
