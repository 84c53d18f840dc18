"""The pod's own ServiceAccount: shown to the API server and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.keys.account import NoAccount, ServiceAccount
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.source import Discovery, JwksUrl, load
from tests.unit.keys.servers import Site, ca_pem, server_tls, serving

HERE = {"KUBERNETES_SERVICE_HOST": "localhost"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mounted = tmp_path / "account"
    mounted.mkdir()
    (mounted / "token").write_text("own-token\n")
    (mounted / "ca.crt").write_text(ca_pem())
    return mounted


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tls=server_tls(tmp_path)) as found:
        found.answers["/keys"] = b'{"keys":[]}'
        yield found


def fetcher(folder: Path, **environment: str) -> Fetcher:
    return Fetcher(allow_loopback=True, account=ServiceAccount.mounted(environment, folder))


def shown(site: Site) -> list[str | None]:
    return [headers.get("authorization") for headers in site.headers]


def test_the_token_is_shown_to_the_api_server_under_the_clusters_authority(site: Site, folder: Path) -> None:
    loaded = load(JwksUrl(f"{site.url}/keys", None, authenticate=True), fetcher(folder, **HERE))
    assert loaded.document == b'{"keys":[]}'
    assert shown(site) == ["Bearer own-token"]


def test_a_token_that_rotates_is_read_anew(site: Site, folder: Path) -> None:
    own = fetcher(folder, **HERE)
    load(JwksUrl(f"{site.url}/keys", None, authenticate=True), own)
    (folder / "token").write_text("next-token")
    load(JwksUrl(f"{site.url}/keys", None, authenticate=True), own)
    assert shown(site) == ["Bearer own-token", "Bearer next-token"]


def test_without_being_asked_the_token_is_not_shown(site: Site, folder: Path) -> None:
    load(JwksUrl(f"{site.url}/keys", ca_pem()), fetcher(folder, **HERE))
    assert shown(site) == [None]


def test_another_host_never_sees_the_token(site: Site, folder: Path) -> None:
    for environment in ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}):
        with pytest.raises(FetchFailed, match="is not the API server"):
            load(JwksUrl(f"{site.url}/keys", None, authenticate=True), fetcher(folder, **environment))
    assert site.asked == []


def test_a_key_set_that_discovery_names_elsewhere_never_sees_the_token(site: Site, folder: Path) -> None:
    elsewhere = site.url.replace("localhost", "127.0.0.1")
    metadata = {"issuer": "https://cluster.example", "jwks_uri": f"{elsewhere}/keys"}
    site.answers["/metadata"] = json.dumps(metadata).encode()
    source = Discovery("https://cluster.example", f"{site.url}/metadata", None, authenticate=True)
    with pytest.raises(FetchFailed, match="is not the API server"):
        load(source, fetcher(folder, **HERE))
    assert site.asked == ["/metadata"]


def test_the_token_never_goes_over_plain_http(folder: Path) -> None:
    with serving() as plain, pytest.raises(FetchFailed, match="https only"):
        load(JwksUrl(f"{plain.url}/keys", None, authenticate=True), fetcher(folder, **HERE))
    assert plain.asked == []


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_an_account_that_is_not_mounted_is_named(site: Site, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FetchFailed, match=f"{name}` of the service account cannot be read"):
        load(JwksUrl(f"{site.url}/keys", None, authenticate=True), fetcher(folder, **HERE))
    assert site.asked == []


@pytest.mark.parametrize("content", ["", "\n", "two words", "line\nbreak", "é"])
def test_a_file_that_holds_no_token_is_refused(folder: Path, content: str) -> None:
    (folder / "token").write_text(content)
    with pytest.raises(NoAccount, match="holds no token"):
        ServiceAccount.mounted(HERE, folder).authorization("localhost")


def test_the_api_server_is_known_by_its_names_in_the_cluster(folder: Path) -> None:
    account = ServiceAccount.mounted({"KUBERNETES_SERVICE_HOST": "[fd00::1]"}, folder)
    for host in ("kubernetes.default.svc", "Kubernetes.Default.svc.cluster.local", "fd00::1"):
        assert account.authorization(host) == "Bearer own-token"
    for host in ("kubernetes.default.svc.evil.example", "", "xkubernetes"):
        with pytest.raises(NoAccount):
            account.authorization(host)
