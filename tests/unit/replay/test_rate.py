"""The sliding log: exact, small, and patient with windows of several lengths."""

from __future__ import annotations

from extauthz.model.time import Instant, Seconds
from extauthz.replay.rate import RateLog
from tests.building import NOW

MINUTE, HOUR = Seconds(60.0), Seconds(3600.0)


def at(seconds: float) -> Instant:
    """An instant, counted from the start of the test."""
    return Instant(NOW + seconds)


def filled(*instants: float, window: Seconds = MINUTE) -> RateLog:
    """A log of requests at these instants."""
    log = RateLog()
    for instant in instants:
        log.add(window, at(instant))
    return log


def test_an_empty_log_has_room_and_is_due_at_once() -> None:
    log = RateLog()
    assert log.wait(1, MINUTE, at(0)) is None
    assert log.until == Instant(0.0)


def test_there_is_room_again_exactly_one_window_later() -> None:
    log = filled(0)
    assert log.wait(1, MINUTE, at(59.75)) == Seconds(0.25)
    assert log.wait(1, MINUTE, at(60)) is None


def test_the_wait_is_until_enough_requests_are_a_window_old() -> None:
    log = filled(0, 10, 20, 30)
    assert log.wait(4, MINUTE, at(40)) == Seconds(20.0)
    assert log.wait(3, MINUTE, at(40)) == Seconds(30.0)
    assert log.wait(1, MINUTE, at(40)) == Seconds(50.0)


def test_requests_within_a_sixtieth_of_the_window_make_one_group() -> None:
    assert len(filled(0, 0.5, 0.9)) == 1
    assert len(filled(0, 0.5, 1)) == 2


def test_a_group_counts_in_full_until_its_last_request_is_a_window_old() -> None:
    log = filled(0, 0.5)
    assert log.count(MINUTE, at(60.25)) == 2
    assert log.count(MINUTE, at(60.5)) == 0


def test_a_group_never_grows_longer_than_a_sixtieth_however_dense_the_requests() -> None:
    log = filled(*(n / 8 for n in range(8 * 300)))
    assert len(log) <= 61
    assert log.count(MINUTE, at(299.875)) in range(480, 489)


def test_a_shorter_window_counts_only_what_is_within_it() -> None:
    log = filled(0, 100, 200, window=HOUR)
    assert log.count(MINUTE, at(210)) == 1
    assert log.count(HOUR, at(210)) == 3


def test_a_shorter_window_that_asks_does_not_make_the_longer_one_forget() -> None:
    log = filled(0, window=HOUR)
    for minute in range(1, 50):
        log.add(MINUTE, at(60 * minute))
    assert log.count(HOUR, at(3000)) == 50


def test_a_longer_window_holds_the_log_no_longer_than_it_is_asked_for() -> None:
    log = filled(0, window=HOUR)
    for minute in range(1, 61):
        log.add(MINUTE, at(60 * minute))
    assert len(log) == 1
    assert log.until == at(3660)


def test_a_refused_question_about_a_longer_window_prolongs_the_memory_once_it_is_noted() -> None:
    log = filled(0)
    assert log.wait(1, HOUR, at(30)) == Seconds(3570.0)
    assert log.until == at(60)
    log.note(HOUR, at(30))
    assert log.until == at(3600)


def test_windows_of_two_lengths_leave_the_log_small_and_both_exact() -> None:
    log = filled(0, window=HOUR)
    for second in range(1, 3600):
        log.add(MINUTE, at(second))
        assert len(log) <= 256
    assert log.count(MINUTE, at(3599)) == 60
    for instant in range(3599, 7200, 7):
        exact = sum(second + HOUR > instant for second in range(3600))
        # Joined groups count in full: up to a sixtieth of the window too many, never one too few.
        assert exact <= log.count(HOUR, at(instant)) <= exact + 60
