"""From a spec to a structural schema: what apiextensions.k8s.io/v1 takes of OpenAPI v3.

A structural schema has one type for every value, no references, nothing unknown, and every rule in CEL. It is made
from the JSON schema that pydantic has of the dataclass, so a new field is in the CRD without another word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from math import ceil, prod
from typing import Any, Final

from pydantic import TypeAdapter

from extauthz.model.time import format_duration
from extauthz.policy.incluster import SHAPE
from extauthz.policy.ruled import LIST_KEY, PATTERN, RULES, UNION, exactly_one
from extauthz.policy.words import SHAPES

Schema = dict[str, Any]

INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_KEPT: Final = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "nullable", INT_OR_STRING,
)  # fmt: skip
"""The words of a schema that are taken over as they stand."""
_CHEAP: Final = 1_000_000
"""Up to this estimate a pattern is said in CEL too, for the sake of a message in words. An API server refuses a rule
that it estimates at ten times as much."""


def structural(spec: type) -> Schema:
    """The schema of a spec. Raises ValueError for a field that no structural schema can hold."""
    root = _root(spec)
    return _Maker(root.get("$defs", {})).value(root, ())


def _root(spec: type) -> Schema:
    """The JSON schema of a spec. pydantic finds the docstrings of a class's own fields only, so that those which it
    inherits are looked up where they stand."""
    root = TypeAdapter(spec).json_schema()
    for base in filter(is_dataclass, spec.__mro__[1:]):
        for name, part in TypeAdapter(base).json_schema()["properties"].items():
            if "description" in part:
                root["properties"][name].setdefault("description", part["description"])
    return root


class _Maker:
    """Makes schemas, with the definitions that references lead to."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def value(self, found: Schema, around: tuple[int, ...]) -> Schema:
        """The schema of one value; `around` has the most entries of each list and map that it stands in."""
        found = self._resolved(found)
        made: Schema = {"description": _description(found)}
        made |= {word: found[word] for word in _KEPT if word in found}
        made |= {"pattern": found[PATTERN]} if PATTERN in found else {}
        match found.get("type"):
            case "object" if "properties" in found:
                made |= self._object(found, around)
            case "object":
                made |= self._map(found, around)
            case "array":
                made["items"] = self.value(found["items"], (*around, found["maxItems"]))
                made |= _list_type(found)
            case "integer":
                made["format"] = "int64"
            case None if INT_OR_STRING not in found:
                raise ValueError(f"no structural schema holds {found}")
        rules = [*_of_its_kind(found, made, around), *map(_ordered, found.get(RULES, ()))]
        return made | ({"x-kubernetes-validations": rules} if rules else {})

    def _object(self, found: Schema, around: tuple[int, ...]) -> Schema:
        properties = {
            name: self._property(part, around) for name, part in found["properties"].items() if _in_cluster(part)
        }
        return {"properties": properties} | ({"required": found["required"]} if found.get("required") else {})

    def _property(self, part: Schema, around: tuple[int, ...]) -> Schema:
        default = _default(part)
        return self.value(part, around) | ({} if default is None else {"default": default})

    def _map(self, found: Schema, around: tuple[int, ...]) -> Schema:
        inner = found.get("additionalProperties") or next(iter(found.get("patternProperties", {}).values()), None)
        if not isinstance(inner, dict):
            raise ValueError(f"no structural schema holds an object of any shape: {found}")
        # Without `nullable`, an API server would drop an entry that is null: what it demands would be lost unsaid.
        return {"additionalProperties": self.value(inner, (*around, found["maxProperties"])) | {"nullable": True}}

    def _resolved(self, found: Schema) -> Schema:
        """With references followed, `null` left out, and the shape that a cluster takes."""
        said = {word: found[word] for word in ("description",) if word in found}
        if SHAPE in found:
            return self._resolved(found[SHAPE]) | said
        if "$ref" in found:
            return self._resolved(self._definitions[found["$ref"].rpartition("/")[2]]) | said
        if "anyOf" in found and INT_OR_STRING not in found:
            (one,) = (part for part in found["anyOf"] if part.get("type") != "null")
            return self._resolved(one) | said
        return found | ({"enum": [found["const"]]} if "const" in found else {})


def _description(found: Schema) -> str:
    """What the author of the field says, else what the value may be."""
    if "description" in found:
        return " ".join(found["description"].split())
    words = SHAPES.get(found.get("pattern", ""))
    return f"Allowed is {words}." if words else "One of the values listed." if "enum" in found else ""


def _list_type(found: Schema) -> Schema:
    if LIST_KEY not in found:
        return {"x-kubernetes-list-type": "atomic"}
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [found[LIST_KEY]]}


def _default(part: Schema) -> object:
    """A default that says something; an empty list or map is the same as none."""
    default = part.get("default")
    if isinstance(default, int | float) and str(part.get("title", "")).startswith("duration"):
        return format_duration(default)
    return None if default in ([], {}) and "$ref" not in part else default


def _in_cluster(part: Schema) -> bool:
    return all(SHAPE not in each or each[SHAPE] is not None for each in (part, *part.get("anyOf", ())))


def _in_words(found: Schema, around: tuple[int, ...]) -> Iterator[dict[str, str]]:
    """A pattern again in CEL, with a message in words, where the API server's estimate of the cost admits it."""
    pattern = found.get("pattern", "")
    if pattern in SHAPES and _estimate(pattern, found["maxLength"]) * prod(around) <= _CHEAP:
        yield {"rule": f"self.matches({_literal(pattern)})", "message": f"allowed is {SHAPES[pattern]}"}


def _ordered(rule: dict[str, str]) -> dict[str, str]:
    return {"rule": rule["rule"], "message": rule["message"]}


def _estimate(pattern: str, length: int) -> int:
    """What an API server takes the cost of `matches` to be: a tenth of the text times a quarter of the pattern."""
    return ceil((length + 1) / 10) * ceil(len(pattern) / 4)


def _literal(pattern: str) -> str:
    """A CEL literal that takes backslashes as they are."""
    quote = '"' if "'" in pattern else "'"
    return f"r{quote}{pattern}{quote}"


def _of_its_kind(found: Schema, made: Schema, around: tuple[int, ...]) -> Iterator[dict[str, str]]:
    """The rules that follow from what a value is."""
    yield from _in_words(found, around)
    members = [name for name in found.get(UNION, ()) if name in made["properties"]]
    if members:
        given = ", ".join(f"has(self.{name})" for name in members)
        yield {"rule": f"[{given}].filter(each, each).size() == 1", "message": exactly_one(members)}
    if "additionalProperties" in made:
        yield {"rule": "self.all(name, dyn(self[name]) != null)", "message": "an entry is null; remove it or say more"}
