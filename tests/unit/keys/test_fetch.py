"""One fetch: what is asked, what is taken, and everything that a server can do wrong."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.keys.dialling import why
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.jwk import MAX_DOCUMENT
from extauthz.model.time import Seconds
from tests.unit.keys.servers import Site, ca_pem, dripping, server_tls, serving

FETCHER = Fetcher(allow_loopback=True)
HASTY = Fetcher(allow_loopback=True, deadline=Seconds(0.2))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def failure(url: str, fetcher: Fetcher = FETCHER, ca: str | None = None) -> FetchFailed:
    with pytest.raises(FetchFailed) as failed:
        fetcher.get(url, ca)
    return failed.value


def test_a_document_is_fetched_as_it_stands(site: Site) -> None:
    site.answers["/keys?a=b"] = b'{"keys":[]}'
    fetched = FETCHER.get(f"{site.url}/keys?a=b")
    assert fetched.body == b'{"keys":[]}'
    assert fetched.max_age is None


def test_the_request_asks_for_json_without_compression_and_names_us(site: Site) -> None:
    site.answers["/"] = b"{}"
    FETCHER.get(site.url)
    (headers,) = site.headers
    assert headers["accept-encoding"] == "identity"
    assert "application/json" in headers["accept"]
    assert headers["user-agent"].startswith("extauthz/")
    assert not {"authorization", "cookie"} & headers.keys()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("max-age=60", 60),
        ("public, Max-Age=3600, must-revalidate", 3600),
        ('max-age="15"', 15),
        ("max-age=0", 0),
        ("no-cache", None),
        ("s-maxage=10", None),
        ("x-max-age=10", None),
        ("max-age=-1", None),
        ("max-age=abc", None),
    ],
)
def test_the_servers_max_age_is_read(site: Site, header: str, expected: int | None) -> None:
    site.answers["/"] = (200, {"Cache-Control": header}, b"{}")
    assert FETCHER.get(site.url).max_age == (None if expected is None else Seconds(expected))


def test_a_chunked_answer_is_read(site: Site) -> None:
    def chunked(handler: Any) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n1\r\n \r\n0\r\n\r\n")
        handler.close_connection = True

    site.answers["/"] = chunked
    assert FETCHER.get(site.url).body == b"{} "


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(site: Site, status: int) -> None:
    site.answers["/keys"] = (status, {"Location": f"{site.url}/elsewhere?secret=1"}, b"")
    site.answers["/elsewhere?secret=1"] = b"{}"
    failed = failure(f"{site.url}/keys")
    assert "redirects are not followed" in str(failed)
    assert "/elsewhere" in str(failed)
    assert "secret" not in str(failed)
    assert site.asked == ["/keys"]


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 403, 404, 429, 500, 503])
def test_only_status_200_counts(site: Site, status: int) -> None:
    site.answers["/"] = (status, {}, b"")
    failed = failure(site.url)
    assert f"HTTP status {status}" in str(failed)
    assert failed.status == status


def test_an_answer_up_to_the_limit_is_read_and_a_longer_one_refused(site: Site) -> None:
    site.answers["/fits"] = b" " * MAX_DOCUMENT
    site.answers["/long"] = b" " * (MAX_DOCUMENT + 1)
    assert len(FETCHER.get(f"{site.url}/fits").body) == MAX_DOCUMENT
    assert "more than 1048576 octets" in str(failure(f"{site.url}/long"))


def test_an_endless_answer_is_left_at_the_limit(site: Site) -> None:
    def flood(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            handler.close_connection = True

    site.answers["/"] = flood
    assert "more than 1048576 octets" in str(failure(site.url))


def test_a_compressed_answer_is_refused_unopened(site: Site) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < MAX_DOCUMENT
    site.answers["/"] = (200, {"Content-Encoding": "gzip"}, bomb)
    assert "compressed" in str(failure(site.url))


@pytest.mark.parametrize("in_headers", [True, False], ids=["headers", "body"])
def test_a_server_that_drips_is_cut_off_at_the_deadline(site: Site, over: threading.Event, in_headers: bool) -> None:
    site.answers["/"] = dripping(over, in_headers=in_headers)
    assert "took longer than 200ms" in str(failure(site.url, HASTY))


def test_a_server_that_never_answers_is_cut_off(over: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "took longer than 200ms" in str(failure(f"http://127.0.0.1:{port}/", HASTY))
        assert "took longer than 200ms" in str(failure(f"https://127.0.0.1:{port}/", HASTY))


def test_an_answer_that_breaks_off_is_refused(site: Site) -> None:
    site.answers["/"] = (200, {"Content-Length": "100"}, b"{}")
    assert "its answer is broken" in str(failure(site.url))


def test_an_answer_that_is_no_http_is_refused(site: Site) -> None:
    def nonsense(handler: Any) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")
        handler.close_connection = True

    site.answers["/"] = nonsense
    assert "its answer is broken" in str(failure(site.url))


def test_a_closed_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "connection refused" in str(failure(f"http://127.0.0.1:{port}/keys"))


def test_a_name_that_does_not_resolve_is_named() -> None:
    assert "its name cannot be resolved" in str(failure("https://nowhere.invalid/keys"))
    assert "its name cannot be resolved" in str(failure(f"https://{'a' * 64}.invalid/keys"))


def test_loopback_is_refused_before_anything_is_sent() -> None:
    """What DNS says of a name does not help: the address is looked at, before connecting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        failed = failure(f"https://localhost:{server.getsockname()[1]}/keys", Fetcher())
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "`127.0.0.1`, this machine" in str(failed)


def test_http_is_refused_without_asking_anybody(site: Site) -> None:
    site.answers["/"] = b"{}"
    assert "over https only" in str(failure(site.url, Fetcher()))
    assert site.asked == []


def test_environment_proxies_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.answers["/"] = b"{}"
    assert FETCHER.get(site.url).body == b"{}"


def test_a_certificate_of_the_configured_authority_is_trusted(tmp_path: Path) -> None:
    with serving(tls=server_tls(tmp_path)) as site:
        site.answers["/"] = b"{}"
        assert FETCHER.get(site.url, ca_pem()).body == b"{}"


def test_a_bundle_may_hold_comments_and_other_authorities(tmp_path: Path) -> None:
    with serving(tls=server_tls(tmp_path)) as site:
        site.answers["/"] = b"{}"
        assert FETCHER.get(site.url, f"# Főtanúsítvány\n{ca_pem('b')}\n# ours\n{ca_pem()}").body == b"{}"


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    with serving(tls=server_tls(tmp_path)) as site:
        site.answers["/"] = b"{}"
        for ca in (None, ca_pem("b")):
            assert "`caBundle`" in str(failure(site.url, ca=ca))
        assert site.asked == []


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    with serving(tls=server_tls(tmp_path), host="127.0.0.2") as site:
        url = site.url.replace("localhost", "127.0.0.2")
        assert "its certificate is refused" in str(failure(url, ca=ca_pem()))


def test_a_server_without_tls_is_named(site: Site) -> None:
    assert "TLS fails" in str(failure(site.url.replace("http:", "https:"), ca=ca_pem()))


def test_a_bundle_without_certificates_is_named(site: Site) -> None:
    for ca in ("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é"):
        assert "`caBundle` holds no certificates" in str(failure(site.url.replace("http:", "https:"), ca=ca))


def test_no_thread_outlives_a_fetch(site: Site) -> None:
    before = set(threading.enumerate())
    site.answers["/"] = b"{}"
    FETCHER.get(site.url)
    for thread in set(threading.enumerate()) - before:
        thread.join(1)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("code", "words", "mended"),
    [
        (10, "certificate has expired", False),
        (62, "Hostname mismatch, certificate is not valid for 'a'.", False),
        (20, "unable to get local issuer certificate", True),
        (18, "self-signed certificate", True),
    ],
)
def test_other_authorities_are_advised_only_where_they_mend_it(code: int, words: str, *, mended: bool) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, words
    said = why(error)
    assert said.startswith(f"its certificate is refused: {words.rstrip('.')}")
    assert ("`caBundle`" in said) is mended
