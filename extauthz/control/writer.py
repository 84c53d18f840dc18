"""Writes that a leader makes: each by itself, none faster than the limit, none without the lead."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiClient

from extauthz.control.moments import micro
from extauthz.control.objects import Written
from extauthz.control.resources import path_of
from extauthz.control.status import Turn
from extauthz.control.writing import Answer, Unreached, call
from extauthz.model.time import Clock, Instant, Seconds
from extauthz.policy.parse import API_VERSION
from extauthz.policy.problem import ObjectRef

_LOG: Final = logging.getLogger(__name__)
_MAX_NOTE: Final = 1024
_HOME: Final = "default"
"""Where the Events of objects without a namespace are kept."""


class Outcome(Enum):
    """What became of a write."""

    DONE = "done"
    STALE = "stale"
    """The object changed meanwhile, or is gone: what is right for it now is worked out anew."""
    REFUSED = "refused"
    UNREACHED = "unreached"
    NOT_LEADING = "not_leading"


@dataclass(slots=True)
class Counts:
    """Since the start. Written by the one thread that writes."""

    writes: int = 0
    stale: int = 0
    failures: int = 0
    events: int = 0
    pruned: int = 0


class Writer:
    """One thread's."""

    def __init__(
        self,
        api: ApiClient,
        clock: Clock,
        identity: str,
        leading: Callable[[], bool],
        *,
        apart: Seconds = Seconds(0.05),
    ) -> None:
        """`apart` is the time between two calls."""
        self._api = api
        self._clock = clock
        self._identity = identity
        self._leading = leading
        self._apart = apart
        self._next = 0.0
        self._pause = threading.Event()
        self._refused: set[str] = set()
        self.counts: Final = Counts()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._pause.set()

    def write_status(self, ref: ObjectRef, written: Written, status: Mapping[str, Any]) -> Outcome:
        """Put a status, unless the object changed since it was `written`."""
        body = {"metadata": {"uid": written.uid, "resourceVersion": written.version}, "status": dict(status)}
        outcome = self._ask("PATCH", path_of(ref, "/status"), body)
        self.counts.writes += outcome is Outcome.DONE
        return outcome

    def tell(self, ref: ObjectRef, written: Written, turn: Turn) -> Outcome:
        """An Event (events.k8s.io/v1) about an object."""
        namespace = ref.namespace or _HOME
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{ref.name}.{secrets.token_hex(8)}", "namespace": namespace},
            "eventTime": micro(self._clock.now()),
            "reportingController": "extauthz.dev/controller",
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "reason": turn.reason[:128],
            "type": "Warning" if turn.bad else "Normal",
            "note": f"{turn.type} is {turn.status}: {turn.message}"[:_MAX_NOTE],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": ref.kind,
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": written.uid,
            },
        }
        outcome = self._ask("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", body)
        self.counts.events += outcome is Outcome.DONE
        return outcome

    def prune(self, ref: ObjectRef, written: Written, expired_before: Instant) -> Outcome:
        """Delete an object as it was `written`, when the API server's clock says, too, that its time is over."""
        path = path_of(ref)
        found = self._answer("GET", path)
        if not isinstance(found, Answer):
            return found
        if found.date is None or found.date < expired_before:
            self._fail("DELETE", path, "not pruned: by the API server's clock it has not expired; look at ours")
            return Outcome.STALE
        body = {"preconditions": {"uid": written.uid, "resourceVersion": written.version}}
        outcome = self._ask("DELETE", path, body)
        self.counts.pruned += outcome is Outcome.DONE
        return outcome

    def sweep(self, path: str) -> Outcome:
        """Delete what a replica that is gone left behind."""
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Outcome:
        found = self._answer(method, path, body)
        return Outcome.DONE if isinstance(found, Answer) else found

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | Outcome:
        """A good answer, or what became of it instead."""
        self._wait()
        # INVARIANT: looked at right before each call, so that no call outlives the lease.
        if not self._leading():
            return Outcome.NOT_LEADING
        try:
            answer = call(self._api, method, path, body)
        except Unreached as error:
            self._fail(method, path, str(error))
            return Outcome.UNREACHED
        if answer.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            self.counts.stale += 1
            return Outcome.STALE
        if not answer.good:
            self._fail(method, path, str(answer))
            return Outcome.REFUSED
        return answer

    def _wait(self) -> None:
        now = self._clock.monotonic()
        self._pause.wait(max(0.0, self._next - now))
        self._next = max(now, self._next) + self._apart

    def _fail(self, method: str, path: str, words: str) -> None:
        self.counts.failures += 1
        # Each kind of failure once: there may be thousands of objects.
        level = logging.DEBUG if words in self._refused else logging.WARNING
        self._refused.add(words) if len(self._refused) < 100 else self._refused.clear()
        _LOG.log(level, "%s %s: %s", method, path, words)
