"""What can be wrong with a server, in words that an operator can act on.

INVARIANT: no message of the driver or of the server is passed on: it might quote a key, a value or a password. What is
shown is our own words, the server's error code (its first word, in capitals), the name of a command that it refuses to
a script, and the system's word for an errno.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import redis.exceptions as failures

Kind = Literal[
    "auth",
    "busy",
    "clock",
    "cluster",
    "connecting",
    "connection",
    "evicts",
    "loading",
    "moved",
    "oom",
    "other",
    "persistence",
    "readonly",
    "refused",
    "replicas",
    "sentinel",
    "stopped",
    "timeout",
    "tls",
    "unreplicated",
    "version",
]
"""A word for metrics; the runbook says of each what to do."""

_CODE: Final = re.compile(r"[A-Z]{2,32}", re.ASCII)
_NOT_IN_SCRIPT: Final = re.compile(
    r"(?:ERR )?(?:ACL failure in script|The user executing the script can't)"
    r"(?:.* run the '([a-z|]{1,32})' command)?",
    re.ASCII,
)
"""How servers say, under the code of every other error, that the user may not do what the script does."""

_ADVICE: Final[Mapping[str, tuple[Kind, str]]] = {
    "BUSY": ("busy", "runs a script that does not end (BUSY)"),
    "CLUSTERDOWN": ("cluster", "is part of a cluster that is down (CLUSTERDOWN)"),
    "CROSSSLOT": ("cluster", "is a cluster node (CROSSSLOT); name the cluster by `redis+cluster://`"),
    "LOADING": ("loading", "is loading its data (LOADING)"),
    "MASTERDOWN": ("readonly", "is a replica that lost its primary (MASTERDOWN)"),
    "MISCONF": ("persistence", "refuses writes because it cannot save them (MISCONF)"),
    "NOAUTH": ("auth", "wants a user or password (NOAUTH); set `store-password-file`"),
    "NOPERM": ("auth", "does not allow this user what is needed (NOPERM); see the ACL in the how-to"),
    "NOREPLICAS": ("persistence", "refuses writes because too few replicas follow it (NOREPLICAS)"),
    "OOM": ("oom", "has no memory left (OOM); raise its `maxmemory`"),
    "READONLY": ("readonly", "is a replica and takes no writes (READONLY)"),
    "WRONGPASS": ("auth", "does not take the user or password (WRONGPASS)"),
    "WRONGTYPE": ("other", "holds a foreign value under a key of ours (WRONGTYPE)"),
}

_ELSEWHERE: Final = frozenset({"auth", "cluster", "loading", "readonly"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a commit could not be made."""

    kind: Kind
    detail: str
    sent: bool = field(default=True, kw_only=True)
    """Whether the commit may be counted: False when it surely is not."""

    @property
    def needs_reconnect(self) -> bool:
        """Whether another connection may find a better server: one that was promoted, or takes the new password."""
        return self.kind in _ELSEWHERE


@dataclass(frozen=True, slots=True)
class Redirect(Trouble):
    """A cluster node's word that a slot is not here, or not wholly. The server is well, and nothing was counted."""

    to: tuple[str, int] | None
    """The node to ask; None to ask again soon: the slot is on its way."""
    asking: bool
    sent: bool = field(default=False, kw_only=True)

    @property
    def needs_reconnect(self) -> bool:
        """Never: it is the map that is old."""
        return False


def of_error(error: BaseException, server: str, host: str = "") -> Trouble:
    """What an exception of the driver says. `server` is how the server is shown, `host` its own."""
    code = _code(error)
    match error:
        case failures.AskError():
            asking = not isinstance(error, failures.MovedError)
            detail = f"the store {server} holds a slot no more that was asked for ({'ASK' if asking else 'MOVED'})"
            return Redirect("moved", detail, (str(error.host) or host, int(error.port)), asking)
        case failures.TryAgainError():
            return Redirect(
                "moved", f"the store {server} is moving a slot that was asked for (TRYAGAIN)", None, asking=False
            )
        case _:
            return _of_word(error, code, server)


def _of_word(error: BaseException, code: str, server: str) -> Trouble:
    if code in _ADVICE:
        kind, what = _ADVICE[code]
        return Trouble(kind, f"the store {server} {what}")
    match error:
        case failures.TimeoutError() | TimeoutError():
            return Trouble("timeout", f"the store {server} did not answer in time")
        case failures.ConnectionError() | OSError():
            return _of_connection(error, server)
        case failures.ResponseError() if refused := _NOT_IN_SCRIPT.match(str(error)):
            what = f"the command `{refused[1]}`" if refused[1] else "a command or key"
            return Trouble(
                "auth", f"the store {server} does not allow this user {what} in the script; see the ACL in the how-to"
            )
        case failures.ResponseError() if code:
            return Trouble("other", f"the store {server} answered with an error ({code})")
        case _:
            return Trouble("other", f"the store {server} could not be asked ({type(error).__name__})")


def _of_connection(error: BaseException, server: str) -> Trouble:
    if "max number of clients" in str(error):
        return Trouble("connection", f"the store {server} takes no more connections; raise its `maxclients`")
    system = _system_error(error)
    match system:
        case ssl.SSLCertVerificationError():
            why = getattr(system, "verify_message", "no reason given")
            return Trouble("tls", f"the certificate of the store {server} is not trusted: {why}")
        case ssl.SSLError():
            return Trouble(
                "tls", f"the TLS handshake with the store {server} failed ({getattr(system, 'reason', None)})"
            )
        case ConnectionRefusedError():
            return Trouble("refused", f"the store {server} refuses connections")
        case OSError(errno=int(number)) if number > 0:
            return Trouble("connection", f"the store {server} cannot be reached: {os.strerror(number).lower()}")
        case OSError():
            return Trouble("connection", f"the name of the store {server} cannot be resolved")
        case _:
            return Trouble("connection", f"the connection to the store {server} was closed")


def _system_error(error: BaseException) -> BaseException | None:
    """The error of the operating system or of TLS that a driver's error stands for."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OSError):
        seen = seen.__cause__ or seen.__context__
    return seen


def _code(error: BaseException) -> str:
    """The server's error code. The driver keeps it apart where it knows it."""
    if not isinstance(error, failures.RedisError):
        return ""
    if error.status_code is not None:
        return str(error.status_code)
    found = _CODE.match(str(error)) if isinstance(error, failures.ResponseError) else None
    return found[0] if found else ""
