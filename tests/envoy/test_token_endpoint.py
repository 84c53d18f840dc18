"""Rows F16 and F18 through a real Envoy: what it makes of bodies, and what a client of a token endpoint reads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from extauthz.cli.demo.envoy import Hop, Setup
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import SystemClock
from tests.envoy.raw import Answer, ask

pytestmark = pytest.mark.envoy

POLICIES = """\
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: token-endpoint, namespace: shop}
spec:
  hosts: [as.example]
  rules:
    - name: refresh
      match: [{path: {prefix: /token}}]
      token:
        issuers: [{name: demo}]
        from: {form: refresh_token, otherGrants: [authorization_code]}
      reuse: {maxUses: 1, family: {claim: sid}}
"""
LARGEST = 4096
HOPS = (
    Hop(name="forms", body=LARGEST),
    Hop(name="forms-map", body=LARGEST, raw_headers=False),
    Hop(name="forms-text", body=LARGEST, packed=False),
    Hop(name="forms-partial", body=LARGEST, partial=True),
    Hop(name="buffered", body=LARGEST, buffered=True),
    Hop(name="blind"),
)
FORMS = ("forms", "forms-map", "forms-text", "forms-partial")
TYPE = b"content-type: application/x-www-form-urlencoded"


class Theatre(Stage):
    """A stage with every way in which Envoy sends bodies along."""

    def setup(self) -> Setup:
        """All hops."""
        return Setup(upstream_port=self.upstream.port, sidecar=str(self.sidecar.socket), timeout="10s", hops=HOPS)


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Theatre(Path(folder), {**FILES, "tests.yaml": POLICIES}, SystemClock(), "--check-budget", "10s")
        yield stage
        stage.stop()


def grant(token: str) -> str:
    return urlencode({"grant_type": "refresh_token", "refresh_token": token})


def post(theatre: Theatre, hop: str, body: bytes, *lines: bytes, target: bytes = b"/token") -> Answer:
    """Send a form."""
    sized = b"content-length: " + str(len(body)).encode()
    head = [b"POST " + target + b" HTTP/1.1", b"host: as.example", sized, *lines, b"connection: close", b"", b""]
    return ask(theatre.envoy.ports[hop], b"\r\n".join(head) + body)


def refused(answer: Answer, error: str) -> None:
    """Insist on the error of a token endpoint."""
    assert (answer.status, json.loads(answer.body)["error"]) == (400, error)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("hop", FORMS)
def test_F16_a_second_use_ends_the_family_through_envoy(theatre: Theatre, hop: str) -> None:
    used, other = (theatre.issuer.token(sid=hop) for _ in range(2))
    basic = b"authorization: Basic d2ViOnNlY3JldA=="
    first = post(theatre, hop, grant(used).encode(), TYPE, basic)
    assert first.status == 200
    assert first.upstream["method"] == "POST"
    assert first.upstream_headers["authorization"] == ["Basic d2ViOnNlY3JldA=="]
    assert first.upstream_headers["content-length"] == [str(len(grant(used)))]
    refused(post(theatre, hop, grant(used).encode(), TYPE), "invalid_grant")
    refused(post(theatre, hop, grant(other).encode(), TYPE), "invalid_grant")
    assert post(theatre, hop, grant(theatre.issuer.token(sid=f"{hop}-2")).encode(), TYPE).status == 200


@pytest.mark.parametrize("hop", FORMS)
def test_F18_bodies_with_no_single_reading_through_envoy(theatre: Theatre, hop: str) -> None:
    token = theatre.issuer.token(sid=f"{hop}-malformed")
    good = grant(token).encode()
    for body in (
        good + b"&refresh_token=x", good + b"&Refresh_Token=x", good + b";refresh_token=x",
        good + b"&refresh_token\xff=x", good + b"&a=b c", b"grant_type=refresh_token", b"",
        b"refresh_token=" + token.encode(),
        json.dumps({"grant_type": "refresh_token", "refresh_token": token}).encode(),
    ):  # fmt: skip
        refused(post(theatre, hop, body, TYPE), "invalid_request")
    refused(post(theatre, hop, good, b"content-type: application/json"), "invalid_request")
    refused(post(theatre, hop, good), "invalid_request")
    refused(post(theatre, hop, good, TYPE, b"content-encoding: gzip"), "invalid_request")
    refused(post(theatre, hop, good, TYPE, TYPE), "invalid_request")
    refused(post(theatre, hop, good, TYPE, b"authorization: Bearer x"), "invalid_request")
    refused(post(theatre, hop, good, TYPE, target=b"/token?refresh_token=x"), "invalid_request")
    assert post(theatre, hop, b"grant_type=authorization_code&code=c", TYPE).status == 200
    refused(post(theatre, hop, b"grant_type=authorization_code&code=c&refresh_token=x", TYPE), "invalid_request")
    assert post(theatre, hop, good, TYPE).status == 200


def test_F18_a_body_that_is_too_long_is_not_taken_for_a_shorter_one(theatre: Theatre) -> None:
    token = theatre.issuer.token(sid="long")
    body = grant(token).encode() + b"&a=" + b"x" * LARGEST + b"&refresh_token=y"
    assert post(theatre, "forms", body, TYPE).status == 413
    refused(post(theatre, "forms-partial", body, TYPE), "invalid_request")
    lying = b"x-envoy-auth-partial-body: false"
    refused(post(theatre, "forms-partial", body, TYPE, lying), "invalid_request")
    assert post(theatre, "forms", grant(token).encode(), TYPE).status == 200


def chunked(
    theatre: Theatre, hop: str, *parts: bytes, lines: tuple[bytes, ...] = (), end: bytes = b"0\r\n\r\n"
) -> Answer:
    """Send a form whose length nobody says beforehand."""
    head = [b"POST /token HTTP/1.1", b"host: as.example", TYPE, b"transfer-encoding: chunked", b"connection: close"]
    chunks = b"".join(f"{len(part):x}".encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return ask(theatre.envoy.ports[hop], b"\r\n".join([*head, *lines, b"", b""]) + chunks + end)


@pytest.mark.parametrize("hop", FORMS)
def test_F18_a_form_in_chunks_is_refused(theatre: Theatre, hop: str) -> None:
    good = grant(theatre.issuer.token(sid=f"{hop}-chunks")).encode()
    refused(chunked(theatre, hop, good[:20], good[20:] + b"&refresh", b"_token=x"), "invalid_request")
    refused(chunked(theatre, hop, good, lines=(b"x-request-id: chunks-" + hop.encode(),)), "invalid_request")
    assert "`Content-Length`" in theatre.sidecar.decision(f"chunks-{hop}")["detail"]
    assert post(theatre, hop, good, TYPE).status == 200


def test_F18_a_form_of_which_envoy_sends_the_beginning_and_calls_it_whole_is_refused(theatre: Theatre) -> None:
    """It asks as soon as it has as much as it may keep. What follows goes upstream, and nobody has seen it."""
    good = grant(theatre.issuer.token(sid="cut")).encode()
    filled = good + b"&a=" + b"x" * (LARGEST - len(good) - 3)
    for lines in ((), (b"x-envoy-auth-partial-body: false",)):
        refused(chunked(theatre, "forms-partial", filled, b"&refresh_token=y", lines=lines), "invalid_request")
        refused(chunked(theatre, "forms-partial", filled, lines=lines, end=b""), "invalid_request")
    assert post(theatre, "forms-partial", filled, TYPE).status == 200


def test_F18_a_form_in_chunks_is_read_where_envoy_has_waited_for_its_end(theatre: Theatre) -> None:
    good = grant(theatre.issuer.token(sid="buffered")).encode()
    refused(chunked(theatre, "buffered", good[:20], good[20:] + b"&refresh", b"_token=x"), "invalid_request")
    assert chunked(theatre, "buffered", good, b"&a=", b"x" * LARGEST).status == 413
    whole = chunked(theatre, "buffered", good[:20], good[20:])
    assert (whole.status, whole.upstream_headers["content-length"]) == (200, [str(len(good))])
    refused(chunked(theatre, "buffered", good), "invalid_grant")


def test_F18_an_envoy_that_sends_no_bodies_lets_nothing_pass_and_the_log_says_why(theatre: Theatre) -> None:
    good = grant(theatre.issuer.token(sid="blind")).encode()
    refused(post(theatre, "blind", good, TYPE, b"x-request-id: blind-1"), "invalid_request")
    refused(post(theatre, "blind", b"grant_type=authorization_code", TYPE), "invalid_request")
    assert "`with_request_body`" in theatre.sidecar.decision("blind-1")["detail"]
