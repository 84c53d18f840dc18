"""Policies from the Kubernetes API: watch, parse, compile, publish; the same parse and compile as a folder's.

A snapshot depends only on the set of objects, so neither the order of events nor a re-list can show. What was published
serves on while the API server is away.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from kubernetes.client import ApiClient

from extauthz.config import MAX_REVOCATIONS
from extauthz.control.changes import in_force
from extauthz.control.events import Resource
from extauthz.control.objects import Objects, Picture, references
from extauthz.control.resources import TARGET_OF, concerns, held, watched
from extauthz.control.watch import KindWatch, Pace
from extauthz.model.time import Clock
from extauthz.policy.attach import targets_of
from extauthz.policy.compile import Compiler
from extauthz.policy.gateway.surface import Remembering, Surfaces
from extauthz.policy.grants import Grants
from extauthz.policy.problem import Problem
from extauthz.policy.snapshot import Snapshot
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)

SETTLE: Final = 0.01
"""Seconds to wait for more events after one, so that objects applied together come into force together."""
FIRST_LOOK: Final = 3.0
"""Seconds to wait for a Secret or ConfigMap that is newly referred to, before it counts as missing."""
MAX_REFERENCES: Final = 512


class ClusterReconciler:
    """Keeps what is published in step with the API server.

    INVARIANT: nothing is published before every kind was listed once: an object that is not seen yet might be the one
    that denies.
    """

    def __init__(  # noqa: PLR0913 - by name, and each has its default
        self,
        api: ApiClient,
        publish: Callable[[Snapshot], None],
        clock: Clock,
        *,
        namespace: str | None,
        install_namespace: str,
        pace: Pace | None = None,
        max_revocations: int = MAX_REVOCATIONS,
    ) -> None:
        """Watch one namespace, or with None all of them."""
        self._api = api
        self._publish = publish
        self._clock = clock
        self._pace = pace
        self._install_namespace = install_namespace
        self._namespace = namespace
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._compiled: Callable[[Picture, Snapshot], None] | None = None
        self._objects = Objects(self._changed, clock, max_revocations)
        self._compiler = Compiler(install_namespace)
        self._targets = Remembering()
        self._watches = {resource: self._watch(resource) for resource in watched(namespace, install_namespace)}
        self._held: dict[Resource, KindWatch] = {}
        self._published: Snapshot | None = None
        self._problems: tuple[Problem, ...] = ()
        self._thread = threading.Thread(target=self._run, name="policies", daemon=True)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every mistake in every object."""
        return self._problems

    @property
    def faults(self) -> tuple[str, ...]:
        """What keeps us from being in step with the API server, in words."""
        every = {**self._watches, **self._held}.items()
        return tuple(f"{resource}: {watch.state.trouble}" for resource, watch in every if watch.state.trouble)

    @property
    def crowded(self) -> frozenset[str]:
        """The namespaces with more TokenRevocations than there is room for."""
        return self._objects.crowded()

    def silent_for(self) -> float:
        """Seconds since what is known was last confirmed by the API server; infinite before the first time."""
        now = self._clock.monotonic()
        contacts = [watch.state.contact for watch in self._watches.values()]
        return max(math.inf if contact is None else now - contact for contact in contacts)

    def follow_status(self, compiled: Callable[[Picture, Snapshot], None]) -> None:
        """Tell what each snapshot came from, whenever an object or its status changed. To be called before `start`."""
        self._objects.follow_status = True
        self._compiled = compiled

    def start(self) -> None:
        """Begin to watch."""
        for watch in self._watches.values():
            watch.start()
        self._thread.start()

    def stop(self) -> None:
        """End. Threads that wait for the server's next word end with it."""
        self._stop.set()
        self._changed.set()
        for watch in (*self._watches.values(), *list(self._held.values())):
            watch.stop()
        self._thread.join(5.0)

    def _watch(self, resource: Resource) -> KindWatch:
        optional, again = resource in TARGET_OF, partial(self._objects.relist_after, resource)
        return KindWatch(
            self._api,
            resource,
            self._objects.take,
            self._clock,
            self._pace,
            optional=optional,
            relist_after=again,
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            self._changed.wait()
            self._stop.wait(SETTLE)
            self._changed.clear()
            try:
                self._reconcile()
            except Exception as error:  # noqa: BLE001  # a bug in one reading must not end the thread
                _LOG.error("compiling the policies failed: %s at %s", type(error).__name__, frames_of(error))
                self._stop.wait(1.0)
                self._changed.set()

    def _reconcile(self) -> None:
        if not all(map(self._objects.has, self._watches)):
            return
        picture = self._objects.picture()
        if self._follow(picture):
            picture = self._objects.picture()
        objects = (each for each in picture.objects if concerns(each, self._namespace))
        grants, surfaces = self._shared(picture) if self._namespace is None else (None, None)
        labels = picture.labels if self._namespace is None else None
        snapshot = self._compiler.compile(objects, self._clock.now(), grants, surfaces, labels)
        known = frozenset(self._problems)
        for problem in snapshot.problems:
            if problem not in known:
                _LOG.warning("policy mistake: %s", problem)
        self._problems = snapshot.problems
        before = self._published
        if before is None or snapshot.version != before.version:
            self._publish(snapshot)
            self._published = snapshot
            _LOG.info("%s", in_force(before, snapshot))
        if self._compiled is not None:
            self._compiled(picture, snapshot)

    def _shared(self, picture: Picture) -> tuple[Grants, Surfaces]:
        """What counts where many teams share one service: who may claim which hosts, and what targets take."""
        return picture.grants, self._targets.surfaces(targets_of(picture.objects), picture.targets)

    def _follow(self, picture: Picture) -> bool:
        """Watch what issuers refer to now, and nothing else. Whether there was something new to wait for."""
        named = sorted(references(picture.objects, self._install_namespace))
        if len(named) > MAX_REFERENCES:
            _LOG.error("issuers refer to %d objects; the first %d are watched", len(named), MAX_REFERENCES)
        wanted = {held(ref) for ref in named[:MAX_REFERENCES]}
        for resource in self._held.keys() - wanted:
            self._held.pop(resource).stop()
            self._objects.forget(resource)
        new = {resource: self._watch(resource) for resource in wanted - self._held.keys()}
        self._held.update(new)
        for watch in new.values():
            watch.start()
        deadline = self._clock.monotonic() + FIRST_LOOK
        while self._clock.monotonic() < deadline and not all(map(self._objects.has, new)):
            if self._stop.wait(SETTLE):
                break
        return bool(new)
