"""The bootstrap in deploy/envoy is one that a real Envoy takes, with every option that the checks need."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.cli.demo.envoy import envoy_binary

FOLDER = Path(__file__).parents[2] / "deploy" / "envoy"
BOOTSTRAP = FOLDER / "envoy.yaml"

MANAGER = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "forward_client_cert_details": "SANITIZE",
}
FILTER = {
    "transport_api_version": "V3",
    "failure_mode_allow": False,
    "status_on_error": {"code": "ServiceUnavailable"},
    "encode_raw_headers": True,
    "include_peer_certificate": True,
}


def manager() -> Any:
    (listener,) = yaml.safe_load(BOOTSTRAP.read_text())["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


@pytest.mark.envoy
def test_envoy_finds_it_valid() -> None:
    checked = validate(BOOTSTRAP)
    assert checked.returncode == 0, checked.stderr
    assert "OK" in checked.stdout + checked.stderr


@pytest.mark.envoy
def test_envoy_would_tell_of_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "envoy.yaml"
    wrong.write_text(BOOTSTRAP.read_text().replace("encode_raw_headers", "encode_raw_header"))
    assert validate(wrong).returncode != 0


def test_it_has_every_option_that_the_checks_need() -> None:
    found = manager()
    assert {name: found.get(name) for name in MANAGER} == MANAGER
    first = found["http_filters"][0]
    assert first["name"] == "envoy.filters.http.ext_authz"
    assert {name: first["typed_config"].get(name) for name in FILTER} == FILTER
    assert first["typed_config"]["with_request_body"]["pack_as_bytes"] is True


def test_the_page_tells_of_every_option() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [name for name in (*MANAGER, *FILTER) if name not in page and name not in SAID_BY_ENVOY] == []


SAID_BY_ENVOY = {"transport_api_version", "forward_client_cert_details", "path_with_escaped_slashes_action"}


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(path), "--log-level", "warning"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
