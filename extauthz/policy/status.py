"""What the controller says about objects: their `status`, in the form of Kubernetes' API conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

from extauthz.policy.ruled import ApiServer
from extauthz.policy.words import STRICT, shaped

Stamp: TypeAlias = Annotated[str, Field(min_length=20, max_length=64), ApiServer(form="date-time")]
"""A time as RFC 3339 writes it."""

Generation: TypeAlias = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A value of `metadata.generation`."""

KeyId: TypeAlias = Annotated[str, Field(max_length=256, description="A `kid`.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionStatus:
    """One thing that holds or does not hold (metav1.Condition)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    type: Annotated[str, shaped(r"^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$", "a word in CamelCase", high=316)]
    """What it is about, such as `Accepted`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Generation
    """The `metadata.generation` of the spec that this was said about."""
    last_transition_time: Stamp
    """When `status` last changed."""
    reason: Annotated[str, shaped(r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "a word in CamelCase", high=1024)]
    """Why, in one word for machines."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people, and how to mend it."""


Conditions: TypeAlias = Annotated[tuple[ConditionStatus, ...], Field(max_length=16), ApiServer(list_key="type")]
"""At most one of each type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicyStatus:
    """What became of a policy."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    conditions: Conditions = ()
    """`Accepted`: it has no mistakes. `ResolvedRefs`: all that it refers to is there. `Programmed`: both, and every
    replica serves it."""
    active: Annotated[str, shaped(r"^[0-9]{1,6}/[0-9]{1,6}$", "two numbers, such as `3/3`", high=13)] | None = None
    """How many replicas serve it as it stands, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysStatus:
    """What is known of an issuer's keys."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    ids: Annotated[tuple[KeyId, ...], Field(max_length=100)] = ()
    """The ids (`kid`) of the usable keys."""
    last_fetched: Stamp | None = None
    """When they were last fetched with success, to within ten minutes; absent where they are not fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuerStatus:
    """What is known of an issuer."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    conditions: Conditions = ()
    """`Accepted`, `ResolvedRefs`; `Ready`: its tokens can be verified; `KeysFresh`: its keys were fetched lately."""
    keys: KeysStatus | None = None
    """Its keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevocationStatus:
    """What became of a revocation."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    conditions: Conditions = ()
    """`Accepted`: it has no mistakes, and was not over before it was created. `ResolvedRefs`: its issuer is there."""
