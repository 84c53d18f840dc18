"""One stage for all tests here: an issuer, an upstream, the sidecar, and an Envoy with a listener of each kind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.cli.demo.envoy import Hop, Setup
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import SystemClock

POLICIES = """\
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: slots, namespace: shop}
spec:
  hosts: [slots.example]
  rules:
    - {name: query, match: [{path: {exact: /query}}], token: {issuers: [{name: demo}], from: {query: access_token}}}
    - {name: cookie, match: [{path: {exact: /cookie}}], token: {issuers: [{name: demo}], from: {cookie: session}}}
    - {name: key, match: [{path: {exact: /key}}], token: {issuers: [{name: demo}], from: {header: x-api-key}}}
    - {name: kept, match: [{path: {exact: /kept}}], token: {issuers: [{name: demo}]}, upstream: {forwardToken: true}}
---
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: guarded, namespace: shop}
spec:
  hosts: [guarded.example]
  rules:
    - {name: public, match: [{path: {prefix: /public}}], anonymous: true}
    - name: admin
      match: [{path: {prefix: /admin}}]
      token: {issuers: [{name: demo}]}
      require: {scopes: [admin]}
      upstream: {claimHeaders: {x-auth-sub: sub}}
---
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: pinned, namespace: shop}
spec:
  hosts: [nowhere.example]
  rules:
    - {name: all, anonymous: true}
---
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: retried, namespace: shop}
spec:
  hosts: [retried.example]
  rules:
    - {name: once, token: {issuers: [{name: demo}]}, reuse: {maxUses: 1}}
"""
HOPS = (
    Hop(),
    Hop(name="map", raw_headers=False),
    Hop(name="rough", normalize=False),
    Hop(name="rough-map", normalize=False, raw_headers=False),
    Hop(name="pinning", context=(("extauthz.dev/policy", "shop/pinned"),)),
    Hop(name="retrying", retry_check=True),
    Hop(name="inner", edge=False),
    Hop(name="inner-rough-map", edge=False, normalize=False, raw_headers=False),
)


class Theatre(Stage):
    """A stage with every kind of listener and an access log."""

    def setup(self) -> Setup:
        """All hops."""
        return Setup(
            upstream_port=self.upstream.port,
            sidecar=str(self.sidecar.socket),
            # What is asked here is what is answered, not how soon.
            timeout="10s",
            hops=HOPS,
            access_log=self.folder / "access.log",
        )


@pytest.fixture(scope="session")
def theatre() -> Iterator[Theatre]:
    """The shared stage."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Theatre(Path(folder), {**FILES, "tests.yaml": POLICIES}, SystemClock(), "--check-budget", "10s")
        yield stage
        stage.stop()


@pytest.fixture
def fresh() -> Iterator[Stage]:
    """A stage of a test's own, to be broken."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        stage = Stage(Path(folder), {**FILES, "tests.yaml": POLICIES}, SystemClock(), "--drain-timeout", "5s")
        yield stage
        stage.stop()
