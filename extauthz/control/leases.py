"""Leases of the API server (coordination.k8s.io/v1): the one that a leader holds, and one for each replica.

A central replica says with a Lease of its own that it lives, and which version of the snapshot it serves.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiClient

from extauthz.control.events import Resource
from extauthz.control.leader import Denied, Lease
from extauthz.control.moments import micro
from extauthz.control.writing import Answer, Unreached, call
from extauthz.model.time import Clock, Instant, Seconds, read_instant
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)

REPLICA_PREFIX: Final = "extauthz-replica-"
VERSION_ANNOTATION: Final = "extauthz.dev/snapshot-version"
REPLICA_RENEW: Final = Seconds(10.0)
"""Give or take a tenth, so that replicas do not come together."""
REPLICA_LEASE: Final = Seconds(40.0)
"""A replica that was not heard of for so long is gone: three renewals may fail."""
_SHORTEST: Final = 1.0
"""Seconds between two writes of a replica, however often the snapshot changes."""


def leases(namespace: str) -> Resource:
    """The Leases of a namespace."""
    return Resource("coordination.k8s.io", "v1", "leases", namespace)


class ClusterLease:
    """The Lease that a leader holds."""

    def __init__(self, api: ApiClient, namespace: str, name: str) -> None:
        self._api = api
        self._name = name
        self._all = leases(namespace).path
        self._one = f"{self._all}/{name}"
        self._words = f"Lease `{name}` in namespace `{namespace}`"

    def read(self) -> Lease | None:
        """As it is, None when there is none."""
        answer = call(self._api, "GET", self._one)
        return None if answer.status == HTTPStatus.NOT_FOUND else self._lease(answer)

    def create(self, lease: Lease) -> Lease | None:
        """As it was made; None when somebody was first."""
        answer = call(self._api, "POST", self._all, _body(self._name, _spec(lease)))
        return None if answer.status == HTTPStatus.CONFLICT else self._lease(answer)

    def update(self, lease: Lease) -> Lease | None:
        """As it is now; None when it changed, or went, since `lease.version`."""
        body = {"metadata": {"resourceVersion": lease.version}, "spec": _spec(lease)}
        answer = call(self._api, "PATCH", self._one, body)
        lost = answer.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}
        return None if lost else self._lease(answer)

    def _lease(self, answer: Answer) -> Lease:
        if not answer.good:
            raise Denied(f"{self._words}: {answer}; `docs/reference/rbac.md` has what must be granted")
        spec: Mapping[str, Any] = answer.body.get("spec") or {}
        return Lease(
            holder=str(spec.get("holderIdentity") or ""),
            length=Seconds(float(spec.get("leaseDurationSeconds") or 1)),
            acquired=read_instant(spec.get("acquireTime")) or Instant(0.0),
            renewed=read_instant(spec.get("renewTime")) or Instant(0.0),
            transitions=int(spec.get("leaseTransitions") or 0),
            version=str(answer.body["metadata"]["resourceVersion"]),
        )


def _spec(lease: Lease) -> dict[str, Any]:
    return {
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": round(lease.length),
        "acquireTime": micro(lease.acquired),
        "renewTime": micro(lease.renewed),
        "leaseTransitions": lease.transitions,
    }


def _body(name: str, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, **({"annotations": dict(annotations)} if annotations else {})}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": dict(spec)}


class ReplicaLease:
    """Keeps the Lease of this replica. What goes wrong is a warning: requests are decided all the same."""

    def __init__(self, api: ApiClient, namespace: str, replica: str, clock: Clock) -> None:
        """`replica` is the pod's name, or another that no other replica has."""
        self._api = api
        self._clock = clock
        self._replica = replica
        self._name = REPLICA_PREFIX + replica
        self._all = leases(namespace).path
        self._one = f"{self._all}/{self._name}"
        self._random = random.SystemRandom()
        self._version: str | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="replica lease", daemon=True)

    def tell(self, version: str) -> None:
        """This version is served from now on. Never blocks."""
        self._version = version
        self._wake.set()

    def start(self) -> None:
        """Begin to renew, once there is a version to tell."""
        self._thread.start()

    def stop(self) -> None:
        """End, and take the Lease away."""
        self._stop.set()
        self._wake.set()
        if not self._thread.is_alive():
            return
        self._thread.join(10.0)
        if self._version is not None:
            try:
                call(self._api, "DELETE", self._one)
            except Unreached as error:
                _LOG.info("the lease of this replica stays until it runs out: %s", error)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(REPLICA_RENEW * (0.9 + 0.2 * self._random.random()))
            self._wake.clear()
            if self._version is None or self._stop.is_set():
                continue
            try:
                self._say(self._put(self._version))
            except Unreached as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001  # neither an odd answer nor a bug may end the thread
                self._say(f"{type(error).__name__} at {frames_of(error)}")
            self._stop.wait(_SHORTEST)

    def _put(self, version: str) -> str:
        """What went wrong."""
        annotations = {VERSION_ANNOTATION: version}
        spec = {
            "holderIdentity": self._replica,
            "leaseDurationSeconds": round(REPLICA_LEASE),
            "renewTime": micro(self._clock.now()),
        }
        answer = call(self._api, "PATCH", self._one, {"metadata": {"annotations": annotations}, "spec": spec})
        if answer.status == HTTPStatus.NOT_FOUND:
            answer = call(self._api, "POST", self._all, _body(self._name, spec, annotations))
        return "" if answer.good else str(answer)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _LOG.warning("the lease of this replica is not kept, so status does not count it: %s", trouble)
        self._trouble = trouble
