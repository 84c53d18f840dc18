"""The chart on a real API server: every object is one that it takes, and an upgrade brings the definitions along."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli.demo.process import poll_until
from tests.chart.rendering import CHART, run
from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer

SHARED = ("--set", "store.url=redis://counts:6379,pepper.secretName=extauthz-pepper")


class Releases:
    """helm with an API server of its own, whose definitions nobody else has."""

    def __init__(self, helm: str, access: Access, namespace: str, home: Path) -> None:
        self._helm = helm
        self.access = access
        self.namespace = namespace
        self._home = home
        self._kubeconfig = access.kubeconfig(namespace=namespace)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = (f"--kubeconfig={self._kubeconfig}", f"--namespace={self.namespace}")
        return run(self._helm, *arguments, *where, home=self._home)

    def must(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *what: str) -> Any:
        done = self.access.kubectl("get", *what, "-n", self.namespace, "-o", "json", "--ignore-not-found")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")


@pytest.fixture
def releases(helm: str, start_apiserver: Any, tmp_path: Path) -> Releases:
    server: ApiServer = start_apiserver()
    return Releases(helm, server.access, server.access.new_namespace(), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_is_installed_upgraded_rolled_back_and_gone_but_for_the_definitions(releases: Releases) -> None:
    notes = releases.must("install", "gate", str(CHART), *SHARED)
    assert "rollout status deployment/gate" in notes
    assert releases.get("deployment", "gate")["spec"]["replicas"] == 2
    assert len(releases.get("crd")["items"]) == len(list((CHART / "files" / "crds").iterdir()))

    _age_a_definition(releases)
    releases.must("upgrade", "gate", str(CHART), *SHARED, "--set", "replicaCount=3")
    assert releases.get("deployment", "gate")["spec"]["replicas"] == 3
    assert "shortNames" in releases.get("crd", "accesspolicies.extauthz.dev")["spec"]["names"]

    releases.must("rollback", "gate", "1")
    assert releases.get("deployment", "gate")["spec"]["replicas"] == 2

    _apply_policy(releases)
    kept = releases.must("uninstall", "gate")
    assert "accesspolicies.extauthz.dev" in kept
    assert releases.get("deployment", "gate") is None
    assert releases.get("service,serviceaccount,pdb,clusterrole", "-l", "app.kubernetes.io/instance=gate") is None
    assert releases.get("accesspolicy", "open") is not None, "an uninstall must not take policies along"

    # Another release takes the definitions over, when told to.
    refused = releases("install", "other", str(CHART))
    assert "invalid ownership metadata" in refused.stderr
    releases.must("install", "other", str(CHART), "--take-ownership")
    assert releases.get("accesspolicy", "open") is not None


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sidecar_mode_and_every_option_are_taken_by_the_server(releases: Releases) -> None:
    options = ("--set", "networkPolicy.enabled=true,autoscaling.enabled=true,tls.secretName=t")
    releases.must("install", "central", str(CHART), *SHARED, *options)
    assert releases.get("horizontalpodautoscaler", "central")["spec"]["maxReplicas"] == 10
    assert releases.get("networkpolicy", "central")["spec"]["policyTypes"] == ["Ingress"]
    assert releases.get("deployment", "central-controller")["spec"]["replicas"] == 2
    assert _may(releases, "central-controller", "patch", "accesspolicies.extauthz.dev/status")
    assert not _may(releases, "central-controller", "patch", "accesspolicies.extauthz.dev")
    assert not _may(releases, "central-controller", "watch", "secrets")
    namespaces = json.dumps([{"namespace": releases.namespace, "serviceAccounts": ["orders"], "secrets": ["idp"]}])
    sidecar = ("--set", "mode=sidecar,crds.install=false", "--set-json", f"sidecar.namespaces={namespaces}")
    releases.must("install", "side", str(CHART), *SHARED, *sidecar)
    assert releases.get("deployment", "side") is None
    assert "inject.yaml" in releases.get("configmap", "side-inject")["data"]
    assert _may(releases, "orders", "watch", "accesspolicies.extauthz.dev", here=True)
    assert _may(releases, "orders", "watch", "clustertokenissuers.extauthz.dev")
    assert _may(releases, "orders", "watch", "secrets/idp", here=True)
    assert not _may(releases, "orders", "watch", "secrets/other", here=True)
    assert not _may(releases, "orders", "watch", "accesspolicies.extauthz.dev")
    assert not _may(releases, "orders", "patch", "accesspolicies.extauthz.dev/status", here=True)
    assert _may(releases, "central", "watch", "accesspolicies.extauthz.dev")
    assert not _may(releases, "central", "watch", "secrets", here=True)
    assert not _may(releases, "central", "patch", "accesspolicies.extauthz.dev", here=True)


def _age_a_definition(releases: Releases) -> None:
    """As if an older version of the chart had made it."""
    patch = json.dumps([{"op": "remove", "path": "/spec/names/shortNames"}])
    done = releases.access.kubectl("patch", "crd", "accesspolicies.extauthz.dev", "--type=json", "-p", patch)
    assert done.returncode == 0, done.stderr


def _apply_policy(releases: Releases) -> None:
    policy = {
        "apiVersion": "extauthz.dev/v1alpha1",
        "kind": "AccessPolicy",
        "metadata": {"name": "open", "namespace": releases.namespace},
        "spec": {"hosts": ["api.example"], "rules": [{"name": "open", "anonymous": True}]},
    }
    done = releases.access.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    assert done.returncode == 0, done.stderr


def _may(releases: Releases, account: str, verb: str, what: str, *, here: bool = False) -> bool:
    who = f"--as=system:serviceaccount:{releases.namespace}:{account}"
    where = ["-n", releases.namespace] if here else ["--all-namespaces"]
    if what.endswith("/status"):
        what, where = what.removesuffix("/status"), [*where, "--subresource=status"]
    return releases.access.kubectl("auth", "can-i", verb, what, who, *where).stdout.strip() == "yes"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_definition_that_is_rolled_back_hides_the_fields_that_it_does_not_know(releases: Releases) -> None:
    """Why the page about upgrades has one look before a rollback: a server never sees what the API server hides."""
    releases.must("install", "gate", str(CHART), *SHARED)
    name = "accesspolicies.extauthz.dev"
    new = releases.get("crd", name)
    policy = {
        "apiVersion": "extauthz.dev/v1alpha1",
        "kind": "AccessPolicy",
        "metadata": {"name": "new", "namespace": releases.namespace},
        "spec": {
            "hosts": ["api.example"],
            "rules": [{"name": "open", "anonymous": True, "match": [{"methods": ["GET"], "path": {"exact": "/a"}}]}],
        },
    }
    done = releases.access.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    assert done.returncode == 0, done.stderr
    old = json.loads(json.dumps(new))
    rule = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["rules"]["items"]
    del rule["properties"]["match"]["items"]["properties"]["methods"]

    def methods() -> Any:
        (found,) = releases.get("accesspolicy", "new")["spec"]["rules"][0]["match"]
        return found.get("methods")

    assert methods() == ["GET"]
    _replace(releases, old)
    poll_until(lambda: methods() is None, None, "a policy that takes every method")
    _replace(releases, new)
    poll_until(lambda: methods() == ["GET"], None, "the field, which was stored all the time")


def _replace(releases: Releases, definition: Any) -> None:
    definition["metadata"].pop("resourceVersion", None)
    done = releases.access.kubectl("replace", "-f", "-", stdin=json.dumps(definition))
    assert done.returncode == 0, done.stderr
