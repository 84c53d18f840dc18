"""Where questions are handed in: what is asked, how often, and what a slow or hostile endpoint can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from extauthz.introspection.desk import MOST_ASKING, MOST_WAITING, NEGATIVE, Desk
from extauthz.introspection.line import MOST_QUEUED, Told
from extauthz.model.question import Active, Answer, Inactive, Question, Unanswered
from extauthz.model.time import Clock, Seconds, SystemClock
from extauthz.model.token import IssuerRef
from tests.building import NOW
from tests.clock import FakeClock
from tests.introspecting import active, endpoint, until
from tests.unit.introspection.asking import REF, at, question


@contextmanager
def desk(url: str, clock: Clock | None = None, **more: Any) -> Iterator[Desk]:
    made = Desk(clock or FakeClock(), allow_http_loopback=True, size=more.pop("size", 1000))
    made.reconcile([at(url, **more)])
    yield made
    made.stop()


def ask(made: Desk, asked: Question, clock: Clock, seconds: float = 5.0) -> Answer:
    known = made.recall(asked)
    return made.ask(asked, clock.monotonic() + seconds) if known is None else known


def test_an_answer_is_remembered_for_as_long_as_the_issuer_says_and_no_longer() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(10)) as made:
        server.answers["token-1"] = active()
        for _ in range(3):
            assert isinstance(ask(made, question(server.url), clock), Active)
        assert len(server.asked) == 1
        clock.advance(9.9)
        ask(made, question(server.url), clock)
        assert len(server.asked) == 1
        clock.advance(0.2)
        server.answers["token-1"] = {"active": False}
        assert isinstance(ask(made, question(server.url), clock), Inactive)
        assert len(server.asked) == 2
        assert made.readings()[REF].told == {Told.ACTIVE: 1, Told.REMEMBERED: 3, Told.INACTIVE: 1}


def test_an_answer_is_never_remembered_past_the_tokens_end() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(300)) as made:
        server.answers["token-1"] = active(exp=int(NOW) + 4)
        ask(made, question(server.url), clock)
        clock.advance(3.9)
        assert made.look(question(server.url)) is not None
        clock.advance(0.2)
        assert made.look(question(server.url)) is None


@pytest.mark.parametrize("exp", [10**399, -(10**398), 1e308], ids=["far", "before", "float"])
def test_an_end_beyond_all_time_costs_nobody_a_thread(exp: float) -> None:
    clock = SystemClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(10), most_at_once=1) as made:
        server.answers |= {"token-1": active(exp=exp), "token-2": active()}
        assert isinstance(ask(made, question(server.url), clock, 2.0), Active)
        assert isinstance(ask(made, question(server.url, "token-2"), clock, 2.0), Active)


def test_nothing_is_remembered_where_the_issuer_says_so() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(0)) as made:
        server.answers["token-1"] = active()
        for _ in range(3):
            assert isinstance(ask(made, question(server.url), clock), Active)
        assert len(server.asked) == 3


def test_an_inactive_token_is_asked_about_again_soon() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(300)) as made:
        for _ in range(3):
            assert isinstance(ask(made, question(server.url), clock), Inactive)
        assert len(server.asked) == 1
        clock.advance(NEGATIVE)
        server.answers["token-1"] = active()
        assert isinstance(ask(made, question(server.url), clock), Active)


def test_a_failure_is_not_remembered() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["token-1"] = (500, {}, b"")
        assert isinstance(ask(made, question(server.url), clock), Unanswered)
        server.answers["token-1"] = active()
        assert isinstance(ask(made, question(server.url), clock), Active)


class _Gate:
    """An answer that waits until the test lets it go."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.opened = threading.Event()

    def __call__(self, handler: Any) -> Any:
        self.opened.wait(30)
        return self.answer


def test_an_answer_that_came_since_it_was_looked_for_is_not_asked_for_again() -> None:
    clock = SystemClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["token-1"] = active(exp=int(clock.now()) + 60)
        asked = question(server.url)
        for _ in range(3):
            assert isinstance(made.ask(asked, clock.monotonic() + 5), Active)
        assert server.asked == ["token-1"]


def test_requests_with_one_token_share_one_question() -> None:
    clock = SystemClock()
    with endpoint() as server, desk(server.url, clock, timeout=Seconds(5)) as made, ThreadPoolExecutor(16) as pool:
        gate = server.answers["token-1"] = _Gate(active(exp=int(clock.now()) + 60))
        answers = [pool.submit(ask, made, question(server.url), clock, 20.0) for _ in range(16)]
        until(lambda: len(server.asked) == 1)
        gate.opened.set()
        assert all(isinstance(each.result(), Active) for each in answers)
        assert len(server.asked) == 1


def test_without_memory_nobody_gets_an_answer_that_is_older_than_the_question() -> None:
    clock = SystemClock()
    with (
        endpoint() as server,
        desk(server.url, clock, cache_for=Seconds(0), timeout=Seconds(5)) as made,
        ThreadPoolExecutor(2) as pool,
    ):
        gate = server.answers["token-1"] = _Gate(active())
        first = pool.submit(ask, made, question(server.url), clock, 20.0)
        until(lambda: len(server.asked) == 1)
        server.answers["token-1"] = {"active": False}
        assert isinstance(ask(made, question(server.url), clock, 20.0), Inactive)
        gate.opened.set()
        assert isinstance(first.result(), Active)


def test_an_answer_that_comes_too_late_for_one_serves_the_next() -> None:
    clock = SystemClock()
    with endpoint() as server, desk(server.url, clock, timeout=Seconds(5), cache_for=Seconds(60)) as made:
        gate = server.answers["token-1"] = _Gate(active(exp=int(clock.now()) + 60))
        late = ask(made, question(server.url), clock, 0.05)
        assert isinstance(late, Unanswered)
        assert "in the time" in late.detail
        gate.opened.set()
        until(lambda: made.look(question(server.url)) is not None)
        assert isinstance(ask(made, question(server.url), clock, 0.05), Active)
        assert len(server.asked) == 1


def test_a_token_goes_to_no_other_endpoint_than_the_question_names() -> None:
    clock = FakeClock()
    with endpoint() as server, endpoint() as other, desk(server.url, clock) as made:
        assert isinstance(ask(made, question(other.url), clock), Unanswered)
        stranger = replace_issuer(question(server.url))
        assert isinstance(ask(made, stranger, clock), Unanswered)
        assert (server.forms, other.forms) == ([], [])
        assert made.look(stranger) is None


def replace_issuer(asked: Question) -> Question:
    return asked._replace(issuer=IssuerRef("TokenIssuer", "other", "opaque"))


def test_an_answer_that_was_got_under_other_settings_is_none() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["token-1"] = active()
        ask(made, question(server.url), clock)
        made.reconcile([at(server.url)])
        assert made.look(question(server.url)) is not None
        made.reconcile([replace(at(server.url), cache_for=Seconds(11))])
        assert made.look(question(server.url)) is None
        made.reconcile(())
        assert isinstance(ask(made, question(server.url), clock), Unanswered)


def test_two_issuers_with_one_endpoint_do_not_share_answers() -> None:
    clock, other = FakeClock(), IssuerRef("TokenIssuer", "bank", "opaque")
    with endpoint() as server, desk(server.url, clock) as made:
        made.reconcile([at(server.url), at(server.url, other)])
        server.answers["token-1"] = active()
        ask(made, question(server.url), clock)
        assert made.look(question(server.url, ref=other)) is None


def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_asked_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.otherwise = (503, {}, b"")
        for number in range(20):
            assert isinstance(ask(made, question(server.url, f"t-{number}"), clock), Unanswered)
        assert len(server.asked) == 5
        refused = ask(made, question(server.url), clock)
        assert isinstance(refused, Unanswered)
        assert refused.retry_after is not None
        server.otherwise = active()
        clock.advance(1.0)
        assert isinstance(ask(made, question(server.url), clock), Active)
        assert made.readings()[REF].problem is None
        of = f"the introspection endpoint of {REF}"
        assert caplog.messages == [
            f"{of} is left alone for a while: `{server.url}` answers with HTTP status 503",
            f"{of} answers again",
        ]


def test_what_is_remembered_is_given_while_the_endpoint_is_left_alone() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, cache_for=Seconds(60)) as made:
        server.answers["good"] = active()
        ask(made, question(server.url, "good"), clock)
        server.otherwise = (503, {}, b"")
        for number in range(9):
            ask(made, question(server.url, f"t-{number}"), clock)
        assert isinstance(ask(made, question(server.url, "good"), clock), Active)


@pytest.mark.parametrize("answer", [(400, {}, b""), (414, {}, b""), {"active": "yes"}, (200, {}, b"<html>")])
def test_tokens_that_the_endpoint_cannot_read_do_not_make_it_look_broken(answer: Any) -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["good"] = active()
        server.otherwise = answer
        for number in range(20):
            assert isinstance(ask(made, question(server.url, f"t-{number}"), clock), Unanswered)
        assert isinstance(ask(made, question(server.url, "good"), clock), Active)


def test_a_flood_of_invented_tokens_is_asked_about_no_more_often_than_the_issuer_says() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock, most_per_second=7) as made:
        for number in range(50):
            ask(made, question(server.url, f"t-{number}"), clock)
        assert len(server.asked) == 7
        refused = ask(made, question(server.url, "more"), clock)
        assert isinstance(refused, Unanswered)
        assert "`maxPerSecond`" in refused.detail
        clock.advance(1.0)
        for number in range(50):
            ask(made, question(server.url, f"u-{number}"), clock)
        assert len(server.asked) == 14


def test_a_hung_endpoint_is_asked_by_few_threads_and_keeps_few_waiting() -> None:
    clock = SystemClock()
    with (
        endpoint() as server,
        desk(server.url, clock, most_at_once=3, timeout=Seconds(5)) as made,
        ThreadPoolExecutor(MOST_WAITING + 8) as pool,
    ):
        gate = server.otherwise = _Gate({"active": False})
        asked = [pool.submit(ask, made, question(server.url, f"t-{n}"), clock, 1.0) for n in range(MOST_WAITING + 8)]
        answers = [each.result() for each in asked]
        assert all(isinstance(each, Unanswered) for each in answers)
        assert sum("wait for introspection endpoints" in str(each) for each in answers) == 8
        assert len(server.asked) == 3
        gate.opened.set()
        until(lambda: made.readings()[REF].told.get(Told.INACTIVE) == 3)
        # The others were given up: nobody asks for those who left.
        assert len(server.asked) == 3


def test_one_namespaces_hung_endpoint_keeps_no_other_namespace_waiting() -> None:
    clock, other = SystemClock(), IssuerRef("TokenIssuer", "bank", "opaque")
    with endpoint() as hung, endpoint() as server, ThreadPoolExecutor(MOST_WAITING) as pool:
        made = Desk(clock, allow_http_loopback=True)
        made.reconcile([at(hung.url, timeout=Seconds(5)), at(server.url, other)])
        gate = hung.otherwise = _Gate({"active": False})
        waiting = [pool.submit(ask, made, question(hung.url, f"t-{n}"), clock, 2.0) for n in range(MOST_WAITING)]
        until(lambda: made._waiting["shop"] == MOST_WAITING)
        assert isinstance(ask(made, question(server.url, ref=other), clock), Inactive)
        gate.opened.set()
        for each in waiting:
            each.result()
        made.stop()


def _unanswered(asked: list[Future[Answer]], wanted: int) -> bool:
    """Whether exactly so many have no answer yet."""
    return sum(not each.done() for each in asked) == wanted


def _wait(made: Desk, namespace: str, wanted: int) -> bool:
    """Whether exactly so many wait for endpoints of the namespace."""
    return made._waiting[namespace] == wanted


def test_slow_endpoints_of_several_namespaces_leave_places_for_another() -> None:
    clock, places = SystemClock(), 2 * MOST_WAITING
    refs = [IssuerRef("TokenIssuer", name, "opaque") for name in ("a", "b", "c", "d")]
    with endpoint() as hung, ThreadPoolExecutor(len(refs) * MOST_WAITING) as pool:
        made = Desk(clock, allow_http_loopback=True, places=places)
        made.reconcile([at(hung.url, ref, most_at_once=1, timeout=Seconds(5)) for ref in refs])
        gate = hung.otherwise = _Gate({"active": False})
        waiting: list[Future[Answer]] = []
        # The first came while nobody else did; each later one gets half of what is left.
        for ref, most in zip(refs, (32, 16, 8, 4), strict=True):
            mine = [
                pool.submit(ask, made, question(hung.url, f"t-{number}", ref), clock, 5.0)
                for number in range(MOST_WAITING)
            ]
            until(partial(_unanswered, mine, most))
            until(partial(_wait, made, ref.namespace, most))
            waiting += mine
        gate.opened.set()
        for each in waiting:
            each.result()
        made.stop()


def test_the_threads_that_ask_for_one_namespace_are_bounded_however_many_issuers_it_has() -> None:
    clock = SystemClock()
    with endpoint() as server, ThreadPoolExecutor(24) as pool:
        gate = server.otherwise = _Gate({"active": False})
        made = Desk(clock, allow_http_loopback=True)
        refs = [IssuerRef("TokenIssuer", "shop", f"opaque-{number}") for number in range(12)]
        made.reconcile([at(server.url, ref, most_at_once=32, timeout=Seconds(5)) for ref in refs])
        # Each leaves soon, while the threads that ask for it hang.
        asked = [
            pool.submit(ask, made, question(server.url, f"t-{number}", ref), clock, 0.3)
            for number in range(12)
            for ref in refs
        ]
        assert all(isinstance(each.result(), Unanswered) for each in asked)
        assert sum(each.line._threads for each in made._lines.values()) <= MOST_ASKING
        gate.opened.set()
        made.stop()
        until(lambda: made._crews["shop"]._room == MOST_ASKING)


def test_a_thread_that_is_idle_gives_its_place_to_another_issuer_of_its_namespace() -> None:
    clock = SystemClock()
    with endpoint() as server:
        made = Desk(clock, allow_http_loopback=True)
        refs = [IssuerRef("TokenIssuer", "shop", f"opaque-{number}") for number in range(MOST_ASKING + 20)]
        made.reconcile([at(server.url, ref) for ref in refs])
        for turn in ("first", "second"):
            for ref in refs:
                assert isinstance(ask(made, question(server.url, turn, ref), clock), Inactive)
        assert sum(each.line._threads for each in made._lines.values()) <= MOST_ASKING
        made.stop()
        until(lambda: made._crews["shop"]._room == MOST_ASKING)


def test_questions_in_line_are_bounded() -> None:
    clock = SystemClock()
    with (
        endpoint() as server,
        desk(server.url, clock, most_at_once=1, most_per_second=1000, timeout=Seconds(5)) as made,
    ):
        gate = server.otherwise = _Gate({"active": False})
        line = made._lines[REF].line
        # Each leaves at once, and none is asked while the one thread hangs.
        line.ask(b"first", "first", clock.monotonic() + 0.05)
        for number in range(MOST_QUEUED + 5):
            line.ask(number.to_bytes(2, "big"), f"t-{number}", clock.monotonic())
        refused = line.ask(b"more", "more", clock.monotonic())
        assert isinstance(refused, Unanswered)
        assert "questions wait" in refused.detail
        gate.opened.set()
        until(lambda: len(server.asked) == 1 and not line._queue)
        assert isinstance(ask(made, question(server.url, "after"), clock), Inactive)


def test_idle_threads_are_kept_for_the_next_question_and_end_with_their_line() -> None:
    clock = SystemClock()
    with endpoint() as server, desk(server.url, clock) as made:
        for number in range(5):
            ask(made, question(server.url, f"t-{number}"), clock)
        line = made._lines[REF].line
        assert line._threads == 1
        made.stop()
        until(lambda: line._threads == 0)


def test_no_token_can_be_read_in_what_is_remembered() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["token-of-alice"] = active()
        ask(made, question(server.url, "token-of-alice"), clock)
        (key,) = made._memory._active
        assert len(key) == 32
        assert b"token-of-alice" not in key
        assert "token-of-alice" not in repr(question(server.url, "token-of-alice"))


def test_latencies_and_failures_are_counted() -> None:
    clock = FakeClock()
    with endpoint() as server, desk(server.url, clock) as made:
        server.answers["bad"] = (500, {}, b"")
        ask(made, question(server.url, "bad"), clock)
        ask(made, question(server.url, "good"), clock)
        readings = made.readings()[REF]
        assert readings.told == {Told.FAILED: 1, Told.INACTIVE: 1}
        assert sum(readings.latencies) == 2
