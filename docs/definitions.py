"""The page about the CustomResourceDefinitions: every field with its bounds and rules, as the cluster has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from extauthz.policy.schema import definitions

HEAD = """# CustomResourceDefinitions

What `extauthz crds` prints, as tables. A cluster holds objects to every rule below and answers with its message; it
refuses unknown fields, which `kubectl` asks for unless told otherwise. What each field means stands in
[policies](policy.md), how to install them in [the how-to](../how-to/crds.md).

`[]` stands for an entry of a list, `{}` for an entry of a map. Durations are Go style: `90s`, `1h30m`.
"""


def definition_page() -> str:
    """Every kind."""
    return "\n".join([HEAD, *(line for definition in definitions().values() for line in _kind(definition["spec"]))])


def _kind(spec: dict[str, Any]) -> Iterator[str]:
    names, (version,) = spec["names"], spec["versions"]
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"])
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    scope = "for the whole cluster" if spec["scope"] == "Cluster" else "in a namespace"
    yield f"## {names['kind']}"
    yield ""
    yield f"`{names['plural']}.{spec['group']}`, short `{names['shortNames'][0]}`, {scope}."
    yield f"`kubectl get` shows: {columns}."
    yield ""
    yield "| field | type | needed or default |"
    yield "|---|---|---|"
    yield from _rows(schema["spec"], "")
    yield ""
    yield "Rules:"
    yield ""
    yield from (f"- {where}: {message}" for where, message in dict.fromkeys(_rules(schema["spec"], "spec")))
    yield ""


def _rows(node: dict[str, Any], path: str) -> Iterator[str]:
    for name, part in node.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        default = "needed" if name in node.get("required", []) else _default(part)
        yield f"| `{where}` | {_type(part)} | {default} |"
        yield from _rows(part, where)
        for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
            yield from _rows(part.get(word, {}), where + mark)


def _default(part: dict[str, Any]) -> str:
    return f"`{json.dumps(part['default'])}`" if "default" in part else ""


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{word if isinstance(word, str) else json.dumps(word)}`" for word in part["enum"])
    match part.get("type"):
        case "array":
            return f"list{_bounds(part, 'Items')} of {_type(part['items'])}"
        case "object" if "additionalProperties" in part:
            return f"map{_bounds(part, 'Properties')} to {_type(part['additionalProperties'])}"
        case "string":
            return "text" + _bounds(part, "Length")
        case "integer":
            return f"whole number ({part['minimum']} to {part['maximum']})"
        case None:
            return f"whole number or text (at most {part['maxLength']})"
        case kind:
            return str(kind)


def _bounds(part: dict[str, Any], what: str) -> str:
    low, high = part.get(f"min{what}", 0), part[f"max{what}"]
    return f" ({low} to {high})" if low else f" (at most {high})"


def _rules(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"`{path}`", rule["message"]
    for name, part in node.get("properties", {}).items():
        yield from _rules(part, f"{path}.{name}")
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in node:
            yield from _rules(node[word], path + mark)
