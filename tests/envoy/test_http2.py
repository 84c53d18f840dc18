"""Hostile requests over HTTP/2, which has fields where HTTP/1.1 has lines: what Envoy lets through is read once."""

from __future__ import annotations

from typing import Final

import pytest

from tests.envoy.conftest import Theatre
from tests.envoy.http2 import Answer, Field, ask

pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("hop", ["demo", "map", "rough", "rough-map"])]

RESET: Final = 0
"""Envoy ends the stream or the connection, and nobody is asked."""


def pseudo(path: bytes = b"/admin", method: bytes = b"GET", host: bytes = b"guarded.example") -> list[Field]:
    return [(b":method", method), (b":scheme", b"http"), (b":authority", host), (b":path", path)]


def send(
    theatre: Theatre,
    hop: str,
    *fields: Field,
    first: list[Field] | None = None,
    body: bytes = b"",
    trailers: tuple[Field, ...] = (),
) -> Answer:
    """Send a request; `TOKEN` in a value stands for a token that is good for `/admin`."""
    token = theatre.issuer.token(scope="admin").encode()

    def filled(several: tuple[Field, ...] | list[Field]) -> list[Field]:
        return [(name, value.replace(b"TOKEN", token)) for name, value in several]

    return ask(theatre.envoy.ports[hop], filled([*(first or pseudo()), *fields]), body, filled(trailers))


def admitted(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.upstream_headers["x-auth-sub"] == ["alice"]
    assert "authorization" not in answer.upstream_headers


BEARER: Field = (b"authorization", b"Bearer TOKEN")


@pytest.mark.parametrize(
    "fields",
    [
        (BEARER,),
        ((b"authorization", b"bearer TOKEN"),),
        ((b"authorization", b" Bearer TOKEN "),),
        (BEARER, (b"x-auth-sub", b"root"), (b"x_auth_sub", b"root"), (b"x.auth.sub", b"root")),
        (BEARER, (b"host", b"guarded.example")),
        (BEARER, (b"host", b"nowhere.example")),
    ],
    ids=repr,
)
def test_one_credential_is_read_and_the_identity_is_ours(theatre: Theatre, hop: str, fields: tuple[Field, ...]) -> None:
    answer = send(theatre, hop, *fields)
    admitted(answer)
    assert answer.upstream_headers["host"] == ["guarded.example"]
    assert not {"x_auth_sub", "x.auth.sub"} & answer.upstream_headers.keys()


@pytest.mark.parametrize(
    ("fields", "statuses"),
    [
        ((BEARER, BEARER), {400}),
        ((BEARER, (b"authorization", b"Basic YTpi")), {400}),
        ((BEARER, (b"x-api-key", b"x")), {400}),
        (((b"authorization", b"Bearer TOKEN, Bearer x"),), {400}),
        (((b"authorization", b"Bearer TOKEN\t"),), {400}),
        (((b"authorization", b"Bearer\tTOKEN"),), {400}),
        # In the map form an octet that is no UTF-8 comes as `!`, of which names of schemes may be made.
        (((b"authorization", b"Bearer\xa0TOKEN"),), {400, 401}),
        (((b"authorization", b"Bearer \x01TOKEN"),), {RESET}),
        (((b"authorization", b"Bearer TOKEN\r\nx-a: b"),), {RESET}),
        (((b"Authorization", b"Bearer TOKEN"),), {RESET}),
        (((b"authorization ", b"Bearer TOKEN"),), {RESET}),
        ((BEARER, (b"x-a", b"b\r\nx-auth-sub: root")), {RESET}),
        ((BEARER, (b"x-a: b\r\nx-auth-sub", b"root")), {RESET}),
        ((BEARER, (b"connection", b"x-auth-sub")), {RESET}),
        ((BEARER, (b"transfer-encoding", b"chunked")), {RESET}),
        ((BEARER, (b":path", b"/public")), {RESET}),
        ((BEARER, (b":status", b"200")), {RESET}),
    ],
    ids=repr,
)
def test_what_has_two_readings_or_none_gets_nowhere(
    theatre: Theatre, hop: str, fields: tuple[Field, ...], statuses: set[int]
) -> None:
    assert send(theatre, hop, *fields).status in statuses


@pytest.mark.parametrize(
    "first",
    [
        *(
            pseudo(path)
            for path in (
                b"/public/../admin", b"/public/%2e%2e/admin", b"/public/..;/admin", b"/public/..\\admin",
                b"/public/..%5cadmin", b"/public/%252e%252e/admin", b"//admin", b"/public#/../admin",
                b"/public /../admin",
                b"http://guarded.example/admin", b"admin", b"*", b"",
            )
        ),
        pseudo(b"/public", b"get"),
        pseudo(b"/public", b"GET /admin HTTP/1.1\r\nx-a:"),
        pseudo(b"/public", host=b"a@guarded.example"),
        pseudo(b"/public", host=b"guarded.example\r\nx-a: b"),
        pseudo(b"/public", host=b"guarded.example admin"),
        [(b":method", b"CONNECT"), (b":authority", b"guarded.example:80")],
        [(b":protocol", b"websocket"), *pseudo(b"/public", b"CONNECT")],
        [(b":path", b"/public"), *pseudo()],
    ],
    ids=repr,
)  # fmt: skip
def test_nothing_gets_to_the_admin_path_without_a_token(theatre: Theatre, hop: str, first: list[Field]) -> None:
    assert send(theatre, hop, first=first).status != 200


def test_the_fields_of_a_cookie_are_one(theatre: Theatre, hop: str) -> None:
    first = pseudo(b"/cookie", host=b"slots.example")
    answer = send(theatre, hop, (b"cookie", b"a=1"), (b"cookie", b"session=TOKEN"), (b"cookie", b"b=2"), first=first)
    assert answer.status == 200
    assert answer.upstream_headers["cookie"] == ["a=1; b=2"]
    twice = send(theatre, hop, (b"cookie", b"session=TOKEN"), (b"cookie", b"session=TOKEN"), first=first)
    assert twice.status == 400


def test_trailers_are_no_headers(theatre: Theatre, hop: str) -> None:
    first = pseudo(method=b"POST")
    forged = ((b"x-auth-sub", b"root"), (b"authorization", b"Bearer x"))
    admitted(send(theatre, hop, BEARER, first=first, body=b"x", trailers=forged))
    assert send(theatre, hop, first=first, body=b"x", trailers=(BEARER,)).status == 401


def test_a_token_is_used_once_over_either_protocol(theatre: Theatre, hop: str) -> None:
    token = theatre.issuer.token()
    first = pseudo(b"/", host=b"retried.example")
    schemes = (b"Bearer ", b"BEARER ")
    used = [send(theatre, hop, (b"authorization", scheme + token.encode()), first=first) for scheme in schemes]
    assert [answer.status for answer in used] == [200, 401]
    assert theatre.client(hop).send("/", token, host="retried.example").status == 401
