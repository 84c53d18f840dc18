"""Rows D: claims (RFC 7519, section 4.1; RFC 9068; RFC 9470), always under a good signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.building import NOW
from tests.catalogue.guarded import Guarded, api, at, issuer
from tests.catalogue.outcomes import INVTOK, POLICY, SCOPE, STEPUP, USED, admitted, challenge_of, refused
from tests.issuing import claims, header, token

GOOD = json.dumps(claims()).encode()
NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e300", b"1e999", b"-1e999", b"1" + b"0" * 400, b"1" + b"0" * 399]


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_D01_no_exp(guarded: Guarded) -> None:
    refused(guarded.present(token(claims(exp=...))), INVTOK, "token_malformed")


@pytest.mark.parametrize("value", [str(int(NOW + 300)), "", "soon", True, False, None, [NOW + 300], [], {"a": 1}, {}])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_D02_a_time_of_another_kind(guarded: Guarded, name: str, value: Any) -> None:
    refused(guarded.present(token(claims(**{name: value}))), INVTOK, "token_malformed")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12].decode())
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_D03_a_time_that_is_not_finite(guarded: Guarded, name: str, number: bytes) -> None:
    said = json.dumps(claims(**{name: 12345})).encode().replace(b"12345", number)
    refused(guarded.present(token(said)), INVTOK, "token_malformed")


@pytest.mark.parametrize("value", [-1, 0, -0.0, -NOW, 2**53, 2**63])
def test_D04_a_time_before_all_times(guarded: Guarded, value: float) -> None:
    refused(guarded.present(token(claims(exp=value, iat=...))), INVTOK, "token_malformed")
    refused(guarded.present(token(claims(iat=value))), INVTOK, "token_malformed")


def test_D04_the_fraction_of_a_second_is_given_up(guarded: Guarded) -> None:
    text = token(claims(exp=NOW + 1.5))
    admitted(guarded.present(text))
    guarded.clock.advance(30.9)
    admitted(guarded.present(text))
    guarded.clock.advance(0.1)
    refused(guarded.present(text), INVTOK, "token_expired")


@pytest.mark.parametrize("exp", [NOW + 3541, NOW + 86_400, 4_102_444_800, 2**53 - 1])
def test_D05_a_token_that_lives_too_long(guarded: Guarded, exp: float) -> None:
    refused(guarded.present(token(claims(exp=exp))), INVTOK, "token_too_long_lived")
    refused(guarded.present(token(claims(exp=exp, nbf=exp - 10))), INVTOK)
    refused(guarded.present(token(claims(exp=max(exp, NOW + 3601), iat=...))), INVTOK, "token_too_long_lived")
    admitted(guarded.present(token(claims(exp=NOW + 3540))))


def test_D05_a_rule_may_ask_for_shorter_lives() -> None:
    rule = at("plain")
    rule["token"]["maxLifetime"] = "5m"
    guarded = Guarded(api(rule))
    admitted(guarded.present(token(claims(exp=NOW + 240))))
    refused(guarded.present(token(claims(exp=NOW + 241))), INVTOK, "token_too_long_lived")


@pytest.mark.parametrize("again", [False, True], ids=["first seen", "remembered"])
@pytest.mark.parametrize(("late", "good"), [(29, True), (29.9, True), (30, False), (31, False), (3600, False)])
def test_D06_expiry_to_the_second(guarded: Guarded, late: float, good: bool, again: bool) -> None:
    text = token(claims(exp=NOW + 10))
    if again:
        admitted(guarded.present(text))
    guarded.clock.advance(10 + late)
    if good:
        admitted(guarded.present(text))
    else:
        refused(guarded.present(text), INVTOK, "token_expired")


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(("ahead", "good"), [(29, True), (30, True), (31, False), (200, False)])
def test_D07_a_token_from_the_future(guarded: Guarded, name: str, ahead: float, good: bool) -> None:
    text = token(claims(**{name: NOW + ahead}))
    if good:
        admitted(guarded.present(text))
    else:
        refused(guarded.present(text), INVTOK, "token_not_yet_valid")


@pytest.mark.parametrize(
    "value",
    [
        [], "", None, 7, {"orders-api": True}, [1, "x"], [1, "orders-api"], ["orders-api", None], ["orders-api", ""],
        True, [["orders-api"]], ["orders-api"] + ["a"] * 1_000, ["a"] * 1_000, [f"a{n}" for n in range(10_000)],
    ],
    ids=lambda value: str(value)[:16],
)  # fmt: skip
def test_D08_an_audience_of_another_kind(guarded: Guarded, value: Any) -> None:
    refused(guarded.present(token(claims(aud=value))), INVTOK)


AUDIENCE = "https://a.example/api"


@pytest.mark.parametrize(
    "value",
    [
        "https://b.example/api", "https://a.example", "https://a.example/api.evil", "https://a.example/apis",
        "https://a.example/api/", "https://a.example/api#x", "https://a.example/api?", "HTTPS://a.example/api",
        "https://A.example/api", "https://a.example/API", "http://a.example/api", "https://a.example:443/api",
        "https://a.example.evil/api", " https://a.example/api", "https://a.example/api ", "https://\u0430.example/api",
        "https://a.example/%61pi", "orders-api", ["https://a.example", "https://a.example/api/"], ...,
    ],
    ids=str,
)  # fmt: skip
def test_D09_an_audience_is_compared_byte_for_byte(value: Any) -> None:
    rule = at("plain")
    rule["token"]["audiences"] = [AUDIENCE]
    guarded = Guarded(api(rule))
    refused(guarded.present(token(claims(aud=value))), INVTOK, "audience_mismatch")
    admitted(guarded.present(token(claims(aud=AUDIENCE))))


@pytest.mark.parametrize("value", [["orders-api"], ["billing", "orders-api"], ["orders-api", "billing", "web"]])
def test_D10_ours_among_others(guarded: Guarded, value: list[str]) -> None:
    admitted(guarded.present(token(claims(aud=value))))


def test_D10_ours_and_nobody_elses() -> None:
    rule = at("plain")
    rule["token"] |= {"audiences": ["orders-api", "web"], "audienceMode": "Exact"}
    guarded = Guarded(api(rule))
    for good in ("orders-api", ["orders-api"], ["web", "orders-api"]):
        admitted(guarded.present(token(claims(aud=good))))
    for wide in (["orders-api", "billing"], ["billing", "web", "orders-api"], "billing"):
        for _ in range(2):
            refused(guarded.present(token(claims(aud=wide))), INVTOK, "audience_mismatch")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://corp.example/", "issuer_untrusted"), ("http://corp.example", "issuer_untrusted"),
        ("https://CORP.example", "issuer_untrusted"), ("HTTPS://corp.example", "issuer_untrusted"),
        ("https://c\u043erp.example", "issuer_untrusted"), ("https://corp\u2024example", "issuer_untrusted"),
        ("https://corp", "issuer_untrusted"), ("corp.example", "issuer_untrusted"), ("https://", "issuer_untrusted"),
        ("https://corp.example.evil", "issuer_untrusted"), ("https://corp.example ", "issuer_untrusted"),
        ("https://corp.example:443", "issuer_untrusted"), ("https://corp.example\u0000", "issuer_untrusted"),
        ("", "issuer_untrusted"), (["https://corp.example"], "token_malformed"), (7, "token_malformed"),
        (None, "token_malformed"), (..., "token_malformed"), ({"https://corp.example": 1}, "token_malformed"),
    ],
    ids=str,
)  # fmt: skip
def test_D11_an_issuer_is_compared_byte_for_byte(guarded: Guarded, value: Any, reason: str) -> None:
    refused(guarded.present(token(claims(iss=value))), INVTOK, reason)


@pytest.mark.parametrize(
    "tail",
    [
        b',"aud":"orders-api"}', b',"aud":"billing"}', b',"exp":1790000300}', b',"exp":4102444800}', b',"sub":"root"}',
        b',"scope":"admin"}', b',"\\u0061ud":"orders-api"}', b',"e\\u0078p":4102444800}', b',"x":{"a":1,"a":1}}',
        b',"iss":"https://corp.example"}',
    ],
)  # fmt: skip
def test_D12_a_claim_twice(guarded: Guarded, tail: bytes) -> None:
    refused(guarded.present(token(GOOD[:-1] + tail)), INVTOK, "token_malformed")
    refused(guarded.present(token(b"{" + tail[1:-1] + b"," + GOOD[1:])), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "payload",
    [
        b"[" + GOOD + b"]", b'"text"', b"1790000300", b"null", b"true", b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"), GOOD.decode().encode("utf-16-le"), GOOD.decode().encode("utf-32"),
        GOOD[:-1] + b',"x":"\\ud800"}', GOOD[:-1] + b',"x":"\\udc00\\ud800"}', GOOD[:-1] + b',"\\ud800":1}',
        GOOD[:-1] + b',"x":"\xed\xa0\x80"}', GOOD[:-1] + b',"x":"\xff"}', GOOD + b"x", GOOD + b"\x00", GOOD + GOOD,
        GOOD + b",", GOOD[:-1], GOOD[:-1] + b",}", GOOD.replace(b'"', b"'"), GOOD + b"//", b"", b" ", b"{}",
    ],
    ids=lambda payload: payload[:10].hex() + str(len(payload)),
)  # fmt: skip
def test_D13_a_payload_that_is_no_object(guarded: Guarded, payload: bytes) -> None:
    refused(guarded.present(token(payload)), INVTOK, "token_malformed")


def _with(value: bytes) -> bytes:
    return GOOD[:-1] + b',"x":' + value + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        _with(b"[" * 32 + b"]" * 32), _with(b"[" * 2_000 + b"]" * 2_000), _with(b"[" * 20_000 + b"]" * 20_000),
        _with(b'{"a":' * 500 + b"1" + b"}" * 500), _with(b'{"a":' * 20_000 + b"1" + b"}" * 20_000), _with(b"[" * 5_000),
        _with(b"9" * 5_000), _with(b"-" + b"9" * 5_000), _with(b"9" * 401), _with(b"0." + b"9" * 5_000),
        _with(b"1e" + b"9" * 5_000), _with(b"[" + b"9" * 4_301 + b"]"),
    ],
    ids=[
        "32 deep", "2,000 deep", "20,000 deep", "500 objects", "20,000 objects", "open", "5,000 digits", "negative",
        "401 digits", "fraction", "exponent", "4,301 digits",
    ],
)  # fmt: skip
def test_D14_a_deep_payload_or_a_long_number(guarded: Guarded, payload: bytes) -> None:
    refused(guarded.present(token(payload)), INVTOK, "token_malformed")


@pytest.mark.parametrize("value", [..., "", 7, None, True, [], ["id-1"], {}, "j" * 513, "j" * 5_000, "j" * 100_000])
def test_D15_a_token_id_that_is_needed(value: Any) -> None:
    strict = issuer("strict", requiredClaims=["sub", "jti"])
    guarded = Guarded(api(at("plain", issuer="strict"), at("jti", reuse={"maxUses": 1, "key": "Jti"})), strict)
    text = token(claims(jti=value))
    refused(guarded.present(text), INVTOK, "token_malformed")
    refused(guarded.present(text, "/jti"), INVTOK, "token_malformed")
    admitted(guarded.present(token(claims(jti="j" * 512)), "/jti"))
    refused(guarded.present(token(claims(jti="j" * 512, sub="bob")), "/jti"), USED)


@pytest.mark.parametrize("value", [..., 7, None, "", True, [], ["alice"], {"a": "alice"}])
def test_D16_a_subject_that_is_no_text(guarded: Guarded, value: Any) -> None:
    refused(guarded.present(token(claims(sub=value))), INVTOK, "token_malformed")


def test_D16_a_machine_where_a_user_is_wanted(guarded: Guarded) -> None:
    refused(guarded.present(token(claims(sub="web")), "/user"), POLICY, "claim_refused")
    refused(guarded.present(token(claims(client_id=...)), "/user"), POLICY, "claim_refused")
    admitted(guarded.present(token(), "/user"))


@pytest.mark.parametrize(
    "value",
    [
        "orders.read orders.write",
        "orders.write  orders.read",
        " orders.read orders.write ",
        "a orders.read b orders.write",
        ["orders.read", "orders.write"],
        ["orders.write", "x", "orders.read"],
    ],
)
def test_D17_scopes_as_text_or_array(guarded: Guarded, value: Any) -> None:
    admitted(guarded.present(token(claims(scope=value)), "/readable"))


@pytest.mark.parametrize("value", [7, True, {"orders.read": True}, ["orders.read", 7], [["orders.read"]], [None]])
def test_D17_scopes_of_another_kind(guarded: Guarded, value: Any) -> None:
    refused(guarded.present(token(claims(scope=value)), "/readable"), INVTOK, "token_malformed")


def test_D17_scopes_under_another_name() -> None:
    azure = issuer("azure", mapping={"scope": ["scp", "scope"]})
    need = {"scopes": ["orders.read", "orders.write"]}
    guarded = Guarded(api(at("readable", issuer="azure", require=need), at("plain", require=need)), azure)
    for value in ("orders.read orders.write", ["orders.read", "orders.write"]):
        admitted(guarded.present(token(claims(scope=..., scp=value)), "/readable"))
        refused(guarded.present(token(claims(scope=..., scp=value))), SCOPE)
    refused(guarded.present(token(claims(scp="x")), "/readable"), SCOPE)


@pytest.mark.parametrize(
    "value",
    [..., "", [], None, "orders.read", "orders.admin", "orders.readorders.admin", "Orders.read orders.admin",
     "orders.read,orders.admin", "orders.read\torders.admin", ["orders.read orders.admin"]],
)  # fmt: skip
def test_D18_a_scope_is_missing(guarded: Guarded, value: Any) -> None:
    response = guarded.present(token(claims(scope=value)), "/scoped")
    refused(response, SCOPE)
    assert challenge_of(response.headers)["scope"] == "orders.read orders.admin"


@pytest.mark.parametrize("value", [..., None, "pwd", "", "MFA", "mfa hwk", 1, ["mfa"], True])
def test_D19_a_weaker_authentication(guarded: Guarded, value: Any) -> None:
    response = guarded.present(token(claims(acr=value)), "/strong")
    refused(response, STEPUP)
    assert challenge_of(response.headers)["acr_values"] == "mfa hwk"
    admitted(guarded.present(token(claims(acr="hwk")), "/strong"))


@pytest.mark.parametrize("value", [..., None, NOW - 301, NOW - 86_400, 0, -1])
def test_D19_an_authentication_too_long_ago(guarded: Guarded, value: Any) -> None:
    response = guarded.present(token(claims(auth_time=value)), "/fresh")
    refused(response, STEPUP)
    assert challenge_of(response.headers)["max_age"] == "300"
    for good in (NOW - 300, NOW, NOW + 30):
        admitted(guarded.present(token(claims(auth_time=good)), "/fresh"))


@pytest.mark.parametrize("value", [NOW + 31, NOW + 86_400, str(NOW), "", True, [NOW], {}, 10**300])
def test_D19_an_authentication_that_cannot_be(guarded: Guarded, value: Any) -> None:
    refused(guarded.present(token(claims(auth_time=value)), "/fresh"), INVTOK, "token_malformed")


def test_D20_an_id_token(guarded: Guarded) -> None:
    said = claims(aud="web", nonce="n-0S6", client_id=..., scope=..., azp="web", auth_time=NOW - 60)
    for typ in ("JWT", "id_token+jwt", ...):
        refused(guarded.present(token(said, header(typ=typ))), INVTOK, "token_malformed")
    refused(guarded.present(token(said)), INVTOK, "audience_mismatch")


LENIENT = issuer("lenient", tokenTypes=["JWT", "Absent"], claimEquals={"token_use": "access"})


@pytest.mark.parametrize("typ", ["JWT", ...])
def test_D20_an_id_token_of_an_issuer_that_types_none(typ: Any) -> None:
    guarded = Guarded(api(at("plain", issuer="lenient")), LENIENT)
    for said in (claims(nonce="n"), claims(nonce="n", token_use="id"), claims(token_use=["access"]), claims(aud="web")):
        refused(guarded.present(token(said, header(typ=typ))), INVTOK)
    admitted(guarded.present(token(claims(token_use="access"), header(typ=typ))))


def test_D21_a_refresh_token(guarded: Guarded) -> None:
    for typ in ("refresh+jwt", "rt+jwt", "JWT", ...):
        refused(guarded.present(token(claims(), header(typ=typ))), INVTOK, "token_malformed")
    refused(guarded.present(token(claims(aud="https://corp.example", typ="Refresh"))), INVTOK, "audience_mismatch")


def test_D21_a_refresh_token_of_an_issuer_that_types_none() -> None:
    keycloak = issuer("keycloak", tokenTypes=["JWT"], claimEquals={"typ": "Bearer"})
    guarded = Guarded(api(at("plain", issuer="keycloak")), keycloak)
    for typ in ("Refresh", "Offline", "ID", "bearer", ["Bearer"], ...):
        refused(guarded.present(token(claims(typ=typ), header(typ="JWT"))), INVTOK, "token_malformed")
    admitted(guarded.present(token(claims(typ="Bearer"), header(typ="JWT"))))


@pytest.mark.parametrize("typ", ["JWT", ...])
def test_D20_a_token_about_an_event_of_an_issuer_that_types_none(typ: Any) -> None:
    """Logout tokens and others that tell of events (RFC 8417) are signed by the same keys, for the same clients."""
    guarded = Guarded(api(at("plain", issuer="lax")), issuer("lax", tokenTypes=["JWT", "Absent"]))
    head = header(typ=typ)
    for event in (
        "http://schemas.openid.net/event/backchannel-logout",
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
        "urn:ietf:params:event:SCIM:password",
    ):
        said = claims(events={event: {}}, sid="s")
        refused(guarded.present(token(said, head)), INVTOK, "token_malformed")
    others: list[Any] = [["concert"], "concert", {}, {"concert": {}}, None]
    for events in others:
        admitted(guarded.present(token(claims(events=events), head)))


HOSTILE_TEXTS = [
    "a\x00b", "a\r\nx-admin: 1", "a\nb", "\u202ealice", "al\u200bice", "caf\xe9", "\x1b[31m", " alice", "alice ",
    "a%0d%0ab", "\t", "\x7f", "a,b", "\U0001f600", "__proto__", "${jndi:ldap://x}", "a\u2028b", "a\x85b", "a;b", '"a"',
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE_TEXTS, ids=ascii)
def test_D22_a_hostile_claim_reaches_the_upstream_encoded(guarded: Guarded, value: str) -> None:
    response = guarded.present(token(claims(sub=value, tenant=value)), "/identity")
    admitted(response)
    for name in ("x-auth-sub", "x-auth-tenant"):
        sent = response.headers[name]
        assert sent.isascii()
        assert sent.isprintable()
        assert sent == sent.strip()


def test_D22_two_claims_never_share_a_header_value(guarded: Guarded) -> None:
    more: list[Any] = [["a", "c"], ["a,c"], "a%2Cc", "a c", ["a ", "c"], "%20alice", "alice%20"]
    sent = [
        guarded.present(token(claims(tenant=value)), "/identity").headers["x-auth-tenant"]
        for value in [*HOSTILE_TEXTS, *more]
    ]
    assert len(set(sent)) == len(sent)


@pytest.mark.parametrize("value", ["x" * 4_097, {"a": 1}, [1], [["a"]], [{"a": 1}]], ids=lambda value: str(value)[:9])
def test_D22_a_claim_that_is_no_header_value(guarded: Guarded, value: Any) -> None:
    refused(guarded.present(token(claims(tenant=value)), "/identity"), POLICY, "claim_refused")


def test_D22_a_claim_of_a_mebibyte(guarded: Guarded) -> None:
    refused(guarded.present(token(claims(tenant="x" * (1 << 20))), "/identity"), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "name", ["__proto__", "constructor", "toString", "", "\x00", "\u202e", "x-admin\r\n", "a" * 999]
)
def test_D22_a_hostile_name_of_a_claim_is_a_name_like_another(guarded: Guarded, name: str) -> None:
    response = guarded.present(token(claims(**{name: {"admin": True}})), "/identity")
    admitted(response)
    assert response.headers == {"x-auth-sub": "alice"}


@pytest.mark.parametrize("value", HOSTILE_TEXTS, ids=ascii)
def test_D22_no_denial_repeats_a_claim(guarded: Guarded, value: str) -> None:
    mark = f"m4rk{value}"
    hostile = [claims(iss=mark), claims(aud=mark), claims(sub=mark, acr=mark), claims(scope=mark, jti=mark)]
    for path in ("/plain", "/strong", "/scoped"):
        for said in hostile:
            response = guarded.present(token(said), path)
            if response.code != 0:
                assert "m4rk" not in "".join(response.headers.values()) + response.body


@pytest.mark.parametrize("value", HOSTILE_TEXTS, ids=ascii)
def test_D22_the_metadata_holds_a_subject_in_its_encoded_form(guarded: Guarded, value: str) -> None:
    """Access logs and later filters may write it into a line or a header."""
    for path in ("/identity", "/strong"):
        response = guarded.present(token(claims(sub=value, client_id=value)), path)
        for name in ("subject", "client"):
            told = response.metadata[name]
            assert told.isascii()
            assert told.isprintable()
