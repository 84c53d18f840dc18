"""Builders for objects of Gateway API, and a world in which policies target them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from extauthz.policy.attach import targets_of
from extauthz.policy.compile import Compiler
from extauthz.policy.gateway.reading import read_object
from extauthz.policy.gateway.surface import Remembering
from extauthz.policy.gateway.target import GROUP, TARGET_KINDS
from extauthz.policy.grants import Grants
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.snapshot import Snapshot
from tests.building import anonymous, policy

Raw = dict[str, Any]


def _object(kind: str, name: str, spec: Mapping[str, Any], namespace: str, created: str | None) -> Raw:
    metadata = {"name": name, "namespace": namespace} | ({} if created is None else {"creationTimestamp": created})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def listener(name: str, *, hostname: str | None = None, protocol: str = "HTTP", port: int = 80) -> Raw:
    """A listener of a Gateway."""
    named = {} if hostname is None else {"hostname": hostname}
    return {"name": name, "protocol": protocol, "port": port, **named}


def gateway(name: str, *listeners: Raw, namespace: str = "shop", created: str | None = None) -> Raw:
    """A Gateway."""
    return _object("Gateway", name, {"gatewayClassName": "c", "listeners": list(listeners)}, namespace, created)


def parent(name: str, **more: Any) -> Raw:
    """A parent of a route."""
    return {"name": name, **more}


def route(
    name: str,
    *,
    kind: str = "HTTPRoute",
    hostnames: Any = (),
    matches: Any = (),
    rules: Any = None,
    parents: Any = None,
    namespace: str = "shop",
    created: str | None = None,
) -> Raw:
    """An HTTPRoute of the Gateway `edge`, with one rule that has these matches, unless `rules` says more."""
    spec: Raw = {"parentRefs": [parent("edge")] if parents is None else parents}
    if hostnames:
        spec["hostnames"] = list(hostnames) if isinstance(hostnames, Sequence) else hostnames
    spec["rules"] = rules if rules is not None else [{"matches": list(matches)} if matches else {}]
    return _object(kind, name, spec, namespace, created)


def grpc_route(name: str, **more: Any) -> Raw:
    """A GRPCRoute."""
    return route(name, kind="GRPCRoute", **more)


def targeting(
    name: str, target: str, *, kind: str = "HTTPRoute", section: str | None = None, rules: Any = None, **more: Any
) -> Raw:
    """An AccessPolicy for one target, with a rule `all` that admits everything, unless `rules` says otherwise."""
    ref = {"kind": kind, "name": target} | ({} if section is None else {"sectionName": section})
    made = policy(name, *(rules if rules is not None else [anonymous("all")]), targetRefs=[ref], **more)
    del made["spec"]["hosts"]
    return made


class World:
    """Objects of both groups, compiled as a central service does, one state after the other."""

    def __init__(self, *objects: Raw, grants: Grants | None = None) -> None:
        self._objects = {_key(each): each for each in objects}
        self._parsed = {_key(each): parse(each, cluster=True) for each in objects if not _is_target(each)}
        self._grants: Grants = {"shop": ("*",), "other": ("*",)} if grants is None else grants
        self._compiler = Compiler()
        self._remembering = Remembering()

    def with_(self, *objects: Raw) -> World:
        """Add objects, or change them."""
        self._objects |= {_key(each): each for each in objects}
        self._parsed |= {_key(each): parse(each, cluster=True) for each in objects if not _is_target(each)}
        return self

    def without(self, kind: str, name: str, namespace: str = "shop") -> World:
        """Delete an object."""
        self._objects.pop((kind, namespace, name))
        self._parsed.pop((kind, namespace, name), None)
        return self

    def granting(self, grants: Grants) -> World:
        """Grant other hosts."""
        self._grants = grants
        return self

    @property
    def parsed(self) -> list[Parsed | Broken]:
        """Our own objects."""
        return list(self._parsed.values())

    def snapshot(self) -> Snapshot:
        """What is in force."""
        read = [read_object(each["kind"], each) for each in self._objects.values() if _is_target(each)]
        surfaces = self._remembering.surfaces(targets_of(self.parsed), {each.place: each for each in read})
        return self._compiler.compile(self.parsed, grants=self._grants, surfaces=surfaces)


def _is_target(raw: Raw) -> bool:
    return raw["kind"] in TARGET_KINDS


def _key(raw: Raw) -> tuple[str, str, str]:
    return raw["kind"], raw["metadata"].get("namespace", ""), raw["metadata"]["name"]
