"""What a leader writes, call by call: when it writes, what it says, and what it makes of each answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from extauthz.control.objects import Written
from extauthz.control.status import Turn
from extauthz.control.writer import Outcome, Writer
from extauthz.model.time import Instant, Seconds
from extauthz.policy.problem import ObjectRef
from tests.building import NOW
from tests.clock import FakeClock
from tests.unit.control.writable import WritableApi, writable

REF = ObjectRef("TokenRevocation", "shop", "r")
PATH = "/apis/extauthz.dev/v1alpha1/namespaces/shop/tokenrevocations/r"
WRITTEN = Written(uid="u-1", generation=3, version="77", status={})


@pytest.fixture
def api() -> Iterator[WritableApi]:
    with writable() as api:
        yield api


def writer(api: WritableApi, *, leading: bool = True) -> Writer:
    return Writer(api.client(), FakeClock(NOW), "one-abc", lambda: leading, apart=Seconds(0.0))


def test_a_status_names_the_object_as_it_was_when_it_was_made(api: WritableApi) -> None:
    one = writer(api)
    assert one.write_status(REF, WRITTEN, {"conditions": []}) is Outcome.DONE
    (call,) = api.calls
    assert (call.method, call.path) == ("PATCH", f"{PATH}/status")
    assert call.body == {"metadata": {"uid": "u-1", "resourceVersion": "77"}, "status": {"conditions": []}}
    assert one.counts.writes == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (409, Outcome.STALE),
        (404, Outcome.STALE),
        (403, Outcome.REFUSED),
        (422, Outcome.REFUSED),
        (429, Outcome.REFUSED),
        (500, Outcome.REFUSED),
    ],
)
def test_what_comes_of_each_answer(api: WritableApi, status: int, outcome: Outcome) -> None:
    api.rule = lambda _: (status, {"message": "no"})
    one = writer(api)
    assert one.write_status(REF, WRITTEN, {}) is outcome
    assert (one.counts.writes, one.counts.stale, one.counts.failures) == (
        0,
        int(outcome is Outcome.STALE),
        int(outcome is Outcome.REFUSED),
    )


def test_without_the_lead_nothing_is_asked(api: WritableApi) -> None:
    one = writer(api, leading=False)
    outcomes = {
        one.write_status(REF, WRITTEN, {}),
        one.prune(REF, WRITTEN, Instant(NOW)),
        one.tell(REF, WRITTEN, Turn("Ready", "True", "a", "b")),
        one.sweep("/x"),
    }
    assert (outcomes, api.calls) == ({Outcome.NOT_LEADING}, [])


def test_an_api_server_that_is_away_is_told_from_one_that_refuses() -> None:
    with writable() as gone:
        one = writer(gone)
    assert one.write_status(REF, WRITTEN, {}) is Outcome.UNREACHED
    assert one.counts.failures == 1


def test_each_kind_of_failure_is_a_warning_once(api: WritableApi, caplog: pytest.LogCaptureFixture) -> None:
    api.rule = lambda _: (403, {"message": "not allowed"})
    caplog.set_level(logging.WARNING)
    one = writer(api)
    for _ in range(3):
        one.write_status(REF, WRITTEN, {})
    assert caplog.text.count("not allowed") == 1


def test_what_has_expired_by_both_clocks_is_deleted_as_it_was_seen(api: WritableApi) -> None:
    api.rule = lambda _: (200, {"date": formatdate(NOW, usegmt=True)})
    one = writer(api)
    assert one.prune(REF, WRITTEN, Instant(NOW - 1)) is Outcome.DONE
    assert [(call.method, call.path) for call in api.calls] == [("GET", PATH), ("DELETE", PATH)]
    assert api.calls[1].body == {"preconditions": {"uid": "u-1", "resourceVersion": "77"}}
    assert one.counts.pruned == 1


@pytest.mark.parametrize("date", [formatdate(NOW - 60, usegmt=True), "no date", None])
def test_what_the_api_servers_clock_does_not_take_for_expired_stays(api: WritableApi, date: str | None) -> None:
    """A controller whose clock is ahead must not bring revoked tokens back."""
    api.rule = lambda _: (200, {} if date is None else {"date": date})
    one = writer(api)
    assert one.prune(REF, WRITTEN, Instant(NOW - 1)) is Outcome.STALE
    assert [call.method for call in api.calls] == ["GET"]
    assert one.counts.pruned == 0


def test_an_event_says_what_turned_and_stays_within_bounds(api: WritableApi) -> None:
    one = writer(api)
    turn = Turn("Accepted", "False", "Invalid", "x" * 5000)
    assert one.tell(REF, WRITTEN, turn) is Outcome.DONE
    assert one.tell(ObjectRef("ClusterTokenIssuer", "", "corp"), WRITTEN, turn) is Outcome.DONE
    first, second = api.calls
    assert first.path == "/apis/events.k8s.io/v1/namespaces/shop/events"
    assert second.path == "/apis/events.k8s.io/v1/namespaces/default/events"
    body: Any = first.body
    assert (body["type"], body["reason"], body["regarding"]["uid"]) == ("Warning", "Invalid", "u-1")
    assert body["note"].startswith("Accepted is False: xxx")
    assert len(body["note"]) <= 1024
    assert body["metadata"]["name"] != second.body["metadata"]["name"]


def test_calls_keep_their_distance(api: WritableApi) -> None:
    clock = FakeClock(NOW)
    one = Writer(api.client(), clock, "one", lambda: True, apart=Seconds(0.05))
    one.sweep("/a")
    # From now on it would wait by a clock that stands still; stopping lets it go.
    one.stop()
    one.sweep("/b")
    assert [call.path for call in api.calls] == ["/a", "/b"]
    assert one._next == pytest.approx(clock.monotonic() + 0.1)
