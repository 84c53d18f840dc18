"""The objects of deploy/envoy-gateway, those that a cluster has anyway, and what is missed when one is altered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy import probes
from tests.deploy.altered import GONE, altered
from tests.deploy.probes import Probe
from tests.deploy.translated import Objects

FILE: Final = Path(__file__).parents[2] / "deploy" / "envoy-gateway" / "extauthz.yaml"
CLUSTER: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: gateways}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec:
  parentRefs: [{name: web, namespace: gateways}]
  hostnames: [orders.shop.example]
  rules: [{backendRefs: [{name: orders, port: 8080}]}]
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: gateways}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: extauthz-system}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.0.0.10, ports: [{name: http, port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: extauthz, namespace: extauthz-system}
spec: {clusterIP: 10.0.0.11, ports: [{name: grpc, port: 9191, targetPort: grpc, appProtocol: grpc}]}
"""
OURS: Final[Objects] = list(yaml.safe_load_all(FILE.read_text()))
_SECURITY, _PATHS, _PATCHES = "0.spec.extAuth", "2.spec", "3.spec.jsonPatches"

# An option, what it is set to instead, and what then goes wrong.
OPTIONS: Final[list[tuple[str, Any, Probe]]] = [
    (f"{_SECURITY}.failOpen", True, probes.no_answer_is_a_no),
    (f"{_SECURITY}.statusOnError", GONE, probes.no_answer_is_a_no),
    (f"{_SECURITY}.grpc.backendSettings.retry", GONE, probes.a_lost_check_is_sent_again),
    (f"{_SECURITY}.bodyToExtAuth.maxRequestBytes", 1024, probes.large_bodies_are_sent_in_part),
    (f"{_PATHS}.path.escapedSlashesAction", GONE, probes.escaped_slashes_are_refused),
    (f"{_PATHS}.path.disableMergeSlashes", True, probes.slashes_are_merged),
    (f"{_PATHS}.headers.xForwardedClientCert.mode", "AlwaysForwardOnly", probes.a_client_cannot_claim_a_certificate),
    (f"{_PATCHES}.0", GONE, probes.headers_arrive_as_they_were_sent),
    (f"{_PATCHES}.1", GONE, probes.client_certificates_are_shown),
    (f"{_PATCHES}.2", GONE, probes.bodies_arrive_as_they_were_sent),
    (f"{_PATCHES}.3", GONE, probes.large_bodies_are_sent_in_part),
]


def cluster() -> Objects:
    """What a cluster has."""
    return list(yaml.safe_load_all(CLUSTER))


def whole(ours: Objects = OURS) -> Objects:
    """Everything that Envoy Gateway reads."""
    return [*ours, *cluster()]


def changed(path: str, value: Any) -> Objects:
    """Everything, with one option altered."""
    return whole(altered(OURS, path, value))


def every() -> list[Objects]:
    """All that is recorded."""
    return [whole(), *(changed(path, value) for path, value, _ in OPTIONS)]
