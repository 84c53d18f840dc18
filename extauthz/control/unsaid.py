"""Fields that were written and left empty: a template that filled nothing in, or lines that were commented out.

They count as left out, as an API server has it, and that may widen what their author meant to narrow: `reuse:` with
nothing after it limits nothing. So they are no mistake, and noted.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, Final

from extauthz.policy.fields import FieldNames, field_names
from extauthz.policy.parse import KINDS
from extauthz.policy.problem import FieldPath
from extauthz.policy.spec import AccessPolicySpec

_WIDER: Final = {
    "match": "the rule takes every request on the policy's hosts",
    "methods": "every method is taken",
    "path": "every path is taken",
    "require": "nothing is demanded of the token",
    "scopes": "no scope is demanded",
    "roles": "no role is demanded",
    "claims": "nothing is demanded of claims",
    "cel": "no condition is demanded",
    "reuse": "a token may be used as often as anybody likes",
    "bindTo": "tokens are tied to nobody",
    "limits": "nothing is limited",
}
"""What narrows a rule, and what comes of it where it is empty."""


def unsaid(raw: Any) -> tuple[tuple[FieldPath, str], ...]:  # noqa: ANN401 - a document, whatever it holds
    """Each such field, and what comes of it. Nothing of what is no object of ours."""
    kind, spec = (raw.get("kind"), raw.get("spec")) if isinstance(raw, dict) else (None, None)
    schema = KINDS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        return ()
    wider = _WIDER if schema is AccessPolicySpec else {}
    return tuple(
        (("spec", *path), _words(wider.get(name, ""))) for path, name in _empty(spec, field_names(schema), wider)
    )


def _empty(
    value: Any,  # noqa: ANN401
    names: FieldNames,
    wider: Container[str],
    path: FieldPath = (),
) -> Iterator[tuple[FieldPath, str]]:
    """The path and the name of each field that is null, and of each list or object that narrows nothing."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            if each == {} and path[-1:] == ("match",):
                yield (*path, index), "match"
            yield from _empty(each, names, wider, (*path, index))
        return
    known = names.get(tuple(0 if isinstance(step, int) else step for step in path))
    for name, each in value.items() if isinstance(value, dict) and known is not None else ():
        if each is None or (each in ([], {}) and name in wider):
            yield (*path, name), name
        else:
            yield from _empty(each, names, wider, (*path, name))


def _words(comes: str) -> str:
    return f"is empty, so {comes or 'it counts as left out'}; fill it in, or remove it"
