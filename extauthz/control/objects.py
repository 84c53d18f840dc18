"""The objects that the API server holds, as last heard, parsed once each; and what is needed besides them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject, Resource
from extauthz.control.kept import Kept
from extauthz.control.resources import NAMESPACES, TARGET_OF
from extauthz.model.time import Clock
from extauthz.policy.gateway.reading import GatewayObject, read_object
from extauthz.policy.gateway.target import Place
from extauthz.policy.grants import HOSTS_ANNOTATION
from extauthz.policy.held import HELD_KINDS
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.parse import ISSUER_KINDS, Broken, Parsed, parse
from extauthz.policy.problem import ObjectRef
from extauthz.policy.reference import DataRefSpec
from extauthz.policy.remembered import digest_of
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.policy.selector import Labels

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
    labels: Labels = field(default_factory=dict)
    """Of each Namespace."""
    targets: Mapping[Place, GatewayObject] = field(default_factory=dict)
    """What policies may target."""
    written: Mapping[ObjectRef, Written] = field(default_factory=dict)
    """Of the objects of our own kinds; empty for who does not follow their status."""
    left: frozenset[ObjectRef] = frozenset()
    """TokenRevocations that never counted, and are not pruned."""


class Objects:
    """Takes what watches see. Safe to share among their threads.

    Who does not follow status is not woken by a change of it.
    """

    def __init__(self, changed: threading.Event, clock: Clock, most: int) -> None:
        """`most` is the bound on TokenRevocations of each resource."""
        self._changed = changed
        self._clock = clock
        self._most = most
        self.follow_status = False
        self._written: dict[ObjectRef, Written] = {}
        self._lock = threading.Lock()
        self._parsed: dict[Resource, Kept] = {}
        self._grants: dict[str, tuple[str, ...]] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
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
                self._take_all(resource, objects)
            case Applied(resource=resource, object=obj):
                parsed = _parse(obj)
                with self._lock:
                    found = self._kept(resource)
                    same = _same(found.objects.get(parsed.ref), parsed)
                    if not same:
                        self._put(found, parsed)
                    self._keep(found, {parsed.ref: _written(obj)})
                return self.follow_status or not same
            case Deleted(resource=resource, object=obj):
                ref = _parse(obj).ref
                with self._lock:
                    self._kept(resource).drop(ref)
                    self._written.pop(ref, None)
            case _:
                assert_never(event)
        return True

    def _take_all(self, resource: Resource, objects: Iterable[RawObject]) -> None:
        """What was known is replaced at one stroke, once all are there; what did not change stays the same value."""
        kept = Kept(self._most, prunes=self.follow_status)
        before = self._parsed[resource].objects if resource in self._parsed else {}
        written: dict[ObjectRef, Written] = {}
        now = self._clock.now()
        for obj in objects:
            parsed = _parse(obj)
            known = before.get(parsed.ref)
            kept.put(known if known is not None and _same(known, parsed) else parsed, now)
            if self.follow_status and parsed.ref in kept.objects:
                written[parsed.ref] = _written(obj)
        with self._lock:
            for ref in before:
                self._written.pop(ref, None)
            self._parsed[resource] = kept
            self._keep(kept, written)

    def _kept(self, resource: Resource) -> Kept:
        found = self._parsed.get(resource)
        if found is None:
            found = self._parsed[resource] = Kept(self._most, prunes=self.follow_status)
        return found

    def _put(self, found: Kept, parsed: Parsed | Broken) -> None:
        crowded = len(found.crowded)
        found.put(parsed, self._clock.now())
        if len(found.crowded) > crowded:
            known = set().union(*(kept.objects for kept in self._parsed.values()))
            self._written = {ref: each for ref, each in self._written.items() if ref in known}

    def _keep(self, found: Kept, written: Mapping[ObjectRef, Written]) -> None:
        if self.follow_status:
            self._written.update(
                (ref, each) for ref, each in written.items() if ref.kind not in HELD_KINDS and ref in found.objects
            )

    def _take_namespaces(self, event: Event) -> None:
        every = tuple(event.objects) if isinstance(event, Listed) else ()
        hosts, labels = {_name(each): _hosts(each) for each in every}, {_name(each): _labels(each) for each in every}
        with self._lock:
            match event:
                case Listed():
                    self._grants, self._labels = hosts, labels
                    self._kept(NAMESPACES)
                case Applied(object=obj):
                    self._grants[_name(obj)] = _hosts(obj)
                    self._labels[_name(obj)] = _labels(obj)
                case Deleted(object=obj):
                    self._grants.pop(_name(obj), None)
                    self._labels.pop(_name(obj), None)
                case _:
                    assert_never(event)

    def _take_targets(self, event: Event, kind: str) -> bool:
        """Whether it said anything new: most changes of a route are of its status."""
        read = [read_object(kind, each) for each in event.objects] if isinstance(event, Listed) else []
        with self._lock:
            before = self._targets.get(event.resource)
            match event:
                case Listed():
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

    def crowded(self) -> frozenset[str]:
        """The namespaces with more TokenRevocations than there is room for."""
        with self._lock:
            return frozenset().union(*(found.crowded for found in self._parsed.values()))

    def relist_after(self, resource: Resource) -> float:
        """Seconds after the last list of a resource at which another may bring more; infinite for never."""
        found = self._parsed.get(resource)
        return math.inf if found is None else found.relist_after()

    def picture(self) -> Picture:
        """Everything now."""
        with self._lock:
            every = self._parsed.values()
            objects = tuple(each for found in every for each in (*found.objects.values(), *found.too_many()))
            targets = {place: each for found in self._targets.values() for place, each in found.items()}
            left = frozenset(ref for found in every for ref in found.left())
            return Picture(objects, dict(self._grants), dict(self._labels), targets, dict(self._written), left)


def references(objects: Iterable[Parsed | Broken], install_namespace: str) -> frozenset[ObjectRef]:
    """The Secrets and ConfigMaps that issuers refer to, each in the namespace that the reference stays in."""
    found: set[ObjectRef] = set()
    # Their kind is asked first: of another there can be very many.
    for item in (each for each in objects if each.ref.kind in ISSUER_KINDS):
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
    if before is None or type(before) is not type(now):
        return False
    if isinstance(now, Parsed) and isinstance(now.spec, TokenRevocationSpec):
        # All of its fields are texts, so equal is the same; there can be very many.
        return before == now
    if digest_of(before) != digest_of(now):
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


def _labels(namespace: RawObject) -> Mapping[str, str]:
    labels: Mapping[str, Any] = (namespace.get("metadata") or {}).get("labels") or {}
    return {str(name): str(value) for name, value in labels.items()}


def _hosts(namespace: RawObject) -> tuple[str, ...]:
    annotations: Mapping[str, Any] = (namespace.get("metadata") or {}).get("annotations") or {}
    return tuple(str(annotations.get(HOSTS_ANNOTATION, "")).replace(",", " ").lower().split())
