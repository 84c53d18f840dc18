"""Opaque tokens through a real Envoy and a real sidecar: asked about, remembered, and waited for by nobody else."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import SystemClock
from tests.introspecting import OPAQUE, Endpoint, active, endpoint

pytestmark = pytest.mark.envoy
POLICIES = """\
apiVersion: extauthz.dev/v1alpha1
kind: TokenIssuer
metadata: {{name: opaque, namespace: shop}}
spec:
  issuer: https://opaque.example
  audiences: [orders-api]
  introspection:
    url: {url}
    clientSecretBasic: {{clientId: orders, file: secret}}
    cacheFor: 60s
    timeout: 5s
---
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {{name: opaque, namespace: shop}}
spec:
  hosts: [opaque.example]
  rules:
    - name: once
      match: [{{path: {{exact: /once}}}}]
      token: {{issuers: [{{name: opaque}}]}}
      reuse: {{maxUses: 1}}
    - name: both
      token: {{issuers: [{{name: opaque}}, {{name: demo}}]}}
      upstream: {{claimHeaders: {{x-auth-sub: sub}}}}
"""
HOST = "opaque.example"


@pytest.fixture(scope="module")
def staged() -> Iterator[tuple[Stage, Endpoint]]:
    with endpoint() as server, tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        files = {**FILES, "opaque.yaml": POLICIES.format(url=server.url), "secret": "s3cret"}
        stage = Stage(Path(folder), files, SystemClock(), "--check-budget", "150ms")
        yield stage, server
        stage.stop()


def live(**more: Any) -> dict[str, Any]:
    now = int(SystemClock().now())
    return active(iat=now - 5, exp=now + 300, **more)


def test_an_opaque_token_is_admitted_with_what_its_endpoint_says_and_stays_behind(staged: Any) -> None:
    stage, server = staged
    server.answers[OPAQUE] = live(sub="bob")
    for _ in range(3):
        reply = stage.client().send("/", OPAQUE, host=HOST)
        assert reply.status == 200
        assert reply.upstream_headers["x-auth-sub"] == ["bob"]
        assert "authorization" not in reply.upstream_headers
    assert server.asked.count(OPAQUE) == 1
    assert server.headers[-1]["authorization"].startswith("Basic ")


def test_a_jwt_in_the_same_rule_is_never_sent(staged: Any) -> None:
    stage, server = staged
    token = stage.issuer.token()
    assert stage.client().send("/", token, host=HOST).status == 200
    assert token not in server.asked


def test_an_inactive_token_is_challenged_and_the_log_holds_nothing_of_it(staged: Any) -> None:
    stage, _ = staged
    reply = stage.client().send("/", "an-invented-opaque-token", host=HOST)
    assert reply.status == 401
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]
    assert "an-invented-opaque-token" not in stage.sidecar.said()


def test_a_single_use_opaque_token_is_used_once_by_racing_clients(staged: Any) -> None:
    stage, server = staged
    server.answers["single-use-token"] = live()
    # Asked about before, so that the race is for the count alone.
    assert stage.client().send("/", "single-use-token", host=HOST).status == 200
    with ThreadPoolExecutor(16) as pool:
        sent = [pool.submit(lambda: stage.client().send("/once", "single-use-token", host=HOST)) for _ in range(40)]
        statuses = [each.result().status for each in sent]
    assert (statuses.count(200), statuses.count(401)) == (1, 39)


def test_garbage_and_trouble_are_503_and_never_a_challenge(staged: Any) -> None:
    stage, server = staged
    for number, answer in enumerate([{"active": "true"}, (200, {"Content-Type": "text/html"}, b""), (400, {}, b"")]):
        server.answers[f"garbage-{number}"] = answer
        reply = stage.client().send("/", f"garbage-{number}", host=HOST)
        assert reply.status == 503
        assert "www-authenticate" not in reply.headers
        assert reply.headers["retry-after"]


def test_a_hung_endpoint_delays_no_jwt_and_no_remembered_token(staged: Any) -> None:
    stage, server = staged
    server.answers["remembered-token"] = live()
    assert stage.client().send("/", "remembered-token", host=HOST).status == 200
    gate, jwt = threading.Event(), stage.issuer.token()

    def hang(handler: Any) -> None:
        gate.wait(20)
        handler.close_connection = True

    server.otherwise = hang
    with ThreadPoolExecutor(16) as pool:
        hung = [pool.submit(stage.client().send, "/", f"hung-{number}", host=HOST) for number in range(12)]
        client = stage.client()
        others = [client.send("/", token, host=HOST).status for _ in range(20) for token in (jwt, "remembered-token")]
        assert others == [200] * 40
        assert {each.result().status for each in hung} == {503}
    gate.set()
