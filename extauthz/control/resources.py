"""What is watched, for one namespace (a sidecar) or for all (a central service), and where each object stands."""

from __future__ import annotations

from typing import Final

from extauthz.control.events import Resource
from extauthz.policy.parse import API_VERSION, CLUSTER_KINDS
from extauthz.policy.problem import ObjectRef

PLURALS: Final = {
    "AccessPolicy": "accesspolicies",
    "TokenIssuer": "tokenissuers",
    "ClusterTokenIssuer": "clustertokenissuers",
    "TokenRevocation": "tokenrevocations",
}
"""The resource name of each kind of ours."""

NAMESPACES: Final = Resource("", "v1", "namespaces")
"""They say which hosts their policies may claim."""

_HELD: Final = {"Secret": "secrets", "ConfigMap": "configmaps"}
_GROUP, _, _VERSION = API_VERSION.partition("/")


def watched(namespace: str | None) -> tuple[Resource, ...]:
    """Our own kinds; with None those of every namespace, and the Namespaces."""
    ours = tuple(_resource(kind, namespace) for kind in PLURALS)
    return ours if namespace is not None else (*ours, NAMESPACES)


def held(ref: ObjectRef) -> Resource:
    """One Secret or ConfigMap that an issuer refers to."""
    return Resource("", "v1", _HELD[ref.kind], ref.namespace, ref.name)


def path_of(ref: ObjectRef, part: str = "") -> str:
    """Where one object of ours stands; `part` such as `/status`."""
    return f"{_resource(ref.kind, ref.namespace).path}/{ref.name}{part}"


def _resource(kind: str, namespace: str | None) -> Resource:
    return Resource(_GROUP, _VERSION, PLURALS[kind], None if kind in CLUSTER_KINDS else namespace)
