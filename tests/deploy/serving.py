"""A real `extauthz serve` with one policy, its issuer and an upstream, for an Envoy of any kind to ask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.cli.demo.issuer import Issuer
from extauthz.cli.demo.process import Process, poll_until
from extauthz.cli.demo.web import Page, WebServer
from tests.cluster.apiserver import free_ports

ORDERS: Final = b"/api/orders"
POLICIES: Final = """\
apiVersion: extauthz.dev/v1alpha1
kind: TokenIssuer
metadata: {name: demo, namespace: shop}
spec: {issuer: ISSUER, keys: {discovery: {}}, audiences: [orders-api]}
---
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop.example]
  rules:
    - {name: place, match: [{path: {exact: /api/orders}}], token: {issuers: [{name: demo}]}, reuse: {maxUses: 1}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Where it listens, and what stands behind Envoy."""

    socket: Path
    port: int
    upstream: WebServer


def _echo(path: str, headers: list[tuple[str, str]], method: str) -> Page:
    return 200, {"path": path, "headers": headers}


@contextmanager
def serving(folder: Path, issuer: Issuer, *options: str) -> Iterator[Served]:
    """Run it, ready, on a Unix socket and a port; `options` are flags of `serve`."""
    policies, socket, (port,) = folder / "policies", folder / "extauthz.sock", free_ports(1)
    policies.mkdir()
    (policies / "orders.yaml").write_text(POLICIES.replace("ISSUER", issuer.url))
    upstream = WebServer(_echo)
    issuer.start()
    upstream.start()
    flags = [f"--policies={policies}", f"--listen=unix:{socket}", f"--listen=127.0.0.1:{port}", "--admin=127.0.0.1:0"]
    command = [
        sys.executable,
        "-m",
        "extauthz.cli",
        "serve",
        *flags,
        "--allow-http-loopback=true",
        "--check-budget=10s",
        *options,
    ]
    process = Process(command, folder / "extauthz.log")
    try:
        poll_until(lambda: "\nready: " in f"\n{process.log.read_text(errors='replace')}", process, "readiness")
        yield Served(socket, port, upstream)
    finally:
        process.stop()
        upstream.stop()
        issuer.stop()
