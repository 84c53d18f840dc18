"""The API server of these tests is a real one: what it keeps, whom it lets in, what it tells, and how it fails."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from extauthz.cli.demo.process import poll_until
from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer

READ_CONFIGMAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}


def make(core: client.CoreV1Api, namespace: str, name: str, **data: str) -> None:
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data))


def test_what_the_client_creates_kubectl_reads(access: Access, namespace: str) -> None:
    make(client.CoreV1Api(access.client()), namespace, "made", color="green")
    done = access.kubectl("get", "configmap", "made", "-n", namespace, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == {"color": "green"}


def test_what_kubectl_applies_the_client_reads(access: Access, namespace: str) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: applied}, data: {color: blue}}"
    done = access.kubectl("apply", "-f", "-", stdin=text, kubeconfig=access.kubeconfig(namespace=namespace))
    assert done.returncode == 0, done.stderr
    found: Any = client.CoreV1Api(access.client()).read_namespaced_config_map("applied", namespace)
    assert found.data == {"color": "blue"}


def test_a_service_account_may_do_what_it_was_granted_and_nothing_else(access: Access, namespace: str) -> None:
    make(client.CoreV1Api(access.client()), namespace, "made", color="green")
    limited = client.CoreV1Api(access.client(access.service_account(namespace, READ_CONFIGMAPS).token))
    found: Any = limited.read_namespaced_config_map("made", namespace)
    assert found.data == {"color": "green"}
    for refused in (limited.list_namespaced_secret, limited.list_namespaced_config_map):
        with pytest.raises(client.ApiException) as caught:
            refused(namespace)
        assert caught.value.status == 403


def test_a_grant_everywhere_holds_in_every_namespace(access: Access, namespace: str) -> None:
    make(client.CoreV1Api(access.client()), namespace, "made", color="green")
    account = access.service_account(access.new_namespace(), READ_CONFIGMAPS, everywhere=True)
    config = access.kubeconfig(account.token)
    done = access.kubectl("get", "configmap", "made", "-n", namespace, kubeconfig=config)
    assert done.returncode == 0, done.stderr


def test_a_caller_without_a_token_is_refused(access: Access, namespace: str) -> None:
    stranger = client.CoreV1Api(access.client("made-up"))
    with pytest.raises(client.ApiException) as caught:
        stranger.list_namespaced_config_map(namespace)
    assert caught.value.status == 401


def test_a_watch_tells_what_happens_after_the_list(access: Access, namespace: str) -> None:
    core = client.CoreV1Api(access.client())
    make(core, namespace, "before")
    listed: Any = core.list_namespaced_config_map(namespace)
    writer = threading.Timer(0.1, make, (core, namespace, "after"))
    writer.start()
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=30,
    )
    event: Any = next(stream)
    stream.close()
    writer.join()
    assert (event["type"], event["object"].metadata.name) == ("ADDED", "after")


def test_helm_installs_what_a_chart_says(access: Access, namespace: str, helm: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: tiny, version: 1.0.0}")
    (tmp_path / "templates" / "made.yaml").write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: made}, data: {color: {{ .Values.color }}}}"
    )
    config = access.kubeconfig(namespace=namespace)
    command = [
        helm,
        "install",
        "tiny",
        str(tmp_path),
        "--kubeconfig",
        str(config),
        "-n",
        namespace,
        "--set",
        "color=red",
    ]
    homes = {name: str(tmp_path) for name in ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    done = subprocess.run(command, env=homes, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    found: Any = client.CoreV1Api(access.client()).read_namespaced_config_map("made", namespace)
    assert found.data == {"color": "red"}


def test_every_call_is_found_in_the_audit_log(apiserver: ApiServer, namespace: str) -> None:
    account = apiserver.access.service_account(namespace, READ_CONFIGMAPS)
    with pytest.raises(client.ApiException):
        client.CoreV1Api(apiserver.access.client(account.token)).read_namespaced_config_map("absent", namespace)
    poll_until(lambda: len(apiserver.calls(account.user)) > 0, None, "the call in the audit log")
    calls = apiserver.calls(account.user)
    assert [(call["verb"], call["objectRef"]["resource"], call["responseStatus"]["code"]) for call in calls] == [
        ("get", "configmaps", 404)
    ]


def test_an_api_server_that_was_killed_comes_back_with_its_data(start_apiserver: Callable[..., ApiServer]) -> None:
    server = start_apiserver()
    core = client.CoreV1Api(server.access.client())
    make(core, "default", "kept", color="green")
    server.kill()
    assert server.access.kubectl("get", "configmap", "kept").returncode != 0
    server.restart()
    found: Any = core.read_namespaced_config_map("kept", "default")
    assert found.data == {"color": "green"}


def test_a_frozen_api_server_is_silent_until_it_thaws(start_apiserver: Callable[..., ApiServer]) -> None:
    server = start_apiserver()
    core = client.CoreV1Api(server.access.client())
    server.freeze()
    with pytest.raises(Exception, match="timed out"):
        core.list_namespaced_config_map("default", _request_timeout=(1, 1))
    server.thaw()
    assert core.list_namespaced_config_map("default") is not None


def test_a_short_request_timeout_ends_watches_without_an_error(start_apiserver: Callable[..., ApiServer]) -> None:
    server = start_apiserver("--min-request-timeout=4")
    core = client.CoreV1Api(server.access.client())
    listed: Any = core.list_namespaced_config_map("default")
    version = listed.metadata.resource_version
    stream: Any = core.list_namespaced_config_map(
        "default", watch=True, resource_version=version, _preload_content=False, _request_timeout=(3, 20)
    )
    assert stream.read() is not None
