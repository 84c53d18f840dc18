"""A condition in the Common Expression Language, type-checked when the policy is compiled.

`claims` is the token's claims, `request` has `method`, `host`, `path`, `query`, `headers` (lower-case names; values of
a repeated header joined by `,`) and `source` with `address` and `principal`. An expression that fails, for instance
because a claim is missing, refuses: `has(claims.x)` asks first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Final, TypeAlias

from cel_expr_python import cel
from pydantic import Field

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.words import checked

_ANY_MAP: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_ENVIRONMENT: Final = cel.NewEnv(variables={"claims": _ANY_MAP, "request": _ANY_MAP})

_FAILED: Final = "could not be evaluated"
_ASK: Final = "ask first for what a request may lack, as in `'x-a' in request.headers` or `has(claims.a)`"
# The runtime's own words.
_MISSING: Final = re.compile(r'NOT_FOUND: Key not found in map : "(.*)"', re.DOTALL)
_KINDS: Final = re.compile(r"UNKNOWN: No matching overloads found : ([\w@.!<>=+*/%&|?:\[\]-]+\([\w, .<>]*\))", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequireCel:
    """The expression must be true."""

    expression: str
    program: cel.Expression = field(repr=False, compare=False)

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `claim_refused` when the expression is false, fails, or needs too many steps."""
        try:
            found = self.program.eval(data={"claims": token.claims, "request": _request(view)})
        except RuntimeError:  # the runtime's own bounds, such as its budget of iterations
            found = None
        value = None if found is None else found.value()
        if value is True:
            return None
        how = "is false" if value is False else self._why_not(found)
        return Refusal(Reason.CLAIM_REFUSED, f"the condition `{self.expression[:200]}` {how}", at=Step.CONDITION)

    def _why_not(self, found: cel.Value | None) -> str:
        """Why it is neither true nor false. INVARIANT: no value of the request or the token."""
        if found is None:
            return f"{_FAILED} within the steps that it may take"
        if found.type() != cel.Type.ERROR:
            return "is neither true nor false, but another value"
        words = str(found.value())
        if (missing := _MISSING.fullmatch(words)) is not None:
            # What is looked up may have been computed, from a claim.
            lacks = f": there is no `{missing[1]}`" if missing[1] in self.expression else ": something is not there"
            return f"{_FAILED}{lacks}; {_ASK}"
        if (kinds := _KINDS.fullmatch(words)) is not None:
            return f"{_FAILED}: a value is of another kind than it is compared with (`{kinds[1]}`)"
        return f"{_FAILED}: a value in it is not as it must be, such as a text that is no time"


@lru_cache(maxsize=4096)
def compile_cel(expression: str) -> RequireCel:
    """Type-check an expression. Raises ValueError with the compiler's words, or when it yields no boolean."""
    try:
        program = _ENVIRONMENT.compile(expression)
    except RuntimeError as error:
        raise ValueError(f"the condition does not compile: {_first_line(error)}") from error
    kind = program.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise ValueError(f"the condition must be true or false, this one is of type `{kind.name().lower()}`")
    return RequireCel(expression, program)


Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096), checked(compile_cel)]
"""A CEL expression that is true or false."""


def _first_line(error: RuntimeError) -> str:
    return str(error).split("\n", 1)[0].removeprefix("INVALID_ARGUMENT: ERROR: <input>:").strip()


def _request(view: RequestView) -> dict[str, object]:
    return {
        "method": view.method,
        "host": view.host,
        "path": view.target.path,
        "query": view.target.query,
        "headers": {name: ",".join(values) for name, values in view.headers.items()},
        "source": {"address": view.source.address, "principal": view.source.principal},
    }
