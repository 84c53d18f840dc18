"""The shared store as the settings name it, for a command."""

from __future__ import annotations

from extauthz.cli.settings import stop
from extauthz.config import Setting, Settings, StoreAddress
from extauthz.model.time import Clock
from extauthz.replay.choose import namespace_of, target_of
from extauthz.replay.redis import Console


def is_of_server(setting: Setting) -> bool:
    """Whether a setting says where the shared store is and how it is used."""
    return setting.name.startswith("store") and setting.name != "store-capacity"


def is_of_counts(setting: Setting) -> bool:
    """Whether it says besides which key is whose."""
    return is_of_server(setting) or setting.name == "pepper-file"


def address_of(settings: Settings) -> StoreAddress:
    """Where the shared store is, or the end."""
    if isinstance(settings.store, StoreAddress):
        return settings.store
    return stop(
        "cannot tell: the memory store lives in a server's own process; name a shared one by `--store URL`, or let the"
        " server tell by `extauthz store inspect --admin`"
    )


def open_console(settings: Settings, clock: Clock) -> Console:
    """A connection to the shared store. Raises CannotConnect."""
    return Console(target_of(settings, address_of(settings)), namespace_of(settings), clock)
