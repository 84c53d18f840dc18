"""The composition root: what is built, in which order it starts, and how it stops."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Final

from extauthz import __version__
from extauthz.app.collector import leave_alone_what_stays
from extauthz.app.exposed import exposed
from extauthz.app.parts import (
    StartError,
    admin_of,
    api_of,
    audit_of,
    crowd_note,
    mistakes_note,
    noted,
    pepper_file_of,
    replica_of,
    serving_of,
    source_of,
)
from extauthz.config import Settings
from extauthz.decide import Grants, World
from extauthz.explain.story import as_json
from extauthz.explain.telling import not_asked
from extauthz.introspection.desk import Desk
from extauthz.keys.account import ServiceAccount
from extauthz.keys.jwks import KeyRing
from extauthz.model.question import Answer, Question
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.choose import choose_store, quotas_of
from extauthz.replay.memory import MemoryStore
from extauthz.replay.redis import SharedStore, StoreState
from extauthz.replay.spend import Pepper
from extauthz.server.admin import Pages
from extauthz.server.answer import Answerer
from extauthz.server.explaining import explain_check
from extauthz.server.grpcio import CannotListen, Server
from extauthz.server.loaded import loaded
from extauthz.server.tls import TlsRefused, TlsWatch
from extauthz.telemetry.log import ProcessLog
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observation import to_all
from extauthz.telemetry.readings import Readings, SharedStoreReadings
from extauthz.tokens.verify import Verifier

_FLUSH: Final = Seconds(2.0)

_LOG: Final = logging.getLogger(__name__)


class App:
    """Everything that runs, wired together."""

    def __init__(self, settings: Settings) -> None:
        """Build all parts; nothing runs yet. Raises StartError."""
        self._settings = settings
        self._clock = SystemClock()
        self._snapshot: Snapshot | None = None
        self._published: Instant | None = None
        self._verifier = Verifier(settings.token_cache_size)
        self._lock = threading.Lock()
        self._draining = False
        self._pepper_file = pepper_file_of(settings)
        self._pepper = Pepper(secrets.token_bytes(32)) if self._pepper_file is None else self._pepper_file.pepper
        self._grants = Grants(self._pepper, settings.token_cache_size, quotas_of(settings))
        self._last_world: World | None = None
        self._store = choose_store(settings, self._clock)
        self._shared = self._store if isinstance(self._store, SharedStore) else None
        account = ServiceAccount.mounted(os.environ, settings.service_account)
        self._keys = KeyRing(self._clock, allow_http_loopback=settings.allow_http_loopback, account=account)
        self._desk = Desk(
            self._clock,
            allow_http_loopback=settings.allow_http_loopback,
            size=settings.token_cache_size,
            places=settings.threads,
        )
        api = api_of(account) if settings.policies is None else None
        self._policies = source_of(settings, api, self._publish, self._clock)
        self._replica = replica_of(settings, api, self._clock)
        self._log = ProcessLog(settings.log_level.value)
        self._audit = audit_of(settings, self._pseudonym)
        self._metrics = Metrics(self._read, version=__version__)
        observers = [self._metrics.observe, *([self._audit.observe] if self._audit is not None else [])]
        answerer = Answerer(
            world=self._world,
            store=self._store,
            clock=self._clock,
            observe=to_all(*observers),
            want_keys=self._keys.want,
            desk=self._desk,
            patient=self._shared,
        )
        serving = serving_of(settings)
        self._server = Server(answerer, serving, self._clock)
        self._tls = None if serving.tls is None else TlsWatch(serving.tls, self._clock)
        self._admin = admin_of(settings.admin, self._pages())

    def start(self) -> tuple[str, ...]:
        """Start all parts and listen. Returns where. Raises StartError; then everything is stopped again."""
        self._log.start()
        for words in exposed(self._settings):
            _LOG.warning("%s", words)
        if self._audit is not None:
            self._audit.start()
        if self._shared is not None:
            self._shared.start()
        self._keys.start()
        self._policies.start()
        if self._replica is not None:
            self._replica.start()
        try:
            bound = self._server.start()
        except (CannotListen, TlsRefused) as error:
            self._stop_parts()
            raise StartError(str(error)) from error
        if self._admin is not None:
            self._admin.start()
        return bound

    def missing(self) -> dict[str, str]:
        """What keeps us from being ready, each with the reason in words. Empty when we are."""
        missing: dict[str, str] = {}
        if self._draining:
            missing["server"] = "it was told to stop, and drains"
        snapshot = self._snapshot
        if snapshot is None:
            faults = self._policies.faults
            missing["policies"] = str(faults[0]) if faults else "the policies are not read yet"
        elif 0 < self._settings.max_source_age < self._policies.silent_for():
            missing["source"] = "; ".join(map(str, self._policies.faults)) or "the API server is out of reach"
        unfetched = [words for words, usable in self._key_troubles() if not usable]
        # One issuer that is down must not take all others out of service: only the first fetch of each is waited for.
        if not self._keys.first_fetch_done() or (unfetched and len(unfetched) == len(self._keys.states())):
            missing["keys"] = "; ".join(unfetched) or "the issuers' keys are not fetched yet"
        trouble = None if self._shared is None else self._shared.trouble()
        if trouble is not None:
            missing["store"] = trouble
        return missing

    def notes(self) -> dict[str, str]:
        """What is wrong and does not keep us from being ready: the last policies and keys serve on."""
        faults = () if self._snapshot is None else self._policies.faults
        asked = self._desk.readings()
        wrong = {
            "policies": mistakes_note(self._policies.problems),
            "source": "; ".join(map(str, faults)),
            "keys": "; ".join(words for words, _ in self._key_troubles()),
            "introspection": "; ".join(f"{ref}: {each.problem}" for ref, each in asked.items() if each.problem),
            "store": (self._shared and self._shared.note()) or "",
            "pepper": "" if self._pepper_file is None else self._pepper_file.problem,
            "decision-log": "" if self._audit is None else self._audit.problem,
            "tls": "" if self._tls is None else self._tls.problem,
            "revocations": crowd_note(self._policies.crowded),
        }
        return noted(wrong, self.missing())

    def look(self) -> None:
        """Look after what changes without being told: the files of the pepper and of TLS. For one thread."""
        if self._tls is not None:
            self._tls.look()
        if self._pepper_file is not None and self._pepper_file.look():
            with self._lock:
                self._pepper = self._pepper_file.pepper
            self._forget_grants()

    def admin_address(self) -> str | None:
        """Where the admin port listens."""
        return None if self._admin is None else str(self._admin.address)

    def summary(self) -> str:
        """What is in force, in a few words."""
        snapshot = self._snapshot
        if snapshot is None:
            return "no policies"
        mistakes = len(self._policies.problems)
        count = len(snapshot.policies)
        words = f"{count} {'policy' if count == 1 else 'policies'}, version {snapshot.version}"
        if not mistakes:
            return words
        noun = "mistake" if mistakes == 1 else "mistakes"
        return f"{words}, {mistakes} {noun} (see the log, or `extauthz lint`)"

    def say_ready(self, *, ready: bool) -> None:
        """Tell gRPC health checks."""
        self._server.say_serving(serving=ready)

    def stop(self, hurry: threading.Event) -> None:
        """Drain, then stop all parts."""
        self._draining = True
        self._server.drain(self._settings.drain_delay, self._settings.drain_timeout, hurry)
        self._stop_parts()

    def _stop_parts(self) -> None:
        if self._replica is not None:
            self._replica.stop()
        self._policies.stop()
        self._keys.stop()
        self._desk.stop()
        if self._shared is not None:
            self._shared.stop()
        if self._admin is not None:
            self._admin.stop()
        if self._audit is not None:
            self._audit.stop(_FLUSH)
        self._log.stop(_FLUSH)

    def _publish(self, snapshot: Snapshot) -> None:
        # Keys first: a policy must not be in force before its issuers are known to the ring.
        self._keys.reconcile(snapshot.issuer_keys)
        self._desk.reconcile(snapshot.endpoints)
        # What was worked out for rules that are gone need not be kept.
        if self._snapshot is None or self._snapshot.policies is not snapshot.policies:
            self._forget_grants()
        first = self._snapshot is None
        self._snapshot = snapshot
        self._published = self._clock.now()
        if self._replica is not None:
            self._replica.tell(snapshot.version)
        if first:
            leave_alone_what_stays()

    def _pseudonym(self, name: str, text: str) -> str:
        return self._pepper.pseudonym(name, text)

    def _forget_grants(self) -> None:
        # Two threads come here, and the last must have seen the pepper that counts.
        with self._lock:
            self._grants = Grants(self._pepper, self._settings.token_cache_size, quotas_of(self._settings))

    def _key_troubles(self) -> list[tuple[str, bool]]:
        """What is wrong with issuers' keys, and whether the last good ones serve all the same."""
        now, states = self._clock.now(), self._keys.states().items()
        troubles = ((ref, state, state.trouble(now)) for ref, state in states)
        return [(f"{ref}: {words}", state.usable(now) is not None) for ref, state, words in troubles if words]

    def _world(self) -> World:
        snapshot, keys, last = self._snapshot, self._keys.states(), self._last_world
        if last is None or last.snapshot is not snapshot or last.keys is not keys or last.grants is not self._grants:
            last = self._last_world = World(snapshot, keys, self._verifier, self._grants)
        return last

    def _explain(self, data: bytes) -> bytes:
        """The story of a CheckRequest, as it would be decided now."""
        now = self._clock.now()
        return as_json(explain_check(data, self._world(), self._store, now, ask=self._recalled))

    def _recalled(self, question: Question) -> Answer:
        """What is remembered: an explanation asks no endpoint."""
        known = self._desk.look(question)
        return not_asked(question) if known is None else known

    def _read(self) -> Readings:
        snapshot = self._snapshot
        return Readings(
            now=self._clock.now(),
            token_cache_hits=self._verifier.hits,
            token_cache_misses=self._verifier.misses,
            snapshot_version=None if snapshot is None else snapshot.version,
            snapshot_published=self._published,
            policies={} if snapshot is None else _states(snapshot),
            revocations=0 if snapshot is None or snapshot.revocations is None else snapshot.revocations.count,
            keys=self._keys.states(),
            endpoints=self._desk.readings(),
            decision_log_lost=0 if self._audit is None else self._audit.lost,
            process_log_lost=self._log.lost,
            store_keys=None if isinstance(self._store, SharedStore) else len(self._store),
            store_capacity=self._store.capacity if isinstance(self._store, MemoryStore) else None,
            shared_store=None if self._shared is None else _shared(self._shared.state()),
            peppers=len(self._pepper.all),
            clock_stepped_back=self._clock.stepped_back(),
            certificate=None if self._tls is None else self._tls.certificate,
            source_silent=Seconds(self._policies.silent_for()),
            source_trouble=bool(self._policies.faults),
            crowded=len(self._policies.crowded),
        )

    def _pages(self) -> Pages:
        return Pages(
            missing=self.missing,
            notes=self.notes,
            about=self._about,
            metrics=self._metrics.render,
            snapshot=self._page,
            explain=self._explain,
        )

    def _about(self) -> Mapping[str, str]:
        """What serves us, for people who look at readiness."""
        words = "" if self._shared is None else self._shared.about()
        return {"store": words} if words else {}

    def _page(self) -> Mapping[str, Any]:
        return loaded(
            self._snapshot, self._policies.problems, self._keys.states(), self._clock.now(), self._desk.readings()
        )


def _shared(state: StoreState) -> SharedStoreReadings:
    return SharedStoreReadings(
        up=state.up,
        may_evict=state.may_evict,
        commits=state.commits,
        batches=state.batches,
        restarts=state.restarts,
        emptied=state.emptied,
        failures=state.failures,
        nodes=state.nodes,
        redirects=state.redirects,
        given_back=state.given_back,
    )


def _states(snapshot: Snapshot) -> Mapping[str, int]:
    invalid = len(snapshot.mistaken)
    return {"accepted": len(snapshot.policies) - invalid, "invalid": invalid}
