"""Where a folder takes more than a Kubernetes API server can: short forms, files, JSON of any shape.

A structural schema gives every field one type, and a cluster has no files beside its objects. A field that a folder
reads in further forms names the one form that a cluster takes; the CRD has that one, and `extauthz lint --cluster` and
the Kubernetes source hold objects to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

CLUSTER: Final = "cluster"
"""The context of a validation that holds an object to what a cluster takes."""
SHAPE: Final = "x-in-cluster"
"""Where a JSON schema holds the shape that the CRD has in its place; None where the CRD lacks the field."""


@dataclass(frozen=True, slots=True)
class InCluster:
    """Marks a field: in a cluster its value has this shape."""

    shape: Any
    """A type, or None where a cluster does not have the field."""
    instead: str
    """What to write in a cluster."""
    _adapter: TypeAdapter[Any] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", None if self.shape is None else TypeAdapter(self.shape))

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(self._hold, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        found[SHAPE] = None if self._adapter is None else _inlined(self._adapter.json_schema(), {})
        return found

    def _hold(self, value: object, info: ValidationInfo) -> object:
        if info.context != CLUSTER:
            return value
        if self._adapter is None:
            raise ValueError(f"a cluster has no such field; {self.instead}")
        try:
            self._adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            (first, *_) = error.errors()
            if first["loc"] or first["type"] == "value_error":
                raise
            raise ValueError(f"a cluster takes another form; {self.instead}") from error
        return value


def _inlined(schema: Any, definitions: JsonSchemaValue) -> Any:  # noqa: ANN401 - JSON of any shape
    """The same schema without references, which lead nowhere once it stands inside another."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    definitions = schema.get("$defs", definitions)
    target = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    return {
        word: _inlined(part, definitions) for word, part in (target | schema).items() if word not in {"$ref", "$defs"}
    }
