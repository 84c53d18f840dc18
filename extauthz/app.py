"""The composition root: what is built, in which order it starts, and how it stops."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from extauthz import __version__
from extauthz.config import LogSink, Settings
from extauthz.control.cluster import ClusterReconciler
from extauthz.control.connection import NoConnection, connect
from extauthz.control.reconcile import FolderReconciler
from extauthz.decide import Grants, World
from extauthz.explain.story import as_json
from extauthz.keys.account import ServiceAccount
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Clock, Instant, Seconds, SystemClock
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.choose import choose_store
from extauthz.replay.redis import RedisStore, StoreState
from extauthz.replay.spend import Pepper
from extauthz.server.admin import Admin, Pages
from extauthz.server.answer import Answerer
from extauthz.server.explaining import explain_check
from extauthz.server.grpcio import CannotListen, Server, Serving
from extauthz.server.loaded import loaded
from extauthz.server.tls import TlsFiles, TlsRefused
from extauthz.telemetry.audit import AuditLog, redaction
from extauthz.telemetry.log import ProcessLog
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observation import to_all
from extauthz.telemetry.output import LogFile, Output, Stream
from extauthz.telemetry.readings import Readings, SharedStoreReadings
from extauthz.tokens.verify import Verifier

_LOOK: Final = 0.05
"""Seconds between two looks at whether we are ready, while starting and after."""
_FLUSH: Final = Seconds(2.0)


class StartError(Exception):
    """The server cannot start. The message is one line that says why and how to mend it."""


class App:
    """Everything that runs, wired together."""

    def __init__(self, settings: Settings) -> None:
        """Build all parts; nothing runs yet. Raises StartError."""
        self._settings = settings
        self._clock = SystemClock()
        self._snapshot: Snapshot | None = None
        self._published: Instant | None = None
        self._verifier = Verifier(settings.token_cache_size)
        self._pepper = _pepper(settings)
        self._grants = Grants(self._pepper, settings.token_cache_size)
        self._last_world: World | None = None
        self._store = choose_store(settings, self._clock)
        self._shared = self._store if isinstance(self._store, RedisStore) else None
        account = ServiceAccount.mounted(os.environ, settings.service_account)
        self._keys = KeyRing(self._clock, allow_http_loopback=settings.allow_http_loopback, account=account)
        self._policies = _policies(settings, self._publish, self._clock, account)
        self._log = ProcessLog(settings.log_level.value)
        self._audit = _audit(settings, self._pepper)
        self._metrics = Metrics(self._read, version=__version__)
        observers = [self._metrics.observe, *([self._audit.observe] if self._audit is not None else [])]
        answerer = Answerer(
            world=self._world,
            store=self._store,
            clock=self._clock,
            observe=to_all(*observers),
            want_keys=self._keys.want,
        )
        self._server = Server(answerer, _serving(settings), self._clock)
        self._admin = _admin(settings, self._pages())

    def start(self) -> tuple[str, ...]:
        """Start all parts and listen. Returns where. Raises StartError; then everything is stopped again."""
        self._log.start()
        if self._audit is not None:
            self._audit.start()
        if self._shared is not None:
            self._shared.start()
        self._keys.start()
        self._policies.start()
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
        snapshot = self._snapshot
        if snapshot is None:
            faults = self._policies.faults
            missing["policies"] = str(faults[0]) if faults else "the policies are not read yet"
        elif 0 < self._settings.max_source_age < self._policies.silent_for():
            missing["source"] = "; ".join(map(str, self._policies.faults)) or "the API server is out of reach"
        unfetched = self._unfetched()
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
        wrong, missing = {"source": "; ".join(map(str, faults)), "keys": "; ".join(self._unfetched())}, self.missing()
        return {name: words for name, words in wrong.items() if words and name not in missing}

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
        self._server.drain(self._settings.drain_delay, self._settings.drain_timeout, hurry)
        self._stop_parts()

    def _stop_parts(self) -> None:
        self._policies.stop()
        self._keys.stop()
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
        # What was worked out for rules that are gone need not be kept.
        if self._snapshot is None or self._snapshot.policies is not snapshot.policies:
            self._grants = Grants(self._pepper, self._settings.token_cache_size)
        self._snapshot = snapshot
        self._published = self._clock.now()

    def _unfetched(self) -> list[str]:
        """The issuers whose tokens cannot be verified now, each with the reason."""
        now, states = self._clock.now(), self._keys.states().items()
        return [f"{ref}: {state.problem or 'not fetched yet'}" for ref, state in states if state.usable(now) is None]

    def _world(self) -> World:
        snapshot, keys, last = self._snapshot, self._keys.states(), self._last_world
        if last is None or last.snapshot is not snapshot or last.keys is not keys:
            last = self._last_world = World(snapshot, keys, self._verifier, self._grants)
        return last

    def _explain(self, data: bytes) -> bytes:
        """The story of a CheckRequest, as it would be decided now."""
        return as_json(explain_check(data, self._world(), self._store, self._clock.now()))

    def _read(self) -> Readings:
        snapshot = self._snapshot
        return Readings(
            now=self._clock.now(),
            token_cache_hits=self._verifier.hits,
            token_cache_misses=self._verifier.misses,
            snapshot_version=None if snapshot is None else snapshot.version,
            snapshot_published=self._published,
            policies={} if snapshot is None else _states(snapshot),
            keys=self._keys.states(),
            decision_log_lost=0 if self._audit is None else self._audit.lost,
            process_log_lost=self._log.lost,
            store_keys=None if isinstance(self._store, RedisStore) else len(self._store),
            shared_store=None if self._shared is None else _shared(self._shared.state()),
            clock_stepped_back=self._clock.stepped_back(),
            source_silent=Seconds(self._policies.silent_for()),
            source_trouble=bool(self._policies.faults),
        )

    def _pages(self) -> Pages:
        return Pages(
            missing=self.missing,
            notes=self.notes,
            metrics=self._metrics.render,
            snapshot=self._page,
            explain=self._explain,
        )

    def _page(self) -> Mapping[str, Any]:
        return loaded(self._snapshot, self._policies.problems, self._keys.states(), self._clock.now())


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. Says one line when it listens and one when it is ready. Raises StartError."""
    stop, hurry = threading.Event(), threading.Event()
    with _signals(stop, hurry):
        app = App(settings)
        bound = app.start()
        admin = app.admin_address()
        say(f"listening on {', '.join(bound)}" + (f", admin on http://{admin}" if admin is not None else ""))
        try:
            _watch(app, stop, say)
        finally:
            app.stop(hurry)
    say("stopped")


def _watch(app: App, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Keep health in step with readiness; tell of the first time."""
    told = ready = False
    while not stop.wait(_LOOK):
        now_ready = not app.missing()
        if now_ready != ready:
            ready = now_ready
            app.say_ready(ready=ready)
        if ready and not told:
            told = True
            say(f"ready: {app.summary()}")


@contextlib.contextmanager
def _signals(stop: threading.Event, hurry: threading.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT drains, a second one hurries."""

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _policies(
    settings: Settings, publish: Callable[[Snapshot], None], clock: Clock, account: ServiceAccount
) -> FolderReconciler | ClusterReconciler:
    if settings.policies is None:
        try:
            api = connect(os.environ, account)
        except NoConnection as error:
            raise StartError(str(error)) from error
        return ClusterReconciler(
            api, publish, clock, namespace=settings.namespace, install_namespace=settings.install_namespace
        )
    if not settings.policies.is_dir():
        raise StartError(f"there is no policy folder `{settings.policies}`; make it, or name another by `--policies`")
    return FolderReconciler(settings.policies, publish, settings.install_namespace)


def _pepper(settings: Settings) -> Pepper:
    path = settings.pepper_file
    if path is None:
        return Pepper(secrets.token_bytes(32))
    try:
        return Pepper.read(path)
    except ValueError as error:
        raise StartError(str(error)) from error


def _shared(state: StoreState) -> SharedStoreReadings:
    return SharedStoreReadings(
        up=state.up,
        may_evict=state.may_evict,
        commits=state.commits,
        batches=state.batches,
        failures=state.failures,
    )


def _audit(settings: Settings, pepper: Pepper) -> AuditLog | None:
    output: Output
    match settings.decision_log:
        case LogSink.OFF:
            return None
        case LogSink.STDOUT:
            output = Stream(1)
        case LogSink.STDERR:
            output = Stream(2)
        case path:
            output = LogFile(path)
            try:
                output.check()
            except OSError as error:
                raise StartError(f"the decision log `{path}` cannot be written: {error.strerror}") from error
    redact = redaction((field.value for field in settings.decision_log_redact), pepper.pseudonym)
    return AuditLog(output, allows=settings.decision_log_allows, redact=redact)


def _admin(settings: Settings, pages: Pages) -> Admin | None:
    if settings.admin is None:
        return None
    try:
        return Admin(settings.admin, pages)
    except OSError as error:
        raise StartError(f"the admin port cannot listen on {settings.admin}: {error.strerror}") from error


def _serving(settings: Settings) -> Serving:
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return Serving(
        listen=settings.listen,
        socket_mode=settings.socket_mode,
        tls=tls,
        threads=settings.threads,
        max_concurrent=settings.max_concurrent,
        check_budget=settings.check_budget,
        max_request_bytes=settings.max_request_bytes,
        keepalive_time=settings.keepalive_time,
        keepalive_timeout=settings.keepalive_timeout,
        max_connection_age=settings.max_connection_age,
        max_connection_age_grace=settings.max_connection_age_grace,
    )


def _states(snapshot: Snapshot) -> Counter[str]:
    return Counter(
        "invalid" if any(route.rule.broken is not None for route in routes) else "accepted"
        for routes in snapshot.policies.values()
    )
