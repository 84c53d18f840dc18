"""Policies from a real API server: what is applied is in force a moment later, and what is not known yet denies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.cli.demo.process import poll_until
from extauthz.control.cluster import ClusterReconciler
from extauthz.control.watch import Pace
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import PolicyRef
from extauthz.policy.snapshot import Snapshot
from tests import issuing
from tests.building import NOW, TRUST, anonymous, obj, policy, revocation, verified, view, with_token
from tests.cluster.access import Access, Account
from tests.cluster.apiserver import ApiServer

CRDS: Final = Path(__file__).parents[2] / "charts" / "extauthz" / "files" / "crds"
QUICK: Final = Pace(connect=Seconds(2.0), answer=Seconds(5.0), first_pause=Seconds(0.05), longest_pause=Seconds(0.3))
OURS: Final = ("accesspolicies", "tokenissuers", "tokenrevocations")
FOLLOW: Final = ("list", "watch")
INSTALL: Final = "extauthz-system"
LATER: Final = "2099-01-31T12:00:00Z"


class Seen:
    """What was published last."""

    def __init__(self, reconciler: ClusterReconciler | None = None) -> None:
        self.snapshots: list[Snapshot] = []
        self.reconciler = reconciler

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    @property
    def last(self) -> Snapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    def until(self, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait until what is published is so."""

        def met() -> bool:
            return self.last is not None and condition(self.last)

        poll_until(met, None, what)
        assert self.last is not None
        return self.last

    def until_rules(self, *names: str, host: str = "api.example") -> Snapshot:
        """Wait until exactly these rules, or none, take a request to the host."""
        return self.until(lambda found: _rule(found, host) in (names or (None,)), f"the rules {names}")


def _rule(snapshot: Snapshot, host: str) -> str | None:
    chosen = snapshot.choose(view("/", host=host))
    return getattr(chosen, "name", None)


Follow = Callable[..., Seen]


@pytest.fixture
def follow() -> Iterator[Follow]:
    with ExitStack() as stack:

        def start(
            access: Access,
            namespace: str | None,
            account: Account | None = None,
            install: str = INSTALL,
            pace: Pace = QUICK,
        ) -> Seen:
            seen = Seen()
            api = access.client(account.token if account is not None else None)
            reconciler = ClusterReconciler(
                api, seen.publish, SystemClock(), namespace=namespace, install_namespace=install, pace=pace
            )
            seen.reconciler = reconciler
            stack.callback(reconciler.stop)
            reconciler.start()
            return seen

        yield start


def apply(access: Access, *objects: dict[str, Any]) -> None:
    done = access.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
    assert done.returncode == 0, done.stderr


def delete(access: Access, kind: str, name: str, namespace: str) -> None:
    done = access.kubectl("delete", kind, name, "-n", namespace, "--wait=false")
    assert done.returncode == 0, done.stderr


def install(access: Access) -> None:
    done = access.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    done = access.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    access.kubectl("create", "namespace", INSTALL)  # there already, when another module has made it


@pytest.fixture(scope="session")
def cluster(access: Access) -> Access:
    """The shared API server with our kinds installed."""
    install(access)
    return access


def open_rule(name: str, namespace: str, *, rule: str = "open", host: str = "api.example") -> dict[str, Any]:
    return policy(name, anonymous(rule), hosts=(host,), namespace=namespace)


def secret(name: str, namespace: str, key_set: dict[str, Any], entry: str = "jwks") -> dict[str, Any]:
    data = base64.b64encode(json.dumps(key_set).encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {entry: data},
    }


def may_follow(access: Access, namespace: str, *secrets: str) -> Account:
    """An account that may do exactly what a sidecar needs."""
    account = access.service_account(
        namespace,
        {"apiGroups": ["extauthz.dev"], "resources": OURS, "verbs": FOLLOW},
        *({"apiGroups": [""], "resources": ["secrets"], "verbs": FOLLOW, "resourceNames": [s]} for s in secrets),
    )
    access.grant(
        account,
        {"apiGroups": ["extauthz.dev"], "resources": ["clustertokenissuers"], "verbs": FOLLOW},
        everywhere=True,
    )
    access.grant(account, {"apiGroups": ["extauthz.dev"], "resources": OURS[2:], "verbs": FOLLOW}, namespace=INSTALL)
    return account


def test_what_is_applied_is_published_and_what_is_deleted_is_gone(
    cluster: Access, namespace: str, follow: Follow
) -> None:
    seen = follow(cluster, namespace)
    seen.until(lambda found: not found.policies, "an empty snapshot")
    apply(cluster, open_rule("p", namespace, rule="first"))
    seen.until_rules("first")
    apply(cluster, open_rule("p", namespace, rule="second"))
    seen.until_rules("second")
    delete(cluster, "accesspolicy", "p", namespace)
    seen.until_rules()


def test_another_namespace_is_not_served_by_a_sidecar(cluster: Access, namespace: str, follow: Follow) -> None:
    other = cluster.new_namespace()
    seen = follow(cluster, namespace)
    apply(cluster, open_rule("theirs", other, rule="theirs"))
    apply(cluster, open_rule("ours", namespace, rule="ours", host="ours.example"))
    found = seen.until_rules("ours", host="ours.example")
    assert list(found.policies) == [PolicyRef(namespace, "ours")]


def test_the_older_of_two_serves_in_whatever_order_they_arrive(cluster: Access, namespace: str, follow: Follow) -> None:
    apply(cluster, open_rule("older", namespace, rule="older"))
    first = follow(cluster, namespace)
    first.until_rules("older")
    # `creationTimestamp` counts whole seconds; within one, the name decides.
    apply(cluster, open_rule("zz-newer", namespace, rule="newer"))
    found = first.until(lambda snapshot: len(snapshot.policies) == 2, "both")
    second = follow(cluster, namespace)
    again = second.until_rules("older")
    assert found.version == again.version
    assert "conflicted" in str(again.problems[0])


def test_a_key_in_a_secret_is_followed(cluster: Access, namespace: str, follow: Follow) -> None:
    issuer = obj(
        "TokenIssuer",
        "corp",
        {
            "issuer": issuing.ISSUER,
            "audiences": ["orders-api"],
            "keys": {"secretRef": {"name": "keys", "key": "jwks"}},
        },
        namespace,
    )
    apply(cluster, issuer, policy("p", with_token("r"), namespace=namespace))
    account = may_follow(cluster, namespace, "keys")
    seen = follow(cluster, namespace, account)
    found = seen.until(lambda snapshot: bool(snapshot.policies), "the policy")
    assert "there is no Secret `keys`" in str(found.problems[0])
    apply(cluster, secret("keys", namespace, issuing.jwks("rsa")))
    one = seen.until(lambda snapshot: not snapshot.problems, "the key set")
    apply(cluster, secret("keys", namespace, issuing.jwks("ec")))
    two = seen.until(lambda snapshot: snapshot.issuer_keys != one.issuer_keys, "the other key set")
    assert not two.problems
    delete(cluster, "secret", "keys", namespace)
    seen.until(lambda snapshot: bool(snapshot.problems), "the loss of the key set")


def test_the_secret_of_an_introspection_client_is_followed(cluster: Access, namespace: str, follow: Follow) -> None:
    client = {"clientId": "orders", "secretRef": {"name": "client", "key": "secret"}}
    asked = {"url": "https://opaque.example/introspect", "clientSecretBasic": client}
    spec = {"issuer": "https://opaque.example", "audiences": ["orders-api"], "introspection": asked}
    apply(
        cluster,
        obj("TokenIssuer", "corp", spec, namespace),
        policy("p", with_token("r"), namespace=namespace),
    )
    seen = follow(cluster, namespace, may_follow(cluster, namespace, "client"))
    found = seen.until(lambda snapshot: bool(snapshot.policies), "the policy")
    assert "there is no Secret `client`" in str(found.problems[0])
    held = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client", "namespace": namespace}}
    apply(cluster, held | {"stringData": {"secret": "first"}})
    one = seen.until(lambda snapshot: not snapshot.problems, "the secret")
    assert len(one.endpoints) == 1
    apply(cluster, held | {"stringData": {"secret": "second"}})
    seen.until(lambda snapshot: bool(snapshot.endpoints) and snapshot.endpoints != one.endpoints, "the next secret")
    delete(cluster, "secret", "client", namespace)
    seen.until(lambda snapshot: bool(snapshot.problems) and not snapshot.endpoints, "the loss of the secret")


def test_a_sidecar_follows_what_the_install_namespace_revokes_of_the_clusters_tokens(
    cluster: Access, namespace: str, follow: Follow
) -> None:
    issuer = {"issuer": issuing.ISSUER, "audiences": ["orders-api"], "keys": {"inline": issuing.jwks("rsa")}}
    name = f"corp-{namespace}"
    cluster_wide = {"kind": "ClusterTokenIssuer", "name": name}
    apply(cluster, obj("ClusterTokenIssuer", name, issuer), revocation("own", INSTALL, subject="nobody", expires=LATER))
    seen = follow(cluster, namespace, may_follow(cluster, namespace))
    seen.until(lambda found: found.revocations is None and not found.problems, "nothing that is revoked")
    token = verified(trust=replace(TRUST, ref=IssuerRef("ClusterTokenIssuer", "", name)))
    apply(cluster, revocation(f"all-{namespace}", INSTALL, subject="alice", issuer=cluster_wide, expires=LATER))
    found = seen.until(lambda snapshot: snapshot.revocations is not None, "the revocation")
    assert found.revocations is not None
    assert found.revocations.refuse(token, namespace, Instant(NOW)) is not None
    delete(cluster, "tokenrevocation", f"all-{namespace}", INSTALL)
    seen.until(lambda snapshot: snapshot.revocations is None, "its end")


def test_a_secret_of_another_namespace_is_out_of_reach(cluster: Access, namespace: str, follow: Follow) -> None:
    other = cluster.new_namespace()
    apply(cluster, secret("keys", other, issuing.jwks("rsa")))
    spec = {"issuer": "https://a.example", "audiences": ["a"], "keys": {"secretRef": {"name": "keys", "key": "jwks"}}}
    apply(cluster, obj("TokenIssuer", "corp", spec, namespace), policy("p", with_token("r"), namespace=namespace))
    seen = follow(cluster, namespace)
    found = seen.until(lambda snapshot: bool(snapshot.policies), "the policy")
    assert f"there is no Secret `keys` in namespace `{namespace}`" in str(found.problems[0])


def test_who_may_not_read_a_secret_that_is_there_is_told_of_the_right(
    cluster: Access, namespace: str, follow: Follow
) -> None:
    """By the mistake itself, which status shows: its author does not see our log."""
    apply(cluster, secret("keys", namespace, issuing.jwks("rsa")))
    spec = {"issuer": "https://a.example", "audiences": ["a"], "keys": {"secretRef": {"name": "keys", "key": "jwks"}}}
    apply(cluster, obj("TokenIssuer", "corp", spec, namespace), policy("p", with_token("r"), namespace=namespace))
    seen = follow(cluster, namespace, may_follow(cluster, namespace, "other"))
    found = seen.until(lambda snapshot: bool(snapshot.policies), "the policy")
    words = next(str(each) for each in found.problems if "Secret `keys`" in str(each))
    assert words.endswith("create it, or, where a cluster has it, grant the right to list and watch it")


def test_a_sidecar_needs_no_more_than_to_list_and_watch(
    apiserver: ApiServer, cluster: Access, namespace: str, follow: Follow
) -> None:
    account = may_follow(cluster, namespace)
    apply(cluster, open_rule("p", namespace))
    seen = follow(cluster, namespace, account)
    seen.until_rules("open")
    poll_until(lambda: len(apiserver.calls(account.user)) >= 5, None, "its calls in the audit log")
    calls = apiserver.calls(account.user)
    assert {(call["verb"], call["objectRef"]["resource"]) for call in calls if call["verb"] == "list"} == {
        ("list", plural) for plural in (*OURS, "clustertokenissuers")
    }
    assert all(call["responseStatus"]["code"] == 200 for call in calls)


def test_a_verb_that_is_taken_away_is_named_and_what_is_known_stays(
    cluster: Access, namespace: str, follow: Follow
) -> None:
    account = cluster.service_account(namespace)
    apply(cluster, open_rule("p", namespace))
    seen = follow(cluster, namespace, account)
    assert seen.reconciler is not None
    poll_until(
        lambda: "may not read" in " ".join(seen.reconciler.faults if seen.reconciler else ()), None, "the refusal"
    )
    assert seen.last is None
    rules = {"apiGroups": ["extauthz.dev"], "resources": [*OURS, "clustertokenissuers"], "verbs": FOLLOW}
    cluster.grant(account, rules, everywhere=True)
    seen.until_rules("open")
    # A kind is in order once it is watched, a moment after it was listed.
    poll_until(lambda: seen.reconciler is not None and not seen.reconciler.faults, None, "the end of the trouble")


def test_a_verb_that_is_lost_while_serving_is_named_and_what_is_known_serves_on(
    cluster: Access, namespace: str, follow: Follow
) -> None:
    account = may_follow(cluster, namespace)
    apply(cluster, open_rule("p", namespace, rule="first"))
    # An open watch outlives the right to it, so it must end for the loss to show.
    seen = follow(cluster, namespace, account, pace=replace(QUICK, watch=Seconds(1.0)))
    seen.until_rules("first")
    reconciler = seen.reconciler
    assert reconciler is not None
    lost = cluster.kubectl("delete", "rolebinding", "--all", "-n", namespace)
    assert lost.returncode == 0, lost.stderr
    poll_until(lambda: "may not read accesspolicies" in " ".join(reconciler.faults), None, "the refusal")
    apply(cluster, open_rule("p", namespace, rule="second"))
    poll_until(lambda: reconciler.silent_for() > 1.0, None, "the silence")
    assert _rule(seen.snapshots[-1], "api.example") == "first"
    cluster.grant(account, {"apiGroups": ["extauthz.dev"], "resources": OURS, "verbs": FOLLOW})
    seen.until_rules("second")
    poll_until(lambda: not reconciler.faults, None, "the end of the trouble")


# Central mode


def _annotate(access: Access, namespace: str, hosts: str) -> None:
    done = access.kubectl("annotate", "namespace", namespace, f"extauthz.dev/hosts={hosts}", "--overwrite")
    assert done.returncode == 0, done.stderr


def test_a_namespace_claims_only_hosts_that_are_granted_to_it(cluster: Access, follow: Follow) -> None:
    mine, theirs = cluster.new_namespace("mine"), cluster.new_namespace("theirs")
    host = f"{mine}.example"
    _annotate(cluster, mine, f"{host}, *.{host}")
    apply(cluster, open_rule("thief", theirs, rule="stolen", host=host))
    apply(cluster, open_rule("owner", mine, rule="owned", host=host))
    seen = follow(cluster, None)
    found = seen.until_rules("owned", host=host)
    words = " ".join(str(each) for each in found.problems if each.object.namespace == theirs)
    assert f"may not claim `{host}`" in words
    _annotate(cluster, theirs, host)
    # Now both may, and one of them is told of the other.
    seen.until(lambda snapshot: "conflicted" in " ".join(map(str, snapshot.problems)), "the conflict")
    _annotate(cluster, theirs, "other.example")
    found = seen.until(lambda snapshot: "conflicted" not in " ".join(map(str, snapshot.problems)), "its end")
    assert _rule(found, host) == "owned"


def test_namespaces_are_selected_by_labels_that_change(cluster: Access, follow: Follow) -> None:
    mine = cluster.new_namespace("mine")
    host, name = f"{mine}.example", f"wide-{mine}"
    _annotate(cluster, mine, host)
    selector = {"matchLabels": {"team.example/tier": "gold"}}
    spec = {"issuer": "https://wide.example", "audiences": ["a"], "keys": {"inline": issuing.jwks()}}
    rule = {"name": "r", "token": {"issuers": [{"kind": "ClusterTokenIssuer", "name": name}]}}
    apply(
        cluster,
        obj("ClusterTokenIssuer", name, spec | {"allowedNamespaceSelector": selector}),
        policy("p", rule, hosts=(host,), namespace=mine),
    )
    seen = follow(cluster, None)

    def refused(snapshot: Snapshot) -> bool:
        return f"{name} is not for namespace `{mine}`" in " ".join(map(str, snapshot.problems))

    seen.until(refused, "the policy without its issuer")
    cluster.kubectl("label", "namespace", mine, "team.example/tier=gold")
    found = seen.until(lambda snapshot: not refused(snapshot), "the label")
    assert _rule(found, host) == "r"
    cluster.kubectl("label", "namespace", mine, "team.example/tier-")
    seen.until(refused, "the loss of the label")


def test_nothing_is_published_before_every_kind_is_installed(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    seen = follow(server.access, "default")
    assert seen.reconciler is not None
    poll_until(lambda: "extauthz crds" in " ".join(seen.reconciler.faults if seen.reconciler else ()), None, "the hint")
    assert seen.last is None
    install(server.access)
    apply(server.access, open_rule("p", "default"))
    seen.until_rules("open")


def test_what_was_published_serves_while_the_api_server_is_down(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    install(server.access)
    apply(server.access, open_rule("p", "default", rule="first"))
    seen = follow(server.access, "default")
    seen.until_rules("first")
    reconciler = seen.reconciler
    assert reconciler is not None
    server.kill()
    poll_until(lambda: bool(reconciler.faults), None, "the trouble")
    poll_until(lambda: reconciler.silent_for() > 0.5, None, "the silence")
    assert _rule(seen.snapshots[-1], "api.example") == "first"
    server.restart()
    apply(server.access, open_rule("p", "default", rule="second"))
    seen.until_rules("second")
    poll_until(lambda: not reconciler.faults, None, "the end of the trouble")
