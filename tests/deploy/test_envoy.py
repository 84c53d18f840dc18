"""The bootstraps in deploy/envoy: a real Envoy does all that the checks need, and without an option it does not."""

from __future__ import annotations

import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.cli.demo.envoy import Proxy, envoy_binary
from extauthz.cli.demo.issuer import Issuer
from extauthz.config import Settings
from extauthz.model.target import parse_host
from extauthz.model.time import SystemClock
from tests.deploy import probes
from tests.deploy.altered import GONE, altered
from tests.deploy.probes import Probe, request
from tests.deploy.scene import Config, Scene, place
from tests.deploy.serving import ORDERS, serving
from tests.envoy.raw import ask
from tests.redis.certificates import Authority

pytestmark = pytest.mark.envoy
FOLDER = Path(__file__).parents[2] / "deploy" / "envoy"
PAGE = (FOLDER / "README.md").read_text()
FORMS = ("sidecar", "central")
NAME = "extauthz.extauthz-system.svc"
MANAGER = "static_resources.listeners.0.filter_chains.0.filters.0.typed_config"
ROUTES = f"{MANAGER}.route_config"
FILTER = f"{MANAGER}.http_filters.0.typed_config"
OWN_CLUSTER = "static_resources.clusters.0"

# An option, what it is set to instead, and what then goes wrong.
OPTIONS: list[tuple[str, Any, Probe]] = [
    (f"{FILTER}.encode_raw_headers", GONE, probes.headers_arrive_as_they_were_sent),
    (f"{FILTER}.with_request_body", GONE, probes.bodies_are_sent_along),
    (f"{FILTER}.with_request_body.pack_as_bytes", GONE, probes.bodies_arrive_as_they_were_sent),
    (f"{FILTER}.with_request_body.allow_partial_message", GONE, probes.large_bodies_are_sent_in_part),
    (f"{FILTER}.with_request_body.max_request_bytes", 1024, probes.large_bodies_are_sent_in_part),
    (f"{FILTER}.include_peer_certificate", GONE, probes.client_certificates_are_shown),
    (f"{FILTER}.failure_mode_allow", True, probes.no_answer_is_a_no),
    (f"{FILTER}.status_on_error", GONE, probes.no_answer_is_a_no),
    (f"{FILTER}.grpc_service.retry_policy", GONE, probes.a_lost_check_is_sent_again),
    (f"{MANAGER}.normalize_path", GONE, probes.dot_segments_are_resolved),
    (f"{MANAGER}.merge_slashes", GONE, probes.slashes_are_merged),
    (f"{MANAGER}.path_with_escaped_slashes_action", GONE, probes.escaped_slashes_are_refused),
    (f"{MANAGER}.path_with_escaped_slashes_action", "UNESCAPE_AND_FORWARD", probes.escaped_slashes_are_refused),
    (f"{MANAGER}.forward_client_cert_details", "ALWAYS_FORWARD_ONLY", probes.a_client_cannot_claim_a_certificate),
    (f"{MANAGER}.use_remote_address", GONE, probes.a_client_cannot_claim_a_scheme),
    (f"{OWN_CLUSTER}.typed_extension_protocol_options", GONE, probes.a_request_is_served),
]


def bootstrap(form: str) -> Config:
    found: Config = yaml.safe_load((FOLDER / f"{form}.yaml").read_text())
    return found


def without_tls(config: Config) -> Config:
    """The recorder speaks no TLS; the real server does, further down."""
    return altered(config, f"{OWN_CLUSTER}.transport_socket") if form_of(config) == "central" else config


def form_of(config: Config) -> str:
    return "central" if "transport_socket" in config["static_resources"]["clusters"][0] else "sidecar"


@pytest.mark.parametrize("form", FORMS)
def test_everything_that_the_checks_need_is_done(form: str, tmp_path: Path) -> None:
    with Scene(without_tls(bootstrap(form)), tmp_path) as scene:
        for probe in (*probes.EVERY, probes.a_client_cannot_claim_a_scheme):
            probe(scene)


@pytest.mark.parametrize(
    ("path", "value", "probe"),
    OPTIONS,
    ids=[f"{path.rpartition('.')[2]}-{probe.__name__}" for path, _, probe in OPTIONS],
)
def test_without_an_option_something_is_missed(path: str, value: Any, probe: Probe, tmp_path: Path) -> None:
    with Scene(altered(bootstrap("sidecar"), path, value), tmp_path) as scene, pytest.raises(AssertionError):
        probe(scene)


def two_hosts(config: Config) -> Config:
    """A host of its own beside all others, each with its answer."""
    hosts = [
        {
            "name": name,
            "domains": [domain],
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": status}}],
        }
        for name, domain, status in (("open", "open.example", 201), ("all", "*", 202))
    ]
    changed: Config = altered(config, f"{ROUTES}.virtual_hosts", hosts)
    return changed


@pytest.mark.parametrize(
    ("host", "option"),
    [
        (b"open.example.", f"{MANAGER}.strip_trailing_host_dot"),
        (b"open.example:99", f"{ROUTES}.ignore_port_in_host_matching"),
    ],
)
def test_a_route_is_chosen_for_the_host_that_a_policy_is_chosen_for(host: bytes, option: str, tmp_path: Path) -> None:
    config = two_hosts(bootstrap("sidecar"))
    asked = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host
    with Scene(config, tmp_path) as scene:
        assert ask(scene.port, asked).status == 201
        assert parse_host(scene.recorder.last().request.http.host) == "open.example"
    with Scene(altered(config, option), tmp_path) as scene:
        assert ask(scene.port, asked).status == 202
        assert parse_host(scene.recorder.last().request.http.host) == "open.example"
    assert f"`{option.rpartition('.')[2]}" in PAGE


def test_the_two_forms_differ_in_one_cluster_alone() -> None:
    sidecar, central = map(bootstrap, FORMS)
    assert sidecar["static_resources"]["clusters"].pop(0) != central["static_resources"]["clusters"].pop(0)
    assert sidecar == central


@pytest.mark.parametrize("form", FORMS)
def test_envoy_waits_longer_than_a_check_may_take_and_no_longer_than_a_client_would(form: str) -> None:
    service = bootstrap(form)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "http_filters"
    ][0]["typed_config"]["grpc_service"]
    (budget,) = (each.default for each in fields(Settings) if each.name == "check_budget")
    assert isinstance(budget, float)
    assert budget < float(service["timeout"].removesuffix("s")) <= 1


@pytest.mark.parametrize("form", FORMS)
def test_envoy_would_tell_of_a_mistake(form: str, tmp_path: Path) -> None:
    wrong = tmp_path / "envoy.yaml"
    wrong.write_text((FOLDER / f"{form}.yaml").read_text().replace("encode_raw_headers", "encode_raw_header"))
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(wrong), "--log-level", "warning"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "encode_raw_header" in checked.stdout + checked.stderr
    assert checked.returncode != 0


@pytest.mark.parametrize("path", sorted({path for path, _, _ in OPTIONS}), ids=lambda path: path.rpartition(".")[2])
def test_the_page_tells_what_an_option_is_for(path: str) -> None:
    assert f"`{path.rpartition('.')[2]}" in PAGE


@pytest.mark.parametrize("form", FORMS)
def test_a_real_server_is_asked_and_counts(form: str, tmp_path: Path) -> None:
    """Over the Unix socket, and over TCP with mutual TLS by the certificates that central.yaml names."""
    issuer = Issuer(SystemClock())
    authority = Authority(tmp_path)
    chain, key = authority.issue(NAME)
    options = (
        [] if form == "sidecar" else [f"--tls-cert={chain}", f"--tls-key={key}", f"--tls-client-ca={authority.ca}"]
    )
    with serving(tmp_path, issuer, *options) as served:
        config = place(bootstrap(form), served.socket if form == "sidecar" else served.port, served.upstream.port)
        if form == "central":
            config = with_files(config, authority)
        proxy = Proxy(config, tmp_path)
        try:
            token = issuer.token()
            spent = request(ORDERS, b"authorization: Bearer " + token.encode(), method=b"POST")
            assert [ask(proxy.port, spent).status for _ in range(2)] == [200, 401]
            assert ask(proxy.port, request(ORDERS)).status == 401
            assert ask(proxy.port, request(b"/elsewhere")).status == 403
        finally:
            proxy.stop()


def with_files(config: Config, authority: Authority) -> Config:
    """The certificates that the lines marked CHANGE name."""
    chain, key = authority.issue("envoy.example")
    common = f"{OWN_CLUSTER}.transport_socket.typed_config.common_tls_context"
    config = altered(config, f"{common}.tls_certificates.0.certificate_chain.filename", str(chain))
    config = altered(config, f"{common}.tls_certificates.0.private_key.filename", str(key))
    placed: Config = altered(config, f"{common}.validation_context.trusted_ca.filename", str(authority.ca))
    return placed
