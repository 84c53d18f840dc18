"""Rows of the catalogue of hostile inputs in which Envoy has a say: with raw headers and without, with paths
normalised and not, at the edge and behind another proxy."""

from __future__ import annotations

import pytest

from extauthz.model.token import MAX_TOKEN
from tests.catalogue.outcomes import INVREQ, INVTOK, NOAUTH, POLICY, USED, Word, told
from tests.envoy.conftest import HOPS, Theatre
from tests.envoy.raw import Answer, ask, get

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("hop", [hop.name for hop in HOPS if hop.name not in {"pinning", "retrying"}]),
]


def send(
    theatre: Theatre, hop: str, *lines: bytes, target: bytes = b"/admin", host: bytes = b"guarded.example"
) -> Answer:
    """Send a request; `TOKEN` in it stands for a token that is good for `/admin`."""
    token = theatre.issuer.token(scope="admin").encode()
    request = get(target, *lines, host=host).replace(b"TOKEN", token)
    return ask(theatre.envoy.ports[hop], request)


def refused(answer: Answer, word: Word) -> None:
    told(answer.status, answer.headers, answer.body, word)


def refused_by_either(answer: Answer, word: Word) -> None:
    """Envoy's own 400, or ours."""
    if answer.ours:
        refused(answer, word)
    else:
        assert answer.status == 400


def admitted(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.upstream_headers["x-auth-sub"] == ["alice"]
    assert "authorization" not in answer.upstream_headers


@pytest.mark.parametrize("lines", [(), (b"authorization:",), (b"authorization:    ",)])
def test_A01_without_a_credential(theatre: Theatre, hop: str, lines: tuple[bytes, ...]) -> None:
    refused(send(theatre, hop, *lines), NOAUTH)


@pytest.mark.parametrize("value", [b"Basic dXNlcjpwYXNz", b"Negotiate YII=", b"DPoP TOKEN"])
def test_A02_another_scheme(theatre: Theatre, hop: str, value: bytes) -> None:
    refused(send(theatre, hop, b"authorization: " + value), NOAUTH)


@pytest.mark.parametrize("line", [b"authorization: bearer TOKEN", b"AUTHORIZATION: BEARER TOKEN"])
def test_A03_the_scheme_has_no_case(theatre: Theatre, hop: str, line: bytes) -> None:
    admitted(send(theatre, hop, line))


@pytest.mark.parametrize("line", [b"authorization: Bearer", b"authorization: Bearer ", b"authorization:Bearer"])
def test_A04_a_scheme_without_a_token(theatre: Theatre, hop: str, line: bytes) -> None:
    refused(send(theatre, hop, line), INVREQ)


@pytest.mark.parametrize("second", [b"Bearer TOKEN", b"Bearer x", b"Basic dXNlcjpwYXNz", b"DPoP TOKEN"])
def test_A05_two_headers(theatre: Theatre, hop: str, second: bytes) -> None:
    """Envoy joins them by a comma, with raw headers too."""
    for lines in ((b"Bearer TOKEN", second), (second, b"Bearer TOKEN")):
        refused(send(theatre, hop, *(b"authorization: " + line for line in lines)), INVREQ)
    refused(send(theatre, hop, b"authorization: Bearer TOKEN", b"Authorization: " + second), INVREQ)


def test_A05_an_empty_second_header_is_none(theatre: Theatre, hop: str) -> None:
    """Envoy drops it, so the upstream sees one credential, as we do."""
    admitted(send(theatre, hop, b"authorization: Bearer TOKEN", b"authorization:"))
    admitted(send(theatre, hop, b"authorization:", b"authorization: Bearer TOKEN"))


@pytest.mark.parametrize("value", [b"Bearer TOKEN, Bearer x", b"Bearer TOKEN,DPoP x", b"Basic x, Bearer TOKEN"])
def test_A06_two_credentials_in_one_header(theatre: Theatre, hop: str, value: bytes) -> None:
    refused(send(theatre, hop, b"authorization: " + value), INVREQ)


@pytest.mark.parametrize("value", [b"Bearer\tTOKEN", b"Bearer \tTOKEN", b"Bearer\t TOKEN"])
def test_A07_a_tab_is_no_space(theatre: Theatre, hop: str, value: bytes) -> None:
    refused(send(theatre, hop, b"authorization: " + value), INVREQ)


@pytest.mark.parametrize(
    "line", [b" Bearer  TOKEN ", b"   Bearer    TOKEN   ", b"\tBearer TOKEN\t", b"Bearer TOKEN \t "]
)
def test_A07_envoy_trims_the_ends_and_spaces_may_be_many(theatre: Theatre, hop: str, line: bytes) -> None:
    admitted(send(theatre, hop, b"authorization:" + line))


@pytest.mark.parametrize("fold", [b"Bearer TOKEN\r\n x", b"Bearer x\r\n TOKEN", b"Bearer x\r\n\tTOKEN", b"a\r\n TOKEN"])
def test_A08_a_folded_header(theatre: Theatre, hop: str, fold: bytes) -> None:
    """Envoy unfolds it to one line with a blank inside."""
    answer = send(theatre, hop, b"authorization: " + fold)
    refused_by_either(answer, INVREQ if fold.startswith(b"Bearer") else NOAUTH)


def test_A08_a_fold_between_scheme_and_token_is_a_space(theatre: Theatre, hop: str) -> None:
    """As RFC 9112, section 5.2, lets a proxy read it; the upstream is told of no fold."""
    admitted(send(theatre, hop, b"authorization: Bearer\r\n TOKEN"))


@pytest.mark.parametrize("octet", [b"\x00", b"\x01", b"\x0b", b"\x1f", b"\x7f", b"\n"])
def test_A09_controls(theatre: Theatre, hop: str, octet: bytes) -> None:
    for value in (b"Bearer TOKEN" + octet + b"x", b"Bearer " + octet + b"TOKEN", b"Bear" + octet + b"er TOKEN"):
        refused_by_either(send(theatre, hop, b"authorization: " + value), INVREQ)


def test_A09_a_lone_carriage_return_is_gone_before_anyone_sees_it(theatre: Theatre, hop: str) -> None:
    """Envoy takes it out: what is left is what we judge and what the upstream sees."""
    token = theatre.issuer.token().encode()
    line = b"authorization: Bearer " + token[:40] + b"\r" + token[40:]
    answer = send(theatre, hop, line, target=b"/kept", host=b"slots.example")
    assert answer.status == 200
    assert answer.upstream_headers["authorization"] == [f"Bearer {token.decode()}"]
    refused(send(theatre, hop, b"authorization: Bearer TOKEN\rx"), INVTOK)


@pytest.mark.parametrize("octets", [b"\x80", b"\xa0", b"\xe9", b"\xff", "é".encode(), "\u202e".encode(), b"!"])
def test_A09_foreign_characters(theatre: Theatre, hop: str, octets: bytes) -> None:
    """The map of headers shows `!` in their place."""
    for value in (b"Bearer TOKEN" + octets, b"Bearer " + octets + b"TOKEN"):
        refused_by_either(send(theatre, hop, b"authorization: " + value), INVREQ)


@pytest.mark.parametrize(
    "query", [b"access_token=x", b"a=1&access_token=TOKEN", b"access%5Ftoken=x", b"a;access_token=x"]
)
def test_A10_A11_a_token_in_the_query(theatre: Theatre, hop: str, query: bytes) -> None:
    refused(send(theatre, hop, b"authorization: Bearer TOKEN", target=b"/admin?" + query), INVREQ)
    refused(send(theatre, hop, target=b"/admin?" + query), NOAUTH)


@pytest.mark.parametrize("value", [b"Bearer TOKEN", b"Basic dXNlcjpwYXNz", b"x"])
def test_A10_A12_authorization_beside_another_slot(theatre: Theatre, hop: str, value: bytes) -> None:
    for target, line in ((b"/key", b"x-api-key: TOKEN"), (b"/cookie", b"cookie: session=TOKEN")):
        answer = send(theatre, hop, b"authorization: " + value, line, target=target, host=b"slots.example")
        refused(answer, INVREQ)
        assert send(theatre, hop, line, target=target, host=b"slots.example").status == 200
    twice = send(theatre, hop, b"x-api-key: TOKEN", b"X-Api-Key: x", target=b"/key", host=b"slots.example")
    refused(twice, INVREQ)


@pytest.mark.parametrize("name", [b"x-api-key", b"X-Goog-Api-Key", b"api-key"])
def test_A12_an_api_key_that_the_rule_does_not_expect(theatre: Theatre, hop: str, name: bytes) -> None:
    refused(send(theatre, hop, b"authorization: Bearer TOKEN", name + b": k"), INVREQ)
    refused(send(theatre, hop, name + b": TOKEN"), NOAUTH)


def test_A13_a_token_beyond_the_bound(theatre: Theatre, hop: str) -> None:
    for length in (MAX_TOKEN + 1, 3 * MAX_TOKEN):
        refused(send(theatre, hop, b"authorization: Bearer " + b"a" * length), INVTOK)
    # Beyond Envoy's own bound on headers, which is 60 KiB, nobody is asked.
    assert send(theatre, hop, b"authorization: Bearer " + b"a" * 70_000).status == 431


@pytest.mark.parametrize("value", [b"false", b"true", b"maybe", b""])
def test_A15_envoys_word_on_the_body_from_a_client(theatre: Theatre, hop: str, value: bytes) -> None:
    line = b"x-envoy-auth-partial-body: " + value
    admitted(send(theatre, hop, line, b"authorization: Bearer TOKEN"))
    refused(send(theatre, hop, line), NOAUTH)


def test_A16_a_request_id_of_the_clients_own_is_no_repetition(theatre: Theatre, hop: str) -> None:
    line = b"authorization: Bearer " + theatre.issuer.token().encode()
    answers = [send(theatre, hop, line, b"x-request-id: mine", target=b"/", host=b"retried.example") for _ in range(3)]
    assert answers[0].status == 200
    for answer in answers[1:]:
        refused(answer, USED)


@pytest.mark.parametrize(
    "line",
    [
        b"x-forwarded-proto: https", b"x-forwarded-proto: http", b"x-forwarded-proto: ftp",
        b"x-forwarded-host: a.example",
        b"x-forwarded-host: guarded.example", b"forwarded: host=guarded.example;proto=https", b"x-scheme: https",
        b"x-envoy-original-path: /public", b"x-original-url: /public", b"x-rewrite-url: /public",
    ],
)  # fmt: skip
def test_A17_what_a_client_says_of_scheme_and_host_changes_nothing(theatre: Theatre, hop: str, line: bytes) -> None:
    admitted(send(theatre, hop, line, b"authorization: Bearer TOKEN"))
    refused(send(theatre, hop, line), NOAUTH)
    refused(send(theatre, hop, line, b"authorization: Bearer TOKEN", host=b"a.example"), POLICY)


def test_A18_a_target_that_names_another_host(theatre: Theatre, hop: str) -> None:
    """Envoy lets the target's host stand for the `Host` header, and the upstream sees it too."""
    good = b"authorization: Bearer TOKEN"
    for target in (b"http://other.example/admin", b"http://other.example/public/a"):
        refused(send(theatre, hop, good, target=target), POLICY)
        refused(send(theatre, hop, target=target), POLICY)
    admitted(send(theatre, hop, good, target=b"http://guarded.example/admin", host=b"other.example"))
    refused(send(theatre, hop, target=b"http://guarded.example/admin", host=b"other.example"), NOAUTH)


@pytest.mark.parametrize("value", [b"DPoP TOKEN", b"Bearer TOKEN", b"Basic dXNlcjpwYXNz"])
def test_A19_proxy_authorization(theatre: Theatre, hop: str, value: bytes) -> None:
    refused(send(theatre, hop, b"proxy-authorization: " + value), NOAUTH)
