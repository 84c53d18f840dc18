"""`extauthz serve --kubernetes` as a process of its own, and objects written as fast as an API server takes them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from extauthz.cli.demo.process import Process, poll_until
from extauthz.control.resources import path_of
from extauthz.policy.problem import ObjectRef
from tests.cluster.access import Access
from tests.contract.running import SCRIPT, environment

_TIMEOUT: Final = 10.0


class ClusterSidecar:
    """Serves one namespace, or with None all, on a Unix socket, as the account that the kubeconfig names."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str | None, *options: str) -> None:
        self.socket: Final = folder / "extauthz.sock"
        command = [
            SCRIPT, "serve", "--kubernetes", *(() if namespace is None else ("--namespace", namespace)),
            "--single-replica",
            "--listen", f"unix:{self.socket}",
            "--admin", "127.0.0.1:0",
            "--decision-log", "off",
            # What is asked in tests is what is answered, not how soon.
            "--check-budget", "10s",
            *options,
        ]  # fmt: skip
        self.process = Process(command, folder / "extauthz.log", environment(KUBECONFIG=str(kubeconfig)))

    def wait_ready(self, patience: float = 30.0) -> None:
        """Wait for its line that says so. Raises TimeoutError."""
        poll_until(lambda: "\nready: " in self.said(), self.process, "the sidecar's readiness", patience)

    def said(self) -> str:
        """All that it printed and logged."""
        return "\n" + self.process.log.read_text(errors="replace")

    def admin(self) -> str:
        """The URL of the admin port, once it listens."""
        return next(line for line in self.said().splitlines() if line.startswith("listening on ")).partition(
            ", admin on "
        )[2]

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and content of `/readyz`."""
        try:
            with urllib.request.urlopen(f"{self.admin()}/readyz", timeout=_TIMEOUT) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def metric(self, name: str) -> float | None:
        """A metric without labels; None when it is absent."""
        with urllib.request.urlopen(f"{self.admin()}/metrics", timeout=_TIMEOUT) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)


class Writer:
    """Writes our objects over one connection, without the start of a kubectl before each."""

    def __init__(self, access: Access) -> None:
        self._api = access.client()

    def apply(self, obj: Mapping[str, Any]) -> None:
        """Server-side apply: make the object, or make it so."""
        self._call("PATCH", f"{_path(obj)}?fieldManager=tests&force=true", obj, "application/apply-patch+yaml")

    def delete(self, obj: Mapping[str, Any]) -> None:
        """Take the object away."""
        self._call("DELETE", _path(obj))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "") -> None:
        settings = self._api.configuration
        headers = {"authorization": settings.api_key["BearerToken"], **({"content-type": kind} if kind else {})}
        pool = self._api.rest_client.pool_manager
        data = None if body is None else json.dumps(body)
        answer = pool.request(method, settings.host + path, headers=headers, body=data, timeout=_TIMEOUT)
        assert answer.status < 300, answer.data.decode()


def _path(obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    return path_of(ObjectRef(obj["kind"], metadata.get("namespace", ""), metadata["name"]))
