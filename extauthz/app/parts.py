"""The parts that need more than their settings to be built, or can fail while they are."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence

from extauthz.config import ControllerSettings, Settings, TcpAddress
from extauthz.control.cluster import ClusterReconciler
from extauthz.control.connection import Api, NoConnection, connect
from extauthz.control.leases import ReplicaLease
from extauthz.control.located import LocatedProblem
from extauthz.control.reconcile import FolderReconciler
from extauthz.keys.account import ServiceAccount
from extauthz.model.time import Clock
from extauthz.policy.problem import Problem
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.rotation import PepperFile
from extauthz.server.admin import Admin, Pages
from extauthz.server.events import Events, Receive
from extauthz.server.grpcio import Serving
from extauthz.server.tls import TlsFiles, TlsRefused
from extauthz.telemetry.audit import AuditLog, redaction
from extauthz.telemetry.output import output_of


class StartError(Exception):
    """The server cannot start. The message is one line that says why and how to mend it."""


def api_of(account: ServiceAccount) -> Api:
    """The way to the API server. Raises StartError."""
    try:
        return connect(os.environ, account)
    except NoConnection as error:
        raise StartError(str(error)) from error


def source_of(
    settings: Settings, api: Api | None, publish: Callable[[Snapshot], None], clock: Clock
) -> FolderReconciler | ClusterReconciler:
    """Where policies come from, not started yet. Raises StartError."""
    if api is not None:
        return ClusterReconciler(
            api,
            publish,
            clock,
            namespace=settings.namespace,
            install_namespace=settings.install_namespace,
            max_revocations=settings.max_revocations,
        )
    if settings.policies is None or not settings.policies.is_dir():
        raise StartError(f"there is no policy folder `{settings.policies}`; make it, or name another by `--policies`")
    return FolderReconciler(settings.policies, publish, settings.install_namespace, clock)


def noted(wrong: Mapping[str, str], missing: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, in words by what it is about, and not what keeps us from being ready: that is told already."""
    return {name: words for name, words in wrong.items() if words and name not in missing}


def crowd_note(crowded: Collection[str]) -> str:
    """What readiness says about namespaces with too many TokenRevocations. Empty without any."""
    if not crowded:
        return ""
    named = ", ".join(f"`{name}`" for name in sorted(crowded)[:8])
    return f"more than `--max-revocations`, and those of {named} are left out: every token they could mean is refused"


def mistakes_note(problems: Sequence[Problem | LocatedProblem]) -> str:
    """What readiness says about mistakes in policies: how many, and where the first stands. Empty without any."""
    if not problems:
        return ""
    first = problems[0]
    where = str(first.object) or (first.file if isinstance(first, LocatedProblem) else "")
    count = len(problems)
    words = f"1 mistake in {where}" if count == 1 else f"{count} mistakes, the first in {where}"
    return f"{words}; see `policy mistake` in the log, or `extauthz lint`"


def replica_of(settings: Settings, api: Api | None, clock: Clock) -> ReplicaLease | None:
    """A central replica tells what it serves; sidecars are many, and only read."""
    if api is None or settings.namespace is not None:
        return None
    name = os.environ.get("POD_NAME") or secrets.token_hex(6)
    return ReplicaLease(api, settings.install_namespace, name, clock)


def pepper_file_of(settings: Settings) -> PepperFile | None:
    """The file with the secret that turns tokens into store keys, None without one. Raises StartError."""
    if settings.pepper_file is None:
        return None
    try:
        return PepperFile(settings.pepper_file)
    except ValueError as error:
        raise StartError(str(error)) from error


def audit_of(settings: Settings, pseudonym: Callable[[str, str], str]) -> AuditLog | None:
    """The decision log, None when it is off. `pseudonym` redacts. Raises StartError."""
    output = output_of(settings.decision_log)
    if output is None:
        return None
    try:
        output.check()
    except OSError as error:
        raise StartError(f"the decision log `{settings.decision_log}` cannot be written: {error.strerror}") from error
    redacted = redaction((field.value for field in settings.decision_log_redact), pseudonym)
    return AuditLog(output, allows=settings.decision_log_allows, redacted=redacted)


def admin_of(address: TcpAddress | None, pages: Pages) -> Admin | None:
    """The admin port, None when it is off. Raises StartError."""
    if address is None:
        return None
    try:
        return Admin(address, pages)
    except OSError as error:
        raise StartError(f"the admin port cannot listen on {address}: {error.strerror}") from error


def events_tls_of(settings: ControllerSettings) -> TlsFiles | None:
    """What the listener for issuers shows them; None without TLS, or without a listener."""
    if settings.events is None or settings.events_tls_cert is None or settings.events_tls_key is None:
        return None
    return TlsFiles(settings.events_tls_cert, settings.events_tls_key, settings.events_tls_client_ca)


def events_of(settings: ControllerSettings, receive: Receive) -> Events | None:
    """The listener for issuers, None when it is off. Raises StartError."""
    if settings.events is None:
        return None
    try:
        return Events(settings.events, receive, events_tls_of(settings))
    except TlsRefused as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"the events port cannot listen on {settings.events}: {error.strerror}") from error


def serving_of(settings: Settings) -> Serving:
    """How Envoy is served."""
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
