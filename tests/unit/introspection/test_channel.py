"""One connection to an endpoint: what it sends, and what a hostile server can do to it."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from extauthz.introspection.channel import IDLE, Channel
from extauthz.model.question import Active, Answer, Inactive, Unanswered
from extauthz.model.time import Seconds, SystemClock
from tests.clock import FakeClock
from tests.introspecting import active, as_json, endpoint
from tests.unit.introspection.asking import at
from tests.unit.keys.servers import ca_pem, server_tls


def ask(url: str, token: str = "token-1", hint: str = "access_token", **more: Any) -> Answer:
    channel = Channel(at(url, **more), SystemClock(), allow_loopback=True)
    try:
        return channel.ask(token, hint)
    finally:
        channel.close()


def detail(answer: Answer) -> str:
    assert isinstance(answer, Unanswered)
    return answer.detail


def test_a_question_is_a_form_that_says_who_asks() -> None:
    with endpoint() as server:
        server.answers["a+b/c=="] = active()
        assert isinstance(ask(server.url, "a+b/c=="), Active)
    assert server.forms == [{"token": ["a+b/c=="], "token_type_hint": ["access_token"]}]


def test_a_refresh_token_is_looked_for_among_refresh_tokens() -> None:
    with endpoint() as server:
        ask(server.url, "t", "refresh_token")
    assert server.forms == [{"token": ["t"], "token_type_hint": ["refresh_token"]}]
    (headers,) = server.headers
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept"] == "application/json"
    assert headers["authorization"].startswith("Basic ")


def test_a_connection_is_kept_for_the_next_question() -> None:
    with endpoint() as server:
        channel = Channel(at(server.url), SystemClock(), allow_loopback=True)
        assert [type(channel.ask(f"t-{n}")) for n in range(3)] == [Inactive] * 3
        channel.close()
    assert (server.connections, len(server.asked)) == (1, 3)


def test_a_connection_that_was_silent_for_long_is_made_anew() -> None:
    clock = FakeClock()
    with endpoint() as server:
        channel = Channel(at(server.url), clock, allow_loopback=True)
        channel.ask("one")
        clock.advance(IDLE)
        channel.ask("two")
        channel.close()
    assert server.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_costs_no_answer() -> None:
    def reply_and_hang_up(handler: Any) -> None:
        handler.reply({"active": False})
        handler.close_connection = True

    with endpoint() as server:
        server.otherwise = reply_and_hang_up
        channel = Channel(at(server.url), SystemClock(), allow_loopback=True)
        assert isinstance(channel.ask("one"), Inactive)
        assert isinstance(channel.ask("two"), Inactive)
        channel.close()
    assert server.asked == ["one", "two"]


def test_what_a_server_sends_once_too_often_answers_no_other_question() -> None:
    sent = threading.Event()

    def twice(handler: Any) -> None:
        handler.reply({"active": False})

        def again() -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n")
            handler.wfile.write(b'{"active":true}')
            sent.set()

        threading.Timer(0.1, again).start()

    with endpoint() as server:
        server.answers["one"] = twice
        channel = Channel(at(server.url), SystemClock(), allow_loopback=True)
        assert isinstance(channel.ask("one"), Inactive)
        assert sent.wait(10.0)
        time.sleep(0.05)
        assert isinstance(channel.ask("two"), Inactive)
        channel.close()
    assert server.asked == ["one", "two"]


def test_both_parts_of_a_question_leave_at_once() -> None:
    with endpoint() as server:
        channel = Channel(at(server.url), SystemClock(), allow_loopback=True)
        channel.ask("one")
        assert channel._connection is not None
        assert channel._connection.sock is not None
        assert channel._connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        channel.close()


def test_what_a_server_sends_is_not_quoted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def odd(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ntoken-1 said back\r\n\r\n{}")

    with endpoint() as server:
        server.answers["token-1"] = odd
        ask(server.url)
    assert caplog.text == ""


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else() -> None:
    with endpoint() as elsewhere, endpoint() as server:
        for status in (301, 302, 303, 307, 308):
            server.otherwise = (status, {"Location": elsewhere.url}, b"")
            assert "redirects are not followed" in detail(ask(server.url))
    assert elsewhere.forms == []


def test_an_answer_without_end_is_cut_off() -> None:
    with endpoint() as server:
        server.otherwise = as_json(b'{"active": true, "a": "' + b"a" * 70_000 + b'"}')
        assert "more than 16384 octets" in detail(ask(server.url))


def test_a_compressed_answer_is_not_unpacked() -> None:
    with endpoint() as server:
        server.otherwise = as_json(b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        assert "compressed form" in detail(ask(server.url))


def test_an_answer_that_breaks_off_is_none() -> None:
    def half(handler: Any) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n" + b'{"active": true}'
        )
        handler.close_connection = True

    with endpoint() as server:
        server.otherwise = half
        assert "cannot be asked" in detail(ask(server.url))


@pytest.mark.parametrize("in_headers", [True, False])
def test_a_server_that_drips_is_cut_off_by_the_clock(in_headers: bool) -> None:
    stop = threading.Event()

    def drip(handler: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        try:
            handler.wfile.write(head + (b"X-Drip: " if in_headers else b"\r\n"))
            while not stop.wait(0.01):
                handler.wfile.write(b" ")
        except OSError:
            pass
        handler.close_connection = True

    with endpoint() as server:
        server.otherwise = drip
        started = time.monotonic()
        assert "longer than 200ms" in detail(ask(server.url, timeout=Seconds(0.2)))
        assert time.monotonic() - started < 20
        stop.set()


def test_a_server_that_drips_on_a_kept_connection_is_cut_off_too() -> None:
    stop = threading.Event()

    def hang(handler: Any) -> None:
        stop.wait(60)
        handler.close_connection = True

    with endpoint() as server, ThreadPoolExecutor(1) as pool:
        channel = Channel(at(server.url, timeout=Seconds(0.2)), SystemClock(), allow_loopback=True)
        assert isinstance(channel.ask("one"), Inactive)
        server.otherwise = hang
        try:
            # It comes while the server still hangs.
            assert "longer than 200ms" in detail(pool.submit(channel.ask, "two").result(timeout=20))
        finally:
            stop.set()
        channel.close()


def test_a_server_is_known_by_its_certificate(tmp_path: Path) -> None:
    with endpoint(tls=server_tls(tmp_path)) as server:
        assert "certificate is refused" in detail(ask(server.url))
        assert server.forms == []
        channel = Channel(at(server.url, ca_pem=ca_pem()), SystemClock(), allow_loopback=True)
        assert [type(channel.ask(f"t-{n}")) for n in range(2)] == [Inactive] * 2
        assert server.connections <= 2
        channel.close()


def test_a_token_is_not_sent_without_tls_or_to_this_machine() -> None:
    channel = Channel(at("http://issuer.example/introspect"), SystemClock(), allow_loopback=True)
    assert "over https only" in detail(channel.ask("one"))
    with endpoint() as server:
        strict = Channel(at(server.url), SystemClock())
        assert "over https only" in detail(strict.ask("one"))
    assert server.forms == []


def test_a_name_that_leads_to_a_metadata_service_is_not_asked() -> None:
    channel = Channel(at("https://169.254.169.254/introspect"), SystemClock())
    assert "an address that no issuer has" in detail(channel.ask("one"))


def test_what_is_told_of_a_failure_holds_no_token_and_no_secret() -> None:
    with endpoint() as server:
        server.otherwise = (500, {}, b"token-1 s3cret-of-ours")
        words = detail(ask(server.url))
    assert "HTTP status 500" in words
    assert "token-1" not in words
    assert "s3cret" not in words
