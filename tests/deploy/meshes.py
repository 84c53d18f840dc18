"""What deploy/istio says, what a cluster has anyway, and what is missed when something is altered."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy import probes
from tests.deploy.altered import GONE, altered
from tests.deploy.probes import Probe, request
from tests.deploy.scene import Scene
from tests.envoy.raw import ask

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "istio"
CLUSTER: Final = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: extauthz, namespace: extauthz-system}
spec:
  hosts: [extauthz.extauthz-system.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9191, name: grpc, protocol: GRPC}]
  endpoints: [{address: 10.1.0.11}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.1.0.10, labels: {app: orders}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: istio-ingress}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop.example]
  gateways: [istio-ingress/web]
  http: [{route: [{destination: {host: orders.shop.svc.cluster.local, port: {number: 8080}}}]}]
"""
FORMS: Final = ("central", "sidecar")


@dataclass(frozen=True, slots=True)
class Mesh:
    """What istiod reads, and for which of its proxies."""

    form: str
    config: dict[str, Any]
    objects: list[dict[str, Any]]

    def source(self) -> Any:
        """All of it, to be found by."""
        return [self.form, self.config, self.objects]

    def altered(self, path: str, value: Any = GONE) -> Mesh:
        """With something else, at a path that begins with `config` or `objects`."""
        parts = altered({"config": self.config, "objects": self.objects}, path, value)
        return Mesh(self.form, parts["config"], parts["objects"])


def ours(form: str) -> list[dict[str, Any]]:
    """The objects of one file."""
    return list(yaml.safe_load_all((FOLDER / f"{form}.yaml").read_text()))


def mesh(form: str) -> Mesh:
    """The whole."""
    config = copy.deepcopy(yaml.safe_load((FOLDER / "mesh-config.yaml").read_text())["meshConfig"])
    return Mesh(form, config, [*ours(form), *yaml.safe_load_all(CLUSTER)])


def every_path_is_asked_about(scene: Scene) -> None:
    """One that nobody thought of, too."""
    before = len(scene.recorder.seen)
    ask(scene.port, request(b"/elsewhere"))
    assert len(scene.recorder.seen) == before + 1


_PROVIDER, _PATCHES = "config.extensionProviders.0.envoyExtAuthzGrpc", "objects.1.spec.configPatches"
_BODY, _FILTER = f"{_PROVIDER}.includeRequestBodyInCheck", f"{_PATCHES}.0.patch.value.typed_config"
_ORDERS: Final = [{"to": [{"operation": {"paths": ["/api/orders"]}}]}]

# An option, what it is set to instead, and what then goes wrong.
OPTIONS: Final[list[tuple[str, Any, Probe]]] = [
    ("config.pathNormalization", GONE, probes.slashes_are_merged),
    ("config.pathNormalization.normalization", "NONE", probes.dot_segments_are_resolved),
    (f"{_PROVIDER}.failOpen", True, probes.no_answer_is_a_no),
    (f"{_PROVIDER}.statusOnError", GONE, probes.no_answer_is_a_no),
    (_BODY, GONE, probes.bodies_are_sent_along),
    (f"{_BODY}.packAsBytes", GONE, probes.bodies_arrive_as_they_were_sent),
    (f"{_BODY}.allowPartialMessage", GONE, probes.large_bodies_are_sent_in_part),
    (f"{_FILTER}.encode_raw_headers", GONE, probes.headers_arrive_as_they_were_sent),
    (f"{_FILTER}.include_peer_certificate", GONE, probes.client_certificates_are_shown),
    (f"{_FILTER}.grpc_service", GONE, probes.a_lost_check_is_sent_again),
    (f"{_PATCHES}.1", GONE, probes.escaped_slashes_are_refused),
    ("objects.0.spec.rules", _ORDERS, every_path_is_asked_about),
]


def misnamed() -> Mesh:
    """The policy names a provider that the mesh does not have."""
    return mesh("central").altered("objects.0.spec.provider.name", "extauths")


def every() -> list[Mesh]:
    """All that is recorded."""
    return [*map(mesh, FORMS), misnamed(), *(mesh("central").altered(path, value) for path, value, _ in OPTIONS)]
