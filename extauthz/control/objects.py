"""The objects that the API server holds, as last heard, parsed once each; and what is needed besides them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject, Resource
from extauthz.control.resources import NAMESPACES
from extauthz.policy.grants import HOSTS_ANNOTATION
from extauthz.policy.held import HELD_KINDS
from extauthz.policy.issuer import DataRefSpec, TokenIssuerSpec
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.problem import ObjectRef

# What kubectl keeps of the last apply: it repeats the object, and says nothing.
_NOISE: Final = ("managedFields",)


@dataclass(frozen=True, slots=True)
class Picture:
    """All objects at one moment."""

    objects: tuple[Parsed | Broken, ...]
    grants: Mapping[str, tuple[str, ...]]
    """The hosts that each namespace may claim."""


class Objects:
    """Takes what watches see. Safe to share among their threads."""

    def __init__(self, changed: threading.Event) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._parsed: dict[Resource, dict[ObjectRef, Parsed | Broken]] = {}
        self._grants: dict[str, tuple[str, ...]] = {}

    def take(self, event: Event) -> None:
        """What a watch tells."""
        if event.resource == NAMESPACES:
            self._take_namespaces(event)
        else:
            self._take_objects(event)
        self._changed.set()

    def _take_objects(self, event: Event) -> None:
        # Parsed before the lock is taken: other watches need not wait for it.
        match event:
            case Listed(resource=resource, objects=objects):
                listed = {each.ref: each for each in map(_parse, objects)}
                with self._lock:
                    self._parsed[resource] = listed
            case Applied(resource=resource, object=obj):
                parsed = _parse(obj)
                with self._lock:
                    self._parsed.setdefault(resource, {})[parsed.ref] = parsed
            case Deleted(resource=resource, object=obj):
                ref = _parse(obj).ref
                with self._lock:
                    self._parsed.setdefault(resource, {}).pop(ref, None)
            case _:
                assert_never(event)

    def _take_namespaces(self, event: Event) -> None:
        with self._lock:
            match event:
                case Listed(objects=objects):
                    self._grants = {_name(each): _hosts(each) for each in objects}
                    self._parsed[NAMESPACES] = {}
                case Applied(object=obj):
                    self._grants[_name(obj)] = _hosts(obj)
                case Deleted(object=obj):
                    self._grants.pop(_name(obj), None)
                case _:
                    assert_never(event)

    def forget(self, resource: Resource) -> None:
        """The resource is no longer watched."""
        with self._lock:
            self._parsed.pop(resource, None)

    def has(self, resource: Resource) -> bool:
        """Whether the resource was listed."""
        return resource in self._parsed

    def picture(self) -> Picture:
        """Everything now."""
        with self._lock:
            objects = tuple(each for found in self._parsed.values() for each in found.values())
            return Picture(objects, dict(self._grants))


def references(objects: Iterable[Parsed | Broken], install_namespace: str) -> frozenset[ObjectRef]:
    """The Secrets and ConfigMaps that issuers refer to, each in the namespace that the reference stays in."""
    found: set[ObjectRef] = set()
    for item in objects:
        match item:
            case Parsed(spec=TokenIssuerSpec() as spec):
                namespace = item.ref.namespace or install_namespace
                named: list[tuple[str, DataRefSpec | None]] = [
                    ("Secret", spec.keys.secret_ref),
                    ("ConfigMap", spec.keys.config_map_ref),
                    ("ConfigMap", spec.ca_bundle.config_map_ref if spec.ca_bundle is not None else None),
                ]
                found.update(ObjectRef(kind, namespace, ref.name) for kind, ref in named if ref is not None)
            case _:
                pass
    return frozenset(found)


def _parse(obj: RawObject) -> Parsed | Broken:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        obj = {**obj, "metadata": {name: value for name, value in metadata.items() if name not in _NOISE}}
    if obj.get("kind") in HELD_KINDS:
        obj = {name: value for name, value in obj.items() if name != "status"}
    return parse(obj, cluster=True)


def _name(obj: RawObject) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _hosts(namespace: RawObject) -> tuple[str, ...]:
    annotations: Mapping[str, Any] = (namespace.get("metadata") or {}).get("annotations") or {}
    return tuple(str(annotations.get(HOSTS_ANNOTATION, "")).replace(",", " ").lower().split())
