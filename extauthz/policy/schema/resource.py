"""One CustomResourceDefinition (apiextensions.k8s.io/v1) for each kind."""

from __future__ import annotations

from typing import Any

from extauthz.policy.parse import API_VERSION
from extauthz.policy.schema.kinds import CUSTOM_KINDS, Column, Kind
from extauthz.policy.schema.structural import structural

Object = dict[str, Any]

_ENVELOPE: Object = {
    "apiVersion": {"type": "string", "maxLength": 253, "description": f"`{API_VERSION}`."},
    "kind": {"type": "string", "maxLength": 63, "description": "What this object is."},
    "metadata": {"type": "object"},  # an API server lets nobody describe it
}


def definitions() -> dict[str, Object]:
    """Every definition, by the name of its file."""
    group = API_VERSION.partition("/")[0]
    return {f"{group}_{kind.plural}.yaml": _definition(kind) for kind in CUSTOM_KINDS}


def _definition(kind: Kind) -> Object:
    group, _, version = API_VERSION.partition("/")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{group}"} | ({"labels": dict(kind.labels)} if kind.labels else {}),
        "spec": {
            "group": group,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": ["extauthz"],
            },
            "scope": "Cluster" if kind.clustered else "Namespaced",
            "versions": [_version(kind, version)],
        },
    }


def _version(kind: Kind, version: str) -> Object:
    return {
        "name": version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _schema(kind)},
    }


def _schema(kind: Kind) -> Object:
    spec = structural(kind.spec)
    return {
        "type": "object",
        "description": spec["description"],
        "required": ["spec"],
        "properties": _ENVELOPE | {"spec": spec, "status": structural(kind.status)},
    }


def _column(column: Column) -> Object:
    shown = {"name": column.name, "type": column.kind, "jsonPath": column.path, "description": column.words}
    return shown | ({"priority": 1} if column.wide else {})
