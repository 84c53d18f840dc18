"""Rows F: replay, limits and state, with the store of one replica."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from typing import Any

import pytest

from extauthz.model.encoding import base64url_decode, base64url_encode
from extauthz.model.time import Instant, SystemClock
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Spend
from extauthz.replay.store import Outcome, Unavailable
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.readings import Readings
from tests.building import NOW, moment, revocation
from tests.catalogue.guarded import RULES, Guarded, api, at, issuer
from tests.catalogue.outcomes import DOWN, INVTOK, POLICY, RATE, REVOKED, SCOPE, USED, Word, admitted, refused
from tests.checks import Response
from tests.clock import FakeClock
from tests.issuing import P256_ORDER, claims, header, hmac_token, jwks, token, with_signature

ONCE = {"maxUses": 1}
WINDOW = {"maxUses": 3, "window": "1m"}


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


class Absent:
    """A store that cannot tell."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.asked = 0

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        self.asked += 1
        return Unavailable(self.why)

    def ready(self) -> bool:
        return False


class Noted(MemoryStore):
    """The memory store, and what was ever asked of it."""

    def __init__(self, clock: FakeClock, capacity: int = 1000) -> None:
        super().__init__(clock, capacity)
        self.asked = 0

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        self.asked += 1
        return super().commit(spends, attempt)


def numbered(number: int, **said: Any) -> str:
    return token(claims(jti=f"id-{number}", **said))


def test_F01_a_second_use(guarded: Guarded) -> None:
    for key in ("rsa", "ec", "ed"):
        text = token(key=key)
        admitted(guarded.present(text, "/once"))
        for _ in range(3):
            refused(guarded.present(text, "/once"), USED)


def test_F01_the_use_after_the_last(guarded: Guarded) -> None:
    guarded.load(api(at("few", reuse={"maxUses": 3})))
    for remaining in (2, 1, 0):
        response = guarded.present(token(), "/few")
        admitted(response)
        assert response.metadata["remaining"] == remaining
    refused(guarded.present(token(), "/few"), USED)


def test_F02_two_hundred_racing_uses_on_one_replica(guarded: Guarded) -> None:
    text, found, lock, start = token(), Counter[str](), threading.Lock(), threading.Barrier(20)
    responses: list[Response] = []

    def run(number: int) -> None:
        start.wait()
        for each in range(10):
            response = guarded.present(text, "/once", stream_id=f"{number}-{each}")
            with lock:
                responses.append(response)
                found[response.metadata["decision"]] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"allow": 1, "deny": 199}
    for response in responses:
        if response.code != 0:
            refused(response, USED)


def _twin(text: str) -> str:
    signature = base64url_decode(text.rpartition(".")[2])
    return with_signature(text, signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32))


@pytest.mark.parametrize("first", ["plain", "twin", "slot"])
def test_F03_one_token_in_other_clothes(guarded: Guarded, first: str) -> None:
    text = token(key="ec")

    def by_key(shown: str) -> Response:
        return guarded.send(("x-api-key", shown), path="/once-key")

    match first:
        case "plain":
            admitted(guarded.present(text, "/once"))
        case "twin":
            admitted(guarded.present(_twin(text), "/once"))
        case _:
            admitted(by_key(text))
    for shown in (text, _twin(text)):
        refused(guarded.present(shown, "/once"), USED)
        refused(by_key(shown), USED)
        for scheme in ("bearer", "BEARER", "bEaReR"):
            refused(guarded.send(("authorization", f"{scheme}  {shown}"), path="/once"), USED)
    for padded in (text + "=", text + "=="):
        refused(guarded.present(padded, "/once"), INVTOK)
        refused(by_key(padded), INVTOK)


def test_F03_padding_burns_no_use(guarded: Guarded) -> None:
    refused(guarded.present(token() + "==", "/once"), INVTOK)
    admitted(guarded.present(token(), "/once"))


def test_F04_one_more_than_the_window_holds() -> None:
    guarded = Guarded(api(at("window", reuse=WINDOW)))
    text = token()
    for _ in range(3):
        admitted(guarded.present(text, "/window"))
    refused(guarded.present(text, "/window"), RATE)
    response = guarded.present(text, "/window")
    refused(response, RATE)
    assert 1 <= int(response.headers["retry-after"]) <= 60
    admitted(guarded.present(numbered(2), "/window"))
    guarded.clock.advance(int(response.headers["retry-after"]))
    admitted(guarded.present(text, "/window"))


@pytest.mark.parametrize("by", [["Subject"], ["Client"], ["Issuer"], ["SourceAddress"], ["Subject", "SourceAddress"]])
def test_F04_a_limit_over_many_tokens(by: list[str]) -> None:
    limit = {"name": "limit", "by": by, "requests": 3, "window": "1m"}
    guarded = Guarded(api(at("plain", limits=[limit])))
    for number in range(3):
        admitted(guarded.present(numbered(number)))
    response = guarded.present(numbered(3))
    refused(response, RATE)
    assert 1 <= int(response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("start", [0.0, 59.0, 59.5, 30.0])
def test_F05_a_burst_over_the_boundary_of_a_window(start: float) -> None:
    guarded = Guarded(api(at("window", reuse=WINDOW)))
    guarded.clock.advance(start)
    text, when = token(claims(exp=NOW + 3000)), []
    for _ in range(300):
        if guarded.present(text, "/window").code == 0:
            when.append(guarded.clock.now())
        guarded.clock.advance(0.5)
    assert len(when) >= 6
    for instant in when:
        assert sum(instant - 60 < other <= instant for other in when) <= 3


def test_F06_refused_tries_do_not_prolong_the_wait() -> None:
    guarded = Guarded(api(at("window", reuse=WINDOW)))
    text = token()
    for _ in range(3):
        admitted(guarded.present(text, "/window"))
    for _ in range(59):
        guarded.clock.advance(1)
        refused(guarded.present(text, "/window"), RATE)
    guarded.clock.advance(2)
    for _ in range(3):
        admitted(guarded.present(text, "/window"))


@pytest.mark.parametrize(
    ("require", "said", "word"),
    [
        ({"scopes": ["admin"]}, {}, SCOPE),
        ({"claims": [{"claim": "tenant", "oneOf": ["acme"]}]}, {"tenant": "evil"}, POLICY),
        ({"cel": "request.headers['x-tool'] == 'read'"}, {}, POLICY),
    ],
)
def test_F07_a_request_that_is_refused_uses_nothing_up(require: Any, said: Any, word: Word) -> None:
    strict = at("strict", require=require, reuse=ONCE)
    guarded = Guarded(api(strict, at("open", reuse=ONCE)))
    text = token(claims(**said))
    for _ in range(3):
        refused(guarded.present(text, "/strict"), word)
    admitted(guarded.present(text, "/open"))
    refused(guarded.present(text, "/open"), USED)


WHY = ["the store does not answer in time", "connection refused", "partial write", "READONLY replica", "OOM command"]


@pytest.mark.parametrize("why", WHY)
def test_F08_a_store_that_cannot_tell(why: str) -> None:
    limit = {"name": "limit", "by": ["Subject"], "requests": 9, "window": "1m"}
    lenient = limit | {"onStoreError": "Allow"}
    store = Absent(why)
    guarded = Guarded(
        api(
            at("once", reuse=ONCE), at("window", reuse=WINDOW), at("limited", limits=[limit]),
            at("lenient", limits=[lenient]), at("both", reuse=ONCE, limits=[lenient]), at("plain"),
        ),
        store=store,
    )  # fmt: skip
    for path in ("/once", "/window", "/limited", "/both"):
        response = guarded.present(token(), path)
        refused(response, DOWN, "store_unavailable")
        assert why not in f"{response}"
    admitted(guarded.present(token(), "/lenient"))
    assert store.asked == 5
    admitted(guarded.present(token()))
    assert store.asked == 5


def test_F09_a_flood_of_garbage_writes_nothing() -> None:
    clock = FakeClock()
    store = Noted(clock)
    guarded = Guarded(api(at("once", reuse=ONCE, limits=[_per("Token")])), clock=clock, store=store)
    garbage = [
        "garbage", "a.b.c", token()[:-4] + "AAAA", with_signature(token(), b"\0" * 256), hmac_token(b"x"),
        token(claims(aud="x")), token(claims(exp=NOW - 31, iat=NOW - 60)), token(claims(iss="https://evil.example")),
        token(key="rsa-evil"), token(head=header("none")), token() + "==", token(claims(sub=7)),
        token(claims(cnf={"jkt": "x"})),
    ]  # fmt: skip
    for text in garbage * 20:
        assert guarded.present(text, "/once").code != 0
    for path in ("/once", "/none"):
        guarded.send(path=path)
    assert (store.asked, len(store)) == (0, 0)


def _per(by: str) -> dict[str, Any]:
    return {"name": f"per-{by.lower()}", "by": [by], "requests": 1000, "window": "1m"}


def test_F10_a_full_store_forgets_nobody() -> None:
    clock = FakeClock()
    guarded = Guarded(api(at("once", reuse=ONCE)), clock=clock, store=MemoryStore(clock, capacity=5))
    for number in range(5):
        admitted(guarded.present(numbered(number), "/once"))
    for number in range(5, 500):
        refused(guarded.present(numbered(number), "/once"), DOWN, "store_unavailable")
    for number in range(5):
        refused(guarded.present(numbered(number), "/once"), USED)
    clock.advance(602)
    fresh = numbered(501, iat=NOW + 600, exp=NOW + 870)
    admitted(guarded.present(fresh, "/once"))


@pytest.mark.parametrize("late", [0, 1, 15, 29, 29.9])
def test_F11_a_replay_within_the_leeway(guarded: Guarded, late: float) -> None:
    text = token(claims(exp=NOW + 10))
    admitted(guarded.present(text, "/once"))
    guarded.clock.advance(10 + late)
    refused(guarded.present(text, "/once"), USED)
    guarded.clock.advance(30 - late)
    refused(guarded.present(text, "/once"), INVTOK, "token_expired")


@pytest.mark.parametrize("order", [("tight", "wide"), ("wide", "tight")], ids=" ".join)
@pytest.mark.parametrize("late", [1.5, 40, 299])
def test_F11_a_replay_within_the_leeway_of_another_object(order: tuple[str, str], late: float) -> None:
    """One issuer, described by two objects: what the first counted holds for as long as the second accepts."""
    both = at("both", reuse={**ONCE, "scope": "Global"})
    both["token"]["issuers"] = [{"name": name} for name in order]
    alone = at("alone", issuer="wide", reuse={**ONCE, "scope": "Global"})
    guarded = Guarded(
        api(both), api(alone, name="other"), issuer("tight", clockSkew="0s"), issuer("wide", clockSkew="5m")
    )
    text = token(claims(exp=NOW + 10))
    admitted(guarded.present(text, "/both"))
    guarded.clock.advance(10 + late)
    refused(guarded.present(text, "/both"), *((INVTOK, "token_expired") if order[0] == "tight" else (USED,)))
    refused(guarded.present(text, "/alone"), USED)


@pytest.mark.parametrize("late", [1.5, 299])
def test_F11_the_leeway_of_another_object_makes_no_token_new(late: float) -> None:
    """Ids are counted, and tokens revoked, for each object: none of them may hand a token on to the next."""
    by_id, plain = at("id", reuse={**ONCE, "key": "Jti"}), at("plain")
    for rule in (by_id, plain):
        rule["token"]["issuers"] = [{"name": "tight"}, {"name": "wide"}]
    revoked = revocation("gone", issuer={"name": "tight"}, jti="gone")
    guarded = Guarded(api(by_id, plain), issuer("tight", clockSkew="0s"), issuer("wide", clockSkew="5m"), revoked)
    used, gone = token(claims(exp=NOW + 10)), token(claims(exp=NOW + 10, jti="gone"))
    admitted(guarded.present(used, "/id"))
    refused(guarded.present(gone), REVOKED)
    guarded.clock.advance(10 + late)
    refused(guarded.present(used, "/id"), INVTOK, "token_expired")
    refused(guarded.present(gone), INVTOK, "token_expired")


def test_F11_a_token_that_the_first_object_never_takes_is_the_seconds_alone() -> None:
    both = at("both", reuse=ONCE)
    both["token"].pop("audiences", None)
    both["token"]["issuers"] = [{"name": "tight"}, {"name": "wide"}]
    tight = issuer("tight", clockSkew="0s", audiences=["another-api"])
    guarded = Guarded(api(both), tight, issuer("wide", clockSkew="5m", audiences=["orders-api"]))
    late = token(claims(exp=NOW - 10))
    admitted(guarded.present(late, "/both"))
    refused(guarded.present(late, "/both"), USED)


def test_F11_a_replay_within_a_leeway_that_was_edited() -> None:
    guarded = Guarded(api(at("own", issuer="own", reuse=ONCE)), issuer("own", clockSkew="0s"))
    text = token(claims(exp=NOW + 10))
    admitted(guarded.present(text, "/own"))
    guarded.load(api(at("own", issuer="own", reuse=ONCE)), issuer("own", clockSkew="5m"))
    guarded.clock.advance(50)
    refused(guarded.present(text, "/own"), USED)


class _Hands:
    """The machine's clocks, as an administrator turns them."""

    def __init__(self) -> None:
        self.wall, self.mono = NOW, 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def pass_by(self, seconds: float) -> None:
        self.wall, self.mono = self.wall + seconds, self.mono + seconds


def test_F12_a_clock_that_is_set_back() -> None:
    hands = _Hands()
    clock = SystemClock(hands.time, hands.monotonic)
    guarded = Guarded(clock=clock)
    old, gone = token(claims(iat=NOW - 1200, exp=NOW + 300)), token(claims(iat=NOW - 1200, exp=NOW + 10))
    for text in (old, gone):
        admitted(guarded.present(text, "/once"))
    hands.pass_by(60)
    refused(guarded.present(gone, "/once"), INVTOK, "token_expired")
    hands.wall -= 600
    for _ in range(3):
        hands.pass_by(1)
        refused(guarded.present(old, "/once"), USED)
        refused(guarded.present(gone, "/once"), INVTOK, "token_expired")
    readings = Readings(now=Instant(NOW), clock_stepped_back=clock.stepped_back())
    assert b"extauthz_clock_stepped_back_seconds 600" in Metrics(lambda: readings, version="1").render()[0]


@pytest.mark.parametrize("back", [1, 20, 600])
def test_F12_a_store_whose_time_goes_back_remembers(guarded: Guarded, back: float) -> None:
    """Whatever clock it is given: what was counted stays counted."""
    text = token(claims(iat=NOW - 1200, exp=NOW + 300))
    admitted(guarded.present(text, "/once"))
    guarded.clock.set_wall(NOW - back)
    refused(guarded.present(text, "/once"), USED)


@pytest.mark.parametrize("raw", [False, True], ids=["map", "raw"])
def test_F13_a_check_that_is_sent_again(guarded: Guarded, raw: bool) -> None:
    lines = (("authorization", f"Bearer {token()}"), ("x-request-id", "r"))
    answers = [guarded.send(*lines, path="/once", stream_id="9", raw=raw) for _ in range(3)]
    for answer in answers:
        admitted(answer)
    assert answers[0] == answers[1] == answers[2]
    refused(guarded.send(*lines, path="/once", stream_id="10", raw=raw), USED)


@pytest.mark.parametrize(
    "other",
    [{"method": "POST"}, {"path": "/once-too"}, {"path": "/once?a=1"}, {"stream_id": ""}, {"host": "b.example"}],
)
def test_F13_another_request_is_no_repetition(other: dict[str, Any]) -> None:
    guarded = Guarded(api(at("once", reuse=ONCE), at("once-too", reuse=ONCE), hosts=("api.example", "b.example")))
    line = ("authorization", f"Bearer {token()}")
    admitted(guarded.send(line, path="/once", stream_id="9"))
    refused(guarded.send(line, **{"path": "/once", "stream_id": "9"} | other), USED)


def test_F13_a_repetition_that_comes_late_is_another_request(guarded: Guarded) -> None:
    admitted(guarded.present(token(), "/once", stream_id="9"))
    guarded.clock.advance(4)
    refused(guarded.present(token(), "/once", stream_id="9"), USED)


def test_F14_one_check_for_all_tries_of_the_router_is_one_use(guarded: Guarded) -> None:
    """Envoy asks before it routes, so its tries are behind one answer: tests/envoy shows that. Here, what one costs."""
    guarded.load(api(at("few", reuse={"maxUses": 2})))
    for remaining in (1, 0):
        assert guarded.present(token(), "/few").metadata["remaining"] == remaining


EVIL = issuer("evil", issuer="https://evil.example", keys={"inline": jwks("rsa-evil")})
TWIN = issuer("twin", keys={"inline": jwks("rsa-evil")})


@pytest.mark.parametrize("scope", ["Rule", "Policy", "Global"])
@pytest.mark.parametrize("reuse", [{"key": "Jti"}, {"key": "Token"}, {"key": "Claim", "claim": "jti"}], ids=str)
@pytest.mark.parametrize(("attacker", "iss"), [("evil", "https://evil.example"), ("twin", "https://corp.example")])
def test_F15_a_victims_id_in_the_token_of_another_issuer(scope: str, reuse: Any, attacker: str, iss: str) -> None:
    """`twin` is an object of the attacker's own that names the victim's `iss`, with keys of the attacker's."""
    counted = {"maxUses": 1, "scope": scope, **reuse}
    both, mine = at("both", reuse=counted), at("mine", reuse=counted, issuer=attacker)
    both["token"]["issuers"] = [{"name": "corp"}, {"name": attacker}]
    guarded = Guarded(api(both, mine), EVIL, TWIN)
    for path in ("/both", "/mine"):
        stolen = token(claims(iss=iss, jti="victim", sub=f"mallory{path}"), key="rsa-evil")
        guarded.present(stolen, path)
        refused(guarded.present(stolen, path), USED)
    victim = token(claims(jti="victim"))
    admitted(guarded.present(victim, "/both"))
    refused(guarded.present(victim, "/both"), USED)


def test_F15_a_victims_id_under_a_key_of_nobody(guarded: Guarded) -> None:
    guarded.load(api(at("jti", reuse={"maxUses": 1, "key": "Jti"})))
    for forged in (token(claims(jti="victim"), key="rsa-evil"), hmac_token(b"x")):
        refused(guarded.present(forged, "/jti"), INVTOK)
    admitted(guarded.present(token(claims(jti="victim")), "/jti"))


@pytest.mark.parametrize("reuse", [{"maxUses": 1}, {"maxUses": 1, "window": "1m"}], ids=["uses", "window"])
def test_F19_a_larger_limit_keeps_the_count(guarded: Guarded, reuse: dict[str, Any]) -> None:
    spent = RATE if "window" in reuse else USED
    guarded.load(api(at("edited", reuse=reuse)))
    admitted(guarded.present(token(), "/edited"))
    refused(guarded.present(token(), "/edited"), spent)
    guarded.load(api(at("edited", reuse=reuse | {"maxUses": 3})))
    for _ in range(2):
        admitted(guarded.present(token(), "/edited"))
    refused(guarded.present(token(), "/edited"), spent)
    guarded.load(api(at("edited", reuse=reuse | {"maxUses": 2})))
    refused(guarded.present(token(), "/edited"), spent)


def test_F19_what_is_deleted_fails_closed(guarded: Guarded) -> None:
    admitted(guarded.present(token(), "/once"))
    guarded.load()
    refused(guarded.present(token(), "/once"), POLICY, "no_policy")
    guarded.load(api(at("once", issuer="gone", reuse=ONCE)))
    refused(guarded.present(token(), "/once"), DOWN, "policy_invalid")
    guarded.load(api(*RULES))
    refused(guarded.present(token(), "/once"), USED)
    admitted(guarded.present(numbered(2), "/once"))


HASH = hashlib.sha256(token(claims(sid="s-1")).rpartition(".")[0].encode())
"""Of the signing input (RFC 7515, section 5.1) of a token of session `s-1`."""
NAMED = [
    {"subject": "alice"},
    {"session": "s-1"},
    {"jti": "id-1"},
    {"client": "web"},
    {"subject": "alice", "client": "web"},
    {"subject": "alice", "session": "s-1", "jti": "id-1", "client": "web"},
    {"tokenHash": HASH.hexdigest()},
    {"tokenHash": base64url_encode(HASH.digest())},
    {"issuedBefore": moment(NOW)},
    {"subject": "alice", "issuedBefore": moment(NOW - 59)},
]


@pytest.mark.parametrize("said", NAMED, ids=str)
def test_F20_a_revoked_token_is_refused_whatever_it_did_before(guarded: Guarded, said: dict[str, Any]) -> None:
    named, other = token(claims(sid="s-1")), token(claims(sub="bob", sid="s-2", jti="id-2", client_id="app", iat=NOW))
    admitted(guarded.present(named))
    admitted(guarded.present(named, "/once"))
    guarded.load(api(*RULES), revocation("gone", **said))
    for path in ("/plain", "/once", "/scoped", "/identity"):
        refused(guarded.present(named, path), REVOKED)
    admitted(guarded.present(other))
    guarded.clock.advance(200)
    refused(guarded.present(named), REVOKED)
    guarded.load(api(*RULES))
    admitted(guarded.present(named))


def test_F20_what_is_revoked_together_must_all_be_there(guarded: Guarded) -> None:
    guarded.load(api(*RULES), revocation("gone", subject="alice", client="app"))
    admitted(guarded.present(token()))
    admitted(guarded.present(token(claims(sub="bob", client_id="app"))))
    refused(guarded.present(token(claims(client_id="app"))), REVOKED)


def test_F20_the_twin_of_a_signature_is_the_same_token(guarded: Guarded) -> None:
    text = token(key="ec")
    signed = hashlib.sha256(text.rpartition(".")[0].encode()).hexdigest()
    guarded.load(api(*RULES), revocation("gone", tokenHash=signed))
    for each in (text, _twin(text)):
        refused(guarded.present(each), REVOKED)
    admitted(guarded.present(token()))


def test_F20_a_revocation_of_another_issuers_tokens(guarded: Guarded) -> None:
    guarded.load(api(*RULES), EVIL, revocation("gone", issuer={"name": "evil"}, subject="alice"))
    admitted(guarded.present(token()))


def test_F20_a_revocation_that_is_over(guarded: Guarded) -> None:
    guarded.load(api(*RULES), revocation("gone", subject="alice", expires=moment(NOW + 100)))
    guarded.clock.advance(99)
    refused(guarded.present(token()), REVOKED)
    guarded.clock.advance(1)
    admitted(guarded.present(token()))


@pytest.mark.parametrize(
    ("iat", "word"), [(NOW - 11, REVOKED), (NOW - 10.5, REVOKED), (NOW - 10, None), (NOW - 9, None), (..., REVOKED)]
)
def test_F21_a_token_that_is_younger_than_the_revocation(guarded: Guarded, iat: Any, word: Word | None) -> None:
    guarded.load(api(*RULES), revocation("gone", subject="alice", issuedBefore=moment(NOW - 10)))
    text = token(claims(iat=iat))
    for _ in range(2):
        if word is None:
            admitted(guarded.present(text))
        else:
            refused(guarded.present(text), word)
