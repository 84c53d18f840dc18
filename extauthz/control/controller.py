"""The controller: says in each object's status what became of it, and prunes what is no longer needed.

It reads as a replica reads, compiles what a replica compiles and fetches the keys that a replica fetches. Of several
the elected one alone writes, so that nobody else needs the right to.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kubernetes.client import ApiClient

from extauthz.config import MAX_REVOCATIONS
from extauthz.control.allowance import Allowance
from extauthz.control.cluster import ClusterReconciler
from extauthz.control.events import Event
from extauthz.control.expiry import GRACE, expires_of
from extauthz.control.fleet import Fleet, Progress, Replica
from extauthz.control.leader import Election, Elector, Timing
from extauthz.control.leases import ClusterLease, leases
from extauthz.control.logout import AT_ONCE, EACH_SECOND, LogoutReceiver, create
from extauthz.control.objects import Picture
from extauthz.control.rivals import Rivals
from extauthz.control.status import Facts, Keys, Serving, Turn, keys_of, turned, wanted
from extauthz.control.watch import KindWatch, Pace
from extauthz.control.writer import Counts, Outcome, Writer
from extauthz.keys.account import ServiceAccount
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Clock, Instant
from extauthz.model.token import IssuerRef, Trust
from extauthz.policy.parse import ISSUER_KINDS, KINDS, Broken, Parsed
from extauthz.policy.problem import ObjectRef, Problem
from extauthz.policy.snapshot import Snapshot
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)

BATCH: Final = 0.5
"""Seconds to wait for more changes after one, so that an object that changes twice is written once."""
TICK: Final = 5.0
"""Seconds between two looks at what time alone changes: keys that grow old, replicas that fall silent."""
AFTER_FAILURE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Post:
    """What a controller is in charge of, and which Lease it stands for."""

    identity: str
    """Another for each run of the program."""
    namespace: str | None = None
    """The one namespace that it looks after, with the cluster-wide objects when it is the install namespace; None: all,
    and central replicas tell what they serve."""
    install_namespace: str = "extauthz-system"
    lease_name: str = "extauthz-controller"
    lease_namespace: str | None = None
    """None: the install namespace."""
    account: ServiceAccount | None = None
    """What issuers with `authentication: OwnServiceAccountToken` are asked with."""
    allow_http_loopback: bool = False
    max_revocations: int = MAX_REVOCATIONS


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a round goes by; an equal one has nothing new to say."""

    picture: Picture
    snapshot: Snapshot
    keys: Mapping[IssuerRef, Keys]
    live: tuple[Replica, ...]

    def same_as(self, other: _Seen | None) -> bool:
        return (
            other is not None and self.picture is other.picture and (self.keys, self.live) == (other.keys, other.live)
        )


class Controller:
    """All of it. `start` and `stop` once each."""

    def __init__(
        self,
        api: ApiClient,
        clock: Clock,
        post: Post,
        *,
        pace: Pace | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Nothing runs yet."""
        self._api = api
        self._clock = clock
        self._post = post
        self._wake = threading.Event()
        self._keys = KeyRing(
            clock, allow_http_loopback=post.allow_http_loopback, on_change=self._wake.set, account=post.account
        )
        self._stop = threading.Event()
        self._latest: tuple[Picture, Snapshot] | None = None
        self._done: _Seen | None = None
        self._sent: dict[ObjectRef, tuple[str, Mapping[str, Any]]] = {}
        self._rivals = Rivals(clock)
        self._fleet = Fleet(clock) if post.namespace is None else None
        self._progress = Progress()
        store = ClusterLease(api, post.lease_namespace or post.install_namespace, post.lease_name)
        self._election = Election(store, post.identity, clock, timing)
        self._elector = Elector(self._election, self._elected)
        self._writer = Writer(api, clock, post.identity, self._may_write)
        self._reconciler = ClusterReconciler(
            api,
            self._publish,
            clock,
            namespace=post.namespace,
            install_namespace=post.install_namespace,
            pace=pace,
            max_revocations=post.max_revocations,
        )
        self._reconciler.follow_status(self._compiled)
        resource = leases(post.install_namespace)
        self._replicas = KindWatch(api, resource, self._lease_seen, clock, pace) if self._fleet is not None else None
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    @property
    def leading(self) -> bool:
        """Whether this one writes."""
        return self._election.leading()

    @property
    def counts(self) -> Counts:
        """What was written so far."""
        return self._writer.counts

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every mistake in every object."""
        return self._reconciler.problems

    @property
    def crowded(self) -> frozenset[str]:
        """The namespaces with more TokenRevocations than there is room for."""
        return self._reconciler.crowded

    @property
    def version(self) -> str | None:
        """Of the snapshot that status is about."""
        return None if self._latest is None else self._latest[1].version

    @property
    def replicas(self) -> int | None:
        """How many central replicas live; None where replicas do not tell."""
        return None if self._fleet is None else len(self._fleet.live())

    @property
    def faults(self) -> tuple[str, ...]:
        """What keeps us from being in step with the API server, in words."""
        return self._reconciler.faults

    @property
    def rivals(self) -> str:
        """Who else writes the status of what we look after, in words; empty when nobody does."""
        return self._rivals.note

    def silent_for(self) -> float:
        """Seconds since the API server last confirmed what is known; infinite before the first time."""
        return self._reconciler.silent_for()

    def missing(self, max_source_age: float) -> dict[str, str]:
        """What keeps us from being ready to lead, in words. One that waits to be elected is ready."""
        missing: dict[str, str] = {}
        faults = "; ".join(self._reconciler.faults)
        if self._latest is None:
            missing["objects"] = faults or "the objects are not read yet"
        elif 0 < max_source_age < self._reconciler.silent_for():
            missing["source"] = faults or "the API server is out of reach"
        if self._election.trouble:
            missing["lease"] = self._election.trouble
        if self._replicas is not None and self._replicas.state.trouble:
            missing["replicas"] = self._replicas.state.trouble
        return missing

    def start(self) -> None:
        """Begin to read, and to stand for election."""
        self._keys.start()
        self._reconciler.start()
        if self._replicas is not None:
            self._replicas.start()
        self._elector.start()
        self._thread.start()

    def stop(self) -> None:
        """End what is being written, then give the lead to another."""
        self._stop.set()
        self._wake.set()
        self._writer.stop()
        self._thread.join(10.0)
        self._elector.stop()
        if self._replicas is not None:
            self._replicas.stop()
        self._reconciler.stop()
        self._keys.stop()

    def receiver(self) -> LogoutReceiver:
        """What takes logouts and writes TokenRevocations. Each replica may: a logout has one name everywhere."""
        return LogoutReceiver(
            issuers=self._tells_of_logouts,
            keys=self._keys.states,
            want_keys=self._keys.want,
            write=partial(create, self._api),
            clock=self._clock,
            install_namespace=self._post.install_namespace,
            allowance=Allowance(self._clock, each_second=EACH_SECOND, at_once=AT_ONCE),
        )

    def _tells_of_logouts(self) -> list[Trust] | None:
        """Issuers whose logouts are ours to take; None while nothing is known."""
        if self._latest is None:
            return None
        issuers = self._latest[1].issuers.values()
        return [each for each in issuers if each.back_channel is not None and self._in_charge(each.ref.namespace)]

    def _may_write(self) -> bool:
        return self._election.leading() and not self._stop.is_set()

    def _elected(self) -> None:
        # Whoever led before may have left anything behind.
        self._done = None
        self._wake.set()

    def _publish(self, snapshot: Snapshot) -> None:
        self._keys.reconcile(snapshot.issuer_keys)

    def _compiled(self, picture: Picture, snapshot: Snapshot) -> None:
        problems = _by_object(snapshot.problems)
        states = {ref: (each.uid, each.generation, problems.get(ref)) for ref, each in picture.written.items()}
        self._progress.note(snapshot.version, states)
        self._latest = picture, snapshot
        self._wake.set()

    def _lease_seen(self, event: Event) -> None:
        if self._fleet is not None:
            before = self._fleet.live()
            self._fleet.take(event)
            if self._fleet.live() != before:
                self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._wake.wait(TICK):
                self._stop.wait(BATCH)
            self._wake.clear()
            if not self._may_write():
                continue
            try:
                good = self._round()
            except Exception as error:  # noqa: BLE001  # a bug about one object must not end the thread
                _LOG.error("writing status failed: %s at %s", type(error).__name__, frames_of(error))
                good = False
            if not good:
                self._stop.wait(AFTER_FAILURE)

    def _round(self) -> bool:
        """Bring every status up to date. Whether there is no need to wait before the next."""
        if self._latest is None or not self._keys.first_fetch_done() or not self._leases_looked_at():
            # Before it is known which keys and replicas there are, conditions would turn for nothing.
            return True
        picture, snapshot = self._latest
        now = self._clock.now()
        keys = {ref: keys_of(state, now) for ref, state in self._keys.states().items()}
        live = self._fleet.live() if self._fleet is not None else ()
        seen = _Seen(picture, snapshot, keys, live)
        held_back = self._rivals.due()
        good = (seen.same_as(self._done) and not held_back) or self._write_all(seen, now)
        self._done = seen if good else None
        return self._tidy(picture, now) and good

    def _leases_looked_at(self) -> bool:
        return self._replicas is None or self._replicas.state.listed or bool(self._replicas.state.trouble)

    def _write_all(self, seen: _Seen, now: Instant) -> bool:
        """Whether every status is as it should be. One that is refused keeps no other from being written."""
        good = True
        self._sent = {ref: sent for ref, sent in self._sent.items() if ref in seen.picture.written}
        self._rivals.keep(seen.picture.written.keys())
        for facts in self._facts(seen):
            status = wanted(facts, now)
            if status is None or self._sent.get(facts.item.ref) == (facts.written.version, status):
                continue
            if self._rivals.hold(facts.item.ref, facts.written, status):
                continue
            match self._put(facts, status):
                case Outcome.DONE | Outcome.STALE:
                    pass
                case Outcome.REFUSED:
                    good = False
                case Outcome.UNREACHED | Outcome.NOT_LEADING:
                    return False
        return good

    def _put(self, facts: Facts, status: Mapping[str, Any]) -> Outcome:
        ref, written = facts.item.ref, facts.written
        outcome = self._writer.write_status(ref, written, status)
        if outcome is Outcome.DONE:
            # Until the watch tells of it, what is in the picture is what was there before.
            self._sent[ref] = (written.version, status)
            self._rivals.wrote(ref, written, status)
            for turn in turned(written.status, status):
                self._log(ref, turn)
                self._writer.tell(ref, written, turn)
        return outcome

    def _log(self, ref: ObjectRef, turn: Turn) -> None:
        _LOG.info("%s: %s is %s: %s", ref, turn.type, turn.status, turn.reason)

    def _facts(self, seen: _Seen) -> Iterator[Facts]:
        problems = _by_object(seen.snapshot.problems)
        for item in seen.picture.objects:
            written = seen.picture.written.get(item.ref)
            if written is None or item.ref.kind not in KINDS or not self._in_charge(item.ref.namespace):
                continue
            ref = item.ref
            keys = seen.keys.get(IssuerRef(ref.kind, ref.namespace, ref.name)) if ref.kind in ISSUER_KINDS else None
            serving = self._serving(ref, seen.live) if ref.kind == "AccessPolicy" else None
            yield Facts(item, written, problems.get(ref, ()), keys, serving)

    def _in_charge(self, namespace: str) -> bool:
        """Whoever looks after one namespace reads more than it, and writes no more. What belongs to no namespace is
        looked after with the install namespace, where its references and what is revoked of it stand."""
        return self._post.namespace in {None, namespace or self._post.install_namespace}

    def _serving(self, ref: ObjectRef, live: tuple[Replica, ...]) -> Serving | None:
        if self._replicas is None or not self._replicas.state.listed:
            return None
        held = [self._progress.holds(ref, replica.version) for replica in live]
        return Serving(len(held), held.count(True), held.count(None))

    def _tidy(self, picture: Picture, now: Instant) -> bool:
        """Delete revocations that no token needs any longer, and Leases of replicas that are long gone."""
        for item, expired in _expired(picture, now):
            written = picture.written.get(item.ref)
            if (
                written is None
                or not self._in_charge(item.ref.namespace)
                or self._sent.get(item.ref) == (written.version, {})
            ):
                continue
            outcome = self._writer.prune(item.ref, written, expired)
            if outcome is Outcome.DONE:
                self._sent[item.ref] = (written.version, {})
                _LOG.info("%s has expired and is pruned", item.ref)
            elif outcome is not Outcome.STALE:
                return False
        for name in self._fleet.left_behind() if self._fleet is not None else ():
            self._writer.sweep(f"{leases(self._post.install_namespace).path}/{name}")
        return True


def _expired(picture: Picture, now: Instant) -> Iterator[tuple[Parsed | Broken, Instant]]:
    """Those that are no longer needed. One that never counted is left: its status tells its author."""
    for item in picture.objects:
        expires = expires_of(item)
        if expires is not None and now > expires + GRACE and item.ref not in picture.left:
            yield item, expires


def _by_object(problems: tuple[Problem, ...]) -> dict[ObjectRef, tuple[Problem, ...]]:
    found: defaultdict[ObjectRef, tuple[Problem, ...]] = defaultdict(tuple)
    for problem in problems:
        found[problem.object] += (problem,)
    return dict(found)
