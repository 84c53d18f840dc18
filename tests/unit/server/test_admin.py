"""The admin port: what its pages say, to whom, and what a slow or hostile client can do to it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.config import TcpAddress
from extauthz.server import admin, explaining
from extauthz.server.admin import Admin, Pages
from extauthz.server.http import Patience
from tests.checks import check_request

LOOPBACK = TcpAddress("127.0.0.1", 0)
MISSING: Mapping[str, str] = {"policies": "the policy folder is not read yet"}


def pages(
    missing: Callable[[], Mapping[str, str]] = dict,
    snapshot: Callable[[], Mapping[str, Any]] = lambda: {"version": "v"},
    explain: Callable[[bytes], bytes] = lambda data: json.dumps({"asked": data.hex()}).encode(),
    notes: Callable[[], Mapping[str, str]] = dict,
    about: Callable[[], Mapping[str, str]] = dict,
) -> Pages:
    metrics = b"a_metric 1\n", "text/plain; version=0.0.4"
    return Pages(missing=missing, metrics=lambda: metrics, snapshot=snapshot, explain=explain, notes=notes, about=about)


@contextmanager
def running(
    shown: Pages | None = None, at: TcpAddress = LOOPBACK, comes_from: tuple[str, int] | None = None
) -> Iterator[Admin]:
    """`comes_from` is whom the port takes every client for, as no test leaves loopback."""
    server = Admin(at, shown or pages())
    if comes_from is not None:
        accepts = server._server.get_request
        server._server.get_request = lambda: (accepts()[0], comes_from)  # type: ignore[method-assign]
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server() -> Iterator[Admin]:
    with running() as started:
        yield started


def ask(server: Admin, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def post(
    server: Admin, body: bytes, content_type: str = "application/x-protobuf", path: str = "/explain", **more: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=10)
    try:
        connection.request("POST", path, body, {"content-type": content_type, **more})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def connect(server: Admin) -> socket.socket:
    return socket.create_connection((server.address.host, server.address.port), timeout=10)


# Pages


def test_it_says_where_it_listens(server: Admin) -> None:
    assert server.address.host == "127.0.0.1"
    assert server.address.port > 0


def test_health_is_told_whatever_is_missing() -> None:
    with running(pages(missing=lambda: MISSING)) as server:
        response, body = ask(server, "/healthz")
    assert (response.status, body) == (200, b"ok\n")


def test_readiness_names_what_is_missing() -> None:
    missing = dict(MISSING)
    with running(pages(missing=lambda: missing)) as server:
        response, body = ask(server, "/readyz")
        assert (response.status, json.loads(body)) == (503, {"ready": False, "missing": MISSING, "notes": {}})
        missing.clear()
        response, body = ask(server, "/readyz")
        assert (response.status, json.loads(body)) == (200, {"ready": True, "missing": {}, "notes": {}})


def test_readiness_tells_what_we_rely_on() -> None:
    about = {"store": "Valkey 9.1.0, persistence AOF, 1 replica, no maxmemory, policy noeviction"}
    with running(pages(about=lambda: about)) as server:
        response, body = ask(server, "/readyz")
    assert (response.status, json.loads(body)) == (200, {"ready": True, "missing": {}, "notes": {}, "about": about})


def test_what_is_wrong_and_does_no_harm_yet_is_noted_while_we_are_ready() -> None:
    notes = {"source": "the API server cannot be reached"}
    with running(pages(notes=lambda: notes)) as server:
        response, body = ask(server, "/readyz")
    assert (response.status, json.loads(body)) == (200, {"ready": True, "missing": {}, "notes": notes})


def test_metrics_keep_their_content_type(server: Admin) -> None:
    response, body = ask(server, "/metrics")
    assert (response.status, body) == (200, b"a_metric 1\n")
    assert response.headers["content-type"] == "text/plain; version=0.0.4"


def test_a_query_changes_nothing(server: Admin) -> None:
    assert ask(server, "/healthz?verbose=1")[1] == b"ok\n"


def test_what_is_loaded_is_shown_on_loopback(server: Admin) -> None:
    response, body = ask(server, "/snapshot")
    assert (response.status, json.loads(body)) == (200, {"version": "v"})


EVERYWHERE = TcpAddress("0.0.0.0", 0)
"""Where the admin port listens for kubelet and Prometheus."""


@pytest.mark.parametrize(
    ("local", "peer", "over"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("10.0.0.1", "127.0.0.6", False),
        ("10.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "10.0.0.2", False),
        ("fd00::1", "::1", False),
        ("::1", "fd00::1", False),
        ("::ffff:10.0.0.1", "::ffff:127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", False),
        ("::", "::1", False),
        ("", "", False),
    ],
)
def test_a_connection_is_over_loopback_when_both_its_ends_are(local: str, peer: str, over: bool) -> None:
    assert admin._over_loopback(local, peer) is over


@pytest.mark.parametrize("request_line", ["GET /snapshot", "POST /explain"])
def test_a_port_that_listens_everywhere_tells_who_asks_over_loopback(request_line: str) -> None:
    """`kubectl port-forward` and `kubectl exec` come from there."""
    with running(at=EVERYWHERE) as server:
        assert status_under(server, request_line, "localhost") == 200
        assert status_under(server, request_line, "10.0.0.1") == 421


@pytest.mark.parametrize(
    ("request_line", "status"), [("GET /snapshot", 421), ("POST /explain", 421), ("GET /readyz", 200)]
)
def test_what_is_for_loopback_is_not_shown_to_a_neighbour_whatever_name_it_says(request_line: str, status: int) -> None:
    neighbour = ("192.0.2.7", 4711)
    with running(at=EVERYWHERE, comes_from=neighbour) as server:
        assert status_under(server, request_line, "localhost") == status


def status_under(server: Admin, request: str, *hosts: str) -> int:
    """The status of a request with these `Host` fields."""
    fields = "".join(f"Host: {host}\r\n" for host in hosts)
    body = f"Content-Type: {explaining.BINARY}\r\nContent-Length: 2\r\n\r\n{{}}" if "POST" in request else "\r\n"
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=10) as client:
        client.sendall(f"{request} HTTP/1.1\r\n{fields}{body}".encode())
        return int(client.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("request_line", ["GET /snapshot", "POST /explain"])
def test_what_is_for_loopback_is_not_shown_under_a_name_that_was_made_to_lead_there(
    server: Admin, request_line: str
) -> None:
    for host in (
        "attacker.example",
        "attacker.example:9090",
        "127.0.0.1.attacker.example",
        "192.0.2.1",
        "[::2]:80",
        "",
    ):
        assert status_under(server, request_line, host) == 421, host
    assert status_under(server, request_line, "localhost", "attacker.example") == 421
    for host in ("127.0.0.1:9090", "localhost", "LOCALHOST:1", "[::1]:9090", "127.0.0.2"):
        assert status_under(server, request_line, host) == 200, host
    assert status_under(server, request_line) == 200


@pytest.mark.parametrize("page", ["/healthz", "/readyz", "/metrics"])
def test_other_pages_are_shown_under_any_name(server: Admin, page: str) -> None:
    assert status_under(server, f"GET {page}", "pod.example:9090") == 200


def test_no_answer_may_be_stored_or_taken_for_another_type(server: Admin) -> None:
    headers = ask(server, "/healthz")[0].headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["server"].split("/")[0] == "extauthz"
    assert "Python" not in headers["server"]


# Other requests


def test_head_gives_the_headers_alone(server: Admin) -> None:
    response, body = ask(server, "/metrics", "HEAD")
    assert (response.status, response.headers["content-length"], body) == (200, "11", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server: Admin, method: str) -> None:
    assert ask(server, "/healthz", method)[0].status == 501


def test_an_unknown_page_lists_the_pages_and_repeats_nothing(server: Admin) -> None:
    response, body = ask(server, "/<script>")
    assert (response.status, body) == (404, b"pages: /healthz /readyz /metrics /snapshot\n")


@pytest.mark.parametrize("path", ["/healthz/", "/metrics/../snapshot", "/%68ealthz", "http://a/healthz"])
def test_a_page_has_one_name(server: Admin, path: str) -> None:
    assert ask(server, path)[0].status == 404


def test_a_page_that_fails_says_so_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    def snapshot() -> Mapping[str, Any]:
        raise ValueError("not-to-be-told")

    with running(pages(snapshot=snapshot)) as server:
        response, body = ask(server, "/snapshot")
        assert (response.status, body) == (500, b"failed; see the log\n")
        assert ask(server, "/healthz")[0].status == 200
    assert "an admin page failed: ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01<b>\r\n\r\n",
        b"<b>\r\n\r\n",
        b"GET /<b> a b\r\n\r\n",
        b"GET / HTTP/9.9<b>\r\n\r\n",
        b"<b> / HTTP/1.1\r\n\r\n",
        b"GET /<b>" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n<b>" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_request_is_answered_and_repeated_nowhere(
    server: Admin, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connect(server) as connection:
        connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.endswith(b"\n")
    assert b"<b>" not in answer
    assert ask(server, "/healthz")[0].status == 200
    assert capfd.readouterr() == ("", "")


# Clients that hold on


def test_a_connection_is_closed_after_its_answer(server: Admin) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "_PATIENCE", Patience(most=16, silence=0.05, whole=5.0))
    with running() as server, connect(server) as connection:
        connection.sendall(b"GET /heal")
        assert connection.recv(1) == b""


def test_more_clients_than_threads_are_cut_off_and_the_others_stay(server: Admin) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(server)) for _ in range(admin._PATIENCE.most)]
        one_more = stack.enter_context(connect(server))
        assert one_more.recv(1) == b""
        held[0].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert held[0].recv(12) == b"HTTP/1.1 200"
    while _is_cut_off(server):
        pass


def _is_cut_off(server: Admin) -> bool:
    """The thread of a client that left is free a moment later."""
    try:
        return ask(server, "/healthz")[0].status != 200
    except (http.client.HTTPException, ConnectionError):
        return True


# Start and stop


def test_a_port_in_use_is_told_at_once(server: Admin) -> None:
    with pytest.raises(OSError, match="in use"):
        Admin(server.address, pages())


def test_after_the_stop_nobody_listens() -> None:
    with running() as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_one_that_was_never_started_can_be_stopped() -> None:
    server = Admin(LOOPBACK, pages())
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(server)


# Questions


def test_a_check_request_is_explained_in_bytes_and_in_json(server: Admin) -> None:
    data = check_request()
    status, body = post(server, data)
    assert (status, json.loads(body)) == (200, {"asked": data.hex()})
    written = MessageToJson(CheckRequest.FromString(data)).encode()
    status, body = post(server, written, "application/json; charset=utf-8")
    assert status == 200
    assert CheckRequest.FromString(bytes.fromhex(json.loads(body)["asked"])) == CheckRequest.FromString(data)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_page_in_a_browser_may_send_unasked_is_not_explained(server: Admin, content_type: str) -> None:
    assert post(server, check_request(), content_type)[0] == 415


def test_json_that_is_no_check_request_is_refused_without_a_word_of_it(server: Admin) -> None:
    status, body = post(server, b'{"secret-token": 1}', "application/json")
    assert status == 400
    assert b"secret-token" not in body


def test_a_body_that_is_too_long_or_of_no_known_length_is_not_read(server: Admin) -> None:
    assert post(server, b"x", **{"content-length": str(admin.MAX_BODY + 1)})[0] == 413
    assert post(server, b"", **{"content-length": "-1"})[0] == 411
    assert post(server, b"1\r\nx\r\n0\r\n\r\n", **{"transfer-encoding": "chunked", "content-length": "11"})[0] == 411


def test_nothing_else_is_asked_by_post_and_no_story_is_a_page(server: Admin) -> None:
    assert post(server, b"", path="/snapshot")[0] == 501
    assert ask(server, "/explain")[0].status == 404


def test_a_story_that_fails_is_said_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def broken(data: bytes) -> bytes:
        raise RuntimeError(data.decode("latin-1"))

    with running(pages(explain=broken)) as server:
        status, body = post(server, b"secret-token")
    assert (status, body) == (500, b"failed; see the log\n")
    assert "RuntimeError" in caplog.text
    assert "secret-token" not in caplog.text
