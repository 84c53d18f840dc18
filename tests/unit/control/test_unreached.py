"""What an operator reads where the API server cannot be reached."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, Configuration
from urllib3.exceptions import NameResolutionError

from extauthz.control.unreached import unreached
from extauthz.control.writing import Unreached, call
from extauthz.model.time import Seconds
from tests.unit.keys.servers import ca_pem, server_tls


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port that does this with each that comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    try:
                        answer(client)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def told(url: str, ca: Path | None = None, within: float = 5.0) -> str:
    settings = Configuration()
    settings.host, settings.retries = url, 0
    if ca is not None:
        settings.ssl_ca_cert = str(ca)
    with pytest.raises(Unreached) as no:
        call(ApiClient(settings), "GET", "/api", within=Seconds(within))
    return str(no.value).removeprefix("the API server cannot be reached: ")


def test_a_port_at_which_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert told(f"http://127.0.0.1:{port}") == "connection refused"


def test_a_server_that_is_silent() -> None:
    done = threading.Event()
    with answering(lambda _: done.wait(10)) as port:
        assert told(f"http://127.0.0.1:{port}", within=0.2) == "it did not answer in time"
        done.set()


def test_a_connection_that_breaks_off() -> None:
    with answering(lambda client: client.recv(10)) as port:
        assert told(f"http://127.0.0.1:{port}") in {"the connection broke off", "connection reset by peer"}


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """As after the cluster's authority was renewed, and the kubeconfig or mount is old."""
    context = server_tls(tmp_path, "a")
    (tmp_path / "other.pem").write_text(ca_pem("b"))
    with answering(lambda client: context.wrap_socket(client, server_side=True)) as port:
        words = told(f"https://127.0.0.1:{port}", tmp_path / "other.pem")
    assert words.startswith("its certificate is not trusted (")
    assert "ApiException" not in words


def test_a_server_that_speaks_no_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(ca_pem("a"))
    with answering(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert told(f"https://127.0.0.1:{port}", tmp_path / "ca.pem").startswith("the TLS handshake failed (")


def test_a_name_that_nobody_knows() -> None:
    below = socket.gaierror(-2, "secret words")
    error = NameResolutionError("api.example", None, below)  # type: ignore[arg-type]
    error.__cause__ = below
    assert unreached(error) == "the API server cannot be reached: its name cannot be resolved"


def test_what_an_exception_says_is_not_passed_on() -> None:
    for error in (OSError("secret"), ValueError("secret"), ssl.SSLError("secret"), ConnectionError("secret")):
        assert "secret" not in unreached(error)
