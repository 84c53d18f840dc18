"""Observations: what is kept of an answer."""

from __future__ import annotations

from extauthz.model.request import RequestView, Source
from extauthz.model.target import parse_host, parse_target
from extauthz.model.time import Seconds
from extauthz.telemetry.observation import Decision, Observation, SpendOutcome, judged, to_all
from tests.unit.telemetry.seen import ALLOW, AT, DENY, SHADOWED, seen


def view(**headers: tuple[str, ...]) -> RequestView:
    return RequestView(
        method="GET",
        host=parse_host("shop.example:443"),
        target=parse_target("/orders?access_token=secret"),
        headers=headers,
        source=Source(address="192.0.2.7"),
        stream_id="4711",
        request_id="6a7b",
        pinned_policy=None,
    )


def observe(request: RequestView | None) -> Observation:
    return Observation.of(DENY, request, spends=SpendOutcome.NONE, seconds=Seconds(0.1), at=AT)


def test_the_query_of_a_request_is_never_kept() -> None:
    seen_of_it = observe(view())
    assert seen_of_it.path == "/orders"
    assert "secret" not in repr(seen_of_it)


def test_no_header_but_the_trace_is_kept() -> None:
    seen_of_it = observe(view(authorization=("Bearer secret",), traceparent=("00-ab",)))
    assert seen_of_it.traceparent == "00-ab"
    assert "secret" not in repr(seen_of_it)


def test_a_trace_that_was_sent_twice_is_no_trace() -> None:
    assert observe(view(traceparent=("00-ab", "00-cd"))).traceparent == ""


def test_a_request_that_could_not_be_read_is_observed_all_the_same() -> None:
    seen_of_it = observe(None)
    assert (seen_of_it.verdict, seen_of_it.method, seen_of_it.path) == (DENY, "", "")


def test_a_shadow_denial_is_told_apart_from_both_others() -> None:
    assert judged(ALLOW) == (Decision.ALLOW, None)
    assert judged(DENY) == (Decision.DENY, DENY)
    assert judged(SHADOWED) == (Decision.SHADOW_DENY, SHADOWED.shadowed)


def test_every_observer_is_told() -> None:
    first: list[Observation] = []
    second: list[Observation] = []
    observation = seen()
    to_all(first.append, second.append)(observation)
    assert first == second == [observation]
