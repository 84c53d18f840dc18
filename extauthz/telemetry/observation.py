"""One answered Check, as metrics and the decision log see it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from extauthz.model.request import Glimpse, RequestView
from extauthz.model.time import Instant, Seconds
from extauthz.model.verdict import Deny, Verdict


class SpendOutcome(Enum):
    """What the store said to the request's spends."""

    COMMITTED = "committed"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    NONE = "none"
    """Nothing was to be counted, or it did not come to that."""


class FamilyOutcome(Enum):
    """What became of the family of a token that was used again."""

    REVOKED = "revoked"
    FAILED = "failed"
    """The store could not mark it: the request was denied all the same, and the next use again tries it anew."""
    NONE = "none"
    """Nothing was to be revoked."""


class Decision(Enum):
    """What became of the request, in one word; of a line that an operator caused, what was done."""

    ALLOW = "allow"
    DENY = "deny"
    SHADOW_DENY = "shadow_deny"
    """Admitted, because the policy only records its denials."""
    FORGET = "forget"
    """No request: an operator let a token be used as if it had not been (`extauthz store forget`)."""


class Observation(NamedTuple):
    """One answered Check. What stands here of the request may have been chosen by an attacker."""

    verdict: Verdict
    seconds: Seconds
    """How long the answer took in all."""
    at: Instant
    method: str = ""
    host: str = ""
    path: str = ""
    """In canonical form, without the query: a query may hold a token."""
    request_id: str = ""
    """The client-visible `x-request-id`."""
    stream_id: str = ""
    """Envoy's own id of the request."""
    source_address: str = ""
    traceparent: str = ""
    """The header of W3C Trace Context (section 3.2), as sent; empty when absent or sent twice."""
    spends: SpendOutcome = SpendOutcome.NONE
    snapshot_version: str = ""
    """Which policies were loaded; empty for none."""
    family: FamilyOutcome = FamilyOutcome.NONE
    waited: Seconds = Seconds(0.0)
    """For how long of that the store was waited for."""

    @classmethod
    def of(  # noqa: PLR0913 - all that is seen of an answer
        cls,
        verdict: Verdict,
        view: RequestView | Glimpse | None,
        *,
        spends: SpendOutcome,
        seconds: Seconds,
        at: Instant,
        snapshot_version: str = "",
        family: FamilyOutcome = FamilyOutcome.NONE,
        waited: Seconds = Seconds(0.0),
    ) -> Observation:
        """What is seen of an answer; `view` is None when nothing of the request could be read."""
        if view is None:
            return cls(
                verdict, seconds, at, spends=spends, snapshot_version=snapshot_version, family=family, waited=waited
            )
        path, traceparent = "", ""
        if isinstance(view, RequestView):
            path = view.target.path
            traceparent = (view.header("traceparent") or "") if "traceparent" in view.headers else ""
        return cls(
            verdict,
            seconds,
            at,
            view.method,
            view.host,
            path,
            view.request_id,
            view.stream_id,
            view.source.address,
            traceparent,
            spends,
            snapshot_version,
            family,
            waited,
        )


_ADMITTED: Final = Decision.ALLOW, None


def judged(verdict: Verdict) -> tuple[Decision, Deny | None]:
    """The decision in one word, with the denial that was or, in Shadow mode, would have been."""
    if isinstance(verdict, Deny):
        return Decision.DENY, verdict
    denial = verdict.shadowed
    return _ADMITTED if denial is None else (Decision.SHADOW_DENY, denial)


def to_all(*observers: Callable[[Observation], None]) -> Callable[[Observation], None]:
    """One observer that tells several, in order."""

    def observe(observation: Observation) -> None:
        for observer in observers:
            observer(observation)

    return observe
