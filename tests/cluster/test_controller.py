"""Status on a real API server: who writes it, how often, and what it says."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.cli.demo.process import Process, poll_until
from extauthz.control import controller as controlling
from extauthz.control.controller import TICK, Controller, Post
from extauthz.control.leader import Timing
from extauthz.control.rbac import TABLE, Mode
from extauthz.control.watch import Pace
from extauthz.model.time import Seconds, SystemClock
from tests import issuing
from tests.building import anonymous, obj, policy, with_token
from tests.cluster.access import Access, Account
from tests.cluster.apiserver import ApiServer
from tests.cluster.rights import may
from tests.contract.running import SCRIPT, environment

CRDS: Final = Path(__file__).parents[2] / "charts" / "extauthz" / "files" / "crds"
QUICK: Final = Pace(connect=Seconds(2.0), answer=Seconds(5.0), first_pause=Seconds(0.05), longest_pause=Seconds(0.3))
BRIEF: Final = Timing(lease=Seconds(4.0), renew=Seconds(2.0), retry=Seconds(0.3), call=Seconds(2.0))


@pytest.fixture(scope="session")
def cluster(access: Access) -> Access:
    """The shared API server with our kinds installed."""
    done = access.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    done = access.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    return access


class Looked:
    """What the API server holds."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.access = access
        self.namespace = namespace

    def apply(self, *objects: dict[str, Any]) -> None:
        done = self.access.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
        assert done.returncode == 0, done.stderr

    def get(self, kind: str, name: str = "") -> dict[str, Any]:
        done = self.access.kubectl("get", kind, *([name] if name else []), "-n", self.namespace, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def condition(self, kind: str, name: str, which: str) -> dict[str, Any]:
        found = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == which), {})

    def until(self, kind: str, name: str, which: str, status: str, words: str = "") -> dict[str, Any]:
        """Wait until a condition is so."""

        def met() -> bool:
            found = self.condition(kind, name, which)
            return found.get("status") == status and words in found.get("message", "")

        try:
            poll_until(met, None, f"{which}={status} ({words})", 40.0)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.get(kind, name).get('status')}") from error
        return self.condition(kind, name, which)


@pytest.fixture
def looked(cluster: Access, namespace: str) -> Looked:
    return Looked(cluster, namespace)


Run = Callable[..., Controller]


@pytest.fixture
def run(looked: Looked) -> Iterator[Run]:
    """Starts a controller of the test's namespace."""
    with ExitStack() as stack:

        def start(account: Account | None = None, **post: Any) -> Controller:
            api = looked.access.client(account.token if account is not None else None)
            wanted = {"namespace": looked.namespace, "install_namespace": looked.namespace, **post}
            controller = Controller(api, SystemClock(), Post(secrets.token_hex(4), **wanted), pace=QUICK, timing=BRIEF)
            stack.callback(controller.stop)
            controller.start()
            return controller

        yield start


def issuer(namespace: str, **keys: Any) -> dict[str, Any]:
    keys = keys or {"inline": issuing.jwks("rsa")}
    return obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "audiences": ["a"], "keys": keys}, namespace)


def test_status_appears_turns_and_mends(looked: Looked, run: Run) -> None:
    run()
    looked.apply(policy("p", with_token("r"), namespace=looked.namespace))
    words = f"there is no TokenIssuer {looked.namespace}/corp"
    lost = looked.until("accesspolicy", "p", "ResolvedRefs", "False", words)
    assert lost["reason"] == "IssuerNotFound"
    assert looked.until("accesspolicy", "p", "Accepted", "True")["observedGeneration"] == 1
    looked.apply(issuer(looked.namespace))
    mended = looked.until("accesspolicy", "p", "ResolvedRefs", "True")
    assert mended["lastTransitionTime"] >= lost["lastTransitionTime"]
    assert looked.until("tokenissuer", "corp", "Ready", "True")["reason"] == "KeysUsable"
    assert looked.until("tokenissuer", "corp", "KeysFresh", "True")["reason"] == "Fetched"
    assert looked.get("tokenissuer", "corp")["status"]["keys"]["ids"] == sorted(
        key["kid"] for key in issuing.jwks("rsa")["keys"]
    )
    notes = [each for each in looked.get("events.v1.events.k8s.io")["items"] if each["regarding"]["name"] == "p"]
    assert {(each["type"], each["reason"]) for each in notes} >= {
        ("Warning", "IssuerNotFound"),
        ("Normal", "ResolvedRefs"),
    }


def test_a_mistake_that_only_the_compiler_finds_is_told_in_status(looked: Looked, run: Run) -> None:
    run()
    bad = with_token("r", require={"cel": "nope.nope == 1"})
    looked.apply(policy("p", bad, namespace=looked.namespace))
    found = looked.until("accesspolicy", "p", "Accepted", "False", "spec.rules[0]")
    assert found["reason"] == "Invalid"
    looked.apply(policy("p", anonymous("r"), namespace=looked.namespace))
    assert looked.until("accesspolicy", "p", "Accepted", "True")["observedGeneration"] == 2


def test_the_newer_of_two_is_told_of_the_conflict(looked: Looked, run: Run) -> None:
    looked.apply(policy("a", anonymous("r"), namespace=looked.namespace))
    looked.apply(policy("b", anonymous("r"), namespace=looked.namespace))
    run()
    found = looked.until("accesspolicy", "b", "Accepted", "False", f"{looked.namespace}/a is older")
    assert found["reason"] == "Conflicted"
    looked.until("accesspolicy", "a", "Accepted", "True")


def revocation(namespace: str, name: str, seconds: float) -> dict[str, Any]:
    """One that expires so many seconds from now."""
    expires = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return obj("TokenRevocation", name, {"issuer": {"name": "corp"}, "jti": "x", "expires": expires}, namespace)


def test_a_revocation_that_has_expired_is_pruned_and_no_other(
    looked: Looked, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An object's age is the API server's to tell: `old` must get older than it may.
    monkeypatch.setattr(controlling, "GRACE", 0.0)
    old, new = (revocation(looked.namespace, name, seconds) for name, seconds in (("old", 5), ("new", 3600)))
    looked.apply(issuer(looked.namespace), old, new)
    controller = run()
    poll_until(lambda: not looked.get("tokenrevocation", "old"), None, "the end of `old`", 30.0)
    looked.until("tokenrevocation", "new", "Accepted", "True")
    assert controller.counts.pruned == 1


def test_a_revocation_that_expired_before_it_was_created_is_left_and_its_author_told(looked: Looked, run: Run) -> None:
    typo, just = (revocation(looked.namespace, name, seconds) for name, seconds in (("typo", -3600), ("just", -36)))
    looked.apply(issuer(looked.namespace), typo, just)
    controller = run()
    told = looked.until("tokenrevocation", "typo", "Accepted", "False", "it revokes nothing: `expires`")
    assert told["reason"] == "Expired"
    looked.until("tokenrevocation", "just", "Accepted", "False", "it revokes nothing: `expires`")
    poll_until(lambda: _warned(looked, "typo") and _warned(looked, "just"), None, "two Events")
    time.sleep(TICK + 1.0)
    assert looked.get("tokenrevocation", "typo")
    assert controller.counts.pruned == 0
    looked.apply(revocation(looked.namespace, "typo", 3600))
    looked.until("tokenrevocation", "typo", "Accepted", "True")


def _warned(looked: Looked, name: str) -> bool:
    events = looked.get("events.v1.events.k8s.io")["items"]
    return ("Warning", "Expired", name) in [
        (each["type"], each["reason"], each["regarding"]["name"]) for each in events
    ]


def test_cluster_wide_issuers_are_looked_after_with_the_install_namespace_and_by_nobody_else(
    looked: Looked, run: Run
) -> None:
    name = f"corp-{looked.namespace}"
    spec = {"issuer": issuing.ISSUER, "audiences": ["a"], "keys": {"inline": issuing.jwks("rsa")}}
    looked.apply(obj("ClusterTokenIssuer", name, spec, ""), issuer(looked.namespace))
    other = looked.access.new_namespace("install")
    run(may(looked.access, looked.namespace, Mode.CONTROLLER_OF_ONE, install=other), install_namespace=other)
    looked.until("tokenissuer", "corp", "Ready", "True")
    assert "status" not in looked.get("clustertokenissuer", name)
    run(may(looked.access, looked.namespace, Mode.CONTROLLER_OF_INSTALL), lease_name="extauthz-controller")
    assert looked.until("clustertokenissuer", name, "Ready", "True")["reason"] == "KeysUsable"
    looked.until("clustertokenissuer", name, "KeysFresh", "True")
    assert looked.get("clustertokenissuer", name)["status"]["keys"]["ids"] == ["rsa"]


# Who writes, and how often


def test_nothing_is_written_while_nothing_changes_and_nothing_is_asked_that_is_not_granted(
    apiserver: ApiServer, looked: Looked, run: Run
) -> None:
    install = looked.access.new_namespace("install")
    account = may(looked.access, looked.namespace, Mode.CONTROLLER_OF_ONE, install=install)
    looked.apply(policy("p", with_token("r"), namespace=looked.namespace), issuer(looked.namespace))
    controller = run(account, install_namespace=install)
    looked.until("accesspolicy", "p", "ResolvedRefs", "True")
    looked.until("tokenissuer", "corp", "Ready", "True")
    poll_until(lambda: _quiet(controller), None, "quiet")

    def written() -> list[Any]:
        calls = apiserver.calls(account.user)
        return [each for each in calls if each["objectRef"].get("subresource") == "status"]

    before, renewals = len(written()), len(apiserver.calls(account.user))
    poll_until(lambda: len(apiserver.calls(account.user)) > renewals + 10, None, "ten renewals")
    assert len(written()) == before
    assert 2 <= before <= 4
    calls = apiserver.calls(account.user)
    assert [each["requestURI"] for each in calls if each["responseStatus"]["code"] == 403] == []
    allowed = {(verb, r) for rule in TABLE[Mode.CONTROLLER_OF_ONE] for verb in rule.verbs for r in rule.resources}
    assert {(each["verb"], _resource(each)) for each in calls} <= allowed
    assert controller.counts.failures == 0


def _quiet(controller: Controller) -> bool:
    return controller._done is not None and not controller._wake.is_set()


def _resource(call: dict[str, Any]) -> str:
    ref = call["objectRef"]
    return str(ref["resource"]) + (f"/{ref['subresource']}" if "subresource" in ref else "")


def test_of_two_controllers_one_writes_and_the_other_takes_over(looked: Looked, run: Run) -> None:
    looked.apply(policy("p", anonymous("r"), namespace=looked.namespace))
    one, two = run(), run()
    looked.until("accesspolicy", "p", "Accepted", "True")
    assert [one.leading, two.leading].count(True) == 1
    first, second = (one, two) if one.leading else (two, one)
    assert second.counts.writes == 0
    first.stop()
    poll_until(lambda: second.leading, None, "the other as leader", 5.0)
    looked.apply(policy("q", anonymous("r"), hosts=("b.example",), namespace=looked.namespace))
    looked.until("accesspolicy", "q", "Accepted", "True")
    assert second.counts.writes > 0


def test_a_leader_that_cannot_reach_the_api_server_stops_writing_before_its_lease_ends(
    start_apiserver: Callable[..., ApiServer],
) -> None:
    server = start_apiserver()
    done = server.access.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    post = Post("a", namespace="default", install_namespace="default")
    controller = Controller(server.access.client(), SystemClock(), post, pace=QUICK, timing=BRIEF)
    controller.start()
    try:
        poll_until(lambda: controller.leading, None, "the lead")
        server.freeze()
        poll_until(lambda: not controller.leading, None, "the end of the lead", BRIEF.lease)
        server.thaw()
        poll_until(lambda: controller.leading, None, "the lead again")
    finally:
        server.thaw()
        controller.stop()


def test_two_controllers_that_disagree_do_not_write_in_turns_for_ever(looked: Looked, run: Run) -> None:
    """As those of a release for sidecars and of a central one, for which the namespace lacks a grant."""
    one = run()
    looked.apply(policy("p", anonymous("r"), namespace=looked.namespace))
    looked.until("accesspolicy", "p", "Accepted", "True")
    other = run(namespace=None, lease_name="other")
    poll_until(lambda: bool(one.rivals and other.rivals), None, "both to notice", 40.0)
    assert "the first is AccessPolicy" in one.rivals
    before = one.counts.writes
    time.sleep(10.0)
    assert one.counts.writes - before <= 3


# Central mode


@contextmanager
def process(
    access: Access, folder: Path, *arguments: str, account: Account | None = None, **environ: str
) -> Iterator[Process]:
    config = access.kubeconfig(None if account is None else account.token)
    log = folder / f"{secrets.token_hex(4)}.log"
    found = Process([SCRIPT, *arguments], log, environment(KUBECONFIG=str(config), **environ))
    try:
        yield found
    finally:
        found.stop()


def test_what_a_controller_may_not_read_stands_in_its_notes(cluster: Access, looked: Looked, tmp_path: Path) -> None:
    """It keeps none from leading: status of all other objects is written."""
    looked.apply(issuer(looked.namespace, secretRef={"name": "keys", "key": "jwks"}))
    account = may(cluster, looked.namespace, Mode.CONTROLLER_OF_INSTALL, held="other")
    flags = ("--namespace", looked.namespace, "--install-namespace", looked.namespace, "--admin", "127.0.0.1:0")
    with process(cluster, tmp_path, "controller", *flags, account=account) as found:

        def said() -> dict[str, Any]:
            (admin,) = re.findall(r"admin on (\S+)", found.log.read_text(errors="replace")) or [""]
            return dict(json.loads(urllib.request.urlopen(f"{admin}/readyz", timeout=5).read())) if admin else {}

        looked.until("tokenissuer", "corp", "ResolvedRefs", "False", "keys")
        ready = said()
        assert ready["ready"]
        assert "we may not read secrets `keys`" in ready["notes"]["source"]


@pytest.mark.timeout(240)
def test_active_counts_the_replicas_that_serve_a_policy_as_it_stands(
    cluster: Access, looked: Looked, tmp_path: Path
) -> None:
    install = cluster.new_namespace("install")
    host = f"{looked.namespace}.example"
    done = cluster.kubectl("annotate", "namespace", looked.namespace, f"extauthz.dev/hosts={host}")
    assert done.returncode == 0, done.stderr
    looked.apply(policy("p", anonymous("r"), hosts=(host,), namespace=looked.namespace))
    serve = ("serve", "--kubernetes", "--install-namespace", install, "--single-replica", "--listen", "127.0.0.1:0")
    flags = ("--admin", "off", "--decision-log", "off")
    with ExitStack() as stack:
        stack.enter_context(
            process(cluster, tmp_path, "controller", "--install-namespace", install, "--admin", "off", POD_NAME="c")
        )
        looked.until("accesspolicy", "p", "Programmed", "False", "no replica serves")
        for name in ("one", "two"):
            stack.enter_context(process(cluster, tmp_path, *serve, *flags, POD_NAME=name))
        poll_until(lambda: _active(looked) == "2/2", None, "2/2")
        looked.until("accesspolicy", "p", "Programmed", "True")
        assert "2/2" in cluster.kubectl("get", "ap", "-n", looked.namespace).stdout
        looked.apply(policy("p", anonymous("other"), hosts=(host,), namespace=looked.namespace))
        poll_until(
            lambda: looked.condition("accesspolicy", "p", "Programmed").get("observedGeneration") == 2, None, "2"
        )
        looked.until("accesspolicy", "p", "Programmed", "True")
        with process(cluster, tmp_path, *serve, *flags, POD_NAME="three"):
            poll_until(lambda: _active(looked) == "3/3", None, "3/3")
        poll_until(lambda: _active(looked) == "2/2", None, "2/2 once the third has ended")


def _active(looked: Looked) -> str:
    return str(looked.get("accesspolicy", "p").get("status", {}).get("active"))


@pytest.mark.timeout(240)
def test_when_the_leading_process_is_killed_another_leads_within_the_lease(
    cluster: Access, looked: Looked, tmp_path: Path
) -> None:
    flags = ("controller", "--namespace", looked.namespace, "--install-namespace", looked.namespace, "--admin", "off")
    looked.apply(policy("p", anonymous("r"), namespace=looked.namespace))
    with (
        process(cluster, tmp_path, *flags, POD_NAME="one") as one,
        process(cluster, tmp_path, *flags, POD_NAME="two") as two,
    ):
        looked.until("accesspolicy", "p", "Accepted", "True")
        holder = _holder(looked)
        leader = one if holder.startswith("one-") else two
        os.kill(leader.pid, 9)
        poll_until(lambda: _holder(looked) != holder, None, "another holder", 20.0)
        looked.apply(policy("q", anonymous("r"), hosts=("b.example",), namespace=looked.namespace))
        looked.until("accesspolicy", "q", "Accepted", "True")
        assert looked.get("lease", "extauthz-controller")["spec"]["leaseTransitions"] == 1


def _holder(looked: Looked) -> str:
    return str(looked.get("lease", "extauthz-controller").get("spec", {}).get("holderIdentity", ""))
