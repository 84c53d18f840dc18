"""The product under the accounts that the chart makes, and no other right: the API server's audit log is held against
the rules, so that none is missing and none is more than is used."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from kubernetes import client

from extauthz.cli.demo.process import poll_until
from extauthz.control.expiry import GRACE
from tests import issuing
from tests.building import obj, policy
from tests.chart.rendering import CHART, run
from tests.cluster.access import Access, Account
from tests.cluster.apiserver import ApiServer
from tests.cluster.published import Published
from tests.cluster.sidecar import Writer
from tests.cluster.test_controller import Looked, process
from tests.cluster.test_logout import controlling, logout
from tests.cluster.test_source import apply, install

pytestmark = pytest.mark.timeout(300)
Rights: TypeAlias = set[tuple[str, str, str]]
"""API group, resource with its part, verb."""
RBAC = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


class Release:
    """The accounts and rights of a release of the chart, on the API server."""

    def __init__(self, helm: str, access: Access, values: dict[str, Any]) -> None:
        self.access = access
        self.install = access.new_namespace("install")
        self.name = f"gate-{secrets.token_hex(3)}"
        arguments = ["template", self.name, str(CHART), "--namespace", self.install, "--values", "-"]
        done = run(helm, *arguments, stdin=json.dumps({"crds": {"install": False}, **values}))
        assert done.returncode == 0, done.stderr
        self._objects = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] in RBAC]
        applied = access.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(self._objects))
        assert applied.returncode == 0, applied.stderr

    def account(self, name: str) -> Account:
        """One of its ServiceAccounts, with a token."""
        asked = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        core = client.CoreV1Api(self.access.client())
        answer = core.create_namespaced_service_account_token(name, self.install, asked)
        assert answer.status is not None
        assert answer.status.token
        return Account(self.install, name, answer.status.token)

    def granted(self, account: Account) -> Rights:
        """All that the account may do, wherever."""
        roles = {
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in self._objects
        }
        found: Rights = set()
        for binding in self._objects:
            if account.name in {subject["name"] for subject in binding.get("subjects", ())}:
                ref = binding["roleRef"]
                for rule in roles[ref["kind"], binding["metadata"].get("namespace"), ref["name"]]["rules"]:
                    found |= set(product(rule["apiGroups"], rule["resources"], rule["verbs"]))
        return found


def used(apiserver: ApiServer, account: Account) -> Rights:
    """All that an account did, and was let."""
    # One account's name may begin another's.
    calls = [each for each in apiserver.calls(account.user) if each["user"]["username"] == account.user]
    assert [each["requestURI"] for each in calls if each["responseStatus"]["code"] == 403] == []
    found: Rights = set()
    for each in calls:
        if "objectRef" in each:
            ref = each["objectRef"]
            part = f"/{ref['subresource']}" if "subresource" in ref else ""
            found.add((ref.get("apiGroup", ""), ref["resource"] + part, each["verb"]))
    return found


def moment(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_data(namespace: str) -> Iterator[dict[str, Any]]:
    """A Secret and a ConfigMap with a key set."""
    for kind in ("Secret", "ConfigMap"):
        data = {"stringData" if kind == "Secret" else "data": {"jwks": json.dumps(issuing.jwks("rsa"))}}
        yield {"apiVersion": "v1", "kind": kind, "metadata": {"name": "keys", "namespace": namespace}, **data}


def everything(namespace: str, iss: str, *, cluster_wide: str = "") -> list[dict[str, Any]]:
    """Objects that make every right be used: each kind, each reference, something to prune, something that turns."""
    ref = {"name": "keys", "key": "jwks"}
    spec = {"issuer": f"https://{iss}.example", "audiences": ["orders-api"], "backChannelLogout": {"clients": ["web"]}}
    revocation = {"issuer": {"name": "secret"}, "jti": "x"}
    found = [
        *key_data(namespace),
        obj("TokenIssuer", "secret", {**spec, "keys": {"secretRef": ref}}, namespace),
        obj("TokenIssuer", "config", {**spec, "issuer": "https://b.example", "keys": {"configMapRef": ref}}, namespace),
        policy("p", {"name": "r", "token": {"issuers": [{"name": "secret"}]}}, namespace=namespace),
        policy(
            "lost", {"name": "r", "token": {"issuers": [{"name": "nobody"}]}}, hosts=("l.example",), namespace=namespace
        ),
        obj("TokenRevocation", "live", {**revocation, "expires": moment(3600)}, namespace),
        # Not over when it is created, by as much as clocks may differ, and over soon.
        obj("TokenRevocation", "over", {**revocation, "expires": moment(5 - GRACE)}, namespace),
    ]
    if cluster_wide:
        found.append(
            obj(
                "ClusterTokenIssuer",
                cluster_wide,
                {**spec, "issuer": f"https://{cluster_wide}.example", "keys": {"inline": issuing.jwks("rsa")}},
                "",
            )
        )
    return found


def stale_replica(access: Access, namespace: str) -> None:
    """The Lease of a replica that is long gone."""
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 40, "renewTime": "2020-01-01T00:00:00.000000Z"}
    metadata = {
        "name": "extauthz-replica-gone",
        "namespace": namespace,
        "annotations": {"extauthz.dev/snapshot-version": "v"},
    }
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    done = access.kubectl("apply", "-f", "-", stdin=json.dumps(lease))
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("published")
def test_central_mode_uses_each_right_that_the_chart_gives_and_needs_no_other(  # noqa: PLR0915 - one right after the other
    helm: str, start_apiserver: Callable[..., ApiServer], tmp_path: Path
) -> None:
    # An API server of its own: a central service follows what every namespace names, other tests' too.
    apiserver = start_apiserver()
    access = apiserver.access
    namespace = access.new_namespace("team")
    install(access)
    Published(access).install("gateway-api-experimental")
    named = {"references": {"named": [{"namespace": namespace, "secrets": ["keys"], "configMaps": ["keys"]}]}}
    release = Release(helm, access, {**named, "controller": {"events": {"enabled": True}}})
    server, controller = release.account(release.name), release.account(f"{release.name}-controller")
    done = access.kubectl("annotate", "namespace", namespace, "extauthz.dev/hosts=api.example, l.example")
    assert done.returncode == 0, done.stderr
    writer, iss, looked = Writer(access), f"idp-{namespace}", Looked(access, namespace)
    apply(access, *everything(namespace, iss, cluster_wide=f"all-{namespace}"))
    stale_replica(access, release.install)
    home = ("--install-namespace", release.install)
    serve = ("serve", "--kubernetes", *home, "--single-replica", "--listen", "127.0.0.1:0", "--admin", "off")
    leader = ("--lease-name", f"{release.name}-controller", *home)
    with ExitStack() as stack:
        taken = stack.enter_context(controlling(access, tmp_path, controller, *leader))
        replica = process(access, tmp_path, *serve, "--decision-log", "off", POD_NAME="one", account=server)
        running = stack.enter_context(replica)
        poll_until(lambda: "ready: " in running.log.read_text(), running, "its readiness")
        looked.until("accesspolicy", "p", "Programmed", "True")
        looked.until("accesspolicy", "lost", "ResolvedRefs", "False")
        looked.until("clustertokenissuer", f"all-{namespace}", "Ready", "True")
        looked.until("tokenissuer", "config", "Ready", "True")
        looked.until("tokenrevocation", "live", "Accepted", "True")
        assert taken.post(logout(iss)) == 200
        poll_until(partial(_gone, looked), None, "the end of `over`", 20.0)
        poll_until(lambda: not _lease(access, release.install), None, "the end of the stale lease", 20.0)
        # Told once more, so that the replica's Lease is written a second time.
        writer.apply(policy("p", {"name": "s", "token": {"issuers": [{"name": "secret"}]}}, namespace=namespace))
        poll_until(
            lambda: ("coordination.k8s.io", "leases", "patch") in used(apiserver, server), None, "a renewal", 30.0
        )
    for account in (server, controller):
        granted = release.granted(account)
        poll_until(
            partial(_all_used, apiserver, account, granted),
            None,
            f"the use of all: {sorted(granted - used(apiserver, account))}",
            10.0,
        )
        assert used(apiserver, account) == granted


def test_sidecar_mode_uses_each_right_that_the_chart_gives_its_controllers(
    helm: str, apiserver: ApiServer, access: Access, namespace: str, tmp_path: Path
) -> None:
    install(access)
    served = {"namespace": namespace, "serviceAccounts": ["orders"], "secrets": ["keys"], "configMaps": ["keys"]}
    held = {"installSecrets": ["keys"], "installConfigMaps": ["keys"], "namespaces": [served]}
    release = Release(helm, access, {"mode": "sidecar", "sidecar": held, "controller": {"events": {"enabled": True}}})
    controller = release.account(f"{release.name}-controller")
    home, iss = release.install, f"idp-{namespace}"
    apply(access, *everything(namespace, iss), *everything(home, f"idp-{home}", cluster_wide=f"all-{namespace}"))
    with ExitStack() as stack:
        for scope in (namespace, home):
            flags = (
                "--namespace",
                scope,
                "--install-namespace",
                home,
                "--lease-name",
                f"{release.name}-controller-{scope}"[:63],
            )
            taken = stack.enter_context(controlling(access, tmp_path, controller, *flags, name=scope))
            looked = Looked(access, scope)
            looked.until("accesspolicy", "p", "ResolvedRefs", "True")
            looked.until("accesspolicy", "lost", "ResolvedRefs", "False")
            looked.until("tokenissuer", "config", "Ready", "True")
            looked.until("tokenrevocation", "live", "Accepted", "True")
            assert taken.post(logout(f"idp-{scope}")) == 200
            poll_until(partial(_gone, looked), None, "the end of `over`", 20.0)
        Looked(access, home).until("clustertokenissuer", f"all-{namespace}", "Ready", "True")
    granted = release.granted(controller)
    assert used(apiserver, controller) == granted


def _all_used(apiserver: ApiServer, account: Account, granted: Rights) -> bool:
    return used(apiserver, account) >= granted


def _gone(looked: Looked) -> bool:
    return not looked.get("tokenrevocation", "over")


def _lease(access: Access, namespace: str) -> bool:
    return access.kubectl("get", "lease", "extauthz-replica-gone", "-n", namespace).returncode == 0
