"""Every setting of `extauthz serve` and `extauthz controller`: its default, its bounds, and where it may be said.

One precedence, for every setting: flag, then environment variable, then key of the `--config` file, then default. A
name that is not known is refused wherever it stands, because a setting that is misspelt is a setting that is not made.
"""

from extauthz.config.controller import ControllerSettings
from extauthz.config.load import CONFIG_VARIABLE, Problem, load, load_controller
from extauthz.config.settings import (
    INSTALL_NAMESPACE,
    MAX_REVOCATIONS,
    Engine,
    LogLevel,
    LogSink,
    Redactable,
    Setting,
    Settings,
    StoreKind,
    settings,
)
from extauthz.config.value import (
    Address,
    ClusterAddress,
    SentinelAddress,
    StoreAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
)

__all__ = [
    "CONFIG_VARIABLE",
    "INSTALL_NAMESPACE",
    "MAX_REVOCATIONS",
    "Address",
    "ClusterAddress",
    "ControllerSettings",
    "Engine",
    "LogLevel",
    "LogSink",
    "Problem",
    "Redactable",
    "SentinelAddress",
    "Setting",
    "Settings",
    "StoreAddress",
    "StoreKind",
    "TcpAddress",
    "UnixAddress",
    "load",
    "load_controller",
    "parse_address",
    "settings",
]
