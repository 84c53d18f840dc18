"""A real kube-apiserver over a real etcd, as two processes on loopback, to be used, killed and frozen.

There is no controller-manager and no kubelet: namespaces that are deleted stay Terminating (tests take fresh names),
no namespace has a default ServiceAccount, owners' leavings are not collected, and nothing becomes Ready.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from extauthz.cli.demo.process import Process, poll_until
from tests.cluster.access import Access
from tests.cluster.binaries import Binaries
from tests.cluster.credentials import make_credentials

_TRIES: Final = 3
_TAKEN: Final = "address already in use"
_READY_WITHIN: Final = 50.0


class Server(Process):
    """One of the two processes. Only its own pid is ever signalled."""

    def kill(self) -> None:
        """End it at once, frozen or not."""
        self.signal(signal.SIGKILL)
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running():
            os.kill(self.pid, number)


class ApiServer:
    """Starts both processes and waits for `/readyz`; `stop` ends them and closes every client.

    `flags` go to kube-apiserver: `--min-request-timeout=4` makes it end each watch after 4 to 8 seconds.
    """

    def __init__(self, folder: Path, binaries: Binaries, *flags: str) -> None:
        self._folder = folder
        self._binaries = binaries
        self._flags = flags
        self._credentials = make_credentials(folder)
        self._tls = ssl.create_default_context(cafile=str(self._credentials.certificate))
        self.audit_log: Final = folder / "audit.log"
        """Every call that was made, one JSON object a line (audit.k8s.io/v1)."""
        self.url, self._store_urls = "", ("", "")
        self._etcd, self._apiserver = self._started()
        self.access: Final = Access(
            self.url, self._credentials.certificate, self._credentials.admin_token, binaries.kubectl, folder
        )

    def kill(self) -> None:
        """End kube-apiserver at once, as a lost machine does. What it holds stays in etcd."""
        self._apiserver.kill()

    def terminate(self) -> None:
        """Ask kube-apiserver to end, as an upgrade does, and wait: watches get a second to close."""
        self._apiserver.stop()

    def restart(self) -> None:
        """Start kube-apiserver again at the same address and wait until it is ready."""
        self.kill()
        self._apiserver = self._serve()
        self._wait(self._etcd, self._apiserver)

    def freeze(self) -> None:
        """Stop kube-apiserver in its tracks: connections stay open and silent."""
        self._apiserver.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._apiserver.signal(signal.SIGCONT)

    def lose_everything(self) -> None:
        """Put an empty store in the place of the one there is, as a restored backup is put, and start again."""
        self.kill()
        self._etcd.kill()
        for data in self._folder.glob("etcd-*"):
            shutil.rmtree(data)
        self._etcd = self._store()
        self.restart()

    def stop(self) -> None:
        """End everything."""
        self.access.close()
        self._apiserver.kill()
        self._etcd.kill()

    def calls(self, user: str) -> list[dict[str, Any]]:
        """The calls of those whose name begins like this, in the order of their answers; an open watch has none yet."""
        text = self.audit_log.read_text() if self.audit_log.exists() else ""
        events = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [
            each
            for each in events
            if each["user"].get("username", "").startswith(user) and each["stage"] == "ResponseComplete"
        ]

    def _started(self) -> tuple[Server, Server]:
        """Both processes. A port that was free can be taken before it is listened on: then others are tried."""
        for left in reversed(range(_TRIES)):
            port, store, peers = free_ports(3)
            self.url = f"https://127.0.0.1:{port}"
            self._store_urls = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peers}"
            etcd, apiserver = self._store(), self._serve()
            try:
                self._wait(etcd, apiserver)
            except BaseException as error:
                apiserver.kill()
                etcd.kill()
                if left == 0 or _TAKEN not in str(error):
                    raise
            else:
                return etcd, apiserver
        raise AssertionError("the last try raises")

    def _store(self) -> Server:
        own, peer = self._store_urls
        flags = {
            "data-dir": self._folder / f"etcd-{own.rpartition(':')[2]}",
            "name": "tests",
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"tests={peer}",
            "log-level": "error",
        }
        command = [self._binaries.etcd, "--unsafe-no-fsync", *(f"--{name}={value}" for name, value in flags.items())]
        return Server(command, self._folder / "etcd.log")

    def _serve(self) -> Server:
        made = self._credentials
        flags = {
            "etcd-servers": self._store_urls[0],
            "secure-port": self.url.rpartition(":")[2],
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "tls-cert-file": made.certificate,
            "tls-private-key-file": made.key,
            "token-auth-file": made.tokens,
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": made.accounts_key,
            "service-account-signing-key-file": made.accounts_key,
            "service-cluster-ip-range": "10.0.0.0/24",
            # It wants a ServiceAccount in each namespace, which only a controller-manager makes.
            "disable-admission-plugins": "ServiceAccount",
            # A TERM would wait a minute for open watches.
            "shutdown-watch-termination-grace-period": "1s",
            "audit-policy-file": made.audit_policy,
            "audit-log-path": self.audit_log,
        }
        command = [self._binaries.apiserver, *(f"--{name}={value}" for name, value in flags.items()), *self._flags]
        return Server(command, self._folder / "apiserver.log")

    def _wait(self, etcd: Server, apiserver: Server) -> None:
        def ready() -> bool:
            if not etcd.running():
                raise TimeoutError(f"etcd ended: {etcd.log.read_text(errors='replace')[-500:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=self._tls) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        poll_until(ready, apiserver, "/readyz", _READY_WITHIN)


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nothing listens."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
