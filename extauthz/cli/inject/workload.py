"""Finds the pod that an object makes, for its sidecar; what is not understood is refused, never passed on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from extauthz.cli.inject.pod import Unfit, add, is_injected, remove, spec_of, wants_none
from extauthz.cli.inject.sidecar import Json, Options
from extauthz.control.documents import Document
from extauthz.policy.problem import FieldPath

_TEMPLATES: Final[dict[tuple[str, str], FieldPath]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}


class Refused(Exception):
    """An object that cannot be given a sidecar."""

    def __init__(self, line: int, what: str, message: str) -> None:
        """Its line, its kind and name, and why."""
        super().__init__(message)
        self.line = line
        self.object = what
        self.message = message


def inject(document: Document, options: Options) -> tuple[Json, bool]:
    """The object with its sidecar and True; or as it was and False, when it makes no pods or wants none. Raises
    Refused."""

    def give(template: Json) -> bool:
        if wants_none(template):
            return False
        add(template, options)
        return True

    return _changed(document, give)


def eject(document: Document) -> tuple[Json, bool]:
    """The object without the sidecar that an earlier run gave it and True; or as it was and False. Raises Refused."""

    def take(template: Json) -> bool:
        if not is_injected(template):
            return False
        remove(template)
        return True

    return _changed(document, take)


def spec(document: Document) -> Json | None:
    """The spec of the pod that an object makes; None when it makes none, or one without a sidecar. Raises Refused."""
    found: list[Json] = []

    def look(template: Json) -> bool:
        found.append({} if wants_none(template) else spec_of(template))
        return False

    _changed(document, look)
    return next(filter(None, found), None)


def _changed(document: Document, change: Callable[[Json], bool]) -> tuple[Json, bool]:
    raw = document.raw
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), str) for name in ("apiVersion", "kind")):
        raise Refused(document.line, "", "is no Kubernetes object: it has no `apiVersion` and `kind`")
    path = _TEMPLATES.get((_group(raw), raw["kind"]))
    if path is None:
        _refuse_unknown(document)
        return raw, False
    whole = copy.deepcopy(raw)
    try:
        done = change(_template(whole, path))
    except Unfit as why:
        raise _refused(document, (*path, *why.path), why.message) from why
    except _Missing as why:
        raise _refused(document, why.path, f"`{'.'.join(map(str, why.path))}` is missing, or no mapping") from why
    return (whole, True) if done else (raw, False)


class _Missing(Exception):
    """A part on the way to the template that is not there."""

    def __init__(self, path: FieldPath) -> None:
        super().__init__()
        self.path = path


def _template(whole: Json, path: FieldPath) -> Json:
    found: Any = whole
    for index, name in enumerate(path):
        found = found.get(name)
        if not isinstance(found, dict):
            raise _Missing(path[: index + 1])
    return found  # type: ignore[no-any-return]


def _refuse_unknown(document: Document) -> None:
    raw = document.raw
    group, kind = _group(raw), raw["kind"]
    if kind.endswith("List") and "items" in raw:
        raise _refused(document, ("kind",), f"`{kind}` is not read; write its objects one by one, or as `kind: List`")
    if any(True for _ in _containers(raw)):
        known = ", ".join(sorted(name for _, name in _TEMPLATES))
        raise _refused(
            document, ("kind",), f"`{group or 'v1'}/{kind}` holds containers and is not known; known are {known}"
        )


def _refused(document: Document, path: FieldPath, message: str) -> Refused:
    metadata = document.raw.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    names = [str(known[name])[:253] for name in ("namespace", "name") if name in known]
    return Refused(document.line_of(path), f"{document.raw['kind']} {'/'.join(names)}".strip(), message)


def _group(raw: Json) -> str:
    return str(raw["apiVersion"]).rpartition("/")[0]


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
