"""A watch follows one kind through everything that an API server, or what stands before it, does."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from extauthz.cli.demo.process import poll_until
from extauthz.control.events import Applied, Deleted, Event, Listed, Resource
from extauthz.control.watch import KindWatch, Pace
from extauthz.model.time import Seconds, SystemClock
from tests.unit.control.scripted import Answer, ScriptedApi, event, failure, objects, refusal, scripted
from tests.watching import Known, until_trouble

CONFIGMAPS = Resource("", "v1", "configmaps", "shop")
POLICIES = Resource("extauthz.dev", "v1alpha1", "accesspolicies")
QUICK = Pace(
    connect=Seconds(5.0),
    answer=Seconds(5.0),
    silence=Seconds(30.0),
    first_pause=Seconds(0.01),
    longest_pause=Seconds(0.05),
)
SOON_SILENT = Pace(
    connect=Seconds(5.0),
    answer=Seconds(30.0),
    silence=Seconds(0.1),
    first_pause=Seconds(0.01),
    longest_pause=Seconds(0.05),
)

Follow = Callable[..., KindWatch]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted() as api:
        yield api


@pytest.fixture
def follow(api: ScriptedApi) -> Iterator[Follow]:
    with ExitStack() as stack:

        def start(
            emit: Callable[[Event], None], resource: Resource = CONFIGMAPS, pace: Pace = QUICK, **more: Any
        ) -> KindWatch:
            client = stack.enter_context(api.client())
            watch = KindWatch(client, resource, emit, SystemClock(), pace, **more)
            watch.start()
            stack.callback(watch.stop)
            stack.callback(api.over.set)  # first: a list that hangs cannot be interrupted
            return watch

        yield start


def until_asked(api: ScriptedApi, *kinds: str) -> None:
    poll_until(lambda: api.kinds()[: len(kinds)] == list(kinds), None, f"the requests {kinds}")


def test_it_lists_first_and_watches_from_the_version_of_the_list(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a", "b"))
    known = Known()
    follow(known)
    until_asked(api, "list", "watch 7")
    (path, listed), (_, watched) = api.asked
    assert path == "/api/v1/namespaces/shop/configmaps"
    assert listed == {"limit": "500"}  # no version asked for: what the store has now
    assert watched["allowWatchBookmarks"] == "true"
    assert QUICK.watch <= int(watched["timeoutSeconds"]) <= 1.5 * QUICK.watch
    assert known.names == {"a", "b"}


def test_a_list_in_chunks_is_told_as_one_and_watched_from_its_version(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a", "b", more="next"), objects("7", "c", more="last"), objects("7"))
    known = Known()
    follow(known)
    until_asked(api, "list", "list", "list", "watch 7")
    assert [query.get("continue") for _, query in api.asked[:3]] == [None, "next", "last"]
    assert known.names == {"a", "b", "c"}
    assert [type(each) for each in known.heard] == [Listed]


def test_a_list_whose_rest_is_too_old_is_begun_anew_and_not_told_in_part(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a", more="next"), refusal(410, "Expired"), objects("9", "b"))
    known = Known()
    follow(known)
    until_asked(api, "list", "list", "list", "watch 9")
    assert [query.get("continue") for _, query in api.asked[:3]] == [None, "next", None]
    assert len(known.heard) == 1
    assert known.names == {"b"}


def test_who_wrote_what_is_not_kept(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"))
    known = Known()
    follow(known)
    known.until("a")
    assert known.objects["a"]["metadata"] == {"name": "a", "resourceVersion": "7"}


def test_items_of_a_list_say_their_kind(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"))
    known = Known()
    follow(known)
    known.until("a")
    assert (known.objects["a"]["apiVersion"], known.objects["a"]["kind"]) == ("v1", "ConfigMap")


def test_lines_become_events(api: ScriptedApi, follow: Follow) -> None:
    lines = (event("ADDED", "b", "8"), event("MODIFIED", "a", "9"), event("DELETED", "b", "10"))
    api.plan(objects("7", "a"), Answer(lines=lines))
    known = Known()
    follow(known)
    poll_until(lambda: len(known.heard) == 4, None, "four events")
    assert [type(each) for each in known.heard] == [Listed, Applied, Applied, Deleted]
    assert known.names == {"a"}


def test_a_line_that_comes_in_pieces_is_one_event(api: ScriptedApi, follow: Follow) -> None:
    text = b'{"type":"ADDED","object":{"metadata":{"name":"b","resourceVersion":"8"}}}\n'
    api.plan(objects("7", "a"), Answer(lines=(text[:9], text[9:40], text[40:])))
    known = Known()
    follow(known)
    known.until("a", "b")


def test_a_watch_that_ends_in_good_order_is_taken_up_where_it_ended(api: ScriptedApi, follow: Follow) -> None:
    api.plan(
        objects("7"),
        Answer(lines=(event("ADDED", "a", "8"), event("BOOKMARK", "", "20")), then="end"),
        Answer(lines=(event("ADDED", "b", "21"),), then="end"),
    )
    known = Known()
    watch = follow(known)
    until_asked(api, "list", "watch 7", "watch 20", "watch 21")
    assert known.names == {"a", "b"}
    assert watch.state.trouble == ""


@pytest.mark.parametrize(
    "expired",
    [
        Answer(lines=({"type": "ERROR", "object": failure(410, "Expired", "too old resource version")},)),
        refusal(410, "Expired", "too old resource version"),
        Answer(lines=(event("ADDED", "b", "8"),), then="drop"),
        Answer(lines=(b"no json\n",)),
        Answer(lines=(b"[]\n",)),
        Answer(lines=({"type": "ADDED", "object": {}},)),
        Answer(lines=({"type": "SURPRISE", "object": {"metadata": {"resourceVersion": "8"}}},)),
        Answer(lines=({"type": "ERROR", "object": failure(500, "InternalError", "etcd is away")},)),
    ],
    ids=["event", "status", "dropped", "garbage", "list", "empty", "unknown", "error"],
)
def test_after_anything_else_everything_is_listed_anew(api: ScriptedApi, follow: Follow, expired: Answer) -> None:
    api.plan(objects("7", "a"), expired, objects("30", "c"))
    known = Known()
    watch = follow(known)
    until_asked(api, "list", "watch 7", "list", "watch 30")
    known.until("c")
    until_trouble(watch, "")


@pytest.mark.parametrize(
    "expired",
    [
        Answer(lines=({"type": "ERROR", "object": failure(410, "Expired")},)),
        Answer(lines=({"type": "ERROR", "object": failure(410, "Gone")},)),
        refusal(410, "Expired"),
    ],
    ids=["expired", "gone", "status"],
)
def test_a_version_that_is_too_old_is_called_that(
    api: ScriptedApi, follow: Follow, caplog: pytest.LogCaptureFixture, expired: Answer
) -> None:
    api.plan(objects("7", "a"), expired, objects("30", "a"))
    follow(Known())
    until_asked(api, "list", "watch 7", "list", "watch 30")
    assert "the version to watch from is too old for the API server; listing anew" in caplog.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(404, "NotFound"), "knows no accesspolicies.extauthz.dev (404); apply what `extauthz crds` prints"),
        (refusal(403, "Forbidden"), "may not read accesspolicies.extauthz.dev (403); grant `list` and `watch`"),
        (refusal(401, "Unauthorized"), "does not take our token (401)"),
        (refusal(500, "InternalError", "etcd is away"), "answered 500 for accesspolicies.extauthz.dev: etcd is away"),
        (Answer(502, b"<html>Bad Gateway</html>"), "answered 502 for accesspolicies.extauthz.dev: no reason given"),
        (Answer(200, b"{}"), "reading accesspolicies.extauthz.dev failed: ValueError"),
        (Answer(200, b"<html>"), "reading accesspolicies.extauthz.dev failed: JSONDecodeError"),
    ],
    ids=["404", "403", "401", "500", "proxy", "no-list", "no-json"],
)
def test_a_refused_list_is_said_and_tried_again_until_it_is_answered(
    api: ScriptedApi, follow: Follow, caplog: pytest.LogCaptureFixture, answer: Answer, words: str
) -> None:
    caplog.set_level(logging.INFO, "extauthz.control.watch")
    api.plan(*[answer] * 3)
    known = Known()
    watch = follow(known, POLICIES)
    until_asked(api, "list", "list", "list", "list")
    assert words in watch.state.trouble
    assert not known.heard
    assert not watch.state.listed
    assert sum(words in record.message for record in caplog.records) == 1


def test_what_was_told_stays_when_the_kind_is_no_longer_known(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"), Answer(then="drop"), *[refusal(404, "NotFound")] * 3)
    known = Known()
    watch = follow(known)
    until_asked(api, "list", "watch 7", "list", "list", "list", "list")
    assert known.names == {"a"}
    assert watch.state.listed
    assert "404" in watch.state.trouble


def test_a_list_without_a_watch_keeps_the_trouble_in_sight(api: ScriptedApi, follow: Follow) -> None:
    api.plan(*[objects("7", "a"), refusal(403, "Forbidden")] * 2, objects("7", "a"))
    watch = follow(Known())
    until_asked(api, "list", "watch 7", "list", "watch 7", "list", "watch 7")
    # The last watch hangs before its headers or after them: then only is the trouble over.
    until_trouble(watch, "")


def test_a_silent_watch_is_taken_up_and_at_last_listed_anew(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"), Answer(), Answer(), Answer(), objects("3", "b"))
    known = Known()
    watch = follow(known, pace=SOON_SILENT)
    until_asked(api, "list", "watch 7", "watch 7", "watch 7", "list", "watch 3")
    known.until("b")
    assert watch.state.trouble == ""


def test_a_watch_that_is_ended_at_once_each_time_is_a_trouble(api: ScriptedApi, follow: Follow) -> None:
    api.plan(*[objects("7", "a"), Answer(then="end")] * 5)
    watch = follow(Known())
    until_trouble(watch, "ends each watch at once")


def test_a_consumer_that_fails_is_told_everything_again(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"), objects("7", "a"))
    known = Known()
    failures = iter([ZeroDivisionError("the token is in here")])

    def emit(told: Event) -> None:
        if isinstance(told, Listed):
            told = replace(told, objects=tuple(told.objects))
        for each in failures:
            raise each
        known(told)

    watch = follow(emit)
    known.until("a")
    until_trouble(watch, "")


def test_no_text_of_an_exception_is_said(api: ScriptedApi, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    api.plan(objects("7", "a"))

    def emit(_: Event) -> None:
        raise ZeroDivisionError("the token is in here")

    watch = follow(emit)
    until_trouble(watch, "ZeroDivisionError")
    assert "the token" not in caplog.text + watch.state.trouble


def test_an_api_server_that_is_not_there_is_said(follow: Follow, api: ScriptedApi) -> None:
    api.close()
    known = Known()
    watch = follow(known)
    until_trouble(watch, "the API server cannot be reached: connection refused")
    assert not known.heard


def test_a_watch_can_be_stopped_while_it_waits_for_a_line(api: ScriptedApi, follow: Follow) -> None:
    api.plan(objects("7", "a"), Answer(lines=(event("ADDED", "b", "8"),)))
    known = Known()
    watch = follow(known)
    known.until("a", "b")
    watch.stop()
    assert not watch._thread.is_alive()
    assert watch.state.trouble == ""


def test_each_contact_is_noted(api: ScriptedApi, follow: Follow) -> None:
    watch = follow(Known())
    assert watch.state.contact is None
    api.plan(objects("7", "a"), objects("7", "a"))
    watch.stop()
    again = follow(Known())
    poll_until(lambda: again.state.contact is not None, None, "the contact")
    assert again.state.listed


def test_after_a_long_absence_it_is_back_soon_and_a_refusal_then_is_no_reason_to_wait_long(
    api: ScriptedApi, follow: Follow
) -> None:
    api.plan(*[Answer(then="drop")] * 20, refusal(429, "TooManyRequests"), objects("7", "a"))
    # Were pauses those of refusals, the last of them would take hours.
    pace = replace(QUICK, first_pause=Seconds(0.01), longest_pause=Seconds(1e6), unreached_pause=Seconds(0.02))
    known = Known()
    follow(known, pace=pace)
    until_asked(api, *["list"] * 22, "watch 7")
    assert known.names == {"a"}


def test_who_refuses_again_and_again_is_asked_less_and_less(api: ScriptedApi, follow: Follow) -> None:
    api.plan(*[refusal(429, "TooManyRequests")] * 30)
    follow(Known(), pace=replace(QUICK, first_pause=Seconds(0.02), longest_pause=Seconds(1e6)))
    poll_until(lambda: len(api.kinds()) >= 5, None, "five attempts")
    began = SystemClock().monotonic()
    poll_until(lambda: len(api.kinds()) >= 7, None, "two more")
    # Of 0.32 and 0.64 seconds at least the half was waited; sleeping longer than that is all a busy machine can do.
    assert SystemClock().monotonic() - began > 0.3


def test_when_more_is_wanted_everything_is_listed_anew_after_a_line(api: ScriptedApi, follow: Follow) -> None:
    wanted = [0.0]
    line = Answer(lines=(event("ADDED", "b", "8"),))
    api.plan(objects("7", "a"), line, objects("9", "c"), line)
    known = Known()

    def relist_after() -> float:
        return wanted.pop() if wanted else math.inf

    follow(known, relist_after=relist_after)
    until_asked(api, "list", "watch 7", "list", "watch 9")
    poll_until(lambda: known.names == {"b", "c"}, None, "what is there now")


def test_of_an_optional_kind_that_is_not_served_there_is_none_until_it_is(api: ScriptedApi, follow: Follow) -> None:
    known = Known()
    api.plan(Answer(404, b"404 page not found"), refusal(404, "NotFound"), objects("7", "a"), Answer())
    watch = follow(known, optional=True)
    until_asked(api, "list", "list", "list", "watch 7")
    assert known.names == {"a"}
    assert watch.state.trouble == ""


def test_an_optional_kind_that_is_served_no_longer_is_gone(api: ScriptedApi, follow: Follow) -> None:
    known = Known()
    api.plan(objects("7", "a"), Answer(then="drop"), *[refusal(404, "NotFound")] * 3, objects("9", "b"), Answer())
    follow(known, optional=True)
    until_asked(api, "list", "watch 7", "list", "list", "list", "list", "watch 9")
    assert sum(isinstance(each, Listed) and each.objects == () for each in known.heard) == 3
    assert known.names == {"b"}


@pytest.mark.parametrize("answer", [refusal(403, "Forbidden"), refusal(500, "InternalError"), Answer(200, b"{}")])
def test_an_optional_kind_that_cannot_be_read_might_be_there(api: ScriptedApi, follow: Follow, answer: Answer) -> None:
    known = Known()
    api.plan(*[answer] * 50)
    watch = follow(known, optional=True)
    until_trouble(watch, " ")
    assert known.heard == []
    assert not watch.state.listed
