"""When keys are fetched next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.keys.schedule import OF_ONE, SHORTEST, Agenda, after_failure, after_success
from extauthz.keys.source import IssuerKeys, JwksUrl
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from tests.unit.keys.made import RULES

A, B, C = (IssuerRef("TokenIssuer", "shop", name) for name in "abc")
JITTER = st.floats(0, 1, exclude_max=True)
LENGTH = st.floats(30, 86400)


def keys(interval: float = 300, max_stale: float = 3600) -> IssuerKeys:
    return IssuerKeys(A, JwksUrl("https://a.example"), RULES, Seconds(interval), Seconds(max_stale))


def test_the_earliest_appointment_comes_first_and_only_once_it_is_due() -> None:
    agenda = Agenda()
    agenda.put(B, 2.0)
    agenda.put(A, 1.0)
    agenda.put(C, 3.0)
    assert agenda.next_due() == 1.0
    assert agenda.pop(0.9) is None
    assert [agenda.pop(2.0) for _ in range(3)] == [A, B, None]
    assert agenda.next_due() == 3.0


def test_an_appointment_can_be_moved_and_struck_out() -> None:
    agenda = Agenda()
    for ref in (A, B, C):
        agenda.put(ref, 1.0)
    agenda.put(A, 5.0)
    agenda.put(B, 0.5)
    agenda.strike(C)
    agenda.strike(C)
    assert [agenda.pop(9.0) for _ in range(3)] == [B, A, None]
    assert agenda.next_due() is None


def test_of_one_namespace_so_many_are_kept_at_once_and_who_waited_longest_is_next() -> None:
    agenda = Agenda()
    refs = [IssuerRef("TokenIssuer", "shop", f"{number}") for number in range(OF_ONE + 4)]
    other = IssuerRef("TokenIssuer", "bank", "b")
    for due, ref in enumerate((*refs, other)):
        agenda.put(ref, float(due))
    taken = [agenda.pop(99.0) for _ in range(OF_ONE + 2)]
    assert taken == [*refs[:OF_ONE], other, None]
    agenda.over(other)
    assert agenda.pop(99.0) is None
    agenda.strike(refs[OF_ONE + 1])
    # Who was kept comes again, and asks for it to be soon.
    agenda.over(refs[0])
    agenda.put(refs[0], 0.0)
    agenda.put(refs[OF_ONE + 3], 99.0)
    assert [agenda.pop(99.0), agenda.pop(99.0)] == [refs[OF_ONE], None]
    order = []
    for ref in (refs[OF_ONE], refs[1], refs[2]):
        agenda.over(ref)
        order.append(agenda.pop(99.0))
    assert order == [refs[OF_ONE + 2], refs[OF_ONE + 3], refs[0]]


@given(LENGTH, LENGTH, JITTER)
def test_healthy_keys_are_fetched_again_within_the_interval_and_before_they_are_stale(
    interval: float, max_stale: float, jitter: float
) -> None:
    delay = after_success(keys(interval, max_stale), None, jitter)
    assert min(SHORTEST, max_stale / 2) <= delay <= min(interval, max_stale / 2)


@given(LENGTH, st.floats(0, 1e9), JITTER)
def test_the_servers_max_age_shortens_and_never_lengthens(interval: float, max_age: float, jitter: float) -> None:
    delay = after_success(keys(interval, 1e6), Seconds(max_age), jitter)
    assert SHORTEST <= delay <= max(SHORTEST, min(interval, max_age))


def test_a_max_age_of_60_days_changes_nothing() -> None:
    assert after_success(keys(), Seconds(60 * 86400), 0.5) == after_success(keys(), None, 0.5)


@given(st.integers(1, 10_000), JITTER)
def test_failures_are_answered_with_longer_pauses_up_to_a_minute(failures: int, jitter: float) -> None:
    pause = after_failure(keys(), failures, jitter)
    assert 1.0 <= pause <= 60.0
    assert after_failure(keys(), failures + 1, jitter) >= pause


@pytest.mark.parametrize(("failures", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (10, 60.0)])
def test_pauses_double_and_are_jittered_down_to_half(failures: int, longest: float) -> None:
    assert after_failure(keys(), failures, 0.0) == longest / 2
    assert longest / 2 < after_failure(keys(), failures, 0.999) < longest
