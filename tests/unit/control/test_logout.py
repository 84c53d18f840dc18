"""Back-channel logout: from the form that an issuer posts to the TokenRevocation that is written; and over HTTP."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from extauthz.control.allowance import Allowance
from extauthz.control.logout import LogoutReceiver, revocation_of
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import BackChannel, IssuerRef, Trust
from extauthz.policy.parse import Parsed, parse
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.tokens.logout import EVENT, Logout
from tests.building import NOW, policy, with_token
from tests.clock import FakeClock
from tests.issuing import CORP, claims, header, state, token, with_signature
from tests.worlds import Asked

TOLD = replace(CORP, back_channel=BackChannel(clients=frozenset({"web"})))
FORM = "application/x-www-form-urlencoded"


def logout_token(**more: Any) -> str:
    """A good logout token, but for what is said."""
    said = {
        "iss": CORP.issuer, "aud": "web", "iat": NOW - 5, "exp": NOW + 115, "jti": "logout-1", "sid": "s-1",
        "sub": "alice", "events": {EVENT: {}}, **more,
    }  # fmt: skip
    return token({name: value for name, value in said.items() if value is not ...}, header(typ="logout+jwt"))


@dataclass
class Place:
    """A receiver, and what it did."""

    written: list[dict[str, Any]] = field(default_factory=list)
    wanted: list[IssuerRef] = field(default_factory=list)
    issuers: list[Trust] | None = field(default_factory=lambda: [TOLD])
    keys: dict[IssuerRef, KeyState] = field(default_factory=lambda: {CORP.ref: state("rsa")})
    trouble: Exception | None = None
    clock: FakeClock = field(default_factory=FakeClock)

    def write(self, obj: dict[str, Any]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.written.append(obj)

    def receiver(self) -> LogoutReceiver:
        return LogoutReceiver(
            issuers=lambda: self.issuers,
            keys=lambda: self.keys,
            want_keys=self.wanted.append,
            write=self.write,
            clock=self.clock,
            install_namespace="ops",
            allowance=Allowance(self.clock, each_second=1.0, at_once=3),
        )


@pytest.fixture
def place() -> Place:
    return Place()


def post(receiver: LogoutReceiver, text: str | None = None, **more: str) -> tuple[int, str]:
    """The status and error of an answer to a form with a logout token."""
    form = {"logout_token": logout_token() if text is None else text, **more}
    reply = receiver.receive(FORM, urlencode(form).encode())
    return reply.status, reply.error


def test_a_logout_becomes_a_revocation_that_a_source_accepts(place: Place) -> None:
    assert post(place.receiver(), state="ignored") == (200, "")
    (written,) = place.written
    found = parse(written, cluster=True)
    assert isinstance(found, Parsed)
    assert isinstance(found.spec, TokenRevocationSpec)
    assert written["metadata"]["namespace"] == "shop"
    assert written["spec"] == {
        "issuer": {"kind": "TokenIssuer", "name": "corp"},
        "session": "s-1",
        "issuedBefore": "2026-09-21T14:13:16Z",
        "expires": "2026-09-21T15:14:20Z",
        "reason": "back-channel logout",
    }


def test_the_name_tells_nobody_who_it_was(place: Place) -> None:
    post(place.receiver(), logout_token(sid=...))
    text = json.dumps(place.written[0]["metadata"])
    assert not any(word in text for word in ("alice", "s-1", "logout-1"))


def test_what_is_written_refuses_the_session_from_then_on_and_no_other(place: Place) -> None:
    rules = policy("p", with_token("r"))
    asked = Asked(rules)
    ended, other, later = (
        token(claims(**said)) for said in ({"sid": "s-1"}, {"sid": "s-2"}, {"sid": "s-1", "iat": NOW - 4})
    )
    assert asked.reason("/", ended) == "allow"
    post(place.receiver())
    asked.load(rules, *place.written)
    assert [asked.reason("/", each) for each in (ended, other, later)] == ["token_revoked", "allow", "allow"]


def test_a_logout_at_the_clusters_issuer_counts_for_all(place: Place) -> None:
    trust = replace(TOLD, ref=IssuerRef("ClusterTokenIssuer", "", "corp"))
    place.issuers, place.keys = [trust], {trust.ref: state("rsa")}
    assert post(place.receiver()) == (200, "")
    assert place.written[0]["metadata"]["namespace"] == "ops"


def test_a_repetition_is_answered_alike_and_written_once(place: Place) -> None:
    receiver = place.receiver()
    assert [post(receiver) for _ in range(3)] == [(200, "")] * 3
    assert len(place.written) == 1
    # Another replica comes to the same name, and finds the object there.
    assert post(place.receiver()) == (200, "")
    assert place.written[0]["metadata"] == place.written[1]["metadata"]


def test_an_id_that_comes_again_with_another_session_is_another_logout(place: Place) -> None:
    receiver = place.receiver()
    post(receiver)
    post(receiver, logout_token(sid="s-2"))
    assert [each["spec"]["session"] for each in place.written] == ["s-1", "s-2"]
    assert len({each["metadata"]["name"] for each in place.written}) == 2


def test_one_that_could_not_be_written_is_tried_again(place: Place) -> None:
    receiver = place.receiver()
    place.trouble = OSError("api server away")
    assert post(receiver) == (400, "temporarily_unavailable")
    place.trouble = None
    assert post(receiver) == (200, "")
    assert len(place.written) == 1


def test_issuer_objects_that_share_an_iss_all_hear_of_it(place: Place) -> None:
    twin = replace(TOLD, ref=IssuerRef("TokenIssuer", "other", "twin"))
    foreign = replace(TOLD, ref=IssuerRef("TokenIssuer", "mallory", "corp"))
    place.issuers = [TOLD, twin, foreign]
    place.keys |= {twin.ref: state("rsa"), foreign.ref: state("ec")}
    assert post(place.receiver()) == (200, "")
    assert [each["metadata"]["namespace"] for each in place.written] == ["shop", "other"]
    place.keys[twin.ref] = KeyState()
    assert post(place.receiver()) == (400, "temporarily_unavailable")


def test_a_header_parameter_is_let_be_by_the_issuer_that_has_it_so_alone(place: Place) -> None:
    said = claims(aud="web", exp=NOW + 115, iat=NOW - 5, sid="s-1", events={EVENT: {}})
    text = token(said, header(typ="logout+jwt", jku="https://evil.example/keys"))
    assert post(place.receiver(), text)[0] == 400
    ref = IssuerRef("TokenIssuer", "shop", "other")
    place.issuers = [TOLD, replace(TOLD, ref=ref, ignored_header_parameters=frozenset({"jku"}))]
    place.keys = {CORP.ref: state("rsa"), ref: state("rsa")}
    assert post(place.receiver(), text) == (200, "")
    assert [each["spec"]["issuer"]["name"] for each in place.written] == ["other"]


def test_an_unknown_key_is_asked_for(place: Place) -> None:
    place.keys = {CORP.ref: state("ec")}
    assert post(place.receiver()) == (400, "temporarily_unavailable")
    assert place.wanted == [CORP.ref]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "a.b.c",
        logout_token(iss="https://other.example"),
        logout_token(aud="x"),
        token(claims(aud="web")),
    ],
)
def test_anything_else_is_refused_and_writes_nothing(place: Place, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert post(place.receiver(), text) == (400, "invalid_request")
    assert place.written == []
    assert "a logout token was refused" in caplog.text
    assert not any(part in caplog.text for part in text.split(".") if len(part) > 16)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({"logout_token": logout_token()})),
        ("", urlencode({"logout_token": logout_token()})),
        (FORM, ""),
        (FORM, "logout_token"),
        (FORM, urlencode({"other": "x"})),
        (FORM, urlencode([("logout_token", logout_token())] * 2)),
        (FORM, urlencode({"logout_token": logout_token()} | {f"f{at}": "" for at in range(20)})),
        (FORM, "logout_token=\xe9"),
    ],
)
def test_a_body_that_is_no_form_with_one_token_is_refused(place: Place, content_type: str, body: str) -> None:
    reply = place.receiver().receive(content_type, body.encode("latin-1"))
    assert (reply.status, reply.error) == (400, "invalid_request")
    assert place.written == []


@pytest.mark.parametrize("lifetime", [60, 3600, 400 * 86400])
@pytest.mark.parametrize("iat", [NOW - 3600, NOW - 0.123456, NOW + 30])
def test_what_is_written_is_always_within_what_a_cluster_takes(lifetime: int, iat: float) -> None:
    logout = Logout(
        trust=replace(CORP, max_lifetime=Seconds(lifetime), clock_skew=Seconds(300)),
        token_id="x", issued_at=Instant(iat), session=None, subject="é" * 1024,
    )  # fmt: skip
    assert isinstance(parse(revocation_of(logout, Instant(NOW), "ops"), cluster=True), Parsed)


@pytest.mark.parametrize(
    ("logout", "issued", "good"),
    [
        (NOW - 5, NOW - 5, False),
        (NOW - 5, NOW - 4.5, False),
        (NOW - 5, NOW - 4, True),
        (NOW - 5.25, NOW - 6, False),
        (NOW - 5.25, NOW - 5.5, False),
        (NOW - 5.25, NOW - 5, True),
    ],
)
def test_a_token_that_may_have_come_before_the_logout_is_refused(
    place: Place, logout: float, issued: float, good: bool
) -> None:
    rules = policy("p", with_token("r"))
    asked = Asked(rules)
    post(place.receiver(), logout_token(iat=logout))
    asked.load(rules, *place.written)
    assert asked.reason("/", token(claims(sid="s-1", iat=issued))) == ("allow" if good else "token_revoked")


def test_a_namespace_with_too_many_is_put_off_and_no_other_for_it(place: Place) -> None:
    other = replace(TOLD, ref=IssuerRef("TokenIssuer", "other", "corp"), issuer="https://other.example")
    place.issuers, place.keys[other.ref] = [TOLD, other], state("rsa")
    receiver = place.receiver()
    answers = [post(receiver, logout_token(sid=f"s-{number}")) for number in range(5)]
    assert answers == [(200, "")] * 3 + [(400, "temporarily_unavailable")] * 2
    assert post(receiver, logout_token(iss=other.issuer)) == (200, "")
    # A repetition writes nothing, so it is not counted.
    assert post(receiver, logout_token(sid="s-0")) == (200, "")
    place.clock.advance(1.0)
    assert post(receiver, logout_token(sid="s-4")) == (200, "")
    assert len(place.written) == 5
    assert {came.value: number for came, number in receiver.counts.items()} == {"done": 6, "limited": 2}


def test_garbage_uses_nothing_of_what_may_be_written(place: Place) -> None:
    receiver = place.receiver()
    for _ in range(50):
        assert post(receiver, with_signature(logout_token(), b"x" * 256)) == (400, "invalid_request")
    assert place.written == []
    assert post(receiver) == (200, "")


def test_before_the_issuers_are_known_a_logout_is_to_be_sent_again(place: Place) -> None:
    place.issuers = None
    assert post(place.receiver()) == (400, "temporarily_unavailable")


def test_an_issuer_whose_logouts_do_not_count_writes_nothing(place: Place) -> None:
    place.issuers = [CORP]
    assert post(place.receiver()) == (400, "invalid_request")
    assert place.written == []


@pytest.mark.parametrize("sub", ["x" * 1025, "a\nb", 7, ["alice"], ""])
def test_a_subject_that_no_revocation_can_name_writes_nothing(place: Place, sub: Any) -> None:
    assert post(place.receiver(), logout_token(sid=..., sub=sub)) == (400, "invalid_request")
    assert place.written == []
