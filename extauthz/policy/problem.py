"""What is wrong with an object, in words that say where, what was found, what is allowed, and how to mend it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from extauthz.policy.hints import closest, of_field
from extauthz.policy.words import SHAPES

FieldPath = tuple[str | int, ...]
"""Where in an object: names and list indexes, from the top."""

_USER_INFORMATION: Final = re.compile(r"://[^/\s`\"]*@")
_HIDDEN: Final = frozenset({"jti", "tokenHash"})
"""Fields that tell one token from another: whoever reads a log has no use for them."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object by kind, namespace (empty for cluster scope) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Cause(Enum):
    """What kind of mistake it is: the `reason` of a condition."""

    INVALID = "Invalid"
    """The object says what cannot be."""
    CONFLICTED = "Conflicted"
    """An older policy matches the same."""
    HOST_NOT_GRANTED = "HostNotGranted"
    """The namespace may not claim the host."""
    TARGET_NOT_FOUND = "TargetNotFound"
    """No such Gateway or route in the policy's namespace, or no such section in it."""
    ISSUER_NOT_FOUND = "IssuerNotFound"
    """No such issuer."""
    ISSUER_INVALID = "IssuerInvalid"
    """The issuer has mistakes of its own."""
    ISSUER_NOT_ALLOWED = "IssuerNotAllowed"
    """The issuer is there, and not for this namespace."""
    REF_NOT_FOUND = "RefNotFound"
    """No such Secret or ConfigMap, or no such entry in it."""

    @property
    def of_reference(self) -> bool:
        """Whether the object itself is good, and what it refers to is not."""
        return self not in {Cause.INVALID, Cause.CONFLICTED, Cause.HOST_NOT_GRANTED, Cause.TARGET_NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Unmet:
    """What something cannot have, and why."""

    cause: Cause
    words: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one field of one object."""

    object: ObjectRef
    field: FieldPath
    message: str
    """What was found and what is allowed."""
    cause: Cause = Cause.INVALID

    def as_dict(self) -> dict[str, str | int]:
        """For machines."""
        return {"object": str(self.object), "field": dotted(self.field), "message": self.message}

    def __str__(self) -> str:
        return f"{self.object}: {dotted(self.field) or 'the object'}: {self.message}"


def first_of(mistakes: Sequence[object]) -> str:
    """What a denial says of one or more mistakes: the first, and how many there are besides."""
    rest = len(mistakes) - 1
    return f"{mistakes[0]}; and {rest} more (see `extauthz lint` or the status)" if rest else str(mistakes[0])


def dotted(path: FieldPath) -> str:
    """A field path as authors read it: `spec.rules[0].reuse.maxUses`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def problems_of(
    error: ValidationError, ref: ObjectRef, known: Mapping[FieldPath, Iterable[str]]
) -> tuple[Problem, ...]:
    """Every mistake that pydantic found, in our words. `known` has the field names of each object level for hints."""
    return tuple(
        Problem(
            ref, ("spec", *(step for step in detail["loc"] if step != "[key]")), message_of(detail, known, ref.kind)
        )
        for detail in error.errors(include_url=False)
        if not _echo_of_another(detail)
    )


def _echo_of_another(detail: ErrorDetails) -> bool:
    """A list whose items were refused is reported as too short as well: that says nothing new."""
    found = detail["input"]
    return detail["type"] == "too_short" and isinstance(found, list) and len(found) >= detail["ctx"]["min_length"]


def message_of(detail: ErrorDetails, known: Mapping[FieldPath, Iterable[str]], kind: str = "") -> str:
    """What is wrong by one of pydantic's errors in an object of a kind, and how to mend it, in our words.

    `known` as for `problems_of`.
    """
    hidden = not _HIDDEN.isdisjoint(detail["loc"])
    found, context = "a value that is not shown here" if hidden else shown(detail["input"]), detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return (
                f"{context['error']}" if isinstance(detail["input"], dict) else f"found `{found}`: {context['error']}"
            )
        case "unexpected_keyword_argument":
            return "unknown field" + of_field(kind, detail["loc"], known)
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return "is missing, and is needed"
        case "string_pattern_mismatch":
            return f"found `{found}`, allowed is {SHAPES.get(context['pattern'], context['pattern'])}"
        case "enum" | "literal_error":
            return f"found `{found}`, allowed is {str(context['expected']).replace(chr(39), '`')}"
        case "greater_than_equal" | "less_than_equal":
            return f"found `{found}`, allowed is {_bound(context)}"
        case "too_short" | "too_long":
            return f"has {context['actual_length']} entries, allowed is {_bound(context)}"
        case "string_too_short" | "string_too_long":
            return f"has {len(str(detail['input']))} characters, allowed is {_bound(context)}"
        case _:
            return f"found `{found}`, which is {kind_of(detail['input'])}: {_wanted(detail, known)}"


def shown(value: object) -> str:
    """A value as JSON, cut to a readable length, without the user information of a URL: that may be a password."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = _USER_INFORMATION.sub("://***@", text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _generic(path: FieldPath) -> FieldPath:
    return tuple(0 if isinstance(step, int) else step for step in path)


def _bound(context: Mapping[str, Any]) -> str:
    if "ge" in context or "min_length" in context:
        return f"at least {context.get('ge', context.get('min_length'))}"
    return f"at most {context.get('le', context.get('max_length'))}"


def kind_of(value: object) -> str:
    """What YAML made of a value, in words."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "nothing")


def _wanted(detail: ErrorDetails, known: Mapping[FieldPath, Iterable[str]]) -> str:
    """Of which kind the value must be, and how it is written."""
    found = detail["input"]
    match detail["type"]:
        case "tuple_type" | "list_type":
            return "a list is needed; write each entry after `- `, or all within `[` and `]`"
        case "dataclass_type" | "dict_type":
            return "names with values are needed" + closest("", known.get(_generic(detail["loc"]), ()))
        case "string_type" if isinstance(found, bool | int | float):  # YAML 1.1 reads `on`, `yes` or `1` so
            return "a text is needed; put it in quotes"
        case "int_type" | "bool_type" if isinstance(found, str):
            return f"{detail['msg'].lower()}; write it without quotes"
        case _:
            return detail["msg"].lower()
