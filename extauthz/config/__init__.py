"""Every setting of `extauthz serve`: its default, its bounds, and where it may be said.

One precedence, for every setting: flag, then environment variable, then key of the `--config` file, then default. A
name that is not known is refused wherever it stands, because a setting that is misspelt is a setting that is not made.
"""

from extauthz.config.load import CONFIG_VARIABLE, Problem, load
from extauthz.config.settings import (
    INSTALL_NAMESPACE,
    Engine,
    LogLevel,
    LogSink,
    Redactable,
    Setting,
    Settings,
    StoreKind,
    settings,
)
from extauthz.config.value import Address, StoreAddress, TcpAddress, UnixAddress, parse_address

__all__ = [
    "CONFIG_VARIABLE",
    "INSTALL_NAMESPACE",
    "Address",
    "Engine",
    "LogLevel",
    "LogSink",
    "Problem",
    "Redactable",
    "Setting",
    "Settings",
    "StoreAddress",
    "StoreKind",
    "TcpAddress",
    "UnixAddress",
    "load",
    "parse_address",
    "settings",
]
