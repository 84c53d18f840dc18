"""Following one kind on a real API server: through its restarts, its silence, its refusals and a lost store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from kubernetes import client

from extauthz.cli.demo.process import poll_until
from extauthz.control.connection import connect
from extauthz.control.events import Resource
from extauthz.control.watch import KindWatch, Pace
from extauthz.keys.account import ServiceAccount
from extauthz.model.time import Seconds, SystemClock
from tests.cluster.access import Access, Account
from tests.cluster.apiserver import ApiServer
from tests.watching import Known, until_trouble

CONFIGMAPS: Final = Resource("", "v1", "configmaps", "default")
WIDGETS: Final = Resource("tests.extauthz.dev", "v1", "widgets")
QUICK: Final = Pace(
    connect=Seconds(2.0),
    answer=Seconds(2.0),
    watch=Seconds(2.0),
    silence=Seconds(2.0),
    first_pause=Seconds(0.05),
    longest_pause=Seconds(0.5),
)
CALM: Final = Pace(connect=Seconds(2.0), answer=Seconds(5.0), first_pause=Seconds(0.05), longest_pause=Seconds(0.5))
FOLLOW_CONFIGMAPS: Final = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
DEFINITION: Final = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.tests.extauthz.dev}
spec:
  group: tests.extauthz.dev
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""

Follow = Callable[..., KindWatch]


@pytest.fixture
def follow() -> Iterator[Follow]:
    with ExitStack() as stack:

        def start(api: client.ApiClient, known: Known, resource: Resource = CONFIGMAPS, pace: Pace = CALM) -> KindWatch:
            watch = KindWatch(api, resource, known, SystemClock(), pace)
            watch.start()
            stack.callback(watch.stop)
            return watch

        yield start


def put(access: Access, *names: str, namespace: str = "default") -> None:
    core = client.CoreV1Api(access.client())
    for name in names:
        core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name)))


def remove(access: Access, name: str, namespace: str = "default") -> None:
    client.CoreV1Api(access.client()).delete_namespaced_config_map(name, namespace)


def apply(access: Access, text: str) -> None:
    done = access.kubectl("apply", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr


def verbs(server: ApiServer, account: Account) -> list[str]:
    """What an account has asked for; an open watch does not count yet."""
    return [call["verb"] for call in server.calls(account.user)]


def test_what_is_made_changed_and_deleted_is_told(access: Access, namespace: str, follow: Follow) -> None:
    put(access, "old", namespace=namespace)
    known = Known()
    follow(access.client(), known, Resource("", "v1", "configmaps", namespace))
    known.until("old")
    put(access, "new", namespace=namespace)
    known.until("old", "new")
    assert access.kubectl("patch", "configmap", "old", "-n", namespace, "-p", '{"data":{"a":"b"}}').returncode == 0
    poll_until(lambda: known.objects["old"].get("data") == {"a": "b"}, None, "the change")
    remove(access, "new", namespace)
    known.until("old")
    assert {(each["apiVersion"], each["kind"]) for each in known.objects.values()} == {("v1", "ConfigMap")}


def test_watches_that_the_server_ends_lose_nothing(apiserver: ApiServer, namespace: str, follow: Follow) -> None:
    access = apiserver.access
    account = access.service_account(namespace, FOLLOW_CONFIGMAPS)
    names: list[str] = []
    known, enough = Known(), threading.Event()
    watch = follow(access.client(account.token), known, Resource("", "v1", "configmaps", namespace), QUICK)

    def write() -> None:
        while not enough.is_set():
            put(access, f"made-{len(names)}", namespace=namespace)
            names.append(f"made-{len(names)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        poll_until(lambda: verbs(apiserver, account).count("watch") >= 3, None, "three watches that were ended")
    finally:
        enough.set()
        writer.join()
    known.until(*names)
    assert verbs(apiserver, account).count("list") == 1
    assert watch.state.trouble == ""


def test_after_a_kill_everything_that_happened_meanwhile_is_told(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    put(server.access, "kept", "doomed")
    known = Known()
    watch = follow(server.access.client(), known)
    poll_until(lambda: {"kept", "doomed"} <= known.names, None, "both")
    server.kill()
    until_trouble(watch, "cannot be reached")
    assert {"kept", "doomed"} <= known.names  # the last that was told stays
    server.restart()
    remove(server.access, "doomed")
    put(server.access, "new")
    poll_until(lambda: "new" in known.names and "doomed" not in known.names, None, "what happened")
    until_trouble(watch, "")


def test_an_api_server_that_is_asked_to_end_is_followed_when_it_is_back(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    put(server.access, "kept")
    known = Known()
    watch = follow(server.access.client(), known)
    poll_until(lambda: "kept" in known.names, None, "the object")
    server.terminate()
    server.restart()
    put(server.access, "new")
    poll_until(lambda: {"kept", "new"} <= known.names, None, "the new one")
    until_trouble(watch, "")


def test_a_frozen_api_server_is_noticed_and_followed_when_it_thaws(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    put(server.access, "kept")
    known = Known()
    watch = follow(server.access.client(), known, pace=QUICK)
    poll_until(lambda: "kept" in known.names, None, "the object")
    server.freeze()
    until_trouble(watch, "cannot be reached: it did not answer in time")
    server.thaw()
    put(server.access, "new")
    poll_until(lambda: {"kept", "new"} <= known.names, None, "the new one")
    until_trouble(watch, "")


def test_a_store_that_was_replaced_is_told_as_it_is_now(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    server = start_apiserver()
    put(server.access, *(f"old-{number}" for number in range(20)))
    known = Known()
    watch = follow(server.access.client(), known)
    poll_until(lambda: "old-19" in known.names, None, "the objects")
    server.lose_everything()
    poll_until(lambda: not any(name.startswith("old") for name in known.names), None, "that they are gone")
    poll_until(lambda: made(server.access, "new"), None, "the namespace `default`")
    poll_until(lambda: "new" in known.names, None, "the new one")
    until_trouble(watch, "")


def made(access: Access, name: str) -> bool:
    """Whether it could be made: an API server over an empty store makes its namespaces soon after it is ready."""
    try:
        put(access, name)
    except client.ApiException:
        return False
    return True


def test_a_kind_is_followed_as_soon_as_it_is_defined_and_kept_when_it_is_not_known_any_more(
    start_apiserver: Callable[..., ApiServer], follow: Follow
) -> None:
    access = start_apiserver().access
    known = Known()
    watch = follow(access.client(), known, WIDGETS)
    until_trouble(watch, "knows no widgets.tests.extauthz.dev (404)")
    assert not watch.state.listed
    apply(access, DEFINITION)
    until_trouble(watch, "")
    apply(access, "{apiVersion: tests.extauthz.dev/v1, kind: Widget, metadata: {name: one, namespace: default}}")
    known.until("one")
    assert known.objects["one"]["kind"] == "Widget"
    assert access.kubectl("delete", "crd", "widgets.tests.extauthz.dev").returncode == 0
    until_trouble(watch, "404")
    known.until()  # each object was deleted, and told, before the kind went


def test_a_grant_that_is_missing_is_said_and_its_coming_is_noticed(
    access: Access, namespace: str, follow: Follow
) -> None:
    account = access.service_account(namespace)
    known = Known()
    watch = follow(access.client(account.token), known, Resource("", "v1", "configmaps", namespace))
    until_trouble(watch, f"may not read configmaps in namespace {namespace} (403); grant `list` and `watch`")
    access.grant(account, FOLLOW_CONFIGMAPS)
    until_trouble(watch, "")
    put(access, "new", namespace=namespace)
    known.until("new")


def test_a_token_that_is_renewed_in_its_file_is_taken_up(
    access: Access, namespace: str, follow: Follow, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(access.certificate.read_bytes())
    (tmp_path / "token").write_text("outdated")
    _, host, port = access.url.replace("/", "").split(":")
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    known = Known()
    with connect(environment, ServiceAccount.mounted(environment, tmp_path)) as api:
        watch = follow(api, known, Resource("", "v1", "configmaps", namespace))
        until_trouble(watch, "does not take our token (401)")
        (tmp_path / "token").write_text(access.service_account(namespace, FOLLOW_CONFIGMAPS).token)
        until_trouble(watch, "")
        put(access, "new", namespace=namespace)
        known.until("new")
        watch.stop()


def test_a_kubeconfig_leads_to_the_cluster_it_names(access: Access, namespace: str, follow: Follow) -> None:
    account = access.service_account(namespace, FOLLOW_CONFIGMAPS)
    environment = {"KUBECONFIG": str(access.kubeconfig(account.token))}
    known = Known()
    with connect(environment, ServiceAccount.mounted(environment, Path("/nonexistent"))) as api:
        watch = follow(api, known, Resource("", "v1", "configmaps", namespace))
        put(access, "new", namespace=namespace)
        known.until("new")
        watch.stop()


def test_following_asks_for_lists_and_watches_and_for_nothing_else(
    apiserver: ApiServer, namespace: str, follow: Follow
) -> None:
    access = apiserver.access
    account = access.service_account(namespace, FOLLOW_CONFIGMAPS)
    watch = follow(access.client(account.token), Known(), Resource("", "v1", "configmaps", namespace))
    poll_until(lambda: watch.state.listed, None, "the list")
    watch.stop()
    poll_until(lambda: len(verbs(apiserver, account)) == 2, None, "both calls in the audit log")
    assert verbs(apiserver, account) == ["list", "watch"]
