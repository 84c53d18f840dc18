"""`extauthz store ping` and `stats`: whether the server answers, and how it does."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

import click

from extauthz.cli.settings import Flag, load_or_stop, options, stop
from extauthz.cli.store.reached import address_of, consoles, is_cluster, is_of_server
from extauthz.cli.store.replica import Replica, ask_replica
from extauthz.config import SentinelAddress, Settings
from extauthz.model.time import Seconds, SystemClock
from extauthz.replay.redis import CannotConnect, Census, Console, Facts, Trouble, Usage

_PINGS: Final = 5
_CENSUS: Final = Seconds(10.0)
_REPLICA_WAIT: Final = 5.0

_Value: TypeAlias = "str | int | bool | None"


def _settings(config: Path | None, flags: Mapping[str, Flag]) -> Settings:
    return load_or_stop(config, flags, part=True, failing="cannot tell")


def _ping(*, config: Path | None, **flags: Flag) -> None:
    """Commit nothing to the shared store, five times, and say how long it took.

    The commits go the way of a request's: connected and authenticated anew, by the same script, written by the server.
    """
    settings = _settings(config, flags)
    try:
        with consoles(settings, SystemClock()) as opened:
            sound = [_ping_one(console, settings) for console in opened]
    except CannotConnect as no:
        click.echo(str(no), err=True)
        sys.exit(1)
    sys.exit(0 if all(sound) else 1)


def _ping_one(console: Console, settings: Settings) -> bool:
    """Tell of one server. Whether it takes commits."""
    try:
        facts, _ = console.learn()
        fault = _fault(facts, console, settings)
        times = [] if fault is not None else [console.ping() for _ in range(_PINGS)]
    except CannotConnect as no:
        click.echo(str(no), err=True)
        return False
    if fault is not None:
        click.echo(f"{fault.detail}: nothing is counted there", err=True)
        return False
    slowest = f"{max(times) * 1000:.2f} ms the slowest of {_PINGS}"
    click.echo(f"the store {_shown(console, settings)} takes commits: {median(times) * 1000:.2f} ms, {slowest}")
    return True


def _shown(console: Console, settings: Settings) -> str:
    return str(console) if is_cluster(settings) else f"`{settings.store}`"


def _fault(facts: Facts, console: Console, settings: Settings) -> Trouble | None:
    return facts.fault(
        _shown(console, settings),
        allow_eviction=settings.store_allow_eviction,
        in_cluster=is_cluster(settings),
        by_sentinels=isinstance(address_of(settings).at, SentinelAddress),
        min_replicas=settings.store_min_replicas,
    )


def _stats(*, config: Path | None, admin: tuple[str, ...], output: str, **flags: Flag) -> None:
    """Tell what the server of the shared store says of itself, how many keys are ours, and how replicas see it.

    A replica's breaker is its own: name each by `--admin`.
    """
    settings = _settings(config, flags)
    try:
        with consoles(settings, SystemClock()) as opened:
            told = [_tell(console, settings) for console in opened]
    except CannotConnect as no:
        if not admin:
            stop(f"cannot tell: {no}")
        # How replicas see a store is asked for most when nobody else can see it.
        click.echo(f"cannot tell: {no}", err=True)
        told = [{"store": str(settings.store), "fault": no.trouble.detail, "server": None}]
    replicas = [ask_replica(address, _REPLICA_WAIT) for address in admin]
    if output == "json":
        one = {"store": str(settings.store), "nodes": told} if is_cluster(settings) else told[0]
        click.echo(json.dumps(one | {"breakers": [asdict(each) for each in replicas]}, indent=2))
    else:
        click.echo("\n\n".join(_text(each, replicas if each is told[-1] else []) for each in told))
    silent = any(each.state == "unknown" for each in replicas) or any(each["server"] is None for each in told)
    sys.exit(2 if silent else 1 if any(each["fault"] for each in told) else 0)


def _tell(console: Console, settings: Settings) -> dict[str, _Value]:
    """What there is to tell of one server; of a node that does not answer, why: the others are told all the same."""
    where = _shown(console, settings).strip("`")
    try:
        facts, usage = console.learn()
        census = _census(console)
    except CannotConnect as no:
        if not is_cluster(settings):
            raise
        return {"store": where, "fault": no.trouble.detail, "server": None}
    fault = _fault(facts, console, settings)
    return {"store": where, "fault": "" if fault is None else fault.detail, **_told(facts, usage, census)}


def _census(console: Console) -> Census | None:
    """How many keys are ours; None where the server's access list does not let us see."""
    try:
        return console.count(_CENSUS)
    except CannotConnect as no:
        if no.trouble.kind != "auth":
            raise
        return None


def _told(facts: Facts, usage: Usage, census: Census | None) -> dict[str, _Value]:
    return {
        "server": f"{facts.product} {facts.version}",
        "role": "primary" if facts.role == "master" else "replica",
        "cluster": facts.cluster,
        "replicas": usage.replicas,
        "persistence": facts.persistence,
        "eviction": facts.eviction,
        "mayEvict": facts.may_evict,
        "evictedKeys": usage.evicted,
        "memory": usage.memory,
        "maxMemory": facts.max_memory or None,
        "uptimeSeconds": usage.uptime,
        "clients": usage.clients,
        "keys": None if census is None else census.total,
        "keysCounted": "none" if census is None else "all" if census.complete else "at least",
        **({} if census is None else {f"keys {kind}": count for kind, count in census.keys.items()}),
    }


def _text(told: Mapping[str, _Value], replicas: list[Replica]) -> str:
    rows = [(name, _word(name, value, told)) for name, value in told.items() if name not in {"keysCounted", "fault"}]
    rows += [(f"breaker {each.address}", each.words) for each in replicas]
    if told["fault"]:
        rows.append(("NOT USED", str(told["fault"])))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def _word(name: str, value: _Value, told: Mapping[str, _Value]) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None if name == "keys":
            return "not counted: the user may not `scan`"
        case None:
            return "no bound" if name == "maxMemory" else "not told"
        case int() if name in {"memory", "maxMemory"}:
            return f"{value:,} bytes"
        case int() if name == "keys" and told["keysCounted"] != "all":
            return f"at least {value:,}"
        case int():
            return f"{value:,}"
        case _:
            return value


_ADMIN: Final = click.Option(
    ["--admin"], multiple=True, metavar="HOST:PORT", help="A replica's admin port, for its breaker; may be repeated."
)
_OUTPUT: Final = click.Option(
    ["--output"], type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or machines."
)

ping = click.Command("ping", callback=_ping, params=[*options(is_of_server)], help=_ping.__doc__)
stats = click.Command("stats", callback=_stats, params=[_ADMIN, _OUTPUT, *options(is_of_server)], help=_stats.__doc__)
