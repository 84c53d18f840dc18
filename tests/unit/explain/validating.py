"""Validates JSON by the keywords of JSON Schema that our schemas use; any other keyword is a mistake of the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip
_SAID = {"$schema", "$defs", "title", "description", "default"}
_KNOWN = _SAID | {"$ref", "anyOf", "enum", "type", "properties", "required", "additionalProperties", "items"}


def invalid(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str = "$") -> Iterator[str]:
    """Every place where the value is not as the schema says."""
    assert schema.keys() <= _KNOWN, f"{path}: the schema says more than is understood: {schema.keys() - _KNOWN}"
    if "$ref" in schema:
        yield from invalid(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, path)
    if "anyOf" in schema and all(list(invalid(value, each, root, path)) for each in schema["anyOf"]):
        yield f"{path}: none of several"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not listed"
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{path}: no {kind}"
    elif kind == "array":
        for at, item in enumerate(value):
            yield from invalid(item, schema["items"], root, f"{path}[{at}]")
    elif kind == "object":
        yield from _object(value, schema, root, path)


def _object(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema["additionalProperties"]
    yield from (f"{path}: lacks {name}" for name in schema.get("required", ()) if name not in value)
    for name, inner in value.items():
        if name in known:
            yield from invalid(inner, known[name], root, f"{path}.{name}")
        elif isinstance(others, dict):
            yield from invalid(inner, others, root, f"{path}.{name}")
        else:
            yield f"{path}: {name} is not allowed"
