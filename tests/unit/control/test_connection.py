"""The way to the API server is found, and what is missing on it is said without showing a credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauthz.control.connection import NoConnection, connect
from extauthz.control.events import Resource
from extauthz.control.reading import Listing
from extauthz.keys.account import ServiceAccount
from extauthz.model.time import Seconds
from tests.unit.control.scripted import objects, scripted

INSIDE = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


def mount(folder: Path, token: str = "first") -> Path:
    (folder / "token").write_text(f"{token}\n")
    (folder / "ca.crt").write_text("the cluster's authority")
    return folder


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_inside_a_cluster_the_environment_says_where(tmp_path: Path, host: str, url: str) -> None:
    environment = {**INSIDE, "KUBERNETES_SERVICE_HOST": host}
    with connect(environment, ServiceAccount.mounted(environment, mount(tmp_path))) as api:
        assert api.configuration.host == url
        assert api.configuration.ssl_ca_cert == str(tmp_path / "ca.crt")
        assert api.configuration.verify_ssl


def test_the_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    with (
        scripted() as server,
        connect(INSIDE, ServiceAccount.mounted(INSIDE, mount(tmp_path))) as api,
    ):
        api.configuration.host = f"http://127.0.0.1:{server.port}"
        server.plan(objects("1"), objects("2"))
        for token in ("first", "second"):
            mount(tmp_path, token)
            list(Listing(api, Resource("", "v1", "configmaps"), Seconds(5.0), Seconds(5.0)))
        assert server.authorizations == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_mount_that_lacks_a_file_is_said(tmp_path: Path, missing: str) -> None:
    (mount(tmp_path) / missing).unlink()
    with pytest.raises(NoConnection, match=f"{missing}` of the service account cannot be read; mount"):
        connect(INSIDE, ServiceAccount.mounted(INSIDE, tmp_path))


@pytest.mark.parametrize("text", [None, "{}", "users: [", "[]"])
def test_a_kubeconfig_that_is_no_use_is_said(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    environment = {"KUBECONFIG": str(path)}
    with pytest.raises(NoConnection, match=r"config` cannot be used; name another in KUBECONFIG, or run in a cluster"):
        connect(environment, ServiceAccount.mounted(environment, tmp_path))
