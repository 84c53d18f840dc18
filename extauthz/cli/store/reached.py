"""The shared store as the settings name it, for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from extauthz.cli.settings import stop
from extauthz.config import ClusterAddress, Setting, Settings, StoreAddress
from extauthz.model.time import Clock
from extauthz.replay.choose import namespace_of, target_of
from extauthz.replay.redis import Console, open_consoles


def is_of_server(setting: Setting) -> bool:
    """Whether a setting says where the shared store is and how it is used."""
    return setting.name.startswith("store") and setting.name != "store-capacity"


def is_of_counts(setting: Setting) -> bool:
    """Whether it says besides which key is whose."""
    return is_of_server(setting) or setting.name == "pepper-file"


def is_cluster(settings: Settings) -> bool:
    """Whether the shared store is a cluster."""
    return isinstance(address_of(settings).at, ClusterAddress)


def address_of(settings: Settings) -> StoreAddress:
    """Where the shared store is, or the end."""
    if isinstance(settings.store, StoreAddress):
        return settings.store
    return stop(
        "cannot tell: the memory store lives in a server's own process; name a shared one by `--store URL`, or let the"
        " server tell by `extauthz store inspect --admin`"
    )


@contextmanager
def consoles(settings: Settings, clock: Clock) -> Iterator[tuple[Console, ...]]:
    """A way to each server of the shared store, closed at the end. Raises CannotConnect where they are not known."""
    with ExitStack() as stack:
        target = target_of(settings, address_of(settings))
        opened = open_consoles(target, namespace_of(settings), clock, settings.store_wait_replicas)
        for each in opened:
            stack.callback(each.close)
        yield opened
