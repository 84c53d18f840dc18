"""What the server says of itself, and whether counts are safe there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from extauthz.replay.redis.trouble import Trouble

_LEAST_MAJOR: Final = 7
_NO_EVICTION: Final = "noeviction"
_REPLICA: Final = re.compile(r"slave\d+", re.ASCII)
_MOST_LAG: Final = 10
"""Seconds; the default of `min-replicas-max-lag`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A part of INFO."""

    product: str
    version: str
    run: str
    """Names this run of the server: another one means that it was restarted, or is another server."""
    role: str
    cluster: bool
    loading: bool
    max_memory: int
    """Bytes; 0 for no bound."""
    eviction: str
    """`maxmemory-policy`."""
    persistence: str
    """`AOF`, `RDB` or `none`, as far as it can be told."""
    replicas: int = 0
    """How many follow, and were heard of within ten seconds."""

    @property
    def may_evict(self) -> bool:
        """Whether the server may drop live counts to make room."""
        return self.eviction != _NO_EVICTION and self.max_memory > 0

    def fault(
        self,
        server: str,
        *,
        allow_eviction: bool,
        min_replicas: int = 0,
        in_cluster: bool = False,
        by_sentinels: bool = False,
    ) -> Trouble | None:
        """Why nothing may be counted there; None when all is well.

        `in_cluster` is what we take it for; `by_sentinels` says that these named it, not whoever set us up.
        """
        if self.loading:
            return Trouble("loading", f"the store {server} is loading its data")
        if self.cluster and not in_cluster:
            return Trouble("cluster", f"the store {server} is a cluster node; name the cluster by `redis+cluster://`")
        if in_cluster and not self.cluster:
            return Trouble("cluster", f"the store {server} is no cluster node; name it by `redis://`")
        if self.role != "master":
            return Trouble("readonly", _of_replica(server, in_cluster=in_cluster, by_sentinels=by_sentinels))
        major = self.version.partition(".")[0]
        if not major.isdecimal() or int(major) < _LEAST_MAJOR:
            return Trouble("version", f"the store {server} is of version {self.version}; at least 7.0 is needed")
        if self.may_evict and not allow_eviction:
            return Trouble(
                "evicts",
                f"the store {server} may drop live counts (maxmemory-policy `{self.eviction}`); set `noeviction`",
            )
        if self.replicas < min_replicas:
            wanted = f"`store-min-replicas` wants {min_replicas}"
            return Trouble("replicas", f"the store {server} is followed by {self.replicas} replicas, and {wanted}")
        return None

    def __str__(self) -> str:
        memory = f"maxmemory {self.max_memory}" if self.max_memory else "no maxmemory"
        kept = f"persistence {self.persistence}, {self.replicas} replica{'' if self.replicas == 1 else 's'}"
        return f"{self.product} {self.version}, {kept}, {memory}, policy {self.eviction}"


def _of_replica(server: str, *, in_cluster: bool, by_sentinels: bool) -> str:
    """What to do depends on who named it."""
    if by_sentinels:
        return f"the sentinels of the store {server} name a replica as the primary; look at them if it lasts"
    if in_cluster:
        return f"the store {server} is a replica, and held slots before; its cluster tells soon who holds them now"
    return f"the store {server} is a replica; name its primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What INFO says of the moment. None for what the server does not tell."""

    uptime: int | None
    """Seconds."""
    memory: int | None
    """Bytes in use."""
    clients: int | None
    replicas: int | None
    evicted: int | None
    """Keys dropped to make room since it started; any may have been a live count."""


def read_usage(info: bytes) -> Usage:
    """Read the reply of INFO."""
    found = _fields(info)

    def number(name: str) -> int | None:
        text = found.get(name, "")
        return int(text) if text.isdecimal() else None

    return Usage(
        uptime=number("uptime_in_seconds"),
        memory=number("used_memory"),
        clients=number("connected_clients"),
        replicas=number("connected_slaves"),
        evicted=number("evicted_keys"),
    )


def read_facts(info: bytes) -> Facts:
    """Read the reply of INFO. Raises ValueError for one that lacks what must be known."""
    found = _fields(info)
    try:
        return Facts(
            product="Valkey" if found.get("server_name") == "valkey" else "Redis",
            version=found.get("valkey_version") or found["redis_version"],
            run=found["run_id"],
            role=found["role"],
            cluster=found.get("cluster_enabled") == "1",
            loading=found.get("loading") == "1",
            max_memory=int(found["maxmemory"]),
            eviction=found["maxmemory_policy"],
            persistence="AOF" if found.get("aof_enabled") == "1" else _snapshots(found),
            replicas=sum(_follows(value) for name, value in found.items() if _REPLICA.fullmatch(name)),
        )
    except KeyError as error:
        raise ValueError(f"INFO lacks `{error.args[0]}`") from None


def _fields(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _follows(replica: str) -> bool:
    told = dict(part.partition("=")[::2] for part in replica.split(","))
    lag = told.get("lag", "")
    return told.get("state") == "online" and lag.isdecimal() and int(lag) <= _MOST_LAG


def _snapshots(found: dict[str, str]) -> str:
    """Whether it has saved a snapshot in this run. A configuration that never saves cannot be told from INFO."""
    return "RDB" if found.get("rdb_saves", "0") != "0" else "none seen"
