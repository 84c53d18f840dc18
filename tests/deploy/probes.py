"""What an Envoy must do so that all checks are possible, each asked of a running one. A probe raises AssertionError."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from tests.deploy.scene import Scene
from tests.envoy.raw import Answer, ask

BODY_LIMIT: Final = 65536
"""How much of a body is sent along."""

Probe = Callable[[Scene], None]


def request(target: bytes, *lines: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    """A request for one answer, on a host that all sample configurations route."""
    length = [b"content-length: %d" % len(body)] if body else []
    head = [method + b" " + target + b" HTTP/1.1", b"host: orders.shop.example", *lines, *length, b"connection: close"]
    return b"\r\n".join([*head, b"", body])


def posted(scene: Scene, body: bytes, kind: bytes = b"application/octet-stream") -> tuple[Answer, AttributeContext]:
    """A body that was sent, the answer, and what was asked about it."""
    answer = ask(scene.port, request(b"/api/orders", b"content-type: " + kind, method=b"POST", body=body))
    return answer, scene.recorder.last()


def headers_arrive_as_they_were_sent(scene: Scene) -> None:
    """Fields that stand twice stay two, and octets that are not UTF-8 stay what they are."""
    assert ask(scene.port, request(b"/api/orders", b"x-twice: one", b"x-twice: t\xffo")).status == 200
    found = scene.recorder.last().request.http.header_map.headers
    assert [each.raw_value for each in found if each.key == "x-twice"] == [b"one", b"t\xffo"]


def bodies_are_sent_along(scene: Scene) -> None:
    """A form, in which a second token could stand."""
    answer, seen = posted(scene, b"access_token=abc", b"application/x-www-form-urlencoded")
    assert answer.status == 200
    assert b"access_token=abc" in (seen.request.http.raw_body, seen.request.http.body.encode())


def bodies_arrive_as_they_were_sent(scene: Scene) -> None:
    """Octets that are not UTF-8 stay what they are."""
    answer, seen = posted(scene, b"\xff\x00\xfe")
    assert answer.status == 200
    assert seen.request.http.raw_body == b"\xff\x00\xfe"


def large_bodies_are_sent_in_part(scene: Scene) -> None:
    """A body beyond the limit is no 413, and its beginning is seen."""
    answer, seen = posted(scene, b"a" * (BODY_LIMIT + 5000))
    assert answer.status == 200
    assert len(seen.request.http.raw_body) == BODY_LIMIT


def client_certificates_are_shown(scene: Scene) -> None:
    """The certificate that the client came with (RFC 8705)."""
    context = ssl.create_default_context(cafile=str(scene.ca))
    context.load_cert_chain(*map(str, scene.client))
    with (
        socket.create_connection(("127.0.0.1", scene.tls_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="web.example") as connection,
    ):
        connection.sendall(request(b"/api/orders"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert unquote(scene.recorder.last().source.certificate) == scene.client[0].read_text()


def no_answer_is_a_no(scene: Scene) -> None:
    """A server that fails lets nothing through, and clients are not told that their token is bad."""
    scene.recorder.fail(10)
    answer = ask(scene.port, request(b"/api/orders"))
    scene.recorder.fail(0)
    assert answer.status == 503
    assert not answer.body


def a_lost_check_is_sent_again(scene: Scene) -> None:
    """One failed call is not yet an outage; both calls carry the id by which a use is counted once."""
    scene.recorder.fail(1)
    before = len(scene.recorder.seen)
    assert ask(scene.port, request(b"/api/orders")).status == 200
    ids = [each.request.http.id for each in scene.recorder.seen[before:]]
    assert len(ids) == 2
    assert ids[0]
    assert ids[0] == ids[1]


def same_path(scene: Scene, target: bytes, path: str) -> None:
    """What is asked about is what the upstream sees."""
    answer = ask(scene.port, request(target))
    assert answer.status == 200
    assert scene.recorder.last().request.http.path == path
    assert answer.upstream["path"] == path


def dot_segments_are_resolved(scene: Scene) -> None:
    """By Envoy, before it asks."""
    same_path(scene, b"/public/%2E%2e/admin/./a", "/admin/a")


def slashes_are_merged(scene: Scene) -> None:
    """By Envoy, before it asks."""
    same_path(scene, b"/public//a", "/public/a")


def escaped_slashes_are_refused(scene: Scene) -> None:
    """By Envoy, before it asks: two readers would take them for two different paths."""
    before = len(scene.recorder.seen)
    for target in (b"/a%2Fb", b"/a%2fb", b"/a%5Cb", b"/a%5cb"):
        assert ask(scene.port, request(target)).status == 400
    assert len(scene.recorder.seen) == before


def a_client_cannot_claim_a_certificate(scene: Scene) -> None:
    """A header that only proxies write is not believed of a client."""
    claimed = b"x-forwarded-client-cert: Hash=" + b"0" * 64
    answer = ask(scene.port, request(b"/api/orders", claimed))
    asked = scene.recorder.last().request.http
    keys = {each.key for each in asked.header_map.headers} | set(asked.headers)
    assert "x-forwarded-client-cert" not in keys
    assert "x-forwarded-client-cert" not in answer.upstream_headers


def a_client_cannot_claim_a_scheme(scene: Scene) -> None:
    """Nor does it say by which scheme it came."""
    ask(scene.port, request(b"/api/orders", b"x-forwarded-proto: https"))
    assert scene.recorder.last().request.http.scheme == "http"


def a_request_is_served(scene: Scene) -> None:
    """Through everything, to the upstream and back."""
    answer = ask(scene.port, request(b"/api/orders?a=1"))
    assert answer.status == 200, answer
    assert json.loads(answer.body)["path"] == "/api/orders?a=1"


EVERY: Final = (
    a_request_is_served,
    headers_arrive_as_they_were_sent,
    bodies_are_sent_along,
    bodies_arrive_as_they_were_sent,
    large_bodies_are_sent_in_part,
    client_certificates_are_shown,
    no_answer_is_a_no,
    a_lost_check_is_sent_again,
    dot_segments_are_resolved,
    slashes_are_merged,
    escaped_slashes_are_refused,
    a_client_cannot_claim_a_certificate,
)
"""What every integration promises. At the edge there is more: `a_client_cannot_claim_a_scheme`."""
