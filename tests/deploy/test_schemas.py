"""deploy/gateway-api and deploy/ai-gateway: judged by the published schemas; nothing here could run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.published import Published
from tests.cluster.tools.published import published_crds
from tests.deploy.altered import GONE, altered
from tests.deploy.gateways import OURS

FOLDER = Path(__file__).parents[2] / "deploy"
PROJECTS = ("gateway-api-experimental", "envoy-gateway", "ai-gateway")
AUTH = "spec.rules.0.filters.0.externalAuth"
pytestmark = pytest.mark.timeout(300)


def objects(name: str) -> list[dict[str, Any]]:
    found = yaml.safe_load_all((FOLDER / name / "extauthz.yaml").read_text())
    return [altered(each, "metadata.namespace", "default") for each in found]


@pytest.mark.parametrize("name", ["gateway-api", "ai-gateway"])
def test_the_published_schemas_take_the_objects_and_no_mistyped_one(published: Published, name: str) -> None:
    published.install(*PROJECTS)
    found = objects(name)
    assert published.refused(*found) == ""
    wrong = [altered(each, "spec", {**each["spec"], "failClosed": True}) for each in found]
    assert published.refused(*wrong).count('unknown field "spec.failClosed"') == len(found)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (f"{AUTH}.grpc", GONE, "grpc must be specified when protocol is set to 'GRPC'"),
        (f"{AUTH}.protocol", "HTTP", "http must be specified"),
        (f"{AUTH}.backendRef", GONE, "backendRef: Required value"),
        (f"{AUTH}.backendRef.port", GONE, "Must have port for Service reference"),
    ],
    ids=lambda each: each.rpartition(".")[2] if isinstance(each, str) and each.startswith(AUTH) else "",
)
def test_a_route_that_could_not_ask_is_refused(published: Published, path: str, value: Any, word: str) -> None:
    published.install(*PROJECTS)
    assert word in published.refused(altered(objects("gateway-api")[0], path, value))


def test_only_the_experimental_channel_has_the_filter(published: Published) -> None:
    kinds = {
        project: next(each for each in published_crds(project) if each["spec"]["names"]["kind"] == "HTTPRoute")
        for project in ("gateway-api", "gateway-api-experimental")
    }
    assert {project: "externalAuth" in str(each["spec"]) for project, each in kinds.items()} == {
        "gateway-api": False,
        "gateway-api-experimental": True,
    }


def test_a_route_for_tools_asks_as_the_gateway_does() -> None:
    """The same as in deploy/envoy-gateway, which a real Envoy ran."""
    assert objects("ai-gateway")[2]["spec"]["securityPolicy"]["extAuth"] == OURS[0]["spec"]["extAuth"]
