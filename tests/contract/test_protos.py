"""Our definitions of Envoy's API are wire-compatible with the published ones.

The published descriptors come from `xds-protos`, which `make venv` installs apart from the environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DESCRIBE = Path(__file__).with_name("describe_protos.py")
XDS_PROTOS = Path(sysconfig.get_path("data")) / "xds-protos"
FILES = (
    "envoy.config.core.v3.address_pb2",
    "envoy.config.core.v3.base_pb2",
    "envoy.service.auth.v3.attribute_context_pb2",
    "envoy.service.auth.v3.external_auth_pb2",
    "envoy.type.v3.http_status_pb2",
)
WHOLE = (
    "envoy.config.core.v3.Address",
    "envoy.config.core.v3.EnvoyInternalAddress",
    "envoy.config.core.v3.HeaderMap",
    "envoy.config.core.v3.HeaderValue",
    "envoy.config.core.v3.HeaderValueOption",
    "envoy.config.core.v3.HeaderValueOption.HeaderAppendAction",
    "envoy.config.core.v3.Metadata",
    "envoy.config.core.v3.Pipe",
    "envoy.config.core.v3.QueryParameter",
    "envoy.config.core.v3.SocketAddress",
    "envoy.config.core.v3.SocketAddress.Protocol",
    "envoy.service.auth.v3.AttributeContext",
    "envoy.service.auth.v3.AttributeContext.HttpRequest",
    "envoy.service.auth.v3.AttributeContext.Peer",
    "envoy.service.auth.v3.AttributeContext.Request",
    "envoy.service.auth.v3.AttributeContext.TLSSession",
    "envoy.service.auth.v3.Authorization",
    "envoy.service.auth.v3.CheckRequest",
    "envoy.service.auth.v3.CheckResponse",
    "envoy.service.auth.v3.DeniedHttpResponse",
    "envoy.service.auth.v3.OkHttpResponse",
    "envoy.type.v3.HttpStatus",
    "envoy.type.v3.StatusCode",
)
"""Messages, enums and services of which nothing published may be missing in ours."""

Descriptions = dict[str, dict[str, Any]]


def describe(modules: tuple[str, ...], path: str) -> Descriptions:
    program = [sys.executable, str(DESCRIBE), *modules]
    done = subprocess.run(program, env={"PYTHONPATH": path}, capture_output=True, check=False, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    descriptions: Descriptions = json.loads(done.stdout)
    return descriptions


@pytest.fixture(scope="module")
def ours() -> Descriptions:
    return describe(tuple(f"extauthz._pb.{name}" for name in FILES), str(ROOT))


@pytest.fixture(scope="module")
def published() -> Descriptions:
    assert XDS_PROTOS.is_dir(), "`xds-protos` is not installed beside the environment; run `make venv`"
    return describe(FILES, str(XDS_PROTOS))


def test_every_definition_of_ours_is_a_published_one(ours: Descriptions, published: Descriptions) -> None:
    assert ours.keys() <= published.keys()


def test_every_field_value_and_method_of_ours_equals_the_published_one(
    ours: Descriptions, published: Descriptions
) -> None:
    theirs = {name: {part: published[name].get(part) for part in parts} for name, parts in ours.items()}
    assert ours == theirs


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_published_is_missing_in_what_requests_and_answers_are_made_of(
    name: str, ours: Descriptions, published: Descriptions
) -> None:
    assert published[name].keys() == ours[name].keys()


def test_no_definition_of_ours_escapes_the_comparison(ours: Descriptions) -> None:
    map_entries = {name for name in ours if name.endswith("Entry")}
    assert ours.keys() == set(WHOLE) | map_entries


def test_every_file_under_protos_is_compared() -> None:
    root = ROOT / "protos"
    files = {".".join(path.relative_to(root).with_suffix("").parts) + "_pb2" for path in root.rglob("*.proto")}
    assert files == set(FILES)
