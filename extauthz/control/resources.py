"""What is watched, for one namespace (a sidecar) or for all (a central service), and where each object stands."""

from __future__ import annotations

from typing import Final

from extauthz.control.events import Resource
from extauthz.policy.gateway.target import GROUP, VERSION
from extauthz.policy.parse import API_VERSION, CLUSTER_KINDS, Broken, Parsed
from extauthz.policy.problem import ObjectRef
from extauthz.policy.revocation import TokenRevocationSpec

PLURALS: Final = {
    "AccessPolicy": "accesspolicies",
    "TokenIssuer": "tokenissuers",
    "ClusterTokenIssuer": "clustertokenissuers",
    "TokenRevocation": "tokenrevocations",
}
"""The resource name of each kind of ours."""

NAMESPACES: Final = Resource("", "v1", "namespaces")
"""They say which hosts their policies may claim."""

TARGETS: Final = {
    kind: Resource(GROUP, VERSION, plural)
    for kind, plural in (("Gateway", "gateways"), ("HTTPRoute", "httproutes"), ("GRPCRoute", "grpcroutes"))
}
"""Gateway API's kinds that policies may target. A cluster need not have them."""

TARGET_OF: Final = {resource: kind for kind, resource in TARGETS.items()}

_HELD: Final = {"Secret": "secrets", "ConfigMap": "configmaps"}
_GROUP, _, _VERSION = API_VERSION.partition("/")


def watched(namespace: str | None, install_namespace: str) -> tuple[Resource, ...]:
    """Our own kinds; with None those of every namespace, the Namespaces, and what policies may target.

    A sidecar also reads the revocations of the install namespace: those of cluster-wide issuers count everywhere.
    """
    ours = dict.fromkeys(_resource(kind, namespace) for kind in PLURALS)
    if namespace is None:
        return (*ours, NAMESPACES, *TARGETS.values())
    return (*(ours | {_resource("TokenRevocation", install_namespace): None}),)


def concerns(item: Parsed | Broken, namespace: str | None) -> bool:
    """Whether an object can matter where one namespace is served: another's issuer is not known there."""
    if namespace is None or item.ref.namespace in {"", namespace} or item.ref.kind != "TokenRevocation":
        return True
    return isinstance(item, Broken) or not (
        isinstance(item.spec, TokenRevocationSpec) and item.spec.issuer.kind not in CLUSTER_KINDS
    )


def held(ref: ObjectRef) -> Resource:
    """One Secret or ConfigMap that an issuer refers to."""
    return Resource("", "v1", _HELD[ref.kind], ref.namespace, ref.name)


def path_of(ref: ObjectRef, part: str = "") -> str:
    """Where one object of ours stands; `part` such as `/status`."""
    return f"{_resource(ref.kind, ref.namespace).path}/{ref.name}{part}"


def _resource(kind: str, namespace: str | None) -> Resource:
    return Resource(_GROUP, _VERSION, PLURALS[kind], None if kind in CLUSTER_KINDS else namespace)
