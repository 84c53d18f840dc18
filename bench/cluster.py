"""Policies from a real API server at scale: how soon they serve, what they take, and what one edit costs.

A sidecar follows one namespace with 2,000 AccessPolicies and 10,000 TokenRevocations. It is a process of its own, asked
over its Unix socket; the API server and its etcd are processes on the same machine and take their share of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from bench.choosing import typical
from bench.measure import Effort, Figure, Reading, Report, Target, row_of
from bench.memory import resident
from bench.requests import issuer
from extauthz.server.grpcio import METHOD
from tests.building import anonymous, obj, policy
from tests.checks import check_request, read_response
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import ABSENT, NoBinariesError, find_binaries
from tests.cluster.sidecar import ClusterSidecar, Writer
from tests.cluster.test_source import install, may_follow
from tests.unit.server.serving import channel

_POLICIES: Final = 2000
_REVOCATIONS: Final = 10_000
_EDITS: Final = 20
_ROUNDS: Final = 3
"""At most: a round takes half a minute."""
_WRITERS: Final = 4
_PATIENCE: Final = 120.0
_STEP: Final = 0.002
_PAUSE: Final = 1.0
"""Seconds in which an edit is done, also on a busy machine."""
_MIB: Final = 1 << 20
_HOST: Final = "probe.example"
_TARGETS: Final = {"seconds to ready": 10.0, "edit, slowest ms": 300.0, "resident MiB": 150.0}


def run(effort: Effort) -> Report:
    """The benchmark `cluster`."""
    try:
        find_binaries()
    except NoBinariesError:
        return Report("cluster", ABSENT.removeprefix("cluster tests "), ())
    policies, revocations = effort.of(_POLICIES), effort.of(_REVOCATIONS)
    with _cluster() as scene:
        scene.fill(policies, revocations)
        readings = [scene.round(effort.of(_EDITS)) for _ in range(min(effort.rounds, _ROUNDS))]
    about = f"a sidecar, {policies:,} policies and {revocations:,} revocations on a real API server"
    row = row_of("a sidecar", readings)
    targets = [Target(name, bound, Figure(row.figures[name].values)) for name, bound in _TARGETS.items()]
    return Report("cluster", about, (row,), tuple(targets))


Ask: TypeAlias = Callable[..., bytes]
"""A Check."""


class Scene:
    """An API server with objects, and sidecars that start over it one after the other."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._writer = Writer(server.access)
        self._namespace = server.access.new_namespace()
        self._kubeconfig = server.access.kubeconfig(may_follow(server.access, self._namespace).token)
        self._edits = 0

    def fill(self, policies: int, revocations: int) -> None:
        """Write all objects."""
        objects = [self._at_home(issuer())]
        objects += [self._at_home(typical(number)) for number in range(policies - 1)]
        objects += [self._revocation(number) for number in range(revocations)]
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(self._writer.apply, objects))
        self._edit()

    def round(self, edits: int) -> Reading:
        """Start a sidecar, edit, let the API server be away, edit again."""
        # Each in a folder of its own: what the last one said must not be taken for this one's.
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        began = time.perf_counter()
        sidecar = ClusterSidecar(folder, self._kubeconfig, self._namespace, "--log-level", "error")
        try:
            sidecar.wait_ready(_PATIENCE)
            ready = time.perf_counter() - began
            process = sidecar.process.pid
            cpu_ready = _cpu(process)
            with channel(f"unix:{sidecar.socket}") as connection:
                ask: Ask = connection.unary_unary(METHOD)
                delays = [self._enforced(ask) for _ in range(edits)]
                cost = self._cost(process, max(1, edits // 4))
                taken = resident(process) / _MIB
                self._server.kill()
                self._server.restart()
                caught_up = self._enforced(ask)
        finally:
            sidecar.process.stop()
        return {
            "seconds to ready": ready,
            "cpu s to ready": cpu_ready,
            "edit, median ms": median(delays) * 1e3,
            "edit, slowest ms": max(delays) * 1e3,
            "cpu ms of an edit": cost * 1e3,
            "resident MiB": taken,
            "s to catch up": caught_up,
        }

    def _edit(self) -> str:
        """Write the policy that is asked about anew. Returns the name of its rule, which each edit changes."""
        self._edits += 1
        rule = f"edit-{self._edits}"
        self._writer.apply(policy("probe", anonymous(rule), hosts=(_HOST,), namespace=self._namespace))
        return rule

    def _enforced(self, ask: Ask) -> float:
        """Seconds from the beginning of a write to the first answer that obeys it."""
        began = time.perf_counter()
        rule = self._edit()
        while (now := time.perf_counter()) - began < _PATIENCE:
            if read_response(ask(check_request(host=_HOST), timeout=_PATIENCE)).metadata.get("rule") == rule:
                return time.perf_counter() - began
            time.sleep(max(0.0, now + _STEP - time.perf_counter()))
        raise TimeoutError(f"the edit `{rule}` did not come into force")

    def _cost(self, process: int, edits: int) -> float:
        """CPU seconds that a sidecar takes for an edit, beyond those of its rest, while nobody asks it anything."""
        first = _cpu(process)
        time.sleep(_PAUSE)
        second = _cpu(process)
        for _ in range(edits):
            self._edit()
            time.sleep(_PAUSE)
        return max(0.0, (_cpu(process) - second) / edits - (second - first))

    def _at_home(self, found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "metadata": {**found["metadata"], "namespace": self._namespace}}

    def _revocation(self, number: int) -> dict[str, Any]:
        spec = {"issuer": {"name": "corp"}, "jti": f"token-{number:06}", "expires": "2099-01-01T00:00:00Z"}
        return obj("TokenRevocation", f"revoked-{number}", spec, self._namespace)


@contextmanager
def _cluster() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="extauthz-cluster-") as name:
        folder = Path(name)
        server = ApiServer(folder, find_binaries())
        try:
            install(server.access)
            yield Scene(server, folder)
        finally:
            server.stop()


def _cpu(process: int) -> float:
    """CPU seconds of all threads of a process that run (`schedstat`, nanoseconds)."""
    tasks = Path(f"/proc/{process}/task")
    return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks.iterdir()) / 1e9
