"""What only an issuer's endpoint can say about a token (RFC 7662): the question, and the answers to it.

The core asks by returning an `Ask`, and is called again with the answer; whoever calls it does the I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from extauthz.model.encoding import Json
from extauthz.model.time import Seconds
from extauthz.model.token import ACCESS_TOKEN, IssuerRef
from extauthz.model.verdict import NoTruth


class Question(NamedTuple):
    """Whether an issuer calls a token active. Its repr shows nothing of the token."""

    issuer: IssuerRef
    endpoint: str
    """The URL that the rule's issuer names. Whoever asks must ask there and nowhere else."""
    token: str
    hint: str = ACCESS_TOKEN
    """What kind of token the endpoint is to look for first (RFC 7662, section 2.1)."""

    def __repr__(self) -> str:
        return f"Question(issuer={self.issuer!s}, endpoint={self.endpoint!r})"


@dataclass(frozen=True, slots=True)
class Ask(NoTruth):
    """The decision needs an answer from outside."""

    question: Question


@dataclass(frozen=True, slots=True, eq=False)
class Active(NoTruth):
    """The endpoint says that the token is active, and this about it."""

    claims: Mapping[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inactive(NoTruth):
    """The endpoint says that the token is not active; it never says why (RFC 7662, section 2.2)."""


@dataclass(frozen=True, slots=True)
class Unanswered(NoTruth):
    """Nobody knows: the endpoint is away, slow or not to be understood, or there was no room to ask."""

    detail: str
    """For the operator: what, and how to mend it. Holds no token and no secret."""
    retry_after: Seconds | None = None
    of_this_token: bool = False
    """Whether it may be about this one token: then it says nothing of how the endpoint does."""


Answer: TypeAlias = Active | Inactive | Unanswered


class Answered(NamedTuple):
    """An answer, and the question that it is for."""

    question: Question
    answer: Answer
