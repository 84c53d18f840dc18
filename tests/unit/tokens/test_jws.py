"""Reading a compact JWS (RFC 7515), before anything in it is believed."""

import json
from typing import Any

import pytest

from extauthz.model.encoding import base64url_encode
from extauthz.model.reason import Reason
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import MAX_HEADER, Jws, parse_jws

HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "k"}


def text(head: Any, payload: bytes = b"{}", signature: bytes = b"s" * 64) -> str:
    """A compact JWS that nobody signed."""
    octets = head if isinstance(head, bytes) else json.dumps(head).encode()
    return ".".join(map(base64url_encode, (octets, payload, signature)))


def refused(form: str) -> str:
    """The detail of the refusal that a form meets."""
    refusal = parse_jws(form)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED
    return refusal.detail


def read(form: str) -> Jws:
    """The JWS in a form that is well made."""
    jws = parse_jws(form)
    assert isinstance(jws, Jws)
    return jws


def test_a_well_formed_token_is_read_as_it_stands() -> None:
    form = text(HEADER, b'{"a":1}')
    jws = read(form)
    assert (jws.alg, jws.kid, jws.typ, jws.payload, jws.signature) == ("ES256", "k", "at+jwt", b'{"a":1}', b"s" * 64)
    assert jws.signing_input.decode() == form.rpartition(".")[0]


def test_members_that_nobody_knows_are_ignored() -> None:
    assert read(text(HEADER | {"x5t": "abc", "x5t#S256": "abc", "nonce": "n", "cat": "c", "iss": "i"})).alg == "ES256"


def test_B13_an_encrypted_token_is_called_by_its_name() -> None:
    assert "encrypted (JWE)" in refused("a.b.c.d.e")
    assert "encrypted (JWE)" in refused("a..c.d.e")


def test_B25_an_opaque_token_is_called_by_its_name() -> None:
    assert "opaque" in refused("mF_9B5f4JqM")
    assert "if it is opaque, its issuer's `introspection`" in refused("ory_at_mF_9B5.f4JqM")


@pytest.mark.parametrize("form", ["a.b", "a.b.c.d", "a.b.c.d.e.f", "a" + ".b" * 5000])
def test_B15_another_number_of_segments_is_refused(form: str) -> None:
    assert "a signed JWT has three" in refused(form)


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "cty", "jwk", "jku", "x5u", "x5c", "enc", "epk", "p2s", "p2c"])
@pytest.mark.parametrize("value", [None, "", [], {}, True, "JWT"])
def test_B07_to_B13_a_member_that_could_change_the_meaning_is_refused_whatever_it_holds(name: str, value: Any) -> None:
    assert f"`{name}`" in refused(text(HEADER | {name: value}))


def test_a_chain_of_certificates_that_is_let_be_has_room() -> None:
    form = text(HEADER | {"x5c": ["A" * 1600] * 3})
    assert isinstance(parse_jws(form, frozenset({"x5c"})), Jws)
    assert str(MAX_HEADER) in refused(form)
    assert isinstance(parse_jws(text(HEADER | {"x5c": ["A" * 1600] * 6}), frozenset({"x5c"})), Refusal)
    assert isinstance(parse_jws(form, frozenset({"jku", "zip"})), Refusal)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_B01_an_unsigned_token_is_refused_in_any_case(alg: str) -> None:
    assert "not signed" in refused(text(HEADER | {"alg": alg}))
    assert "not signed" in refused(text(HEADER | {"alg": alg}, signature=b""))


def test_a_header_that_was_read_before_is_read_the_same_and_a_bad_one_is_refused_again() -> None:
    good, bad = text(HEADER), text(HEADER | {"jwk": {}})
    assert read(good) == read(good)
    assert refused(bad) == refused(bad)
    assert read(text(HEADER | {"kid": "other"})).kid == "other"
    assert "empty" in refused(text(HEADER, signature=b""))


@pytest.mark.parametrize("alg", [None, "", 1, True, ["ES256"], {"a": 1}, "E" * 33])
def test_B04_an_alg_that_is_no_short_text_is_refused(alg: Any) -> None:
    assert "`alg`" in refused(text(HEADER | {"alg": alg}))


@pytest.mark.parametrize("kid", [None, "", 1, ["k"], "k\x00", "k\n", "schl\xfcssel", "k" * 257])
def test_B10_a_kid_that_is_no_plain_text_is_refused(kid: Any) -> None:
    assert "`kid`" in refused(text(HEADER | {"kid": kid}))


@pytest.mark.parametrize("kid", ["k" * 256, "zN1kW5vR8tC/2yXb+7Lq0Hm4=", "-123", "../../dev/null", "' OR 1=1--"])
def test_every_plain_kid_is_a_name_to_look_up(kid: str) -> None:
    assert read(text(HEADER | {"kid": kid})).kid == kid


def test_a_token_without_kid_is_not_one_with_an_empty_kid() -> None:
    assert read(text({"alg": "ES256"})).kid is None


@pytest.mark.parametrize("typ", [None, "", "application/", "APPLICATION/", 1, ["JWT"], "at+jwt\n", "\u212aJWT"])
def test_B23_nothing_that_is_there_counts_as_an_absent_typ(typ: Any) -> None:
    assert "`typ`" in refused(text(HEADER | {"typ": typ}))
    assert read(text({"alg": "ES256"})).typ == ""


@pytest.mark.parametrize(
    ("typ", "read_as"),
    [("AT+JWT", "at+jwt"), ("Application/At+Jwt", "at+jwt"), ("application/application/jwt", "application/jwt")],
)
def test_B24_a_typ_is_compared_without_case_and_without_its_one_prefix(typ: str, read_as: str) -> None:
    assert read(text(HEADER | {"typ": typ})).typ == read_as


def test_B22_a_header_beyond_the_bound_is_refused() -> None:
    room = MAX_HEADER - len(json.dumps(HEADER | {"x": ""}))
    assert read(text(HEADER | {"x": "a" * room})).alg == "ES256"
    assert str(MAX_HEADER) in refused(text(HEADER | {"x": "a" * (room + 1)}))


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("change", ["=", "==", " ", "\n", "+", "/", "?", "\xe9", "\ud800", "\u0661"])
def test_B16_B17_each_segment_has_one_spelling(part: int, change: str) -> None:
    segments = text(HEADER, b'{"a":12}').split(".")
    segments[part] += change
    assert "base64url" in refused(".".join(segments))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_B17_unused_bits_are_refused_in_each_segment(part: int) -> None:
    octets = [json.dumps(HEADER).encode(), b'{"a":1}', b"s" * 64]
    octets[part] += b" " * (-(len(octets[part]) + 2) % 3)
    segments = [base64url_encode(each) for each in octets]
    assert len(octets[part]) % 3 == 1
    assert segments[part][-1] in "AQgw"
    segments[part] = segments[part][:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[segments[part][-1]]
    assert "unused bits" in refused(".".join(segments))


def test_no_refusal_shows_what_could_be_a_secret() -> None:
    for form in ("s3cr3t", "s3cr3t.s3cr3t", "s3cr3t!.s3cr3t.s3cr3t", text(HEADER | {"kid": "s3cr3t\n"})):
        assert "s3cr3t" not in refused(form)
