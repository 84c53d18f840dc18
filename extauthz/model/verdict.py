"""What was decided, and on what ground. A denial is a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from extauthz.model.reason import Reason
from extauthz.model.step import Step, usual_step
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef, VerifiedToken


class Mode(Enum):
    """Whether a policy's denials are enforced, or only recorded."""

    ENFORCE = "Enforce"
    SHADOW = "Shadow"


@dataclass(frozen=True, slots=True, order=True)
class PolicyRef:
    """The AccessPolicy that decided."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Ground(NamedTuple):
    """What is known of a decision besides its outcome: for the log, the metrics and Envoy's dynamic metadata."""

    policy: PolicyRef | None = None
    rule: str | None = None
    mode: Mode = Mode.ENFORCE
    issuer: IssuerRef | None = None
    subject: str | None = None
    client: str | None = None
    token_hash: str | None = None
    """Sixteen hexadecimal digits of a keyed hash: tells two tokens apart in a log, leads back to none."""


NO_GROUND: Final = Ground()


class NoTruth:
    """INVARIANT: `if verdict:` would take a denial, which is an object too, for a yes. So asking raises."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise TypeError(f"{type(self).__name__} has no truth value: match on its kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """The parameters of a `WWW-Authenticate` challenge that depend on the rule (RFC 6750, 9728, 9470)."""

    realm: str = "extauthz"
    scopes: tuple[str, ...] = ()
    """All scopes that the request needs, in the policy's order."""
    resource_metadata: str | None = None
    """URL of the protected resource metadata (RFC 9728, section 5.1)."""
    acr_values: tuple[str, ...] = ()
    max_age: Seconds | None = None
    token_endpoint: bool = False
    """Whether a denial is told as a token endpoint tells it, in place of a challenge (RFC 6749, section 5.2)."""


@dataclass(frozen=True, slots=True)
class Refusal(NoTruth):
    """One step's no, before it is known for which policy and client it speaks."""

    reason: Reason
    detail: str
    """For the operator: what was found and what was wanted. Holds no token material and is never sent to the client."""
    issuer: IssuerRef | None = field(default=None, kw_only=True)
    """The issuer whose settings refused the token, when one was chosen."""
    token: VerifiedToken | None = field(default=None, kw_only=True, repr=False, compare=False)
    """The token, where it is known whose it is and only the time or the place does not accept it: for the log."""
    retry_after: Seconds | None = field(default=None, kw_only=True)
    at: Step | None = field(default=None, kw_only=True)
    """The step that refused, where it is not the usual one of the reason."""

    @property
    def step(self) -> Step:
        """The step of the decision that refused."""
        return usual_step(self.reason) if self.at is None else self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny(NoTruth):
    """The request is refused."""

    refusal: Refusal
    ground: Ground = NO_GROUND
    challenge: Challenge = Challenge()

    @property
    def reason(self) -> Reason:
        """Why."""
        return self.refusal.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow(NoTruth):
    """The request goes upstream, with these changes to it."""

    ground: Ground = NO_GROUND
    set_headers: tuple[tuple[str, str], ...] = ()
    """Overwritten, never appended."""
    remove_headers: tuple[str, ...] = ()
    remove_query: tuple[str, ...] = ()
    remaining: int | None = None
    """Uses left of the scarcest count that this request spent from; None when nothing was counted."""
    shadowed: Deny | None = None
    """In Shadow mode, the denial that would have been."""
    lasting: bool = field(default=False, compare=False, repr=False)
    """Whether this very object answers other requests too, so that what is made of it may be kept."""


Verdict: TypeAlias = Allow | Deny
