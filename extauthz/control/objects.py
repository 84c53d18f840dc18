"""The objects that the API server holds, as last heard, parsed once each; and what is needed besides them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject, Resource
from extauthz.control.resources import NAMESPACES, TARGET_OF
from extauthz.policy.gateway.reading import GatewayObject, read_object
from extauthz.policy.gateway.target import Place
from extauthz.policy.grants import HOSTS_ANNOTATION
from extauthz.policy.held import HELD_KINDS
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.problem import ObjectRef
from extauthz.policy.reference import DataRefSpec
from extauthz.policy.remembered import digest_of

# What kubectl keeps of the last apply: it repeats the object, and says nothing.
_NOISE: Final = ("managedFields",)


@dataclass(frozen=True, slots=True)
class Written:
    """What the API server keeps about an object besides what its author wrote."""

    uid: str
    generation: int
    """Counts the changes of `spec`."""
    version: str
    """`metadata.resourceVersion`: any later write has another."""
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """All objects at one moment."""

    objects: tuple[Parsed | Broken, ...]
    grants: Mapping[str, tuple[str, ...]]
    """The hosts that each namespace may claim."""
    targets: Mapping[Place, GatewayObject] = field(default_factory=dict)
    """What policies may target."""
    written: Mapping[ObjectRef, Written] = field(default_factory=dict)
    """Of the objects of our own kinds; empty for who does not follow their status."""


class Objects:
    """Takes what watches see. Safe to share among their threads.

    Who does not follow status is not woken by a change of it.
    """

    def __init__(self, changed: threading.Event) -> None:
        self._changed = changed
        self.follow_status = False
        self._written: dict[ObjectRef, Written] = {}
        self._lock = threading.Lock()
        self._parsed: dict[Resource, dict[ObjectRef, Parsed | Broken]] = {}
        self._grants: dict[str, tuple[str, ...]] = {}
        self._targets: dict[Resource, dict[Place, GatewayObject]] = {}

    def take(self, event: Event) -> None:
        """What a watch tells."""
        if event.resource == NAMESPACES:
            self._take_namespaces(event)
            news = True
        elif event.resource in TARGET_OF:
            news = self._take_targets(event, TARGET_OF[event.resource])
        else:
            news = self._take_objects(event)
        if news:
            self._changed.set()

    def _take_objects(self, event: Event) -> bool:
        """Whether it said anything new."""
        # Parsed before the lock is taken: other watches need not wait for it.
        match event:
            case Listed(resource=resource, objects=objects):
                told = [(_parse(each), _written(each)) for each in objects]
                with self._lock:
                    for ref in self._parsed.get(resource, {}):
                        self._written.pop(ref, None)
                    self._parsed[resource] = {parsed.ref: parsed for parsed, _ in told}
                    self._keep({parsed.ref: written for parsed, written in told})
            case Applied(resource=resource, object=obj):
                parsed = _parse(obj)
                with self._lock:
                    found = self._parsed.setdefault(resource, {})
                    same = _same(found.get(parsed.ref), parsed)
                    if not same:
                        found[parsed.ref] = parsed
                    self._keep({parsed.ref: _written(obj)})
                return self.follow_status or not same
            case Deleted(resource=resource, object=obj):
                ref = _parse(obj).ref
                with self._lock:
                    self._parsed.setdefault(resource, {}).pop(ref, None)
                    self._written.pop(ref, None)
            case _:
                assert_never(event)
        return True

    def _keep(self, written: Mapping[ObjectRef, Written]) -> None:
        if self.follow_status:
            self._written.update((ref, each) for ref, each in written.items() if ref.kind not in HELD_KINDS)

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

    def _take_targets(self, event: Event, kind: str) -> bool:
        """Whether it said anything new: most changes of a route are of its status."""
        with self._lock:
            before = self._targets.get(event.resource)
            match event:
                case Listed(objects=objects):
                    read = [read_object(kind, each) for each in objects]
                    now = {each.place: each for each in read}
                case Applied(object=obj):
                    one = read_object(kind, obj)
                    now = {**(before or {}), one.place: one}
                case Deleted(object=obj):
                    gone = read_object(kind, obj).place
                    now = {place: each for place, each in (before or {}).items() if place != gone}
                case _:
                    assert_never(event)
            self._targets[event.resource] = now
            return now != before

    def forget(self, resource: Resource) -> None:
        """The resource is no longer watched."""
        with self._lock:
            self._parsed.pop(resource, None)

    def has(self, resource: Resource) -> bool:
        """Whether the resource was listed."""
        return resource in self._parsed or resource in self._targets

    def picture(self) -> Picture:
        """Everything now."""
        with self._lock:
            objects = tuple(each for found in self._parsed.values() for each in found.values())
            targets = {place: each for found in self._targets.values() for place, each in found.items()}
            return Picture(objects, dict(self._grants), targets, dict(self._written))


def references(objects: Iterable[Parsed | Broken], install_namespace: str) -> frozenset[ObjectRef]:
    """The Secrets and ConfigMaps that issuers refer to, each in the namespace that the reference stays in."""
    found: set[ObjectRef] = set()
    for item in objects:
        match item:
            case Parsed(spec=TokenIssuerSpec() as spec):
                namespace = item.ref.namespace or install_namespace
                named: list[tuple[str, DataRefSpec | None]] = [
                    ("Secret", spec.keys.secret_ref if spec.keys is not None else None),
                    ("ConfigMap", spec.keys.config_map_ref if spec.keys is not None else None),
                    ("Secret", spec.introspection.secret_ref if spec.introspection is not None else None),
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


def _same(before: Parsed | Broken | None, now: Parsed | Broken) -> bool:
    """Whether an author changed nothing: then what was compiled stays. To `==`, `True` equals 1; a digest tells."""
    if before is None or type(before) is not type(now) or digest_of(before) != digest_of(now):
        return False
    return not isinstance(now, Broken) or (isinstance(before, Broken) and before.problems == now.problems)


def _written(obj: RawObject) -> Written:
    metadata, status = obj.get("metadata"), obj.get("status")
    about: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    generation = about.get("generation")
    return Written(
        uid=str(about.get("uid", "")),
        generation=generation if isinstance(generation, int) else 0,
        version=str(about.get("resourceVersion", "")),
        status=status if isinstance(status, dict) else {},
    )


def _name(obj: RawObject) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _hosts(namespace: RawObject) -> tuple[str, ...]:
    annotations: Mapping[str, Any] = (namespace.get("metadata") or {}).get("annotations") or {}
    return tuple(str(annotations.get(HOSTS_ANNOTATION, "")).replace(",", " ").lower().split())
