"""The settings of `extauthz controller`: one field each, with its default and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from extauthz.config.settings import INSTALL_NAMESPACE, MAX_REVOCATIONS, LogLevel
from extauthz.config.value import TcpAddress, duration, object_name, path, switch, tcp_or_off, whole, word
from extauthz.model.time import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """What one `extauthz controller` runs with."""

    namespace: Annotated[str | None, object_name()] = None
    """The one namespace to look after, and cluster-wide issuers with the install namespace; without it all, and
    hosts need grants, as for a central service."""
    install_namespace: Annotated[str, object_name()] = INSTALL_NAMESPACE
    """The namespace that extauthz is installed in; it must be the same as that of the replicas."""
    lease_name: Annotated[str, object_name()] = "extauthz-controller"
    """The Lease that controllers are elected by: all that look after the same objects share one."""
    lease_namespace: Annotated[str | None, object_name()] = None
    """The namespace of that Lease; without it, the install namespace."""
    admin: Annotated[TcpAddress | None, tcp_or_off()] = TcpAddress("127.0.0.1", 9090)  # noqa: RUF009 (it is frozen)
    """Where health, readiness and metrics are served; `/snapshot` only to who asks over loopback."""
    events: Annotated[TcpAddress | None, tcp_or_off()] = None
    """Where issuers post back-channel logouts, which become TokenRevocations; see docs/how-to/revoke.md."""
    events_tls_cert: Annotated[Path | None, path()] = None
    """The certificate chain (PEM) of that listener, read again when it changes; without it, it speaks plain HTTP."""
    events_tls_key: Annotated[Path | None, path()] = None
    """The private key (PEM) of that certificate."""
    events_tls_client_ca: Annotated[Path | None, path()] = None
    """Issuers must show a certificate of these authorities (PEM); for those that can."""
    max_source_age: Annotated[Seconds, duration("1s", "24h", zero="for no bound")] = Seconds(300.0)
    """How long the API server may be out of reach before we are no longer ready."""
    max_revocations: Annotated[int, whole(1000, 10_000_000)] = MAX_REVOCATIONS
    """How many TokenRevocations are kept, as for `extauthz serve`."""
    log_level: Annotated[LogLevel, word(LogLevel)] = LogLevel.INFO
    """The least severe message that the process log (standard error) shows."""
    service_account: Annotated[Path, path("DIR")] = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Where this pod's ServiceAccount is mounted."""
    allow_http_loopback: Annotated[bool, switch()] = False
    """Lets issuers be asked for keys over plain HTTP on a loopback address. For development only."""
