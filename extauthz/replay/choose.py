"""Which store the settings ask for."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final, assert_never

from extauthz.config import ClusterAddress, SentinelAddress, Settings, StoreAddress, StoreKind, TcpAddress, UnixAddress
from extauthz.model.time import Clock, Seconds
from extauthz.replay.memory import MemoryStore
from extauthz.replay.redis import ClusterStore, Options, RedisStore, SharedStore, Target, Tls
from extauthz.replay.room import Quotas
from extauthz.replay.store import ATTEMPT_TTL
from extauthz.replay.unshared import WORDS, UnsharedStore

_LOG: Final = logging.getLogger(__name__)
_MARGIN: Final = Seconds(1.0)
"""By how much longer than a commit may take its attempt is known, for what is on its way when that time is over."""


def choose_store(settings: Settings, clock: Clock) -> MemoryStore | SharedStore | UnsharedStore:
    """The store, not started yet."""
    match settings.store:
        case StoreKind.MEMORY if settings.kubernetes and not settings.single_replica:
            _LOG.warning("rules that count refuse: %s", WORDS)
            return UnsharedStore()
        case StoreKind.MEMORY:
            return MemoryStore(clock, settings.store_capacity)
        case StoreAddress():
            return shared_store(settings, settings.store, clock)
        case _:
            assert_never(settings.store)


def shared_store(settings: Settings, store: StoreAddress, clock: Clock) -> SharedStore:
    """The shared store, not started yet."""
    options = Options(
        deadline=settings.store_deadline,
        attempt_ttl=Seconds(max(ATTEMPT_TTL, settings.store_deadline + _MARGIN)),
        connections=settings.store_connections,
        namespace=namespace_of(settings),
        allow_eviction=settings.store_allow_eviction,
        min_replicas=settings.store_min_replicas,
        wait_replicas=settings.store_wait_replicas,
    )
    target = target_of(settings, store)
    return ClusterStore(target, clock, options) if target.nodes else RedisStore(target, clock, options)


def quotas_of(settings: Settings) -> Quotas:
    """How many keys each may have in the store."""
    return Quotas(issuer=settings.store_quota_issuer, namespace=settings.store_quota_namespace)


def namespace_of(settings: Settings) -> bytes:
    """What all keys in the shared store begin with."""
    return (settings.store_namespace or "").encode("ascii")


def target_of(settings: Settings, store: StoreAddress) -> Target:
    """Where the shared store is, and as whom we come."""
    whoever = Target(
        database=store.database,
        user=settings.store_user,
        password_file=settings.store_password_file,
        tls=_tls(settings, store),
    )
    match store.at:
        case UnixAddress(path=path):
            return replace(whoever, path=path)
        case SentinelAddress(sentinels=sentinels, primary=primary):
            return replace(whoever, sentinels=tuple((each.host, each.port) for each in sentinels), primary=primary)
        case ClusterAddress(nodes=nodes):
            return replace(whoever, nodes=tuple((each.host, each.port) for each in nodes))
        case TcpAddress(host=host, port=port):
            return replace(whoever, host=host, port=port)
        case _:
            assert_never(store.at)


def _tls(settings: Settings, store: StoreAddress) -> Tls | None:
    return Tls(ca=settings.store_ca, cert=settings.store_cert, key=settings.store_key) if store.tls else None
