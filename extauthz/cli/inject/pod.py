"""A pod with its sidecar: what is put in, what is taken out again, and which pods can have none.

The Helm library and the MutatingAdmissionPolicy of the charts do the same; tests compare all three.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from extauthz.cli.inject.sidecar import (
    IN_SOCKET_FOLDER,
    NAME,
    SOCKET_FOLDER,
    VOLUMES,
    Json,
    Options,
    container,
    socket_mount,
    volumes,
)
from extauthz.policy.problem import FieldPath

INJECT: Final = "extauthz.dev/inject"
"""The label of a pod that wants none: `"false"`, or one: `"true"`."""
INJECTED: Final = "extauthz.dev/injected"
"""The annotation of a pod that has one, by which a second run knows its own work."""


class Unfit(Exception):
    """A pod that cannot have a sidecar: where, from its template on, and why."""

    def __init__(self, path: FieldPath, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def wants_none(template: Json) -> bool:
    """Whether its author said so. Raises Unfit where he says neither."""
    said = mapping(mapping(template, "metadata"), "labels", ("metadata",)).get(INJECT)
    if said not in (None, "true", "false"):
        known = isinstance(said, str)
        wrong = f"is `{said[:63]}`; allowed are `true` and `false`" if known else "is no text; put its value in quotes"
        raise Unfit(("metadata", "labels", INJECT), f"the label `{INJECT}` {wrong}")
    return said == "false"


def is_injected(template: Json) -> bool:
    """Whether an earlier run gave it a sidecar."""
    return INJECTED in mapping(mapping(template, "metadata"), "annotations", ("metadata",))


def add(template: Json, options: Options) -> None:
    """Give it a sidecar, in the place of one that an earlier run gave. Raises Unfit."""
    spec = spec_of(template)
    if is_injected(template):
        remove(template)
    _refuse(spec, options)
    for path, each in _containers(spec):
        if each.get("name") == options.envoy_container:
            each["volumeMounts"] = [*_list(each, "volumeMounts", path), socket_mount()]
    spec["initContainers"] = [container(options), *_list(spec, "initContainers")]
    spec["volumes"] = [*_list(spec, "volumes"), *volumes(options)]
    metadata = mapping(template, "metadata")
    annotations = {**mapping(metadata, "annotations", ("metadata",)), INJECTED: NAME}
    template["metadata"] = {**metadata, "annotations": annotations}


def remove(template: Json) -> None:
    """Take out what an earlier run put in, so that it is as its author wrote it. Raises Unfit."""
    spec = spec_of(template)
    for path, each in _containers(spec):
        mounts = _list(each, "volumeMounts", path)
        _put(each, "volumeMounts", [mount for mount in mounts if mount.get("name") not in VOLUMES])
    _put(spec, "initContainers", [each for each in _list(spec, "initContainers") if each.get("name") != NAME])
    _put(spec, "volumes", [each for each in _list(spec, "volumes") if each.get("name") not in VOLUMES])
    metadata = mapping(template, "metadata")
    annotations = mapping(metadata, "annotations", ("metadata",))
    _put(metadata, "annotations", {name: text for name, text in annotations.items() if name != INJECTED})
    _put(template, "metadata", metadata)


def mapping(parent: Json, name: str, path: FieldPath = ()) -> Json:
    """A mapping that may be absent. Raises Unfit."""
    found = parent.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unfit((*path, name), f"`{name}` is no mapping")
    return found


def spec_of(template: Json) -> Json:
    """The pod itself. Raises Unfit when there is none."""
    if template.get("spec") is None:
        raise Unfit(("spec",), "`spec` is missing")
    return mapping(template, "spec")


def _refuse(spec: Json, options: Options) -> None:
    """Say why it can have none. Raises Unfit."""
    if spec.get("hostNetwork"):
        raise Unfit(("spec", "hostNetwork"), "with `hostNetwork` the admin port would be open on the node")
    if mapping(spec, "os", ("spec",)).get("name") == "windows":
        raise Unfit(("spec", "os"), "a Windows pod has no Unix socket that Envoy could call")
    _refuse_same_names(spec)
    found = list(_containers(spec))
    for path, each in found:
        _refuse_collision(path, each, options)
    names = [each.get("name") for _, each in found]
    if options.envoy_container not in names:
        told = ", ".join(f"`{name}`" for name in names) or "none"
        wanted = f"no container is named `{options.envoy_container}`, found {told}"
        raise Unfit(("spec", "containers"), f"{wanted}; name Envoy's by --envoy-container")


def _refuse_same_names(spec: Json) -> None:
    for path, each in _containers(spec):
        if each.get("name") == NAME:
            raise Unfit(path, f"has a container `{NAME}` that is none of ours; rename it")
    for index, each in enumerate(_list(spec, "volumes")):
        if each.get("name") in VOLUMES:
            raise Unfit(("spec", "volumes", index), f"has a volume `{each['name']}` that is none of ours; rename it")


def _refuse_collision(path: FieldPath, each: Json, options: Options) -> None:
    port, name = options.admin_port, each.get("name")
    if any(one.get("containerPort") == port for one in _list(each, "ports", path)):
        raise Unfit((*path, "ports"), f"container `{name}` uses port {port}; choose --admin-port")
    if any(IN_SOCKET_FOLDER.search(str(one.get("mountPath"))) for one in _list(each, "volumeMounts", path)):
        raise Unfit((*path, "volumeMounts"), f"container `{name}` mounts something at `{SOCKET_FOLDER}`")


def _containers(spec: Json) -> Iterator[tuple[FieldPath, Json]]:
    """Its own and then its initial ones, each with its path."""
    for name in ("containers", "initContainers"):
        for index, each in enumerate(_list(spec, name)):
            yield ("spec", name, index), each


def _list(parent: Json, name: str, path: FieldPath = ("spec",)) -> list[Json]:
    found = parent.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unfit((*path, name), f"`{name}` is no list of mappings")
    return found


def _put(parent: Json, name: str, value: Any) -> None:  # noqa: ANN401 - a list or a mapping
    """What is empty is left out, as it was before."""
    if value:
        parent[name] = value
    else:
        parent.pop(name, None)
