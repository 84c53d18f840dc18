"""How the server is reached: address, user, password, certificates; and one connection to it.

Files are read anew for every connection, so a password or certificate that was changed counts from the next one on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis.exceptions
from hiredis import pack_command
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

from extauthz.keys.regular import read_regular
from extauthz.model.time import Seconds
from extauthz.replay.redis.fields import Argument
from extauthz.replay.redis.trouble import Trouble, of_error
from extauthz.replay.redis.wire import Request, Script, answers, command, is_commit

_HANDSHAKE: Final = Seconds(1.0)
"""The longest for each step of a new connection. The keeper makes them, so no request waits for this."""

_LEAST_WAIT: Final = 0.001
_PART_TO_WAIT: Final = 0.75
"""Of the time that is left, how much replicas may take: the rest is for the answer that they did not."""
_MAX_PASSWORD: Final = 4096
_AT_ONCE: Final = 16 * 1024
"""So many bytes fit into the buffer of a connection that has nothing under way."""


class CannotConnect(Exception):
    """There is no connection, for the reason given."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.detail)
        self.trouble = trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What TLS to the server uses. Certificates and host names are always verified."""

    ca: Path | None = None
    """Certificate authorities (PEM); None for those of the system."""
    cert: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raises CannotConnect for a file that cannot be read. The driver opens them itself, and waits for a pipe."""
        for path in filter(None, (self.ca, self.cert, self.key)):
            try:
                read_regular(path, 1)
            except OSError as error:
                detail = f"the file `{path}` for TLS with the store cannot be read: {error.strerror}"
                raise CannotConnect(Trouble("tls", detail)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the server is and as whom we come. Shown without secrets, because it holds none."""

    host: str = ""
    port: int = 6379
    path: Path | None = None
    """A Unix socket, in place of host and port."""
    database: int = 0
    user: str | None = None
    password_file: Path | None = None
    tls: Tls | None = None
    sentinels: tuple[tuple[str, int], ...] = ()
    """Who tells where the primary is, in place of host and port; see `sentinel`."""
    primary: str = ""
    """The name under which they watch it."""
    nodes: tuple[tuple[str, int], ...] = ()
    """Who tells where the slots of a cluster are, in place of host and port; see `survey`."""
    in_cluster: bool = False
    """Whether it is one node of a cluster."""

    def __str__(self) -> str:
        if self.sentinels:
            hosts = ",".join(f"{host}:{port}" for host, port in self.sentinels)
            return f"`{'redis' if self.tls is None else 'rediss'}+sentinel://{hosts}/{self.primary}`"
        if self.nodes:
            hosts = ",".join(f"{host}:{port}" for host, port in self.nodes)
            return f"`{'redis' if self.tls is None else 'rediss'}+cluster://{hosts}`"
        if self.path is not None:
            return f"`unix://{self.path}`"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"`{'redis' if self.tls is None else 'rediss'}://{host}:{self.port}`"

    def open(self) -> AbstractConnection:
        """A new connection, authenticated and on its database. Raises CannotConnect."""
        connection = self.connection(self._options())
        try:
            connection.connect()
        except (redis.exceptions.RedisError, OSError) as error:
            connection.disconnect()
            trouble = of_error(error, str(self))
            if isinstance(error, redis.exceptions.AuthenticationError) and self.password_file is not None:
                trouble = replace(trouble, detail=f"{trouble.detail}; the password is that in `{self.password_file}`")
            raise CannotConnect(trouble) from None
        return connection

    def sentinel(self, host: str, port: int) -> AbstractConnection:
        """A connection to a sentinel, not made yet: with the same TLS, and as nobody."""
        options = self._options() | {"db": 0, "username": None, "password": None}
        return replace(self, host=host, port=port, path=None).connection(options)

    def node(self, host: str, port: int) -> Target:
        """One node of this cluster."""
        return replace(self, host=host, port=port, nodes=(), in_cluster=True)

    def connection(self, options: dict[str, Any]) -> AbstractConnection:
        """A connection with these options of the driver, not made yet. Raises CannotConnect."""
        if self.path is not None:
            return UnixDomainSocketConnection(path=str(self.path), **options)  # type: ignore[abstract]  # it has a `host`
        if self.tls is None:
            return Connection(host=self.host, port=self.port, **options)
        self.tls.check()
        return SSLConnection(
            host=self.host,
            port=self.port,
            ssl_ca_certs=None if self.tls.ca is None else str(self.tls.ca),
            ssl_certfile=None if self.tls.cert is None else str(self.tls.cert),
            ssl_keyfile=None if self.tls.key is None else str(self.tls.key),
            ssl_min_version=ssl.TLSVersion.TLSv1_2,
            **options,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "db": self.database,
            "username": self.user,
            "password": self._password(),
            "protocol": 2,
            "socket_timeout": _HANDSHAKE,
            "socket_connect_timeout": _HANDSHAKE,
            # Names the driver to the server, by commands that the server's access list would have to allow.
            "driver_info": None,
        }

    def _password(self) -> str | None:
        if self.password_file is None:
            return None
        try:
            return read_regular(self.password_file, _MAX_PASSWORD).decode("utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            detail = f"the password file `{self.password_file}` of the store cannot be read: {why}"
            raise CannotConnect(Trouble("auth", detail)) from None


class _UnderWay(NamedTuple):
    """What was sent last."""

    calls: Sequence[Sequence[Request]]
    places: Sequence[int]
    """Of each call, which of the replies is its own."""
    number: int
    """How many replies come."""
    rest: bytes
    """What is still to be sent."""
    error: Exception | None
    """Why it could not be sent."""


_NOTHING: Final = _UnderWay((), (), 0, b"", None)


class Lane:
    """One connection, for one batch at a time. Not safe for threads: whoever holds it uses it alone."""

    __slots__ = ("_connection", "_host", "_in_cluster", "_monotonic", "_replicas", "_script", "_server", "_under_way")

    def __init__(self, target: Target, script: Script, monotonic: Callable[[], float], replicas: int = 0) -> None:
        """Connect. So many `replicas` must have what a batch counted before it is told. Raises CannotConnect."""
        self._replicas = replicas
        self._server = str(target)
        self._host = target.host
        self._in_cluster = target.in_cluster
        self._script = script
        self._monotonic = monotonic
        self._under_way = _NOTHING
        self._connection = target.open()

    def run(self, requests: Sequence[Request], deadline: float) -> list[object]:
        """Send all, and read what comes back."""
        self.send(requests)
        return self.receive(deadline)

    def send(self, requests: Sequence[Request]) -> None:
        """Send all in one go, as one call where that can be; `receive` must follow, and tells what fails.

        Waits for nobody: what may not fit into the connection's buffer is sent by `receive`.
        """
        # In a cluster a call may touch one slot only, so each request is a call of its own.
        calls = [[each] for each in requests] if self._in_cluster else [requests]
        commands, places = _commands(calls, b"EVALSHA", self._script.sha)
        octets = _packed(commands)
        now, later = (octets, b"") if len(octets) <= _AT_ONCE else (b"", octets)
        self._under_way = _UnderWay(calls, places, len(commands), later, self._put(now) if now else None)

    def receive(self, deadline: float) -> list[object]:
        """Read what comes back for what was sent, until the deadline, of the monotonic clock.

        One entry each: the server's reply, or Trouble. After Trouble that is not the server's word the lane is dead.
        """
        entries = self._entries(deadline)
        if not self._replicas or not any(map(is_commit, entries)):
            return entries
        # INVARIANT: what too few replicas have is counted here, and nobody is told that it is.
        trouble = self._wait(deadline)
        return entries if trouble is None else [trouble if is_commit(entry) else entry for entry in entries]

    def _wait(self, deadline: float) -> Trouble | None:
        """Wait until replicas have what this connection wrote. Why nobody may rely on it; None when they have."""
        longest = max(_LEAST_WAIT, (deadline - self._monotonic()) * _PART_TO_WAIT)
        have = self.ask(b"WAIT", b"%d" % self._replicas, b"%d" % (longest * 1000), deadline=deadline)
        if isinstance(have, Trouble):
            return have
        if isinstance(have, int) and have >= self._replicas:
            return None
        words = f"only {have} of the {self._replicas} replicas that `store-wait-replicas` wants have the count in time"
        return Trouble("unreplicated", f"of the store {self._server} {words}")

    def _entries(self, deadline: float) -> list[object]:
        calls, places, number, rest, error = self._under_way
        if rest:
            error = self._put(rest)
        found = self._take(number, deadline) if error is None else [error] * number
        replies = [found[place] for place in places]
        # A server that was restarted or switched has no script. It said so before it counted anything.
        missing = [at for at, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
        if missing and self.alive:
            commands, places = _commands([calls[at] for at in missing], b"EVAL", self._script.text)
            found = self._run(commands, deadline)
            for at, place in zip(missing, places, strict=True):
                replies[at] = found[place]
        entries = chain.from_iterable(answers(reply, len(call)) for call, reply in zip(calls, replies, strict=True))
        return [of_error(each, self._server, self._host) if isinstance(each, Exception) else each for each in entries]

    def ask(self, *command: bytes, deadline: float) -> object:
        """Run one command. The reply, or Trouble."""
        reply = self._run([command], deadline)[0]
        return of_error(reply, self._server) if isinstance(reply, Exception) else reply

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self._connection.is_connected

    def close(self) -> None:
        """Close the connection. What the server has not answered stays unknown."""
        self._connection.disconnect()

    def _run(self, commands: Sequence[tuple[Argument, ...]], deadline: float) -> list[object]:
        error = self._put(_packed(commands))
        return self._take(len(commands), deadline) if error is None else [error] * len(commands)

    def _put(self, octets: bytes) -> Exception | None:
        """Send them. Why not, where they cannot be: then the connection is dead."""
        try:
            if not self.alive:
                raise redis.exceptions.ConnectionError
            self._connection.send_packed_command([octets], check_health=False)
        except (redis.exceptions.RedisError, OSError) as error:
            self._connection.disconnect()
            return error
        return None

    def _take(self, number: int, deadline: float) -> list[object]:
        """So many replies. Those that do not come are the error, and the connection is dead."""
        replies: list[object] = []
        try:
            for _ in range(number):
                replies.append(self._read(max(_LEAST_WAIT, deadline - self._monotonic())))  # noqa: PERF401 (keeps what came before an error)
        except (redis.exceptions.RedisError, OSError) as error:
            self._connection.disconnect()
            replies += [error] * (number - len(replies))
        return replies

    def _read(self, timeout: float) -> object:
        try:
            return self._connection.read_response(disable_decoding=True, timeout=timeout, disconnect_on_error=False)
        except redis.exceptions.ResponseError as error:
            return error
        except ValueError as error:
            # The driver takes it for granted that a redirection names a slot, a host and a port.
            raise redis.exceptions.InvalidResponse from error


def _commands(
    calls: Sequence[Sequence[Request]], verb: bytes, script: bytes
) -> tuple[list[tuple[Argument, ...]], list[int]]:
    """The commands for these calls, and at which places their replies come."""
    commands: list[tuple[Argument, ...]] = []
    places = []
    for call in calls:
        if any(request.asking for request in call):
            # It speaks of the one command behind it.
            commands.append((b"ASKING",))
        places.append(len(commands))
        commands.append(command(verb, script, call))
    return commands, places


def _packed(commands: Sequence[tuple[Argument, ...]]) -> bytes:
    # Its stub means tuples of any length. The driver's own way takes as long as all the rest of a commit.
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type]
