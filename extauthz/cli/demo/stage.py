"""The stage: issuer, upstream, sidecar and Envoy on this machine, and requests through them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from extauthz.cli.demo.envoy import Envoy, Setup
from extauthz.cli.demo.issuer import Issuer
from extauthz.cli.demo.process import Process, poll_until
from extauthz.cli.demo.web import Page, WebServer
from extauthz.model.time import Clock


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    seconds: float

    @property
    def upstream_headers(self) -> Mapping[str, list[str]]:
        """The headers that the upstream saw, each with all its values; empty for a denied request."""
        seen: dict[str, list[str]] = {}
        for name, value in self.body.get("headers", []):
            seen.setdefault(name.lower(), []).append(value)
        return seen


def _echo(path: str, headers: list[tuple[str, str]], method: str) -> Page:
    return 200, {"method": method, "path": path, "headers": headers}


class Sidecar:
    """`extauthz serve` as a process of its own, on a Unix socket."""

    def __init__(self, folder: Path, policies: Path, *options: str) -> None:
        self.socket = folder / "extauthz.sock"
        self.decisions = folder / "decisions.jsonl"
        command = [
            sys.executable, "-m", "extauthz.cli", "serve",
            "--policies", str(policies),
            "--listen", f"unix:{self.socket}",
            "--admin", "127.0.0.1:0",
            "--decision-log", str(self.decisions),
            "--allow-http-loopback", "true",
            *options,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTHZ_")}
        self.process = Process(command, folder / "extauthz.log", environment)

    def wait_ready(self) -> None:
        """Wait for its line that says so. Raises TimeoutError."""
        poll_until(lambda: "\nready: " in self.said(), self.process, "the sidecar's readiness")

    def said(self) -> str:
        """All that it printed."""
        return "\n" + self.process.log.read_text(errors="replace") if self.process.log.exists() else ""

    def decision(self, request_id: str) -> Mapping[str, Any]:
        """The line of the decision log for a request, once it is written."""
        found: list[Mapping[str, Any]] = []

        def written() -> bool:
            if not self.decisions.exists():
                return False
            lines = self.decisions.read_text().splitlines()
            found[:] = [json.loads(line) for line in lines if f'"{request_id}"' in line]
            return bool(found)

        poll_until(written, self.process, "a line of the decision log", patience=5.0)
        return found[-1]


class Stage:
    """Everything that a real request passes."""

    def __init__(self, folder: Path, policies: Mapping[str, str], clock: Clock, *options: str) -> None:
        """Start all. In the policy texts `ISSUER` stands for the issuer's URL. Raises TimeoutError or EnvoyMissing."""
        self.clock = clock
        self.folder = folder
        self.policies = folder / "policies"
        self.policies.mkdir()
        self.issuer = Issuer(clock)
        self.upstream = WebServer(_echo)
        self.issuer.start()
        self.upstream.start()
        for name, text in policies.items():
            self.write_policy(name, text)
        self.sidecar = Sidecar(folder, self.policies, *options)
        self._clients: list[Client] = []
        try:
            self.sidecar.wait_ready()
            self.envoy = Envoy(self.setup(), folder)
        except BaseException:
            self.sidecar.process.stop()
            self.issuer.stop()
            self.upstream.stop()
            raise

    def setup(self) -> Setup:
        """What Envoy stands between."""
        return Setup(upstream_port=self.upstream.port, sidecar=str(self.sidecar.socket))

    def write_policy(self, name: str, text: str) -> None:
        """Write a policy file in one step, as a careful editor does."""
        path = self.policies / name
        draft = path.with_name(f".{name}.draft")
        draft.write_text(text.replace("ISSUER", self.issuer.url))
        draft.replace(path)

    def client(self, hop: str | None = None) -> Client:
        """A client with a connection of its own to one of Envoy's listeners, the first by default."""
        port = self.envoy.port if hop is None else self.envoy.ports[hop]
        client = Client(port, self.clock)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        """End all, in the order that requests pass."""
        for client in self._clients:
            client.close()
        self.envoy.stop()
        self.sidecar.process.stop()
        self.upstream.stop()
        self.issuer.stop()


class Client:
    """Sends requests over one connection."""

    def __init__(self, port: int, clock: Clock) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._clock = clock

    def send(
        self, path: str, token: str | None = None, *, method: str = "GET", host: str = "api.example", **headers: str
    ) -> Reply:
        """Send one request. Keywords are headers, `_` standing for `-`. Raises OSError when none comes back."""
        lines = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            lines["authorization"] = f"Bearer {token}"
        started = self._clock.monotonic()
        try:
            self._connection.request(method, path, headers=lines)
            response = self._connection.getresponse()
            body = response.read()
        except HTTPException as error:
            self._connection.close()
            raise OSError(f"no answer: {type(error).__name__}") from error
        except OSError:
            self._connection.close()
            raise
        seconds = self._clock.monotonic() - started
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, _json(body), seconds)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {"text": body.decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}
