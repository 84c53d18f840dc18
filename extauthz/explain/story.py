"""What a story holds. The JSON of `extauthz explain`, and its schema, are made from these classes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from extauthz.model.step import Step

_TOLD: Final = ConfigDict(
    alias_generator=to_camel, extra="forbid", use_attribute_docstrings=True, serialize_by_alias=True
)


class Outcome(Enum):
    """What became of a step."""

    PASSED = "passed"
    REFUSED = "refused"
    SKIPPED = "skipped"
    """Not asked: the request was refused before, or the rule does not want it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldStep:
    """One step of the decision."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    name: Step
    """The word that the decision log has as `step`."""
    outcome: Outcome
    """What became of it."""
    found: str = ""
    """What the request or token has."""
    wanted: str = ""
    """What the policy or issuer wants."""
    note: str = ""
    """Of a refused step: why, and which setting would let the request in. The decision log has it as `detail`."""
    issuer: str = ""
    """The issuer object that asks. Where several share one `iss`, each is asked until one accepts the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRule:
    """One rule that the request might have been for."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    policy: str
    """`namespace/name`."""
    rule: str
    """Its name in the policy."""
    taken: bool
    """Whether it is the one that decides."""
    matches: str
    """What it matches, where it comes closest to the request."""
    why: str = ""
    """Why it was not taken."""
    broken: str = ""
    """The mistake because of which it can only refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldSpend:
    """One count that the request draws on."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    label: str
    """Its name in the policy."""
    kind: str
    """`use` of a token, `rate` of requests, `bind` of a token to its caller, `room` for its keys in the store, or
    `mark` of a family that is revoked."""
    outcome: Outcome
    """Whether this request is within it."""
    limit: int | None = None
    """How many it allows; none for `bind` and `mark`."""
    window: float | None = None
    """In how many seconds; none where it is in the whole life of the token, or in the store at one time."""
    left: int | None = None
    """How many were left before this request."""
    left_after: int | None = None
    """How many would be left after it."""
    retry_after: float | None = None
    """After how many seconds a refused one is possible again; none where waiting does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRequest:
    """The request, as far as it may be shown: no header values and no query."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    method: str
    host: str
    path: str
    """In canonical form, as rules are matched."""
    headers: tuple[str, ...]
    """The names."""
    source_address: str = ""
    source_principal: str = ""
    pinned_policy: str = ""
    """The policy that the route pins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldVerdict:
    """How it ended."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    decision: str
    """`allow`, `deny`, or `shadow_deny`: admitted, because the policy only records its denials."""
    reason: str = ""
    """Why it is denied, in the word of the decision log."""
    step: Step | None = None
    """The step that refused."""
    detail: str = ""
    """What was found and what was wanted. The client never sees it."""
    mode: str = ""
    policy: str = ""
    rule: str = ""
    issuer: str = ""
    subject: str = ""
    client: str = ""
    token: str = ""
    """The digits that stand for the token in the decision log."""
    remaining: int | None = None
    """What would be left of the scarcest count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldResponse:
    """What Envoy is told to do."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    status: int
    """What the client gets; 200 when the request goes upstream."""
    headers: dict[str, str]
    """Of a denial: the headers that the client gets."""
    body: str = ""
    """Of a denial: what the client reads."""
    set_headers: tuple[str, ...] = ()
    """Of an admission: the names of headers that are set on the request. Their values are the token's: not shown."""
    remove_headers: tuple[str, ...] = ()
    remove_query: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The whole story, in the order in which it happened."""

    __pydantic_config__: ClassVar[ConfigDict] = _TOLD
    at: str
    """The time that was decided for, RFC 3339 in UTC."""
    snapshot: str
    """Version of the policies in force; empty when none are loaded."""
    request: ToldRequest | None = None
    """None when it could not be read."""
    rules: tuple[ToldRule, ...]
    """The rule that decides, and those that come closest, the closest first."""
    more_rules: int
    """How many rules are not told."""
    steps: tuple[ToldStep, ...]
    spends: tuple[ToldSpend, ...]
    verdict: ToldVerdict
    response: ToldResponse
    notes: tuple[str, ...] = ()
    """What else there is to know about this story."""


SCHEMA: Final = TypeAdapter[Story](Story)
"""Writes a story as JSON, reads one, and makes the schema."""


def as_json(story: Story) -> bytes:
    """The story for machines."""
    return SCHEMA.dump_json(story, indent=2, exclude_none=True)
