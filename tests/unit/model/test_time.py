"""Durations, the acceptance window, and a clock that never goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.time import AcceptanceWindow, Instant, SystemClock, format_duration, parse_duration, read_instant


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("1h0m5s", 3605), ("0s", 0)]
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "1d", "1.5h", "-1s", "1m1h", "1s ", "1 s", "1H", "s", "\u0661s", "1s1s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like `90s`"):
        parse_duration(text)


@given(st.integers(0, 10_000_000))
def test_a_written_duration_reads_as_itself(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_a_whole_number_of_seconds_is_written_as_the_float_that_it_is_once_compiled() -> None:
    assert format_duration(1_790_000_300_300_300) == format_duration(1_790_000_300_300_300.0)


@pytest.mark.parametrize("text", ["2030-01-31T12:00:00Z", "2030-01-31T14:00:00.000000+02:00"])
def test_a_time_is_read_as_rfc_3339_writes_it(text: str) -> None:
    assert read_instant(text) == Instant(1_896_091_200)


@pytest.mark.parametrize("value", ["2030-01-31T12:00:00", "2030-02-31T12:00:00Z", "soon", "", None, 1_896_091_200])
def test_what_is_no_time_with_a_zone_is_no_instant(value: object) -> None:
    assert read_instant(value) is None


@given(st.floats(0, 2e9), st.floats(0, 1e6), st.floats(0, 2e9))
def test_no_token_is_accepted_once_its_key_may_be_forgotten(opens: float, length: float, now: float) -> None:
    window = AcceptanceWindow(Instant(opens), Instant(opens + length))
    if window.accepts(Instant(now)):
        assert now < window.remember_until


def test_the_closing_instant_itself_is_refused() -> None:
    window = AcceptanceWindow(Instant(10), Instant(20))
    assert window.accepts(Instant(10))
    assert not window.accepts(Instant(20))


class _Hands:
    """A machine clock whose hands the test moves."""

    def __init__(self) -> None:
        self.wall, self.mono = 1_000_000.0, 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono


def test_a_clock_that_is_set_back_goes_on_from_where_it_was() -> None:
    hands = _Hands()
    clock = SystemClock(hands.time, hands.monotonic)
    hands.wall, hands.mono = hands.wall - 600, hands.mono + 5
    assert clock.now() == 1_000_005.0
    assert clock.stepped_back() == 605.0
    hands.wall, hands.mono = hands.wall + 10, hands.mono + 10
    assert clock.now() == 1_000_015.0


def test_a_clock_that_is_set_forward_is_followed() -> None:
    hands = _Hands()
    clock = SystemClock(hands.time, hands.monotonic)
    hands.wall += 3600
    assert clock.now() == 1_003_600.0
    assert clock.stepped_back() == 0.0


@given(st.lists(st.tuples(st.floats(-1000, 1000), st.floats(0, 10)), max_size=30))
def test_time_never_goes_back(steps: list[tuple[float, float]]) -> None:
    hands = _Hands()
    clock, last = SystemClock(hands.time, hands.monotonic), 0.0
    for wall, mono in steps:
        hands.wall += wall
        hands.mono += mono
        now = clock.now()
        assert now >= last
        last = now
