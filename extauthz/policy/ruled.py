"""Rules over fields, written once for both who check objects: the parser here, and a Kubernetes API server.

A CustomResourceDefinition states its rules in CEL (`x-kubernetes-validations`), the parser runs Python. Each rule has
both forms side by side and one message, which says how to mend the mistake.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

RULES: Final = "x-kubernetes-validations"
"""Where a schema holds its rules."""
PATTERN: Final = "x-pattern"
"""A pattern for the API server alone, where the parser has a check with better words."""
UNION: Final = "x-union"
"""The members of which exactly one is set."""

LIST_KEY: Final = "x-list-key"
"""The field that tells the entries of a list apart."""


@dataclass(frozen=True, slots=True)
class CelRule:
    """One rule over an object."""

    cel: str
    """True for a good object, which is `self`."""
    message: str
    """What is wrong and how to mend it. The same from both."""
    breach: Callable[[Any], bool | str]
    """True for a bad object, or the name that makes it bad."""

    def check(self, spec: object) -> None:
        """Raise ValueError with the message when `spec` breaks the rule."""
        found = self.breach(spec)
        if found:
            raise ValueError(self.message if found is True else f"{self.message}; found `{found}`")


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Marks a field: how the API server checks what a validator checks here."""

    pattern: str | None = None
    rules: tuple[tuple[str, str], ...] = ()
    """CEL and message."""
    form: str | None = None
    """A `format` that it knows."""
    list_key: str | None = None
    """The field that tells the entries of a list apart."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return self.amend(handler(schema))

    def amend(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        """The schema of a field, with what the API server needs to know."""
        own = [*schema.get(RULES, ()), *(_shown(*rule) for rule in self.rules)]
        more = {PATTERN: self.pattern, "format": self.form, LIST_KEY: self.list_key}
        return {**schema, RULES: own} | {word: part for word, part in more.items() if part is not None}


class Ruled:
    """Mixin for specs: what the CRD needs to know besides the fields, and the check of the rules."""

    __slots__ = ()
    cel_rules: ClassVar[tuple[CelRule, ...]] = ()

    def __post_init__(self) -> None:
        for rule in self.cel_rules:
            rule.check(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        target = handler.resolve_ref_schema(found)
        target[RULES] = [_shown(rule.cel, rule.message) for rule in cls.cel_rules]
        for name, value in _made_defaults(cls).items():
            target["properties"][name]["default"] = value
        return found


class Union(Ruled):
    """Mixin for unions: exactly one of the fields named by `members` is set."""

    __slots__ = ()
    members: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        found = [to_camel(name) for name in self.members if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(f"{exactly_one(map(to_camel, self.members))}, found {' and '.join(found) or 'none'}")
        Ruled.__post_init__(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = super().__get_pydantic_json_schema__(schema, handler)
        handler.resolve_ref_schema(found)[UNION] = [to_camel(name) for name in cls.members]
        return found


def exactly_one(names: Iterable[str]) -> str:
    """The demand of a union, in words."""
    return f"exactly one of {', '.join(f'`{name}`' for name in names)} is needed"


def _shown(cel: str, message: str) -> dict[str, str]:
    return {"rule": cel, "message": message}


def _made_defaults(cls: type) -> Mapping[str, object]:
    """The defaults that pydantic leaves out: specs made by a factory, as authors would write them."""
    if not dataclasses.is_dataclass(cls):  # the mixins themselves
        return {}
    made = {
        field.name: field.default_factory()
        for field in dataclasses.fields(cls)
        if field.default_factory is not dataclasses.MISSING
    }
    return {shown_name(name): _said(spec) for name, spec in made.items() if dataclasses.is_dataclass(spec)}


def _said(spec: Any) -> dict[str, object]:  # noqa: ANN401 - a spec of any class
    """The fields of a spec that are not at their own defaults."""
    found = {field.name: (getattr(spec, field.name), field.default) for field in dataclasses.fields(spec)}
    return {
        shown_name(name): value
        for name, (value, default) in found.items()
        if default is not dataclasses.MISSING and value != default
    }


def shown_name(name: str) -> str:
    """A field's name as authors write it; `from_` is `from`, which Python keeps for itself."""
    return to_camel(name).rstrip("_")
