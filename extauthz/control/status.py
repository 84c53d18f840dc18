"""From what is known of an object to the status it should have (API conventions, "Typical status properties").

Pure: the same facts give the same status. `lastTransitionTime` stays while a condition does not turn, so a status that
says nothing new is equal to the one that is there, and is not written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter

from extauthz.control.expiry import expires_of, over_from_the_start
from extauthz.control.literal import taken_literally
from extauthz.control.moments import exact, whole
from extauthz.control.objects import Written
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, read_instant
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.parse import ISSUER_KINDS, Broken, Parsed
from extauthz.policy.problem import Problem, dotted
from extauthz.policy.status import (
    AccessPolicyStatus,
    ConditionStatus,
    KeysStatus,
    TokenIssuerStatus,
    TokenRevocationStatus,
)

FETCH_STEP: Final = 600.0
"""Seconds; a later fetch alone is told only when it is so much later than the one that status tells."""

STATUS: Final[Mapping[str, type]] = {
    "AccessPolicy": AccessPolicyStatus,
    "TokenIssuer": TokenIssuerStatus,
    "ClusterTokenIssuer": TokenIssuerStatus,
    "TokenRevocation": TokenRevocationStatus,
}
"""The kinds that have a status of ours."""

_SHOWN: Final = 8
_MAX_KEYS: Final = 100
_MAX_KID: Final = 256

Word: TypeAlias = Literal["True", "False", "Unknown"]
Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """How many central replicas there are."""

    live: int
    as_it_stands: int
    """Those that serve the object as it stands."""
    unknown: int = 0
    """Those at a version that is not known (yet)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What is known of an issuer's keys."""

    usable: bool
    ids: tuple[str, ...] = ()
    fetched: Instant | None = None
    """None where keys are not fetched but written, and before the first success."""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the status of one object is made from."""

    item: Parsed | Broken
    written: Written
    problems: tuple[Problem, ...] = ()
    keys: Keys | None = None
    serving: Serving | None = None
    """None where replicas do not tell, as sidecars, or their Leases cannot be read."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A condition that is no longer what it was."""

    type: str
    status: Word
    reason: str
    message: str

    @property
    def bad(self) -> bool:
        """Whether somebody should look."""
        return self.status == "False"


@dataclass(frozen=True, slots=True)
class _Said:
    """A condition, before it is known since when."""

    type: str
    status: Word
    reason: str
    message: str


def keys_of(state: KeyState | None, now: Instant) -> Keys:
    """What the key ring knows, as far as status tells it."""
    if state is None:
        return Keys(usable=False)
    found = state.usable(now)
    ids = {key.kid for key in state.keys.keys if key.kid} if state.keys is not None else set()
    short = tuple(sorted(kid for kid in ids if len(kid) <= _MAX_KID)[:_MAX_KEYS])
    fetched = None if math.isinf(state.good_until) else state.fetched_at
    return Keys(found is not None, short if found is not None else (), fetched, state.problem)


def wanted(facts: Facts, now: Instant) -> dict[str, Any] | None:
    """The status as JSON, as a merge patch takes it; None when the object has it already."""
    before = facts.written.status
    status = _status(facts, now)
    found: dict[str, Any] = _adapter(facts.item.ref.kind).dump_python(status, by_alias=True, mode="json")
    ours = {condition["type"] for condition in found["conditions"]}
    found["conditions"] += [each for each in _conditions(before) if each["type"] not in ours]
    if all(_same(before.get(name), value) for name, value in found.items()):
        return None
    return found


def turned(before: Json, after: Json) -> tuple[Turn, ...]:
    """What turned. What holds from the start is no news, nor is what is not known."""
    known = {each["type"]: each.get("status") for each in _conditions(before)}
    found = (Turn(c["type"], c["status"], c["reason"], c["message"]) for c in _conditions(after))
    return tuple(
        turn
        for turn in found
        if turn.status != "Unknown"
        and known.get(turn.type) != turn.status
        and (turn.bad or known.get(turn.type) == "False")
    )


_Status: TypeAlias = AccessPolicyStatus | TokenIssuerStatus | TokenRevocationStatus


def _status(facts: Facts, now: Instant) -> _Status:
    stated = [_accepted(facts), _resolved(facts)]
    kind = facts.item.ref.kind
    if kind in ISSUER_KINDS:
        stated += [_ready(facts, stated), _fresh(facts, stated)]
        return TokenIssuerStatus(conditions=_since(stated, facts, now), keys=_keys(facts))
    if kind == "AccessPolicy":
        stated.append(_programmed(facts, stated))
        serving = facts.serving
        active = None if serving is None else f"{_serving(facts, serving)}/{serving.live}"
        return AccessPolicyStatus(conditions=_since(stated, facts, now), active=active)
    return TokenRevocationStatus(conditions=_since(stated, facts, now))


def _accepted(facts: Facts) -> _Said:
    own = [problem for problem in facts.problems if not problem.cause.of_reference]
    if own:
        return _Said("Accepted", "False", own[0].cause.value, _words(own))
    expires = expires_of(facts.item)
    if expires is not None and over_from_the_start(facts.item):
        told = f"{exact(expires)}, is not later than its creation, {exact(Instant(facts.item.created))}"
        words = f"it revokes nothing: `expires`, {told}. Write a later `expires`, or delete it wherever it is kept"
        return _Said("Accepted", "False", "Expired", words)
    noted = list(taken_literally([facts.item]))
    words = f"it has no mistakes; but {_words(noted)}" if noted else "it has no mistakes"
    return _Said("Accepted", "True", "Accepted", words)


def _resolved(facts: Facts) -> _Said:
    lost = [problem for problem in facts.problems if problem.cause.of_reference]
    if lost:
        return _Said("ResolvedRefs", "False", lost[0].cause.value, _words(lost))
    if isinstance(facts.item, Broken):
        words = "what it refers to is looked at once its mistakes are mended"
        return _Said("ResolvedRefs", "Unknown", "NotAccepted", words)
    return _Said("ResolvedRefs", "True", "ResolvedRefs", "all that it refers to is there")


def _programmed(facts: Facts, stated: Iterable[_Said]) -> _Said:
    unmet = next((each for each in stated if each.status != "True"), None)
    if unmet is not None:
        words = f"requests that it has mistakes about are denied; see `{unmet.type}`"
        return _Said("Programmed", "False", "NotAccepted" if unmet.type == "Accepted" else "RefsNotResolved", words)
    serving = facts.serving
    if serving is None:
        return _Said("Programmed", "Unknown", "NotReported", "no replica tells what it serves; sidecars never do")
    if serving.live == 0:
        return _Said("Programmed", "False", "NoReplicas", "no replica serves; look at the pods of `extauthz serve`")
    if _serving(facts, serving) < serving.live:
        words = "not every replica serves it yet; if that lasts, look at `/readyz` of the replicas"
        return _Said("Programmed", "False", "Pending", words)
    return _Said("Programmed", "True", "Programmed", "every replica serves it as it stands")


def _serving(facts: Facts, serving: Serving) -> int:
    """A replica at an unknown version is ahead of us, or was there before us. Where all served this generation already,
    it is taken for one that does."""
    before = {each["type"]: each for each in _conditions(facts.written.status)}.get("Programmed", {})
    already = before.get("status") == "True" and before.get("observedGeneration") == facts.written.generation
    return serving.as_it_stands + (serving.unknown if already else 0)


def _ready(facts: Facts, stated: Iterable[_Said]) -> _Said:
    unmet = next((each for each in stated if each.status != "True"), None)
    keys = facts.keys or Keys(usable=False)
    if unmet is not None:
        return _Said("Ready", "False", unmet.reason, f"its tokens are refused; see `{unmet.type}`")
    if _is_introspected(facts):
        return _Said("Ready", "True", "Introspected", "its endpoint is asked about its tokens")
    if keys.usable:
        return _Said("Ready", "True", "KeysUsable", "its tokens can be verified")
    if keys.problem is None:
        return _Said("Ready", "Unknown", "NotFetched", "its keys were not fetched yet")
    return _Said("Ready", "False", "KeysUnavailable", f"its tokens are denied with 503: {keys.problem}")


def _is_introspected(facts: Facts) -> bool:
    """Whether an endpoint says what its tokens are. Nobody asks it about no token, so whether it answers shows in the
    metrics of those that serve."""
    spec = facts.item.spec if isinstance(facts.item, Parsed) else None
    return isinstance(spec, TokenIssuerSpec) and spec.introspection is not None


def _fresh(facts: Facts, stated: Iterable[_Said]) -> _Said:
    keys = facts.keys or Keys(usable=False)
    if any(each.status != "True" for each in stated):
        return _Said("KeysFresh", "Unknown", "NotAccepted", "keys are fetched once its mistakes are mended")
    if _is_introspected(facts):
        return _Said("KeysFresh", "Unknown", "NoKeys", "it has none: its endpoint is asked about its tokens")
    if keys.problem is not None:
        so_long = "; the last good keys serve for now" if keys.usable else ""
        return _Said("KeysFresh", "False", "FetchFailed", f"{keys.problem}{so_long}")
    if not keys.usable:
        return _Said("KeysFresh", "Unknown", "NotFetched", "its keys were not fetched yet")
    return _Said("KeysFresh", "True", "Fetched", "the last fetch was good")


def _keys(facts: Facts) -> KeysStatus | None:
    keys = facts.keys
    if keys is None or not (keys.ids or keys.fetched):
        return None
    told = (facts.written.status.get("keys") or {}).get("lastFetched")
    before = read_instant(told)
    if keys.fetched is not None and before is not None and 0 <= keys.fetched - before < FETCH_STEP:
        return KeysStatus(ids=keys.ids, last_fetched=told)
    return KeysStatus(ids=keys.ids, last_fetched=None if keys.fetched is None else whole(keys.fetched))


def _since(stated: Iterable[_Said], facts: Facts, now: Instant) -> tuple[ConditionStatus, ...]:
    """The conditions, each with the time since when it is so."""
    before = {each["type"]: each for each in _conditions(facts.written.status)}
    return tuple(
        ConditionStatus(
            type=said.type,
            status=said.status,
            observed_generation=facts.written.generation,
            last_transition_time=_kept(before.get(said.type), said.status) or whole(now),
            reason=said.reason,
            message=said.message,
        )
        for said in stated
    )


def _kept(before: Json | None, status: Word) -> str | None:
    told = before.get("lastTransitionTime") if before is not None and before.get("status") == status else None
    return told if isinstance(told, str) and read_instant(told) is not None else None


def _words(problems: list[Problem]) -> str:
    shown = "; ".join(f"{dotted(each.field) or 'the object'}: {each.message}" for each in problems[:_SHOWN])
    rest = len(problems) - _SHOWN
    return f"{shown}; and {rest} more" if rest > 0 else shown


def _conditions(status: Json) -> list[Json]:
    found = status.get("conditions")
    return [each for each in found if isinstance(each, dict) and "type" in each] if isinstance(found, list) else []


def _same(before: object, after: object) -> bool:
    """Members that are null are not kept by an API server."""
    if isinstance(after, dict):
        known = before if isinstance(before, dict) else {}
        return before is not None and all(_same(known.get(name), value) for name, value in after.items())
    return before == after or (before is None and after == [])


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(STATUS[kind])
