"""Finding the one credential (RFC 6750, section 2; RFC 6265): rows A of the catalogue of hostile requests."""

import pytest

from extauthz.model.reason import Reason
from extauthz.model.token import MAX_TOKEN, Credential, Slot, SlotKind
from extauthz.model.verdict import Refusal
from extauthz.tokens.credential import find_credential
from tests.building import view

AUTHORIZATION = Slot(SlotKind.AUTHORIZATION, "authorization")
API_KEY = Slot(SlotKind.HEADER, "x-api-key")
COOKIE = Slot(SlotKind.COOKIE, "session")
QUERY = Slot(SlotKind.QUERY, "access_token")


def found(slot: Slot, path: str = "/", **headers: str | tuple[str, ...]) -> str | Reason:
    """The token that is found, or why none is."""
    request = view(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    outcome = find_credential(request, slot)
    match outcome:
        case Credential(token=token):
            return token
        case Refusal(reason=reason):
            return reason


@pytest.mark.parametrize(
    "value", ["bearer tok.en", "BEARER tok.en", "bEaReR tok.en", "Bearer   tok.en", "Bearer tok.en  "]
)
def test_A03_A07_the_scheme_has_no_case_and_spaces_may_be_many(value: str) -> None:
    assert found(AUTHORIZATION, authorization=value) == "tok.en"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", "Bearer ", "Bearer A, Bearer B", "Bearer A,Bearer B", "Bearer A,DPoP B", "Bearer\tA", "Bearer A\tB",
        "Bearer a b", "Bearer caf\xe9", "Bearer a\x00b", "Bearer a\x7f", "Bearer {}", 'Bearer "a"', "Bearer a;b",
        "Bearer/abc", "Bearer=", 'Bearer"a"',
    ],
)  # fmt: skip
def test_A04_to_A09_what_is_no_single_token68_is_malformed(value: str) -> None:
    assert found(AUTHORIZATION, authorization=value) is Reason.CREDENTIAL_MALFORMED


def test_A10_header_and_query_together_are_ambiguous() -> None:
    assert found(AUTHORIZATION, "/?access_token=B", authorization="Bearer A") is Reason.CREDENTIAL_MALFORMED
    assert found(AUTHORIZATION, "/?x=1&access%5Ftoken=B", authorization="Bearer A") is Reason.CREDENTIAL_MALFORMED


def test_A12_a_second_filled_slot_is_ambiguous() -> None:
    assert found(API_KEY, x_api_key="A", authorization="Bearer B") is Reason.CREDENTIAL_MALFORMED
    assert found(COOKIE, cookie="session=A", authorization="Bearer B") is Reason.CREDENTIAL_MALFORMED
    assert found(QUERY, "/?access_token=A", authorization="Bearer B") is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "DPoP tok.en", "anything", "a,b"])
def test_A12_any_authorization_beside_another_slot_is_ambiguous(value: str) -> None:
    assert found(API_KEY, x_api_key="A", authorization=value) is Reason.CREDENTIAL_MALFORMED
    assert found(API_KEY, x_api_key="A", authorization=" ") == "A"


def test_A10_a_token_in_the_query_is_ambiguous_beside_every_slot() -> None:
    query = "/?access_token=B"
    assert found(API_KEY, query, x_api_key="A") is Reason.CREDENTIAL_MALFORMED
    assert found(COOKIE, query, cookie="session=A") is Reason.CREDENTIAL_MALFORMED
    assert found(Slot(SlotKind.QUERY, "t"), f"{query}&t=A") is Reason.CREDENTIAL_MALFORMED
    assert found(AUTHORIZATION, "/?access_token=", authorization="Bearer A") == "A"
    assert found(AUTHORIZATION, "/?my_access_token=B&q=access_token", authorization="Bearer A") == "A"


@pytest.mark.parametrize(
    "query",
    [
        "a=1;access_token=B", "access_token=;B", "+access_token=B", "%61%63cess_token=B", "access%5ftoken=B",
        "Access_Token=B", "ACCESS%5FTOKEN=B", "access.token=B", "access+token=B", "access%20token=B", "access[token=B",
        "access_token[]=B", "access_token%5B0%5D=B", "access_token%00x=B",
    ],
)  # fmt: skip
def test_A10_a_token_in_the_query_is_seen_in_every_spelling_that_some_server_reads(query: str) -> None:
    assert found(AUTHORIZATION, f"/?{query}", authorization="Bearer A") is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize("query", ["T=B&t=A", "t=A&T=B", "t=A&t[]=B", "t=A&t%00=B"])
def test_A10_another_spelling_of_the_slots_parameter_is_a_second_token(query: str) -> None:
    assert found(Slot(SlotKind.QUERY, "t"), f"/?{query}") is Reason.CREDENTIAL_MALFORMED
    assert found(Slot(SlotKind.QUERY, "t"), "/?t=A&tt=B&a.t=C&Ta=D") == "A"


@pytest.mark.parametrize(
    "value", ["Basic a,Bearer b", "Basic a, DPoP b", "Negotiate a ,\tbearer b", "token,", "\x01", "(a) b"]
)
def test_A06_a_second_credential_behind_another_scheme_is_malformed(value: str) -> None:
    assert found(AUTHORIZATION, authorization=value) is Reason.CREDENTIAL_MALFORMED


def test_A02_the_commas_inside_another_scheme_are_its_own() -> None:
    digest = 'Digest username="a", realm="b", uri="/", qop=auth, nc=00000001'
    assert found(AUTHORIZATION, authorization=digest) is Reason.CREDENTIAL_ABSENT


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "`Authorization` is not there, or empty"),
        ("", "`Authorization` is not there, or empty"),
        ("Basic YTpi", "`Authorization` has the scheme `Basic`, and `Bearer` is wanted"),
        ("DPoP tok.en", "`Authorization` has the scheme `DPoP`, and `Bearer` is wanted"),
        ("hush.hush.hush", "`Authorization` has another scheme than `Bearer`, or a token without a scheme before it"),
        ("Hush tok.en", "`Authorization` has another scheme than `Bearer`, or a token without a scheme before it"),
    ],
)
def test_A01_A02_what_is_there_in_place_of_a_token_is_told_and_no_token_quoted(value: str | None, says: str) -> None:
    request = view("/", headers={} if value is None else {"authorization": value})
    refusal = find_credential(request, AUTHORIZATION)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.detail) == (Reason.CREDENTIAL_ABSENT, says)
    assert "hush" not in refusal.detail.lower()


def test_a_preflight_without_a_token_is_told_as_one() -> None:
    asking = {"access-control-request-method": "PUT"}
    for method, headers, told in (("OPTIONS", asking, True), ("OPTIONS", {}, False), ("PUT", asking, False)):
        refusal = find_credential(view("/", method=method, headers=headers), AUTHORIZATION)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.CREDENTIAL_ABSENT
        assert ("; it is a CORS preflight" in refusal.detail) is told


def test_A13_an_overlong_token_is_a_bad_token() -> None:
    assert found(AUTHORIZATION, authorization="Bearer " + "a" * (MAX_TOKEN + 1)) is Reason.TOKEN_MALFORMED
    assert found(AUTHORIZATION, authorization="Bearer " + "a" * MAX_TOKEN) == "a" * MAX_TOKEN


def test_another_header_holds_the_bare_token() -> None:
    assert found(API_KEY, x_api_key="tok.en") == "tok.en"
    assert found(API_KEY) is Reason.CREDENTIAL_ABSENT
    assert found(API_KEY, x_api_key="a,b") is Reason.CREDENTIAL_MALFORMED
    refusal = find_credential(view(headers={"x-api-key": ("Bearer A",)}), API_KEY)
    assert isinstance(refusal, Refusal)
    assert "without a scheme" in refusal.detail


def test_B16_padding_inside_a_token_is_called_by_its_name() -> None:
    """The load balancer of AWS pads each segment of `x-amzn-oidc-data`."""
    slot = Slot(SlotKind.HEADER, "x-amzn-oidc-data")
    refusal = find_credential(view(headers={"x-amzn-oidc-data": ("eyJhIjox==.eyJhIjox=.c2ln==",)}), slot)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CREDENTIAL_MALFORMED
    assert "padding" in refusal.detail
    assert found(API_KEY, x_api_key=("a", "b")) is Reason.CREDENTIAL_MALFORMED


def test_a_cookie_holds_the_bare_token_once() -> None:
    assert found(COOKIE, cookie="a=1; session=tok.en; b=2") == "tok.en"
    assert found(COOKIE, cookie="a=1") is Reason.CREDENTIAL_ABSENT
    assert found(COOKIE, cookie="session=a; session=b") is Reason.CREDENTIAL_MALFORMED
    assert found(COOKIE, cookie=("session=a", "session=b")) is Reason.CREDENTIAL_MALFORMED
    assert found(COOKIE, cookie=("a=1", "session=tok.en")) == "tok.en"
    assert found(COOKIE, cookie="session=") is Reason.CREDENTIAL_ABSENT


@pytest.mark.parametrize(
    "value",
    [
        "session=a,session=b", "a=1,session=b", "session=a; b=1,session=c", "session=a; session =b",
        "session=a; s%65ssion=b", 'session="a"', "session=a b", "session=a=b", 'x="1; session=a"; session=b', "session",
    ],
)  # fmt: skip
def test_a_cookie_that_two_servers_could_read_differently_lets_nobody_in(value: str) -> None:
    assert found(COOKIE, cookie=value) in {Reason.CREDENTIAL_MALFORMED, Reason.CREDENTIAL_ABSENT}


def test_the_name_of_a_cookie_has_case_and_an_end() -> None:
    assert found(COOKIE, cookie="Session=a; sessions=b; session=tok.en") == "tok.en"


@pytest.mark.parametrize("value", ["tok.en%20", "%20tok.en", "%20", "tok.en ", " tok.en", "tok.en&b= "])
def test_a_blank_is_part_of_a_query_parameter_and_not_trimmed(value: str) -> None:
    assert found(QUERY, f"/?access_token={value}") is Reason.CREDENTIAL_MALFORMED


def test_a_query_parameter_holds_the_bare_token_once() -> None:
    assert found(QUERY, "/?a=1&access_token=tok.en") == "tok.en"
    assert found(QUERY, "/?a=1") is Reason.CREDENTIAL_ABSENT
    assert found(QUERY, "/?access_token=a&access_token=b") is Reason.CREDENTIAL_MALFORMED
    assert found(QUERY, "/?access_token=a&%61ccess_token=b") is Reason.CREDENTIAL_MALFORMED
    assert found(QUERY, "/?access_token=") is Reason.CREDENTIAL_ABSENT
    assert found(QUERY, "/?access_token=tok%2Een%3D") == "tok.en="


@pytest.mark.parametrize(
    "query",
    [
        "%61ccess_token=a", "a=1;access_token=b", "access_token=a;b=1", "access_token=a+b", "access_token=a%2Cb",
        "access_token=a%00", "access_token=a%", "access_token=%zz", "access_token=%C3%A9", "+access_token=a",
    ],
)  # fmt: skip
def test_a_query_that_the_proxy_could_not_strip_or_no_token_has_is_malformed(query: str) -> None:
    assert found(QUERY, f"/?{query}") is Reason.CREDENTIAL_MALFORMED


@pytest.mark.parametrize(
    ("slot", "path", "headers"),
    [
        (AUTHORIZATION, "/", {"authorization": "Bearer s3cr3t, Bearer s3cr3t"}),
        (API_KEY, "/", {"x-api-key": "s3cr3t s3cr3t"}),
        (COOKIE, "/", {"cookie": "session=s3cr3t; session=s3cr3t"}),
        (QUERY, "/?access_token=s3cr3t&access_token=s3cr3t", {}),
        (AUTHORIZATION, "/", {"authorization": "Bearer " + "s3cr3t" * 2000}),
    ],
)
def test_no_refusal_shows_the_credential(slot: Slot, path: str, headers: dict[str, str]) -> None:
    refusal = find_credential(view(path, headers=headers), slot)
    assert isinstance(refusal, Refusal)
    assert "s3cr3t" not in repr(refusal)
