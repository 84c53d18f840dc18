"""Definitions of other projects come from their pinned modules, and a real API server judges by them."""

from __future__ import annotations

import pytest

from tests.cluster.access import Access
from tests.cluster.published import Published
from tests.cluster.tools.published import PINS, PROJECTS, published_crds

pytestmark = pytest.mark.timeout(300)

KINDS = {
    "gateway-api": {"Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant"},
    "gateway-api-experimental": {"Gateway", "HTTPRoute", "GRPCRoute", "XBackend"},
    "istio": {"AuthorizationPolicy", "EnvoyFilter", "ServiceEntry"},
    "envoy-gateway": {"SecurityPolicy", "ClientTrafficPolicy", "EnvoyPatchPolicy", "Backend"},
    "ai-gateway": {"AIGatewayRoute", "AIServiceBackend", "MCPRoute"},
}


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_defines_its_kinds(published: Published, project: str) -> None:
    found = {each["spec"]["names"]["kind"] for each in published_crds(project)}
    assert KINDS[project] <= found


def test_each_module_is_pinned_by_hash() -> None:
    sums = (PINS / "go.sum").read_text()
    for source in PROJECTS.values():
        assert sums.count(f"{source.module} v") == 2, source.module


@pytest.mark.slow
def test_an_api_server_takes_them_all_and_refuses_a_field_that_none_defines(published: Published) -> None:
    published.install("gateway-api-experimental", "istio", "envoy-gateway", "ai-gateway")
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "orders"},
        "spec": {"hostnames": ["orders.shop.example"]},
    }
    assert published.refused(route) == ""
    assert 'unknown field "spec.hostname"' in published.refused({**route, "spec": {"hostname": ["orders"]}})


def test_a_server_holds_one_channel_of_gateway_api(published: Published, access: Access) -> None:
    published.install("gateway-api-experimental")
    with pytest.raises(AssertionError, match=r"`gateway-api` defines what is there already"):
        published.install("gateway-api")
