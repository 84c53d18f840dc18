"""What a real Envoy makes of our answers, and we of its questions."""

from __future__ import annotations

import json
import threading
from collections import Counter
from urllib.parse import unquote

import pytest

from extauthz.cli.demo.process import poll_until
from tests.envoy.conftest import HOPS, Theatre
from tests.envoy.raw import exchange, get

pytestmark = pytest.mark.envoy
EVERY_HOP = [hop.name for hop in HOPS if hop.name != "pinning"]


@pytest.mark.parametrize("hop", EVERY_HOP)
def test_A14_the_identity_header_is_ours_alone(theatre: Theatre, hop: str) -> None:
    client = theatre.client(hop)
    reply = client.send("/orders", theatre.issuer.token(), x_auth_sub="admin", X_AUTH_SUB="admin")
    assert reply.status == 200
    assert reply.upstream_headers["x-auth-sub"] == ["alice"]


@pytest.mark.parametrize("hop", EVERY_HOP)
def test_A14_forged_headers_sent_twice_or_with_underscores_are_gone(theatre: Theatre, hop: str) -> None:
    forged = (b"x-auth-sub: admin", b"x-auth-sub: root", b"x_auth_sub: admin", b"X-Auth-Sub: evil")
    status, answer = exchange(theatre.envoy.ports[hop], get(b"/public/a", *forged))
    assert status == 200
    assert b"auth" not in answer.lower().split(b"\r\n\r\n", 1)[1].replace(b"_", b"-").replace(b"x-auth-request", b"")
    token = theatre.issuer.token(scope="admin").encode()
    status, answer = exchange(theatre.envoy.ports[hop], get(b"/admin", b"authorization: Bearer " + token, *forged))
    assert status == 200
    body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert [value for name, value in body["headers"] if name.lower().replace("_", "-") == "x-auth-sub"] == ["alice"]


def test_the_token_stays_behind_unless_it_may_go(theatre: Theatre) -> None:
    client, token = theatre.client(), theatre.issuer.token()
    assert "authorization" not in client.send("/orders", token).upstream_headers
    assert client.send("/kept", token, host="slots.example").upstream_headers["authorization"] == [f"Bearer {token}"]
    reply = client.send("/key", host="slots.example", x_api_key=token)
    assert reply.status == 200
    assert "x-api-key" not in reply.upstream_headers


def test_a_token_in_the_query_never_reaches_the_upstream(theatre: Theatre) -> None:
    token = theatre.issuer.token()
    reply = theatre.client().send(f"/query?a=1&access_token={token}&b=2", host="slots.example")
    assert reply.status == 200
    assert token not in json.dumps(reply.body)
    assert reply.body["path"] == "/query?a=1&b=2"


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("access_token=%s", ""),
        ("access_token=%s&a=1", "?a=1"),
        ("b=%%20+&access_token=%s&c=%%2F", "?b=%20+&c=%2F"),
        # Envoy writes the whole query anew when it takes a parameter out: sorted by name, `flag` as `flag=`.
        ("b=2&flag&access_token=%s&a=1", "?a=1&b=2&flag="),
        ("b=2&access_token=%s&a=1&b=1", "?a=1&b=2&b=1"),
    ],
)
def test_what_envoy_makes_of_the_rest_of_the_query_is_known(theatre: Theatre, query: str, seen: str) -> None:
    target = "/query?" + query % theatre.issuer.token()
    reply = theatre.client().send(target, host="slots.example")
    assert (reply.status, reply.body.get("path")) == (200, f"/query{seen}")


@pytest.mark.parametrize("hop", EVERY_HOP)
@pytest.mark.parametrize(
    "query",
    [
        "access_token=%s&access_token=%s", "access%%5Ftoken=%s", "a=1;access_token=%s", "access_token=%s;a=1",
        "access_token=%s&access%%5Ftoken=%s", "+access_token=%s", "Access_Token=%s", "access_token",
    ],
)  # fmt: skip
def test_a_query_token_that_envoy_could_leave_in_the_query_is_refused(theatre: Theatre, hop: str, query: str) -> None:
    token = theatre.issuer.token()
    target = "/query?" + query % ((token,) * query.count("%s"))
    status, _ = exchange(theatre.envoy.ports[hop], get(target.encode(), host=b"slots.example"))
    assert status in {400, 401}


@pytest.mark.parametrize("hop", EVERY_HOP)
def test_A14_a_client_certificate_in_a_header_goes_no_further(theatre: Theatre, hop: str) -> None:
    reply = theatre.client(hop).send(
        "/orders", theatre.issuer.token(), x_forwarded_client_cert="By=spiffe://a;URI=spiffe://b"
    )
    assert reply.status == 200
    assert "x-forwarded-client-cert" not in reply.upstream_headers


def test_A16_a_client_that_repeats_its_request_id_spends_each_time(theatre: Theatre) -> None:
    client, token = theatre.client(), theatre.issuer.token()
    statuses = [client.send("/orders", token, method="POST", x_request_id="mine").status for _ in range(2)]
    assert statuses == [200, 401]


def test_of_the_cookies_only_the_token_is_taken_out(theatre: Theatre) -> None:
    token = theatre.issuer.token()
    reply = theatre.client().send("/cookie", host="slots.example", cookie=f"a=1; session={token}; b=2")
    assert reply.status == 200
    assert reply.upstream_headers["cookie"] == ["a=1; b=2"]


@pytest.mark.parametrize("hop", EVERY_HOP)
@pytest.mark.parametrize(
    "lines",
    [
        (b"authorization: Bearer %s", b"authorization: Bearer %s"),
        (b"authorization: Bearer %s, Bearer %s",),
        (b"authorization: Bearer %s,DPoP x",),
        (b"authorization: Bearer\t%s",),
        (b"authorization: Bearer %s x",),
        (b"authorization: Bearer %s\r\n x",),
        (b"authorization: Bearer %s\xe9",),
        (b"authorization: Basic %s",),
        (b"authorization: Bearer",),
        (b"authorization: Bearer ",),
        (b"authorization:",),
        (b"proxy-authorization: Bearer %s",),
        (b"authorization: Bearer %s\x00",),
    ],
)  # fmt: skip
def test_A01_to_A09_a_credential_with_no_single_reading_is_refused(
    theatre: Theatre, hop: str, lines: tuple[bytes, ...]
) -> None:
    token = theatre.issuer.token(scope="admin").encode()
    request = get(b"/admin", *(line.replace(b"%s", token) for line in lines))
    status, _ = exchange(theatre.envoy.ports[hop], request)
    assert status in {400, 401}


HOSTILE_TARGETS = [
    b"/public/../admin", b"/public/..%2fadmin", b"/public/%2e%2e/admin", b"/public/..;/admin", b"/public/.%2e/admin",
    b"/public//../admin", b"//admin", b"/public/..%5cadmin", b"/public/..\\admin", b"/public\\..\\admin", b"/./admin",
    b"/%61dmin", b"/admin%2f", b"/ADMIN/../admin", b"/public/%252e%252e/admin", b"/admin;x=/public",
    b"/admin%00/public", b"/public/..%c0%afadmin", b"/public/%c0%ae%c0%ae/admin", b"/admin#/public",
    b"/public?/../admin", b"/public/..%00/admin",
    b"http://guarded.example/admin", b"/public/..%2e/admin", b"/;/admin", b"/.;/admin", b"/public/...//../admin",
]  # fmt: skip


@pytest.mark.parametrize("hop", EVERY_HOP)
@pytest.mark.parametrize("target", HOSTILE_TARGETS)
def test_no_path_reaches_what_the_plain_path_would_not(theatre: Theatre, hop: str, target: bytes) -> None:
    """Without a token only `/public` is open: what is admitted must be a path that no server reads as another one."""
    status, answer = exchange(theatre.envoy.ports[hop], get(target))
    if status != 200:
        assert status in {0, 400, 401, 403, 404, 307}
        return
    path = json.loads(answer.split(b"\r\n\r\n", 1)[1])["path"].partition("?")[0]
    # The most generous server decodes twice, takes a backslash for a slash and cuts at `;`.
    segments = unquote(unquote(path)).replace("\\", "/").split("/")
    assert segments[1] == "public"
    assert not {"", ".", ".."} & {segment.partition(";")[0] for segment in segments[1:-1]}
    assert segments[-1] not in {".", ".."}
    assert "\x00" not in path


@pytest.mark.parametrize("hop", EVERY_HOP)
@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        (b"GUARDED.example", True), (b"guarded.example.", True), (b"guarded.example:8080", True),
        (b"other.example", False),
        (b"guarded.example.evil", False), (b"evil-guarded.example", False), (b"user@guarded.example", False),
        (b"guarded.example,evil", False), (b"guarded.example/x", False), (b"", False), (b"*", False),
    ],
)  # fmt: skip
def test_hosts_are_matched_in_one_form(theatre: Theatre, hop: str, host: bytes, admitted: bool) -> None:
    status, _ = exchange(theatre.envoy.ports[hop], get(b"/public", host=host))
    assert (status == 200) == admitted


def test_a_route_pins_its_policy(theatre: Theatre) -> None:
    assert theatre.client("pinning").send("/anything", host="orders.example").status == 200
    assert theatre.client().send("/anything", host="orders.example").status == 403


def test_challenge_and_retry_after_reach_the_client(theatre: Theatre) -> None:
    client = theatre.client()
    absent = client.send("/orders")
    assert absent.headers["www-authenticate"].startswith('Bearer realm="extauthz"')
    assert absent.headers["cache-control"] == "no-store"
    token = theatre.issuer.token()
    replies = [client.send("/quotes", token) for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    assert 0 < int(replies[-1].headers["retry-after"]) <= 60


def test_the_decision_reaches_envoys_access_log(theatre: Theatre) -> None:
    client = theatre.client()
    client.send("/orders/logged", theatre.issuer.token())
    client.send("/orders/refused")
    log = theatre.folder / "access.log"

    def lines() -> dict[str, dict[str, str]]:
        return {line["path"]: line for line in map(json.loads, log.read_text().splitlines())} if log.exists() else {}

    poll_until(lambda: lines().keys() >= {"/orders/logged", "/orders/refused"}, None, "the access log")
    logged, refused = lines()["/orders/logged"], lines()["/orders/refused"]
    assert (logged["decision"], logged["policy"], logged["rule"], logged["subject"]) == (
        "allow",
        "shop/orders",
        "read",
        "alice",
    )
    assert (refused["decision"], refused["reason"]) == ("deny", "credential_absent")
    # By this a line of the one log is found in the other.
    assert theatre.sidecar.decision(refused["stream_id"])["path"] == "/orders/refused"


def test_F02_of_200_racing_requests_exactly_one_is_admitted(theatre: Theatre) -> None:
    token, statuses, lock = theatre.issuer.token(), Counter[int](), threading.Lock()
    barrier = threading.Barrier(40)

    def run() -> None:
        client = theatre.client()
        barrier.wait()
        for _ in range(5):
            status = client.send("/orders", token, method="POST").status
            with lock:
                statuses[status] += 1

    threads = [threading.Thread(target=run) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200: 1, 401: 199}
