"""The settings of `extauthz serve`: one field each, with its default and what it means."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from extauthz.config.value import (
    Address,
    Kind,
    StoreAddress,
    TcpAddress,
    address,
    duration,
    file_mode,
    key_prefix,
    object_name,
    path,
    share,
    size,
    store,
    switch,
    tcp_or_off,
    visible,
    whole,
    word,
    word_or_path,
)
from extauthz.model.time import Seconds

PREFIX: Final = "EXTAUTHZ_"
"""What the environment variables of all settings begin with."""

INSTALL_NAMESPACE: Final = "extauthz-system"
MAX_REVOCATIONS: Final = 200_000
"""Where extauthz lives unless told otherwise."""

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB


class StoreKind(Enum):
    """Where uses are counted."""

    MEMORY = "memory"


class Engine(Enum):
    """What serves the calls."""

    GRPCIO = "grpcio"


class LogLevel(Enum):
    """The least severe message that the process log shows."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Redactable(Enum):
    """What the decision log may hold of persons, by the names of its fields."""

    SUBJECT = "subject"
    CLIENT = "client"
    SOURCE = "source"
    HOST = "host"
    PATH = "path"


class LogSink(Enum):
    """Where decisions are written, when it is no file."""

    STDOUT = "stdout"
    STDERR = "stderr"
    OFF = "off"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one `extauthz serve` runs with."""

    policies: Annotated[Path | None, path("DIR")] = None
    """The folder of policy YAML, watched for changes. This, or `kubernetes`."""
    kubernetes: Annotated[bool, switch()] = False
    """Take policies from the Kubernetes API: of the cluster we run in, else of the one that KUBECONFIG names."""
    namespace: Annotated[str | None, object_name()] = None
    """With `kubernetes`: the one namespace to serve, as a sidecar does; without it all, and hosts need grants."""
    single_replica: Annotated[bool, switch()] = False
    """Says that no other replica serves the same clients, so that the memory store may count with `kubernetes`."""
    max_source_age: Annotated[Seconds, duration("2m", "24h", zero="for no bound")] = Seconds(300.0)
    """How long the API server may be out of reach before we are no longer ready; decisions go on all the same."""
    max_revocations: Annotated[int, whole(1000, 10_000_000)] = MAX_REVOCATIONS
    """How many TokenRevocations are kept with `kubernetes`, at about 1.1 kB each; a sidecar keeps so many of its own
    namespace, and so many of the install namespace. Beyond, the namespace that has the most gives up its own, and every
    token that they could mean is refused."""
    listen: Annotated[tuple[Address, ...], address()] = (TcpAddress("127.0.0.1", 9191),)
    """Where Envoy calls; may be given several times (with commas in the environment variable)."""
    socket_mode: Annotated[int, file_mode()] = 0o660
    """The mode of the Unix sockets: who may write to one may ask for decisions."""
    admin: Annotated[TcpAddress | None, tcp_or_off()] = TcpAddress("127.0.0.1", 9090)  # noqa: RUF009 (it is frozen)
    """Where health, readiness and metrics are served; `/snapshot` only to who asks over loopback."""
    store: Annotated[StoreKind | StoreAddress, store(StoreKind)] = StoreKind.MEMORY
    """Where uses are counted: `memory` for this process alone, or a Redis or Valkey server or cluster."""
    store_user: Annotated[str | None, visible()] = None
    """The user at the shared store; without it, that of its `default`."""
    store_password_file: Annotated[Path | None, path()] = None
    """A file with the password at the shared store, read again for every new connection."""
    store_ca: Annotated[Path | None, path()] = None
    """The certificate authorities (PEM) of the shared store, with `rediss://`; without it, those of the system."""
    store_cert: Annotated[Path | None, path()] = None
    """The certificate (PEM) that we show to the shared store. Needs `store-key`."""
    store_key: Annotated[Path | None, path()] = None
    """The private key (PEM) of that certificate."""
    store_deadline: Annotated[Seconds, duration("1ms", "5s")] = Seconds(0.100)
    """The longest that counting in the shared store may take; then the request is denied with 503."""
    store_connections: Annotated[int, whole(1, 64)] = 2
    """How many connections to the shared store, or each node of it, a replica counts over; one more watches it."""
    store_namespace: Annotated[str | None, key_prefix()] = None
    """What all keys in the shared store begin with, so that one server can hold several installations."""
    store_allow_eviction: Annotated[bool, switch()] = False
    """Counts also on a shared store that may drop counts to make room: tokens it has dropped can be used again."""
    store_min_replicas: Annotated[int, whole(0, 16)] = 0
    """How many replicas must follow the shared store's server for counts to be made there; 0 for none. Looked at every
    ten seconds; `min-replicas-to-write` on the server itself is looked at for each write."""
    store_wait_replicas: Annotated[int, whole(0, 16)] = 0
    """How many replicas must have a count before its request is admitted; 0 for none. What they lack in time stays
    counted, and the request is denied."""
    store_capacity: Annotated[int, whole(1, 50_000_000)] = 1_000_000
    """How many keys the memory store holds; when it is full, new ones are refused and none is forgotten."""
    store_quota_issuer: Annotated[int, whole(0, 1_000_000_000)] = 0
    """How many keys each issuer may have in the store, and limits by address alone, with requests without a token,
    under the policies of a namespace; beyond, what would make another key is denied with 503. 0 for no bound."""
    store_quota_namespace: Annotated[int, whole(0, 1_000_000_000)] = 0
    """The same for all TokenIssuers of a namespace together; 0 for no bound."""
    pepper_file: Annotated[Path | None, path()] = None
    """A file with the secret that turns tokens into store keys, a line of text, and the previous one below it while it
    is exchanged; read again when it changes. Without the setting each start makes a new one."""
    engine: Annotated[Engine, word(Engine)] = Engine.GRPCIO
    """What serves the calls."""
    threads: Annotated[int, whole(1, 256)] = 64
    """How many Checks may wait for issuers' introspection endpoints at the same time, each on a thread; more wait their
    turn. Those that need no endpoint need no thread."""
    max_concurrent: Annotated[int, whole(1, 100_000)] = 512
    """How many Checks may be in work or waiting; more are denied with 503 at once."""
    check_budget: Annotated[Seconds, duration("1ms", "10s")] = Seconds(0.150)
    """The longest that one Check may take; the caller's own deadline counts when it is shorter."""
    max_request_bytes: Annotated[int, size(4 * _KIB, 16 * _MIB)] = _MIB + 64 * _KIB
    """The largest CheckRequest that is read; a larger one is denied."""
    tls_cert: Annotated[Path | None, path()] = None
    """The certificate chain (PEM) of the TCP listeners, read again when it changes. Needs `tls-key`."""
    tls_key: Annotated[Path | None, path()] = None
    """The private key (PEM) of that certificate."""
    tls_client_ca: Annotated[Path | None, path()] = None
    """The certificate authorities (PEM) of clients: with it, a client must show a certificate (mutual TLS)."""
    keepalive_time: Annotated[Seconds, duration("1s", "2h", zero="for never")] = Seconds(30.0)
    """How long a connection is silent before it is pinged."""
    keepalive_timeout: Annotated[Seconds, duration("1s", "10m")] = Seconds(10.0)
    """How long a ping may stay unanswered before the connection is closed."""
    max_connection_age: Annotated[Seconds, duration("1s", "24h", zero="for no end")] = Seconds(1800.0)
    """When a client is asked to connect anew, so that load spreads over new replicas; give or take a tenth."""
    max_connection_age_grace: Annotated[Seconds, duration("1s", "1h")] = Seconds(30.0)
    """How long calls on such a connection may go on."""
    drain_delay: Annotated[Seconds, duration("1ms", "10m", zero="for none")] = Seconds(0.0)
    """How long calls are still taken after health says NOT_SERVING, so that clients can turn elsewhere."""
    drain_timeout: Annotated[Seconds, duration("1ms", "10m", zero="to cut at once")] = Seconds(20.0)
    """How long calls in flight may take to finish once the listeners are closed."""
    token_cache_size: Annotated[int, whole(0, 1_000_000)] = 10_000
    """How many verified tokens are remembered; 0 verifies each token every time."""
    log_level: Annotated[LogLevel, word(LogLevel)] = LogLevel.INFO
    """The least severe message that the process log (standard error) shows."""
    decision_log: Annotated[LogSink | Path, word_or_path(LogSink)] = LogSink.STDOUT
    """Where decisions are written, one line of JSON each."""
    decision_log_allows: Annotated[float, share()] = 1.0
    """Which share of the allowed requests the decision log shows; denials are always written."""
    decision_log_redact: Annotated[tuple[Redactable, ...], word(Redactable)] = ()
    """A field of the decision log to write as a keyed hash; may be given several times (in the variable: commas)."""
    install_namespace: Annotated[str, object_name()] = INSTALL_NAMESPACE
    """The namespace that extauthz is installed in: where cluster-wide objects find their Secrets and ConfigMaps."""
    service_account: Annotated[Path, path("DIR")] = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Where this pod's ServiceAccount is mounted, for issuers with `authentication: OwnServiceAccountToken`."""
    allow_http_loopback: Annotated[bool, switch()] = False
    """Lets issuers be asked for keys over plain HTTP on a loopback address. For development only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How one setting is written, for the command line, the reader of settings and the reference page."""

    field: str
    """The attribute of Settings."""
    kind: Kind
    default: str
    """As it would be written in a flag; empty for none."""
    required: bool
    repeatable: bool
    doc: str

    @property
    def name(self) -> str:
        """The key in the file, such as `drain-timeout`."""
        return self.field.replace("_", "-")

    @property
    def flag(self) -> str:
        """The flag, such as `--drain-timeout`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable, such as `EXTAUTHZ_DRAIN_TIMEOUT`."""
        return PREFIX + self.field.upper()

    @property
    def label(self) -> str:
        """What stands for the value in help texts."""
        return self.kind.label


@cache
def settings(of: type = Settings) -> tuple[Setting, ...]:
    """All settings of a command, `extauthz serve` unless another is named, in the order of its dataclass."""
    hints = get_type_hints(of, include_extras=True)
    docs = _docstrings(of)
    return tuple(_setting(field, hints[field.name], docs[field.name]) for field in fields(of))


def _setting(field: Field[Any], hint: object, doc: str) -> Setting:
    value, kind = get_args(hint)
    repeatable = get_origin(value) is tuple
    absent = field.default is MISSING or field.default is None
    return Setting(
        field=field.name,
        kind=kind,
        default="" if absent else ",".join(kind.show(one) for one in _several(field.default)),
        required=field.default is MISSING,
        repeatable=repeatable,
        doc=doc,
    )


def _several(default: object) -> tuple[object, ...]:
    return default if isinstance(default, tuple) else (default,)


def _docstrings(of: type) -> dict[str, str]:
    """The text under each field, which Python itself does not keep."""
    lines = [node for node in ast.walk(ast.parse(inspect.getsource(of))) if isinstance(node, ast.stmt)]
    found = {}
    for line, after in pairwise(lines):
        match line, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                found[name] = inspect.cleandoc(doc)
            case _:
                pass
    return found
