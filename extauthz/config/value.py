"""The kinds of value that a setting may have: how each is written, read, bounded and shown.

All three sources of settings hand over text, so that a value means the same in each of them: `admin: off` in YAML is
the word, not a truth value, and `0660` is no number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from extauthz.model.time import Seconds, format_duration, parse_duration

_Number = TypeVar("_Number", bound=float)

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,12}", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SHARE: Final = re.compile(r"(?:0|1|0?\.\d{1,9}|0\.0|1\.0)", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,12})(|KiB|MiB)", re.ASCII)
_MODE: Final = re.compile(r"0?[67][0-7]{2}", re.ASCII)
_UNITS: Final = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}
_SWITCH: Final = {"true": True, "false": False}
_STORE: Final = re.compile(
    r"(redis|rediss)://((?:\[[0-9A-Fa-f:.]{2,45}\]|[^/:@?#\[\],]+)(?::\d{1,5})?)(?:/(\d{1,5}))?", re.ASCII
)
_SENTINELS: Final = re.compile(
    r"(redis|rediss)\+sentinel://([^/@?#]{1,1024})/([A-Za-z0-9._-]{1,64})(?:/(\d{1,5}))?", re.ASCII
)
_CLUSTER: Final = re.compile(r"(redis|rediss)\+cluster://([^/@?#]{1,1024})/?", re.ASCII)
_WITH_PORT: Final = re.compile(r"[^:\]\[]:\d{1,5}\Z|\]:\d{1,5}\Z", re.ASCII)
_STORE_SOCKET: Final = re.compile(r"unix://(/[^?#]+)(?:\?db=(\d{1,5}))?")
_VISIBLE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9:._-]{1,64}", re.ASCII)
_CREDENTIAL: Final = re.compile(r".*@", re.DOTALL)
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MAX_PORT: Final = 65535
_MAX_SOCKET_PATH: Final = 107
"""Bytes that `sun_path` of a Unix socket address holds on Linux, without its closing NUL."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address to listen on."""

    host: str
    """A host name or an IP address; IPv6 without brackets."""
    port: int
    """0 to 65535; 0 lets the system choose."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Sentinels, and the name under which they watch a primary."""

    sentinels: tuple[TcpAddress, ...]
    primary: str


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Nodes of a cluster, any of which tells where all slots are."""

    nodes: tuple[TcpAddress, ...]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A Redis or Valkey server or cluster. It holds no user and no password."""

    at: TcpAddress | UnixAddress | SentinelAddress | ClusterAddress
    tls: bool = False
    database: int = 0

    def __str__(self) -> str:
        if isinstance(self.at, UnixAddress):
            return f"unix://{self.at.path}{f'?db={self.database}' if self.database else ''}"
        scheme = "rediss" if self.tls else "redis"
        if isinstance(self.at, SentinelAddress):
            hosts = ",".join(map(str, self.at.sentinels))
            return f"{scheme}+sentinel://{hosts}/{self.at.primary}/{self.database}"
        if isinstance(self.at, ClusterAddress):
            return f"{scheme}+cluster://{','.join(map(str, self.at.nodes))}"
        return f"{scheme}://{self.at}/{self.database}"


def _whole_text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    label: str
    """What stands for the value in help texts, such as `DURATION`."""
    allowed: str
    """What may be written, in words."""
    read: Callable[[str], object]
    """Reads the text; raises ValueError for what is not allowed."""
    show: Callable[[Any], str] = str
    """Writes a value as it would be written in a flag."""
    conceal: Callable[[str], str] = _whole_text
    """Takes out of a text that cannot be used what must not be shown."""


def whole(low: int, high: int, label: str = "N") -> Kind:
    """A whole number within bounds."""

    def read(text: str) -> int:
        return _within(int(_match(_WHOLE, text)[0]), low, high)

    return Kind(label, f"a whole number from {low} to {high}", read)


def size(low: int, high: int) -> Kind:
    """A number of bytes within bounds, with an optional binary unit."""

    def read(text: str) -> int:
        found = _match(_SIZE, text)
        return _within(int(found[1]) * _UNITS[found[2]], low, high)

    allowed = f"a size from {_show_size(low)} to {_show_size(high)}, in bytes or with `KiB` or `MiB`"
    return Kind("SIZE", allowed, read, _show_size)


def duration(low: str, high: str, *, zero: str = "") -> Kind:
    """A duration within bounds; `zero` says what 0s means where it is allowed besides."""
    least, most = parse_duration(low), parse_duration(high)

    def read(text: str) -> Seconds:
        found = parse_duration(text)
        return found if zero and not found else _within(found, least, most)

    allowed = f"a duration like `90s` or `1m30s`, from {low} to {high}"
    return Kind("DURATION", f"{allowed}, or 0s {zero}" if zero else allowed, read, format_duration)


def share() -> Kind:
    """A part of a whole."""
    return Kind("SHARE", "a number from 0 to 1", lambda text: float(_match(_SHARE, text)[0]), lambda part: f"{part:g}")


def switch() -> Kind:
    """Yes or no."""
    return Kind("BOOLEAN", "`true` or `false`", lambda text: _SWITCH[text], lambda on: "true" if on else "false")


def word(words: type[Enum]) -> Kind:
    """One of a few words."""
    return Kind("|".join(w.value for w in words), _alternatives(words), words, _show_word)


def object_name() -> Kind:
    """A name of Kubernetes (RFC 1123 label)."""
    return Kind("NAME", "lower-case letters, digits and `-`", lambda text: _match(_LABEL, text)[0])


def path(label: str = "FILE") -> Kind:
    """A path in the file system, relative ones from the working directory."""
    return Kind(label, "a path", _read_path)


def word_or_path(words: type[Enum]) -> Kind:
    """One of a few words, or a file."""

    def read(text: str) -> Enum | Path:
        # A word that is misspelt must not become a file of that name.
        return _read_path(text) if "/" in text else words(text)

    label = "|".join([*(w.value for w in words), "FILE"])
    return Kind(label, f"{_alternatives(words)}, or a path with a `/` in it", read, _show_word)


def address() -> Kind:
    """Where to listen: TCP or a Unix socket."""
    return Kind("ADDRESS", "`HOST:PORT`, `[IPv6]:PORT` or `unix:/absolute/path`", parse_address)


def tcp_or_off() -> Kind:
    """Where to listen on TCP, or nowhere."""

    def read(text: str) -> TcpAddress | None:
        return None if text == "off" else _parse_tcp(text)

    return Kind(
        "HOST:PORT|off", "`HOST:PORT`, `[IPv6]:PORT` or `off`", read, lambda at: "off" if at is None else str(at)
    )


def store(words: type[Enum]) -> Kind:
    """A word for a store of this process, or where a shared one is."""

    def read(text: str) -> Enum | StoreAddress:
        return _parse_store(text) if "://" in text else words(text)

    sentinels = "`redis+sentinel://HOST[:PORT],…/PRIMARY[/DATABASE]`"
    clusters = "`redis+cluster://HOST[:PORT],…`"
    one = "`redis://HOST[:PORT][/DATABASE]`, `rediss://…` for TLS"
    urls = f"{one}, {sentinels}, {clusters} or `unix:///path[?db=DATABASE]`"
    allowed = f"{_alternatives(words)}, {urls}; user and password have settings of their own"
    label = "|".join([*(w.value for w in words), "URL"])
    return Kind(label, allowed, read, _show_store, conceal=lambda text: _CREDENTIAL.sub("***@", text))


def visible() -> Kind:
    """A text without spaces."""
    return Kind("TEXT", "up to 128 visible ASCII characters", lambda text: _match(_VISIBLE, text)[0])


def key_prefix() -> Kind:
    """What keys begin with."""
    return Kind("TEXT", "up to 64 letters, digits and `:._-`", lambda text: _match(_NAMESPACE, text)[0])


def file_mode() -> Kind:
    """The mode of a file that its owner may read and write."""
    return Kind("MODE", "an octal mode like `0660`, read and write for the owner", _read_mode, lambda m: f"{m:04o}")


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`, `[IPv6]:PORT` or `unix:/absolute/path`. Raises ValueError for anything else."""
    if not text.startswith("unix:"):
        return _parse_tcp(text)
    return UnixAddress(_socket_path(text.removeprefix("unix:")))


def _socket_path(text: str) -> Path:
    found = _read_path(text)
    if not found.is_absolute() or len(bytes(found)) > _MAX_SOCKET_PATH:
        raise ValueError(f"the path of a Unix socket must be absolute and at most {_MAX_SOCKET_PATH} bytes long")
    return found


def _parse_store(text: str) -> StoreAddress:
    found = _STORE_SOCKET.fullmatch(text)
    if found is not None:
        return StoreAddress(UnixAddress(_socket_path(found[1])), database=int(found[2] or 0))
    found = _SENTINELS.fullmatch(text)
    if found is not None:
        sentinels = tuple(_parse_server(each, _SENTINEL_PORT) for each in found[2].split(","))
        watched = SentinelAddress(sentinels, found[3])
        return StoreAddress(watched, tls=found[1] == "rediss", database=int(found[4] or 0))
    found = _CLUSTER.fullmatch(text)
    if found is not None:
        nodes = tuple(_parse_server(each, _REDIS_PORT) for each in found[2].split(","))
        return StoreAddress(ClusterAddress(nodes), tls=found[1] == "rediss")
    found = _match(_STORE, text)
    at = _parse_server(found[2], _REDIS_PORT)
    return StoreAddress(at, tls=found[1] == "rediss", database=int(found[3] or 0))


def _parse_server(text: str, port: int) -> TcpAddress:
    at = _parse_tcp(text if _WITH_PORT.search(text) else f"{text}:{port}")
    if not at.port:
        raise ValueError("nobody listens on port 0")
    return at


def _parse_tcp(text: str) -> TcpAddress:
    host, colon, port = text.rpartition(":")
    if not colon or _WHOLE.fullmatch(port) is None or int(port) > _MAX_PORT:
        raise ValueError("the port must be a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return TcpAddress(str(IPv6Address(host[1:-1])), int(port))
    return TcpAddress(_match(_HOST, host)[0], int(port))


def _read_path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path is neither empty nor holds NUL")
    return Path(text)


def _read_mode(text: str) -> int:
    return int(_match(_MODE, text)[0], 8)


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError("not of that form")
    return found


def _within(number: _Number, low: float, high: float) -> _Number:
    if not low <= number <= high:
        raise ValueError("out of range")
    return number


def _alternatives(words: type[Enum]) -> str:
    *most, last = [f"`{w.value}`" for w in words]
    return f"{', '.join(most)} or {last}" if most else last


def _show_size(count: int) -> str:
    for unit in ("MiB", "KiB"):
        if count and count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count)


def _show_store(value: Enum | StoreAddress) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


def _show_word(value: Enum | Path) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)
