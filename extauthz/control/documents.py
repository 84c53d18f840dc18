"""YAML texts as objects that know their lines: what an author wrote, before anything is made of it.

Read as kubectl reads it. What has two readings is refused: a name twice in one mapping, a name that is no text, tags of
one's own. Anchors, aliases and merge keys are read, within a budget, so that a small file cannot grow without bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from extauthz.control.scalars import Scalar, plain
from extauthz.policy.problem import FieldPath
from extauthz.policy.scope import tells_hosts

MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 64
MAX_FILE: Final = 4 * 1024 * 1024

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value")
)
_JWK_MEMBERS: Final = frozenset({"n", "y"})
# A list of hosts and nothing beside it: after it comes the end of its line, or of its mapping, or another name.
_NAME: Final = r"[\"']?\w+[\"']?\s*:"
_FLOW: Final = rf"\[([^\[\]]*)\][ \t]*(?=\s*\Z|#|\r?\n|\}}|,\s*{_NAME})"
_BLANK: Final = r"(?:[ \t]*(?:#[^\n]*|\r)?\n)"
_BLOCK: Final = rf"{_BLANK}++((?:[ \t]*-[ \t][^\n]*(?:\n|\Z){_BLANK}*+)++)(?=\s*(?:\Z|---|\.\.\.|(?:-[ \t]+)?{_NAME}))"
_NAMED: Final = re.compile(r"\bhosts[\"']?\s*:")
_HOSTS: Final = re.compile(rf"{_NAMED.pattern}[ \t]*(?:{_FLOW}|{_BLOCK})")
_ITEM: Final = re.compile(r"^[ \t]*-[ \t]+([^\n#]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text, or one document in it, cannot be read."""

    line: int
    message: str
    hosts: tuple[str, ...] | None = None
    """The hosts that the text which cannot be read speaks of; None when it holds policies and their hosts cannot be
    told either, or revocations."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object, and where its fields stand."""

    raw: Any
    line: int
    lines: Mapping[FieldPath, int] = field(repr=False)

    def line_of(self, path: FieldPath) -> int:
        """The line of a field, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def read_documents(data: bytes, *, cluster: bool = False) -> tuple[list[Document], Fault | None]:
    """The documents of a text up to the first fault, and that fault. What comes after a fault is unknown. With
    `cluster`, what is read here in another way than by kubectl is a fault too."""
    if len(data) > MAX_FILE:
        return [], Fault(1, f"the file has more than {MAX_FILE} bytes; divide it")
    documents: list[Document] = []
    text, end = data.decode("utf-8-sig", "replace"), 0
    try:
        data.decode("utf-8-sig")
        for root in yaml.compose_all(text, Loader=_Loader):
            documents.extend(_documents(root, cluster=cluster))
            end = root.end_mark.index
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, _Refused) as error:
        line, message = _why(error, data)
        return documents, Fault(line, message, _hosts_in(text[end:]))
    return documents, None


def _why(error: Exception, data: bytes) -> tuple[int, str]:
    match error:
        case _Refused():
            return error.line, str(error)
        case UnicodeDecodeError():
            return data.count(b"\n", 0, error.start) + 1, "the file is not UTF-8; save it as that"
        case yaml.MarkedYAMLError():
            mark = error.problem_mark or error.context_mark
            alias = "; a text that begins with `*` needs quotes" if error.context == "while scanning an alias" else ""
            return mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}{alias}"
        case RecursionError():
            return 1, "nested too deeply"
        case _:
            return 1, f"not YAML: {str(error).splitlines()[0]}"


def _hosts_in(text: str) -> tuple[str, ...] | None:
    """The hosts named in a text that cannot be read, as far as its lists after `hosts:` tell.

    INVARIANT: one that cannot be told is as good as all: a template not filled in, or UTF-16, which shows no word.
    """
    lower = text.lower()
    if "tokenrevocation" in lower or "\0" in text:
        return None
    lists = [flow.split(",") if flow else _ITEM.findall(block) for flow, block in _HOSTS.findall(text)]
    if max(lower.count("accesspolicy"), len(_NAMED.findall(text))) > len(lists):
        return None
    hosts = [host for listed in lists for each in listed if (host := each.strip(" \t\r\n\"'"))]
    if lists and not tells_hosts({"hosts": hosts}):
        return None
    return tuple(dict.fromkeys(hosts))


class _Refused(ValueError):
    """YAML that cannot be taken. The message says why."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


def _documents(root: yaml.Node, *, cluster: bool) -> Iterator[Document]:
    """The object of a document, or the objects of a `List`, as `kubectl get -o yaml` prints them."""
    reader = _Reader(cluster=cluster)
    raw = reader.read(root, (), 0)
    if raw is None:
        return
    items = raw.get("items") if isinstance(raw, dict) and raw.get("kind") == "List" else None
    if not isinstance(items, list):
        yield Document(raw, root.start_mark.line + 1, reader.lines)
        return
    for index, item in enumerate(items):
        prefix: FieldPath = ("items", index)
        lines = {path[2:]: line for path, line in reader.lines.items() if path[:2] == prefix}
        yield Document(item, lines.get((), 1), lines)


class _Reader:
    """Turns nodes into plain values and notes the line of each field."""

    def __init__(self, *, cluster: bool) -> None:
        self._cluster = cluster
        self.lines: dict[FieldPath, int] = {}
        self._left = MAX_NODES

    def read(self, node: yaml.Node, path: FieldPath, depth: int) -> Any:  # noqa: ANN401 - JSON of any shape
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _Refused(node, f"more than {MAX_NODES} values, or deeper than {MAX_DEPTH} levels")
        self.lines.setdefault(path, node.start_mark.line + 1)
        match node:
            case yaml.ScalarNode():
                return _scalar(node)
            case yaml.SequenceNode():
                return [self.read(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
            case yaml.MappingNode():
                return self._mapping(node, path, depth)
            case _:
                raise _Refused(node, "not a value, list or mapping")

    def _mapping(self, node: yaml.MappingNode, path: FieldPath, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                self._merge(value, path, depth, merged)
                continue
            name = _name(key, cluster=self._cluster)
            if name in own:
                hint = "" if path or name not in {"apiVersion", "kind"} else "; is a line `---` missing before it?"
                raise _Refused(key, f"`{name[:80]}` stands twice in one mapping{hint}")
            self.lines[*path, name] = key.start_mark.line + 1
            own[name] = self.read(value, (*path, name), depth + 1)
        return {**merged, **own}

    def _merge(self, node: yaml.Node, path: FieldPath, depth: int, into: dict[str, Any]) -> None:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(part, yaml.MappingNode):
                raise _Refused(part, "`<<` takes a mapping, or a list of them")
            for name, value in self._mapping(part, path, depth + 1).items():
                into.setdefault(name, value)


def _name(key: yaml.Node, *, cluster: bool) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise _Refused(key, "a name must be a text; a template such as `{{ x }}` is not filled in here")
    # A JWK has members of these names, and most tools that write YAML leave them bare. As a name they can mean nothing
    # else here; a cluster would take them for truth values.
    if key.value in _JWK_MEMBERS and not (cluster and not key.style):
        return str(key.value)
    value = _scalar(key)
    if not isinstance(value, str):
        raise _Refused(key, f"the name `{key.value[:80]}` is read as a {type(value).__name__}; put it in quotes")
    return value


def _scalar(node: yaml.ScalarNode) -> Scalar:
    if node.tag not in _TAGS:
        raise _Refused(node, f"the tag `{node.tag[:80]}` is not read here")
    text: str = node.value
    if node.style:
        return text
    try:
        return plain(text)
    except ValueError as error:
        raise _Refused(node, str(error)) from error
