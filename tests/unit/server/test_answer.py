"""Answering a Check: whatever breaks, there is an explicit answer, and what is refused spends nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from extauthz.decide import World
from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Deny, Refusal
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Mark, Spend
from extauthz.replay.store import Left, Outcome, Store, Then, Unavailable
from extauthz.server.answer import Answerer
from extauthz.server.codec import INTERNAL_DENIAL
from extauthz.telemetry.observation import FamilyOutcome, Observation, SpendOutcome
from tests import issuing
from tests.building import anonymous, policy, with_token
from tests.checks import check_request, read_response
from tests.clock import FakeClock
from tests.worlds import Asked

BUDGET = Seconds(1.0)
SECRET = "not-to-be-told"


class Broken(Exception):
    """What a bug raises; its text holds what must not be logged."""


class BrokenStore:
    """A store with a bug."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        raise Broken(SECRET)

    def ready(self) -> bool:
        return True

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        raise Broken(SECRET)


class AbsentStore:
    """A store that cannot be reached."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        return Unavailable("nobody there")

    def ready(self) -> bool:
        return False

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        return Unavailable("nobody there")


class PatientOne:
    """A store over a network, which answers when the test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.told: list[Callable[[], None]] = []
        """Each tells the end of a commit."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        raise AssertionError("a commit was waited for")

    def commit_later(self, spends: tuple[Spend, ...], attempt: bytes | None, then: Then) -> None:
        self.told.append(lambda: then(lambda: self._store.commit(spends, attempt)))

    def ready(self) -> bool:
        return self._store.ready()

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        return self._store.look(spends)


def begun(asked: Asked, store: PatientOne, data: bytes) -> list[bytes]:
    """What is sent for a Check that spends, in time."""
    later = replace(asked.answerer, store=store, patient=store).begin(data, BUDGET)
    assert callable(later)
    sent: list[bytes] = []
    later(sent.append, lambda _work: pytest.fail("a thread was to wait"))
    assert not sent
    return sent


@pytest.fixture
def asked() -> Asked:
    return Asked(
        policy(
            "orders",
            anonymous("open", path={"exact": "/open"}),
            with_token("plain", match={"path": {"exact": "/plain"}}),
            with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 1}),
        )
    )


def once(stream_id: str = "1") -> bytes:
    return with_bearer("/once", issuing.token(), stream_id)


def with_bearer(path: str, token: str, stream_id: str = "1") -> bytes:
    return check_request(path=path, headers={"authorization": f"Bearer {token}"}, stream_id=stream_id)


def reason_of(data: bytes) -> object:
    return read_response(data).metadata["reason"]


# It never raises


def test_a_world_that_raises_is_a_denial(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    def world() -> World:
        raise Broken(SECRET)

    answerer = replace(asked.answerer, world=world)
    assert answerer.answer(check_request(path="/open"), BUDGET) == INTERNAL_DENIAL
    assert reason_of(answerer.refuse(Refusal(Reason.OVERLOADED, "too many"))) == "overloaded"
    assert [_reason(each) for each in asked.seen] == [Reason.INTERNAL, Reason.OVERLOADED]
    assert SECRET not in caplog.text


def test_a_store_that_raises_is_a_denial(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    answerer = replace(asked.answerer, store=BrokenStore())
    assert answerer.answer(once(), BUDGET) == INTERNAL_DENIAL
    assert _reason(asked.seen[-1]) is Reason.INTERNAL
    assert "Broken at " in caplog.text
    assert SECRET not in caplog.text


def test_a_store_that_is_away_is_a_denial_that_may_be_tried_again(asked: Asked) -> None:
    answer = read_response(replace(asked.answerer, store=AbsentStore()).answer(once(), BUDGET))
    assert (answer.metadata["reason"], answer.http_status) == ("store_unavailable", 503)
    assert asked.seen[-1].spends is SpendOutcome.UNAVAILABLE


def test_a_store_that_is_waited_for_holds_nobody_up(asked: Asked) -> None:
    store = PatientOne(MemoryStore(FakeClock(), 10))
    first, second = begun(asked, store, once("1")), begun(asked, store, once("2"))
    assert read_response(replace(asked.answerer, patient=store).answer(check_request(path="/open"), BUDGET)).code == 0
    for tell in store.told:
        tell()
    assert [read_response(answer).code == 0 for answer in (*first, *second)] == [True, False]
    assert reason_of(second[0]) == "token_reused"
    assert [each.spends for each in asked.seen[-2:]] == [SpendOutcome.COMMITTED, SpendOutcome.REFUSED]


def test_a_store_that_raises_when_it_was_waited_for_is_a_denial(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    store = PatientOne(BrokenStore())
    sent = begun(asked, store, once())
    store.told[0]()
    assert sent == [INTERNAL_DENIAL]
    assert _reason(asked.seen[-1]) is Reason.INTERNAL
    assert SECRET not in caplog.text


def test_an_observer_that_raises_changes_no_answer(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    def observe(observation: Observation) -> None:
        raise Broken(SECRET)

    answerer = replace(asked.answerer, observe=observe)
    assert read_response(answerer.answer(check_request(path="/open"), BUDGET)).code == 0
    assert reason_of(answerer.answer(check_request(path="/none"), BUDGET)) == "no_policy"
    assert reason_of(answerer.refuse(Refusal(Reason.OVERLOADED, "too many"))) == "overloaded"
    assert "could not be recorded: Broken at " in caplog.text
    assert SECRET not in caplog.text


def test_a_ring_of_keys_that_raises_is_a_denial(asked: Asked) -> None:
    def want(issuer: IssuerRef) -> None:
        raise Broken(SECRET)

    answerer = replace(asked.answerer, want_keys=want)
    assert answerer.answer(with_bearer("/plain", _of_unknown_key()), BUDGET) == INTERNAL_DENIAL


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 100, check_request()[:-3], b"\x0a\x00"])
def test_what_is_no_check_request_is_a_denial(asked: Asked, data: bytes) -> None:
    assert reason_of(asked.answerer.answer(data, BUDGET)) == "request_malformed"


# Time and counts


def test_a_check_whose_time_is_over_spends_nothing(asked: Asked) -> None:
    late = _taking(2.0, asked)
    answer = read_response(late.answer(once("1"), BUDGET))
    assert (answer.metadata["reason"], answer.http_status) == ("overloaded", 503)
    assert asked.seen[-1].spends is SpendOutcome.NONE
    assert read_response(asked.answerer.answer(once("2"), BUDGET)).code == 0


def test_the_last_moment_of_the_budget_is_too_late(asked: Asked) -> None:
    assert reason_of(_taking(BUDGET, asked).answer(once("1"), BUDGET)) == "overloaded"
    assert read_response(_taking(BUDGET - 0.125, asked).answer(once("2"), BUDGET)).code == 0


def test_a_late_check_that_counts_nothing_is_answered(asked: Asked) -> None:
    assert read_response(_taking(2.0, asked).answer(check_request(path="/open"), BUDGET)).code == 0


def test_a_use_is_counted_once_and_told(asked: Asked) -> None:
    assert read_response(asked.answerer.answer(once("1"), BUDGET)).code == 0
    assert reason_of(asked.answerer.answer(once("2"), BUDGET)) == "token_reused"
    assert [each.spends for each in asked.seen] == [SpendOutcome.COMMITTED, SpendOutcome.REFUSED]


def test_a_refused_request_touches_no_count(asked: Asked) -> None:
    assert isinstance(asked.store, MemoryStore)
    for data in (check_request(path="/once"), with_bearer("/once", _of_unknown_key()), check_request(path="/none")):
        asked.answerer.answer(data, BUDGET)
    assert len(asked.store) == 0


# Keys


def test_a_token_of_an_unknown_key_makes_its_issuer_look_for_new_keys(asked: Asked) -> None:
    wanted: list[IssuerRef] = []
    answerer = replace(asked.answerer, want_keys=wanted.append)
    assert reason_of(answerer.answer(with_bearer("/plain", _of_unknown_key()), BUDGET)) == "key_unknown"
    assert wanted == [IssuerRef("TokenIssuer", "shop", "corp")]


def test_no_other_answer_makes_an_issuer_look_for_keys(asked: Asked) -> None:
    wanted: list[IssuerRef] = []
    answerer = replace(asked.answerer, want_keys=wanted.append)
    forged = issuing.with_signature(issuing.token(), b"\x00" * 256)
    for data in (once(), with_bearer("/plain", forged), with_bearer("/plain", "a.b.c"), check_request(path="/none")):
        answerer.answer(data, BUDGET)
    assert wanted == []


# What is told


def test_every_answer_is_told_with_its_time_and_the_policies_in_force(asked: Asked) -> None:
    _taking(0.25, asked).answer(check_request(path="/open"), BUDGET)
    (told,) = asked.seen
    assert asked.snapshot is not None
    assert (told.seconds, told.snapshot_version, told.path) == (0.25, asked.snapshot.version, "/open")


def test_a_request_with_a_path_that_cannot_be_read_is_told_all_the_same(asked: Asked) -> None:
    asked.answerer.answer(check_request(path="/a/%zz", headers={"x-request-id": "id-1"}, stream_id="4711"), BUDGET)
    told = asked.seen[-1]
    assert _reason(told) is Reason.REQUEST_MALFORMED
    assert (told.method, told.host, told.path) == ("GET", "api.example", "")
    assert (told.source_address, told.stream_id, told.request_id) == ("192.0.2.7", "4711", "id-1")


def test_a_refusal_unread_is_told_without_a_request(asked: Asked) -> None:
    answer = read_response(asked.answerer.refuse(Refusal(Reason.REQUEST_MALFORMED, "too large")))
    assert (answer.metadata["reason"], answer.http_status) == ("request_malformed", 400)
    assert (_reason(asked.seen[-1]), asked.seen[-1].path) == (Reason.REQUEST_MALFORMED, "")


def test_before_the_first_policies_every_request_is_refused_as_not_ready(asked: Asked) -> None:
    asked.snapshot = None
    assert reason_of(asked.answerer.answer(check_request(path="/open"), BUDGET)) == "not_ready"
    assert asked.seen[-1].snapshot_version == ""


def _reason(observation: Observation) -> Reason | None:
    return observation.verdict.reason if isinstance(observation.verdict, Deny) else None


def _of_unknown_key() -> str:
    return issuing.token(head=issuing.header(kid="rsa-new"))


def _taking(seconds: float, asked: Asked) -> Answerer:
    """The same answerer, for whom each decision takes so long."""
    clock: FakeClock = asked.clock

    def world() -> World:
        clock.advance(seconds)
        return asked.answerer.world()

    return replace(asked.answerer, world=world)


# The mark of a family follows a refusal, and changes no answer


FAMILY = {"maxUses": 1, "family": {"claim": "sid"}}


def with_family(store: Store | None = None) -> Asked:
    """A rule whose tokens have families."""
    return Asked(policy("p", with_token("once", match={"path": {"exact": "/once"}}, reuse=FAMILY)), store=store)


def of_family(jti: str) -> str:
    return issuing.token(issuing.claims(jti=jti, sid="family-1"))


def test_a_mark_is_made_before_the_denial_is_sent_also_by_a_store_that_nobody_waits_for() -> None:
    asked = with_family()
    store = PatientOne(asked.store)
    assert asked.reason("/once", of_family("a")) == "allow"
    sent = begun(asked, store, with_bearer("/once", of_family("a"), "again"))
    assert len(store.told) == 1
    store.told.pop()()
    assert not sent
    assert len(store.told) == 1
    store.told.pop()()
    assert [reason_of(data) for data in sent] == ["token_reused"]
    assert asked.seen[-1].family is FamilyOutcome.REVOKED
    assert asked.reason("/once", of_family("b")) == "token_revoked"


def test_a_mark_for_which_no_time_is_left_is_told_as_failed_and_the_denial_is_sent() -> None:
    asked = with_family()
    store = PatientOne(asked.store)
    assert asked.reason("/once", of_family("a")) == "allow"
    sent = begun(asked, store, with_bearer("/once", of_family("a"), "again"))
    asked.clock.advance(BUDGET)
    store.told.pop()()
    assert store.told == []
    assert [reason_of(data) for data in sent] == ["token_reused"]
    assert asked.seen[-1].family is FamilyOutcome.FAILED


class SlowStore(MemoryStore):
    """A store that takes its time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._slow = clock

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Some milliseconds later."""
        self._slow.advance(0.03)
        return super().commit(spends, attempt)


def test_the_time_that_the_store_took_is_told_apart_with_that_of_a_mark() -> None:
    clock = FakeClock()
    asked = Asked(policy("p", with_token("r", reuse=FAMILY)), clock=clock, store=SlowStore(clock))
    assert [asked.reason("/", of_family("a")) for _ in range(2)] == ["allow", "token_reused"]
    assert asked.reason("/") == "credential_absent"
    assert [round(each.waited, 6) for each in asked.seen] == [0.03, 0.06, 0.0]
    assert all(each.seconds >= each.waited for each in asked.seen)


def test_the_time_that_a_store_took_that_nobody_waits_for_is_told_too() -> None:
    asked = with_family()
    store = PatientOne(asked.store)
    begun(asked, store, with_bearer("/once", of_family("a"), "1"))
    asked.clock.advance(0.02)
    store.told.pop()()
    assert [round(each.waited, 6) for each in asked.seen] == [0.02]


class BrokenMarks(MemoryStore):
    """A store with a bug in marks."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        if any(isinstance(spend, Mark) for spend in spends):
            raise Broken(SECRET)
        return super().commit(spends, attempt)


@pytest.mark.parametrize("later", [False, True])
def test_a_bug_in_marking_denies(later: bool) -> None:
    clock = FakeClock()
    asked = with_family(BrokenMarks(clock))
    assert asked.reason("/once", of_family("a")) == "allow"
    if not later:
        assert asked.reason("/once", of_family("a")) == "internal"
        return
    store = PatientOne(asked.store)
    sent = begun(asked, store, with_bearer("/once", of_family("a"), "again"))
    store.told.pop()()
    store.told.pop()()
    assert sent == [INTERNAL_DENIAL]


def test_a_lost_store_revokes_nothing_and_a_spent_limit_neither() -> None:
    asked = with_family()
    assert asked.reason("/once", of_family("a")) == "allow"
    away = replace(asked.answerer, store=AbsentStore())
    assert reason_of(away.answer(with_bearer("/once", of_family("a"), "9"), BUDGET)) == "store_unavailable"
    assert asked.seen[-1].family is FamilyOutcome.NONE
    assert asked.reason("/once", of_family("b")) == "allow"
