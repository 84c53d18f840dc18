"""The fields of the specs, by path: for hints about misspelt names, and to tell fields from the entries of a map."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from extauthz.policy.problem import FieldPath
from extauthz.policy.ruled import shown_name

FieldNames: TypeAlias = Mapping[FieldPath, frozenset[str]]
"""The names of each object's fields; a list's entries stand under 0."""


@cache
def field_names(schema: type) -> FieldNames:
    """The field names of a spec and of every spec inside it."""
    names: dict[FieldPath, frozenset[str]] = {}
    _walk(schema, (), names)
    return names


def without_nulls(raw: Any, names: FieldNames, path: FieldPath = ()) -> Any:  # noqa: ANN401 - JSON of any shape
    """The same with fields left out that are null, as an API server reads them. Elsewhere, in a list, in a map or under
    an unknown name, a null is a mistake and stays."""
    if isinstance(raw, list):
        return [without_nulls(item, names, (*path, 0)) for item in raw]
    if not isinstance(raw, dict) or path not in names:
        return raw
    return {
        name: without_nulls(value, names, (*path, name))
        for name, value in raw.items()
        if value is not None or name not in names[path]
    }


def _walk(schema: object, path: FieldPath, names: dict[FieldPath, frozenset[str]]) -> None:
    if isinstance(schema, type) and dataclasses.is_dataclass(schema):
        fields = {shown_name(f.name): f.name for f in dataclasses.fields(schema)}
        names[path] = frozenset(fields)
        hints = get_type_hints(schema)
        for shown, name in fields.items():
            _walk(hints[name], (*path, shown), names)
        return
    inner = (*path, 0) if get_origin(schema) is tuple else path
    for part in get_args(schema):
        _walk(part, inner, names)
