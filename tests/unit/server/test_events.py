"""The listener for issuers: what it hands on, what it refuses, and what slow or hostile clients can do to it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest

from extauthz.config import TcpAddress
from extauthz.server.events import MAX_BODY, PATH, Events
from extauthz.server.http import Patience
from extauthz.server.tls import TlsFiles, TlsRefused
from tests.unit.keys.servers import ca_pem
from tests.unit.server.serving import key_pair, tls_files, write_pair

LOOPBACK = TcpAddress("127.0.0.1", 0)
FORM = "application/x-www-form-urlencoded"
QUICK = Patience(most=4, silence=0.3, whole=0.6)


@dataclass
class Heard:
    """What came in."""

    posts: list[tuple[str, bytes]] = field(default_factory=list)
    answer: bytes = b""

    def receive(self, content_type: str, body: bytes) -> tuple[HTTPStatus, bytes]:
        self.posts.append((content_type, body))
        return (HTTPStatus.BAD_REQUEST if self.answer else HTTPStatus.OK), self.answer


@contextmanager
def running(heard: Heard, tls: TlsFiles | None = None, patience: Patience | None = None) -> Iterator[TcpAddress]:
    more = {} if patience is None else {"patience": patience}
    server = Events(LOOPBACK, heard.receive, tls, **more)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


def ask(
    address: TcpAddress,
    method: str,
    path: str,
    body: str = "",
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] = {},
) -> http.client.HTTPResponse:
    """An answer whose body was read."""
    if tls is None:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    else:
        connection = http.client.HTTPSConnection(address.host, address.port, timeout=10, context=tls)
    try:
        connection.request(method, path, body, {"content-type": FORM, **headers})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def connect(address: TcpAddress) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=10)


def test_a_form_is_handed_on_and_answered() -> None:
    heard = Heard()
    with running(heard) as address:
        good = ask(address, "POST", PATH, "logout_token=x")
        heard.answer = b"{}"
        bad = ask(address, "POST", f"{PATH}?a=b", "y", headers={"content-type": f"{FORM}; charset=utf-8"})
    assert heard.posts == [(FORM, b"logout_token=x"), (f"{FORM}; charset=utf-8", b"y")]
    assert (good.status, good.headers["cache-control"], good.headers["content-length"]) == (200, "no-store", "0")
    assert (bad.status, bad.headers["cache-control"]) == (400, "no-store")
    assert bad.headers["content-type"] == "application/json"


def test_what_is_no_post_of_a_bounded_body_is_refused_and_not_handed_on() -> None:
    heard = Heard()
    with running(heard) as address:
        assert ask(address, "GET", PATH).status == 501
        assert ask(address, "POST", "/", "x").status == 404
        assert ask(address, "POST", PATH, "x", headers={"transfer-encoding": "chunked"}).status == 411
        assert ask(address, "POST", PATH, "x" * 10, headers={"content-length": str(MAX_BODY + 1)}).status == 413
        assert ask(address, "POST", PATH, "x" * 10, headers={"content-length": "9" * 40}).status == 413
        with connect(address) as stream:
            stream.sendall(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".encode())
            assert stream.recv(100).startswith(b"HTTP/1.1 411 ")
    assert heard.posts == []


def test_a_body_that_breaks_off_is_not_handed_on() -> None:
    heard = Heard()
    with running(heard) as address, connect(address) as stream:
        stream.sendall(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc".encode())
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(100) == b""
    assert heard.posts == []


def test_a_bug_is_an_answer_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(content_type: str, body: bytes) -> tuple[HTTPStatus, bytes]:
        raise KeyError("secret")

    server = Events(LOOPBACK, broken, None)
    server.start()
    try:
        assert ask(server.address, "POST", PATH, "x").status == 500
    finally:
        server.stop()
    assert "an event could not be taken: KeyError at " in caplog.text
    assert "secret" not in caplog.text


def test_a_silent_client_is_cut_off() -> None:
    with running(Heard(), patience=QUICK) as address, connect(address) as stream:
        stream.sendall(b"POST /back")
        assert stream.recv(1) == b""


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_client_that_drips_is_cut_off_although_it_is_never_silent(tmp_path: Path, encrypted: bool) -> None:
    tls = tls_files(tmp_path) if encrypted else None
    heard = Heard()
    with running(heard, tls, QUICK) as address, ExitStack() as stack:
        stream = stack.enter_context(connect(address))
        if encrypted:
            stream = stack.enter_context(_trusting().wrap_socket(stream, server_hostname="127.0.0.1"))
        stream.sendall(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n".encode())
        with suppress(OSError):
            for _ in range(1000):
                stream.sendall(b"x")
                time.sleep(0.02)
            pytest.fail("twenty seconds of dripping")
        # Others are served again.
        assert ask(address, "POST", PATH, "x", _trusting() if encrypted else None).status == 200
    assert heard.posts == [(FORM, b"x")]


def test_clients_that_never_shake_hands_hold_nobody_up_for_long(tmp_path: Path) -> None:
    with running(Heard(), tls_files(tmp_path), QUICK) as address, ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(QUICK.most)]
        assert [each.recv(1) for each in held] == [b""] * QUICK.most
        assert ask(address, "POST", PATH, "x", _trusting()).status == 200


def test_more_clients_than_threads_are_cut_off() -> None:
    with running(Heard(), patience=Patience(most=2, silence=5.0, whole=10.0)) as address, ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(2)]
        for each in held:
            each.sendall(b"P")
        with connect(address) as one_more:
            assert one_more.recv(1) == b""


def test_a_certificate_that_is_renewed_counts_for_new_connections(tmp_path: Path) -> None:
    with running(Heard(), tls_files(tmp_path)) as address:
        assert ask(address, "POST", PATH, "x", _trusting()).status == 200
        write_pair(tmp_path, "b")
        assert ask(address, "POST", PATH, "x", _trusting("b")).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(address, "POST", PATH, "x", _trusting())
        (tmp_path / "tls.key").write_text("no key")
        assert ask(address, "POST", PATH, "x", _trusting("b")).status == 200


def test_with_tls_nothing_is_answered_in_the_clear(tmp_path: Path) -> None:
    heard = Heard()
    with running(heard, tls_files(tmp_path)) as address, pytest.raises((http.client.HTTPException, OSError)):
        ask(address, "POST", PATH, "x")
    assert heard.posts == []


def test_with_authorities_for_clients_a_client_without_a_certificate_is_not_heard(tmp_path: Path) -> None:
    heard = Heard()
    with running(heard, tls_files(tmp_path, client_ca="clients")) as address:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(address, "POST", PATH, "x", _trusting())
        assert heard.posts == []
        known = _trusting()
        chain, key = tmp_path / "client.crt", tmp_path / "client.key"
        key_octets, chain_octets = key_pair(tmp_path, "clients")
        key.write_bytes(key_octets)
        chain.write_bytes(chain_octets)
        known.load_cert_chain(chain, key)
        assert ask(address, "POST", PATH, "x", known).status == 200


def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    files.key.write_text("no key")
    with pytest.raises(TlsRefused, match="no private key"):
        Events(LOOPBACK, Heard().receive, files)


def _trusting(name: str = "a") -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca_pem(name))
