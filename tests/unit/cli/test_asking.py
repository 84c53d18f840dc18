"""Asking a running server by its admin port: what is said when there is no answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extauthz.cli.asking import NoAnswer, ask_admin


@contextmanager
def answering(words: bytes | None) -> Iterator[str]:
    """A port that says `words` to whoever comes and hangs up; with None it is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                if words is None:
                    done.wait(10)
                else:
                    client.recv(65536)
                    client.sendall(words)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join(10)


def told(address: str, timeout: float = 10) -> str:
    with pytest.raises(NoAnswer) as no:
        ask_admin(address, "/readyz", timeout)
    return str(no.value)


def test_an_answer_has_its_status_and_body() -> None:
    with answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}") as address:
        answer = ask_admin(f"http://{address}/", "/readyz", 10)
    assert (answer.status, answer.body) == (503, b"{}")


def test_a_port_at_which_nobody_listens_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    assert told(address) == f"{address} cannot be reached: connection refused"


def test_silence_is_told_with_how_long_was_waited() -> None:
    with answering(None) as address:
        assert told(address, 0.25) == f"{address} did not answer within 250ms"


@pytest.mark.parametrize("words", [b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", b"SSH-2.0-x\r\n", b""])
def test_what_is_no_admin_port_is_told_to_be_none(words: bytes) -> None:
    with answering(words) as address:
        mend = "name the one of `--admin`, not of `--listen`"
        assert told(address) == f"what answers at {address} is no admin port: {mend}"


@pytest.mark.parametrize("address", ["", "foo", "127.0.0.1", "127.0.0.1:", "a:x", "a:0", "a:65536", ":9090"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    assert told(address) == f"`{address}` is no address of an admin port, which is HOST:PORT"


def test_no_answer_names_a_python_exception() -> None:
    with answering(None) as silent, answering(b"?") as odd:
        for words in (told(silent, 0.1), told(odd)):
            assert "Error" not in words
            assert "StatusLine" not in words
