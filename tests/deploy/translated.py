"""What Envoy Gateway makes of objects, asked of its own `egctl`."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.scene import Config

Objects = list[dict[str, Any]]
_READY: Final = "envoy-gateway-proxy-ready"
"""The listener for kubelets."""


def translate(egctl: Path, objects: Objects) -> Config:
    """A static bootstrap of what `egctl` would send to Envoy by xDS, without its own ready listener."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "objects.yaml"
        file.write_text(yaml.safe_dump_all(objects, sort_keys=False))
        command = [str(egctl), "x", "translate", "--from", "gateway-api", "--to", "gateway-api,xds", "-o", "json"]
        done = subprocess.run(
            [*command, "--add-missing-resources", "-f", str(file)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    (dump,) = json.loads(done.stdout)["xds"].values()
    return _static({each["@type"].rpartition(".")[2]: each for each in dump["configs"]})


def _static(dumps: dict[str, Any]) -> Config:
    listeners = [each["activeState"]["listener"] for each in dumps["ListenersConfigDump"]["dynamicListeners"]]
    routes = [each["routeConfig"] for each in dumps["RoutesConfigDump"]["dynamicRouteConfigs"]]
    clusters = [each["cluster"] for each in dumps["ClustersConfigDump"]["dynamicActiveClusters"]]
    named = {each["name"]: _typed(_snake(each)) for each in routes}
    return {
        "admin": {},
        "static_resources": {
            "listeners": [_own(_snake(each), named) for each in listeners if not each["name"].startswith(_READY)],
            "clusters": [_fixed(_snake(each)) for each in clusters],
        },
    }


def _own(listener: Config, routes: dict[str, Config]) -> Config:
    """The listener with its routes inside, and without the access log."""
    listener.pop("access_log", None)
    chains = [
        *listener.get("filter_chains", ()),
        *([listener["default_filter_chain"]] if "default_filter_chain" in listener else ()),
    ]
    for chain in chains:
        manager = chain["filters"][0]["typed_config"]
        manager.pop("access_log", None)
        manager["route_config"] = routes[manager.pop("rds")["route_config_name"]]
    listener["filter_chains"] = chains
    listener.pop("default_filter_chain", None)
    return _typed(listener)


def _fixed(cluster: Config) -> Config:
    """The cluster with endpoints of its own, which a test fills in."""
    for name in ("eds_cluster_config", "load_balancing_policy"):
        cluster.pop(name, None)
    return _typed(cluster | {"type": "STATIC", "load_assignment": {"cluster_name": cluster["name"]}})


def _typed(resource: Config) -> Config:
    """The resource in a place that has its type already."""
    resource.pop("@type", None)
    return resource


def _snake(node: Any) -> Any:
    """Fields as the samples write them; keys of maps, which are no identifiers, stay."""
    if isinstance(node, list):
        return [_snake(each) for each in node]
    if isinstance(node, dict):
        return {_snake_name(key): _snake(value) for key, value in node.items()}
    return node


def _snake_name(name: str) -> str:
    if not name.isalnum() or not name[0].islower():
        return name
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
