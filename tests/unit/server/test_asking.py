"""Opaque tokens from bytes to bytes: a decision that asks, and what a slow endpoint does to everybody else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from extauthz.introspection.desk import Desk
from extauthz.model.question import Active, Answer, Inactive, Question, Unanswered
from extauthz.model.time import Seconds, SystemClock
from extauthz.server.answer import NOBODY
from tests import issuing
from tests.building import NOW, policy, revocation
from tests.checks import Response, check_request, read_response
from tests.clock import FakeClock
from tests.introspecting import OPAQUE, SECRET, active, endpoint, issuer, until
from tests.unit.server.serving import PATIENCE, ask, running
from tests.worlds import Asked

BOTH = [{"name": "opaque"}, {"name": "corp"}]


def rule(name: str = "orders", *, issuers: Any = BOTH, **more: Any) -> dict[str, Any]:
    return {"name": name, "token": {"issuers": issuers, "audiences": ["orders-api"]}, **more}


def world(url: str, *rules: dict[str, Any], objects: tuple[Any, ...] = (), **introspection: Any) -> Asked:
    return Asked(SECRET, issuer(url, **introspection), policy("orders", *(rules or (rule(),))), *objects)


def test_an_opaque_token_that_is_active_admits_and_is_remembered() -> None:
    with endpoint() as server:
        server.answers[OPAQUE] = active()
        asked = world(server.url, rule(upstream={"claimHeaders": {"x-sub": "sub"}}))
        for _ in range(3):
            response = asked.ask("/", OPAQUE)
            assert response.code == 0
            assert response.headers["x-sub"] == "alice"
        assert server.asked == [OPAQUE]


def test_an_inactive_token_gets_a_challenge_and_an_endpoint_in_trouble_a_date_to_come_back() -> None:
    with endpoint() as server:
        asked = world(server.url)
        refused = asked.ask("/", OPAQUE)
        assert (refused.http_status, refused.metadata["reason"]) == (401, "token_inactive")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        server.otherwise = (503, {"Retry-After": "9"}, b"")
        away = asked.ask("/", OPAQUE + "x")
        assert (away.http_status, away.metadata["reason"]) == (503, "introspection_unavailable")
        assert "www-authenticate" not in away.headers
        assert away.headers["retry-after"] == "9"


@pytest.mark.parametrize(
    "answer", [{"active": "true"}, {"active": 1}, {}, (200, {}, b""), (200, {"Content-Type": "text/html"}, b"true")]
)
def test_garbage_never_admits_and_never_makes_a_client_throw_its_token_away(answer: Any) -> None:
    with endpoint() as server:
        server.otherwise = answer
        assert world(server.url).ask("/", OPAQUE).http_status == 503


def test_a_jwt_of_the_same_rule_is_verified_by_its_keys_and_never_sent() -> None:
    with endpoint() as server:
        asked = world(server.url)
        assert asked.reason("/", issuing.token()) == "allow"
        assert asked.reason("/", issuing.with_signature(issuing.token(), b"x" * 256)) == "signature_invalid"
        assert asked.reason("/", issuing.token(issuing.claims(iss="https://opaque.example"))) == "issuer_untrusted"
        assert server.forms == []


def test_what_the_rule_requires_is_asked_of_an_opaque_token_too() -> None:
    with endpoint() as server:
        server.answers[OPAQUE] = active()
        asked = world(server.url, rule(require={"scopes": ["orders.delete"]}))
        assert asked.reason("/", OPAQUE) == "scope_missing"


def test_a_single_use_opaque_token_is_used_once_with_or_without_padding() -> None:
    with endpoint() as server:
        server.otherwise = active()
        asked = world(server.url, rule(reuse={"maxUses": 1}))
        assert [asked.reason("/", OPAQUE) for _ in range(3)] == ["allow", "token_reused", "token_reused"]
        assert asked.reason("/", OPAQUE + "==") == "token_reused"
        assert asked.reason("/", "another-token") == "allow"


def test_a_used_token_stays_used_when_its_endpoint_prolongs_it() -> None:
    clock = FakeClock()
    with endpoint() as server:
        asked = Asked(SECRET, issuer(server.url), policy("p", rule(reuse={"maxUses": 1})), clock=clock)
        server.otherwise = active()
        assert asked.reason("/", OPAQUE) == "allow"
        for end in (600, 1200, 3500):
            server.otherwise = active(exp=int(NOW) + end)
            clock.advance(int(NOW) + end - clock.now() - 5)
            assert asked.reason("/", OPAQUE) == "token_reused"


def test_uses_of_a_token_whose_age_is_unknown_are_not_counted_but_refused() -> None:
    with endpoint() as server:
        server.otherwise = active(iat=...)
        asked = world(server.url, rule("once", match=[{"path": {"exact": "/once"}}], reuse={"maxUses": 1}), rule())
        assert asked.reason("/once", OPAQUE) == "token_malformed"
        assert "let its endpoint say it" in str(asked.seen[-1])
        assert asked.reason("/", OPAQUE) == "allow"


def test_a_refused_opaque_token_spends_nothing() -> None:
    with endpoint() as server:
        server.answers[OPAQUE] = active(aud="billing")
        asked = world(server.url, rule(reuse={"maxUses": 1}))
        for token in (OPAQUE, "invented"):
            assert asked.reason("/", token) != "allow"
        assert len(asked.store) == 0  # type: ignore[arg-type]


def test_a_revoked_token_is_refused_even_while_it_is_remembered_as_active() -> None:
    with endpoint() as server:
        server.otherwise = active(jti="id-9")
        asked = world(server.url)
        assert asked.reason("/", OPAQUE) == "allow"
        named: Any = {"issuer": {"name": "opaque"}}
        for said in ({"jti": "id-9"}, {"subject": "alice"}, {"tokenHash": hash_of(OPAQUE)}):
            asked.load(SECRET, issuer(server.url), policy("orders", rule()), revocation("r", **named, **said))
            assert asked.reason("/", OPAQUE) == "token_revoked"
        assert server.asked == [OPAQUE]


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_shadow_records_what_the_endpoint_said_and_admits() -> None:
    with endpoint() as server:
        asked = Asked(SECRET, issuer(server.url), policy("p", rule(), mode="Shadow"))
        assert asked.reason("/", OPAQUE) == "allow"
        assert "TOKEN_INACTIVE" in str(asked.seen[-1])


def test_policies_that_change_while_an_endpoint_is_asked_decide_as_they_are_then() -> None:
    class Changing(Desk):
        """Changes the policies while it is asked."""

        change: Callable[[], object]

        def recall(self, question: Question) -> Active | Inactive | None:
            return None

        def ask(self, question: Question, until: float) -> Answer:
            self.change()
            return Active({name: value for name, value in active().items() if name != "active"})

    desk = Changing(FakeClock())
    desk.change = lambda: None
    asked = Asked(SECRET, issuer("https://a.example/"), policy("p", rule()), desk=desk)
    assert asked.reason("/", OPAQUE) == "allow"
    desk.change = lambda: setattr(asked, "snapshot", None)
    assert asked.reason("/", OPAQUE) == "not_ready"
    asked = Asked(SECRET, issuer("https://a.example/"), policy("p", rule()), desk=desk)
    other = Asked(SECRET, issuer("https://b.example/"), policy("p", rule())).snapshot
    desk.change = lambda: setattr(asked, "snapshot", other)
    assert asked.reason("/", OPAQUE) == "introspection_unavailable"


def test_a_token_that_ends_while_its_endpoint_is_asked_is_refused() -> None:
    clock = FakeClock()
    with endpoint() as server:

        def slow(handler: Any) -> Any:
            clock.advance(0.5)
            return active(exp=int(NOW) - 30)

        server.otherwise = slow
        clock.set_wall(NOW - 0.2)
        asked = Asked(SECRET, issuer(server.url), policy("p", rule()), clock=clock)
        assert asked.reason("/", OPAQUE) == "token_expired"


def request(token: str, stream: int = 0) -> bytes:
    return check_request(headers={"authorization": f"Bearer {token}"}, stream_id=str(stream))


def reason_of(response: Response) -> str:
    return "allow" if response.code == 0 else str(response.metadata["reason"])


def test_a_hung_endpoint_holds_up_nobody_who_needs_no_answer() -> None:
    clock: Any = SystemClock()
    now = int(clock.now())
    jwt = issuing.token(issuing.claims(iat=now - 5, exp=now + 300))
    gate = threading.Event()
    with endpoint() as server, ThreadPoolExecutor(40) as callers:

        def hang(handler: Any) -> None:
            gate.wait(PATIENCE)

        server.otherwise = hang
        desk = Desk(clock, allow_http_loopback=True)
        asked = Asked(SECRET, issuer(server.url, timeout="5s"), policy("p", rule()), clock=clock, desk=desk)
        with running(asked.answerer, clock, threads=20, max_concurrent=100, check_budget=Seconds(2.0)) as served:
            hung = [callers.submit(ask, served.target, request(f"opaque-{n}")) for n in range(20)]
            until(lambda: desk._waiting["shop"] == 20)
            # No thread is free, and every JWT is answered all the same.
            answers = [reason_of(read_response(ask(served.target, request(jwt, n)))) for n in range(50)]
            assert answers == ["allow"] * 50
            assert desk._waiting["shop"] == 20
            assert {reason_of(read_response(each.result())) for each in hung} == {"introspection_unavailable"}
        gate.set()
        desk.stop()


def test_a_request_waits_for_an_endpoint_no_longer_than_its_time() -> None:
    clock: Any = SystemClock()
    gate = threading.Event()
    with endpoint() as server:

        def hang(handler: Any) -> None:
            gate.wait(PATIENCE)

        server.otherwise = hang
        asked = Asked(SECRET, issuer(server.url), policy("p", rule()), clock=clock)
        started = clock.monotonic()
        data = asked.answerer.answer(request(OPAQUE), Seconds(0.2))
        assert reason_of(read_response(data)) == "introspection_unavailable"
        assert clock.monotonic() - started < PATIENCE / 2
        gate.set()
        asked.desk.stop()


def test_more_than_there_are_threads_for_wait_their_turn() -> None:
    clock: Any = SystemClock()
    gate = threading.Event()
    with endpoint() as server, ThreadPoolExecutor(8) as callers:

        def hang(handler: Any) -> Any:
            gate.wait(PATIENCE)
            return active()

        server.otherwise = hang
        desk = Desk(clock, allow_http_loopback=True)
        asked = Asked(SECRET, issuer(server.url, timeout="5s"), policy("p", rule()), clock=clock, desk=desk)
        with running(asked.answerer, clock, threads=2, check_budget=Seconds(10.0)) as served:
            waiting = [callers.submit(ask, served.target, request(f"opaque-{n}")) for n in range(5)]
            until(lambda: desk._waiting["shop"] == 2)
            gate.set()
            assert len([each.result() for each in waiting]) == 5
        desk.stop()


def test_without_a_desk_nobody_is_asked() -> None:
    answer = NOBODY.ask(Question(issuing.CORP.ref, "https://a.example/", OPAQUE), 0.0)
    assert isinstance(answer, Unanswered)
