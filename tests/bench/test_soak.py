"""The long runs tell what is wrong, and what they ask has the answers that they expect."""

from __future__ import annotations

import jwt
import pytest

from bench.soak import tokens
from bench.soak.growth import WARM_UP, Growth
from bench.soak.rotation import DEAD_FROM, PUBLISHED_UNTIL, Rotation
from bench.soak.tokens import Tokens
from bench.soak.traffic import Probe, Request, Spent, Tally
from extauthz.cli.demo.stage import Reply

pytestmark = pytest.mark.usefixtures("collector")


def test_a_store_with_too_little_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_ROOM", 0.5)
    wrong = Tokens(1000).run().wrong
    assert any("first use: store_unavailable in place of allow" in each for each in wrong)


def test_the_same_tokens_once_more_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, ends = tokens._token, dict[int, int]()
    # Each odd number brings the token of the even one before it.
    monkeypatch.setattr(tokens, "_token", lambda end, number: fresh(ends.setdefault(number // 2, end), number // 2))
    wrong = Tokens(1000).run().wrong
    assert any("first use: token_reused in place of allow" in each for each in wrong)


def grown(*sizes: float, warm_up: float = WARM_UP) -> Growth:
    growth = Growth(warm_up=warm_up)
    for number, size in enumerate(sizes):
        growth.add(number / len(sizes), round(size * 1e6))
    return growth


def test_memory_that_fills_up_at_first_and_then_stays_is_flat() -> None:
    growth = grown(*range(10, 60, 2), *[60.0] * 75)
    assert growth.flat
    assert growth.grown == pytest.approx(0.0, abs=0.1)
    assert growth.resident == pytest.approx(60.0)


def test_memory_that_never_stops_growing_is_not_flat() -> None:
    growth = grown(*(50.0 + number * 0.2 for number in range(100)))
    assert growth.grown == pytest.approx(15.0, abs=0.2)
    assert not growth.flat


def test_what_fills_up_for_longer_than_a_quarter_of_the_run_has_its_own_warm_up() -> None:
    sizes = [*(10.0 + number for number in range(55)), *[65.0] * 45]
    assert not grown(*sizes).flat
    assert grown(*sizes, warm_up=0.55).grown == pytest.approx(0.0, abs=0.1)


REQUEST = Request("steady.example", "token", frozenset({200}), "alice")
PROBE = Probe("steady", 1, lambda: REQUEST)


def reply(status: int, *subjects: str) -> Reply:
    return Reply(status, {}, {"headers": [("X-Auth-Sub", subject) for subject in subjects]}, 0.001)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (reply(200, "alice"), None),
        (reply(200, "mallory"), "steady: the upstream was told another subject"),
        (reply(200, "alice", "mallory"), "steady: the upstream was told another subject"),
        (reply(200), "steady: the upstream was told another subject"),
        (reply(401), "steady: 401 in place of [200]"),
    ],
)
def test_an_answer_is_judged_by_its_status_and_by_what_the_upstream_was_told(answer: Reply, wrong: str | None) -> None:
    tally = Tally()
    tally.judge(PROBE, REQUEST, answer)
    assert dict(tally.wrong) == ({} if wrong is None else {wrong: 1})


def test_a_denial_in_doubt_is_counted_apart() -> None:
    tally = Tally()
    tally.judge(PROBE, REQUEST, reply(503))
    assert (tally.unsure, dict(tally.wrong)) == (1, {})


def test_only_a_token_that_was_admitted_counts_as_spent() -> None:
    spent = Spent()
    spent.take("refused")(401)
    assert spent.give() is None
    spent.take("admitted")(200)
    assert spent.give() == "admitted"
    assert spent.give() is None


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def published(rotation: Rotation) -> set[str]:
    return {key["kid"] for key in rotation.jwks()["keys"]}


def test_a_good_token_stays_good_for_the_next_beats() -> None:
    rotation = Rotation("https://issuer.example", {})
    for _ in range(2 * DEAD_FROM):
        token = rotation.good()
        for _ in range(8):
            assert kid(token) in published(rotation)
            rotation.beat()


def test_a_key_is_published_for_some_beats_and_then_its_token_is_retired() -> None:
    rotation = Rotation("https://issuer.example", {})
    assert rotation.retired() is None
    token = rotation.good()
    for _ in range(PUBLISHED_UNTIL):
        rotation.beat()
    assert kid(token) not in published(rotation)
    retired = rotation.retired()
    assert retired is not None
    assert kid(retired) not in published(rotation)
