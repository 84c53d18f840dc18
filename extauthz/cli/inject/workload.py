"""Finds the pod that an object makes, and gives it a sidecar; what is not understood is refused, never passed on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from extauthz.cli.inject.sidecar import (
    NAME,
    SOCKET_FOLDER,
    SOCKET_VOLUME,
    Json,
    Options,
    container,
    socket_mount,
    volumes,
)
from extauthz.control.documents import Document
from extauthz.policy.problem import FieldPath

INJECT: Final = "extauthz.dev/inject"
"""The annotation of a pod that wants none: `"false"`."""
INJECTED: Final = "extauthz.dev/injected"
"""The annotation of a pod that has one, by which a second run knows its own work."""

_TEMPLATES: Final[dict[tuple[str, str], FieldPath]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
_OURS: Final = "extauthz-"


class Refused(Exception):
    """An object that cannot be given a sidecar."""

    def __init__(self, line: int, what: str, message: str) -> None:
        """Its line, its kind and name, and why."""
        super().__init__(message)
        self.line = line
        self.object = what
        self.message = message


def inject(document: Document, options: Options) -> tuple[Json, bool]:
    """The object with its sidecar and True; or as it was and False, when it makes no pods. Raises Refused."""
    raw = document.raw
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), str) for name in ("apiVersion", "kind")):
        raise Refused(document.line, "", "is no Kubernetes object: it has no `apiVersion` and `kind`")
    pod = _Pod(document, options)
    path = pod.template()
    if path is None:
        return raw, False
    return pod.injected(path)


class _Pod:
    """One object on its way to a sidecar."""

    def __init__(self, document: Document, options: Options) -> None:
        self._document = document
        self._options = options
        self._raw: Json = document.raw

    def template(self) -> FieldPath | None:
        """Where the pod is written; None in an object that makes none."""
        group, kind = self._raw["apiVersion"].rpartition("/")[0], self._raw["kind"]
        found = _TEMPLATES.get((group, kind))
        if found is not None:
            return found
        if kind.endswith("List") and "items" in self._raw:
            raise self._refused(("kind",), f"`{kind}` is not read; write its objects one by one, or as `kind: List`")
        if any(True for _ in _containers(self._raw)):
            known = ", ".join(sorted(name for _, name in _TEMPLATES))
            raise self._refused(
                ("kind",), f"`{group or 'v1'}/{kind}` holds containers and is not known; known are {known}"
            )
        return None

    def injected(self, path: FieldPath) -> tuple[Json, bool]:
        """A copy with the sidecar; or the object itself, when it wants none."""
        whole = copy.deepcopy(self._raw)
        template = whole
        for index, name in enumerate(path):
            template = self._mapping(template, name, path[: index + 1])
        metadata = template.setdefault("metadata", {}) or {}
        annotations = metadata.get("annotations") or {}
        if annotations.get(INJECT) == "false":
            return self._raw, False
        spec = self._mapping(template, "spec", (*path, "spec"))
        self._add(spec, (*path, "spec"), again=INJECTED in annotations)
        template["metadata"] = {**metadata, "annotations": {**annotations, INJECTED: NAME}}
        return whole, True

    def _add(self, spec: Json, path: FieldPath, *, again: bool) -> None:
        if spec.get("hostNetwork"):
            raise self._refused((*path, "hostNetwork"), "with `hostNetwork` the admin port would be open on the node")
        if (spec.get("os") or {}).get("name") == "windows":
            raise self._refused((*path, "os"), "a Windows pod has no Unix socket that Envoy could call")
        first = [self._list(spec, name, path) for name in ("initContainers", "containers")]
        if again:
            _remove(spec)
            first = [self._list(spec, name, path) for name in ("initContainers", "containers")]
        initial, own = first
        self._free(spec, path, [*initial, *own])
        envoys = [each for each in (*own, *initial) if each.get("name") == self._options.envoy_container]
        if not envoys:
            names = ", ".join(f"`{each.get('name')}`" for each in own)
            wanted = f"no container is named `{self._options.envoy_container}`, found {names}; name Envoy's by"
            raise self._refused((*path, "containers"), f"{wanted} --envoy-container")
        for each in envoys:
            each["volumeMounts"] = [*(each.get("volumeMounts") or []), socket_mount()]
        spec["initContainers"] = [container(self._options), *initial]
        spec["volumes"] = [*self._list(spec, "volumes", path), *volumes(self._options)]

    def _free(self, spec: Json, path: FieldPath, present: list[Json]) -> None:
        """Refuse what would collide with the sidecar."""
        if any(each.get("name") == NAME for each in present):
            raise self._refused(path, f"has a container `{NAME}` that is none of ours; rename it")
        taken = [str(each.get("name")) for each in self._list(spec, "volumes", path)]
        if any(name.startswith(_OURS) for name in taken):
            raise self._refused((*path, "volumes"), f"has a volume whose name begins with `{_OURS}`; rename it")
        port = self._options.admin_port
        for each in present:
            if any(one.get("containerPort") == port for one in each.get("ports") or []):
                raise self._refused(path, f"container `{each.get('name')}` uses port {port}; choose --admin-port")
            if any(one.get("mountPath") == SOCKET_FOLDER for one in each.get("volumeMounts") or []):
                raise self._refused(path, f"container `{each.get('name')}` mounts something at `{SOCKET_FOLDER}`")

    def _mapping(self, parent: Json, name: Any, path: FieldPath) -> Json:  # noqa: ANN401 - a part of a path
        found = parent.get(name)
        if not isinstance(found, dict):
            raise self._refused(path, f"`{'.'.join(map(str, path))}` is missing, or no mapping")
        return found

    def _list(self, spec: Json, name: str, path: FieldPath) -> list[Json]:
        found = spec.get(name) or []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self._refused((*path, name), f"`{name}` is no list of mappings")
        return found

    def _refused(self, path: FieldPath, message: str) -> Refused:
        metadata = self._raw.get("metadata") or {}
        names = [str(metadata[name]) for name in ("namespace", "name") if name in metadata]
        return Refused(self._document.line_of(path), f"{self._raw['kind']} {'/'.join(names)}".strip(), message)


def _remove(spec: Json) -> None:
    """Take out what an earlier run put in."""
    spec["initContainers"] = [each for each in spec.get("initContainers") or [] if each.get("name") != NAME]
    spec["volumes"] = [each for each in spec.get("volumes") or [] if not str(each.get("name")).startswith(_OURS)]
    for each in (*spec["initContainers"], *(spec.get("containers") or [])):
        mounts = each.get("volumeMounts") or []
        left = [mount for mount in mounts if mount.get("name") != SOCKET_VOLUME]
        if left:
            each["volumeMounts"] = left
        elif mounts:
            del each["volumeMounts"]


def _containers(value: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON of any shape
    """Whatever looks like the containers of a pod, however deep."""
    if isinstance(value, dict):
        found = value.get("containers")
        if isinstance(found, list) and any(isinstance(each, dict) and "image" in each for each in found):
            yield found
        for inner in value.values():
            yield from _containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _containers(inner)
