"""Reads structural schemas as an API server does: drops nulls, fills in defaults, then checks shapes and CEL rules.

It stands in where no API server can be started; `tests/cluster` asks a real one the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import re2
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

Schema = Mapping[str, Any]
Found = tuple[str, str]
"""A path, and what is wrong there."""

_ENVIRONMENT = cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip


def mistakes(schema: Schema, raw: Any, path: str) -> list[Found]:
    """What is wrong with a value. As from an API server, rules are asked only where all shapes are right."""
    value = copy.deepcopy(raw)
    _fill(schema, value)
    found = list(_shapes(schema, value, path))
    blocking = any(not message.startswith("pattern") for _, message in found)
    return found if blocking else found + list(_rules(schema, value, path))


def _fill(schema: Schema, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _fill(schema.get("items", {}), item)
    if not isinstance(value, dict):
        return
    for name, part in _parts(schema, value):
        if value.get(name) is None and not part.get("nullable"):
            value.pop(name, None)
            if "default" in part:
                value[name] = copy.deepcopy(part["default"])
        if name in value:
            _fill(part, value[name])


def _parts(schema: Schema, value: Mapping[str, Any]) -> list[tuple[str, Schema]]:
    """The schema of each field or entry."""
    if "properties" in schema:
        return list(schema["properties"].items())
    inner = schema.get("additionalProperties")
    return [] if inner is None else [(name, inner) for name in value]


def _shapes(schema: Schema, value: Any, path: str) -> Iterator[Found]:
    if value is None and schema.get("nullable"):
        return
    kind = "integer" if isinstance(value, int) and "type" not in schema else schema.get("type", "string")
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield path, f"must be of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield path, f"allowed is {schema['enum']}"
    match value:
        case str():
            yield from _bounded(schema, len(value), path, "Length")
            if "pattern" in schema and re2.search(schema["pattern"], value) is None:
                yield path, f"pattern {schema['pattern']}"
        case int() if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield path, "is out of range"
        case list():
            yield from _bounded(schema, len(value), path, "Items")
            for index, item in enumerate(value):
                yield from _shapes(schema["items"], item, f"{path}[{index}]")
        case dict():
            yield from _shapes_inside(schema, value, path)
        case _:
            pass


def _shapes_inside(schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Found]:
    parts = dict(_parts(schema, value))
    yield from _bounded(schema, len(value), path, "Properties")
    yield from ((f"{path}.{name}", "is missing") for name in schema.get("required", ()) if name not in value)
    yield from ((f"{path}.{name}", "unknown field") for name in value if name not in parts)
    for name, part in parts.items():
        if name in value:
            yield from _shapes(part, value[name], f"{path}.{name}")


def _bounded(schema: Schema, length: int, path: str, what: str) -> Iterator[Found]:
    if not schema.get(f"min{what}", 0) <= length <= schema.get(f"max{what}", length):
        yield path, f"{length} are too few or too many"


def _rules(schema: Schema, value: Any, path: str) -> Iterator[Found]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _holds(rule["rule"], value):
            yield path, rule["message"]
    match value:
        case list():
            for index, item in enumerate(value):
                yield from _rules(schema["items"], item, f"{path}[{index}]")
        case dict():
            for name, part in _parts(schema, value):
                if name in value:
                    yield from _rules(part, value[name], f"{path}.{name}")
        case _:
            pass


def _holds(rule: str, value: Any) -> bool:
    """A rule that cannot be evaluated does not hold."""
    try:
        return _compiled(rule).eval(data={"self": value}).value() is True
    except RuntimeError:
        return False


@lru_cache(maxsize=1024)
def _compiled(rule: str) -> cel.Expression:
    return _ENVIRONMENT.compile(rule)
