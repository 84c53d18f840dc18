"""Reading settings: flag, then environment variable, then configuration file, then default; every error at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import yaml

from extauthz.config.controller import ControllerSettings
from extauthz.config.settings import PREFIX, Setting, Settings, settings
from extauthz.config.value import StoreAddress, TcpAddress

CONFIG_VARIABLE: Final = "EXTAUTHZ_CONFIG"
"""The environment variable that stands for the flag `--config`."""

_SHARED_ONLY: Final = ("store-user", "store-password-file", "store-ca", "store-cert", "store-key", "store-namespace")
_MAX_FILE: Final = 64 * 1024
_MAX_SHOWN: Final = 80
_PLAIN: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))
"""The tags of values that are the text they are written as; `!!binary` would not be."""
# Kubernetes puts a set of variables into each container for every Service of its namespace: a Service named
# `extauthz` or `extauthz-admin` makes variables that begin as ours do.
_SERVICE_LINK: Final = re.compile(
    rf"{PREFIX}(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the settings cannot be used."""

    where: str
    """The flag, the environment variable, or the file with its line and key."""
    what: str
    """What is wrong there and what was found."""
    allowed: str = ""
    """What may stand there, or how to mend it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}{f'; allowed: {self.allowed}' if self.allowed else ''}"


@dataclass(frozen=True, slots=True)
class _Said:
    """What one source says of one setting."""

    name: str
    where: str
    texts: tuple[str, ...]


def load(
    flags: Mapping[str, str | tuple[str, ...]],
    environ: Mapping[str, str],
    file: bytes | None = None,
    file_name: str = "",
    *,
    part: bool = False,
) -> Settings | tuple[Problem, ...]:
    """The settings that the flags (by setting name, such as `drain-timeout`), the environment and the file make.

    Flags beat variables, variables beat the file, the file beats defaults. Every source is checked, also where another
    one wins, and every problem is reported, in the order of the sources. `part` is for commands that serve nothing:
    they need neither policies nor a pepper.
    """
    found = _values(Settings, flags, environ, (file, file_name), needs_policies=not part)
    return _together(found, part=part) if isinstance(found, dict) else found


def load_controller(
    flags: Mapping[str, str | tuple[str, ...]],
    environ: Mapping[str, str],
    file: bytes | None = None,
    file_name: str = "",
) -> ControllerSettings | tuple[Problem, ...]:
    """The settings of `extauthz controller`, by the same rules."""
    found = _values(ControllerSettings, flags, environ, (file, file_name), needs_policies=False)
    if not isinstance(found, dict):
        return found
    wanted = ControllerSettings(**found)
    return tuple(_events_at_odds(wanted)) or wanted


def _events_at_odds(found: ControllerSettings) -> Iterator[Problem]:
    cert, key, authorities = found.events_tls_cert, found.events_tls_key, found.events_tls_client_ca
    if found.events is None and (cert, key, authorities) != (None, None, None):
        yield Problem("--events", "is not set, and there is TLS for it", "an address for `events`, or no TLS for it")
    if (cert is None) != (key is None):
        given, absent = ("events-tls-cert", "events-tls-key") if key is None else ("events-tls-key", "events-tls-cert")
        yield Problem(f"--{given}", f"is given without `{absent}`", "both or neither")
    if authorities is not None and cert is None:
        words = "`events-tls-cert` and `events-tls-key` besides it"
        yield Problem("--events-tls-client-ca", "is given without `events-tls-cert`", words)
    if found.events is not None and found.events.port and found.events == found.admin:
        yield Problem("--events", f"`{found.events}` is used twice", "another address than that of `admin`")


def _values(
    of: type,
    flags: Mapping[str, str | tuple[str, ...]],
    environ: Mapping[str, str],
    file: tuple[bytes | None, str],
    *,
    needs_policies: bool,
) -> dict[str, Any] | tuple[Problem, ...]:
    known = {setting.name: setting for setting in settings(of)}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for source in (_from_flags(flags), _from_environment(environ, known), _from_file(*file)):
        for said in source:
            match said:
                case Problem():
                    problems.append(said)
                case _Said(name=name) if name in known:
                    problems += _read(known[name], said, values)
                case _Said():
                    problems.append(_unknown(said, known))
    problems += [_missing(s) for s in known.values() if s.required and s.field not in values]
    if needs_policies:
        problems += _source_of_policies(values)
    return tuple(problems) if problems else values


def _source_of_policies(values: Mapping[str, object]) -> Iterator[Problem]:
    """Exactly one of the two must be said."""
    kubernetes = bool(values.get("kubernetes"))
    if ("policies" in values) == kubernetes:
        words = "is given besides `kubernetes`" if kubernetes else "is not set, nor is `kubernetes`"
        yield Problem("--policies", words, "a folder (`--policies DIR`) or the Kubernetes API (`--kubernetes`)")


def _read(setting: Setting, said: _Said, values: dict[str, object]) -> Iterator[Problem]:
    if not said.texts or (len(said.texts) > 1 and not setting.repeatable):
        yield Problem(said.where, f"takes one value, found {len(said.texts)}", setting.kind.allowed)
        return
    read = []
    for text in said.texts:
        try:
            read.append(setting.kind.read(text))
        except (ValueError, KeyError):
            shown = _shown(setting.kind.conceal(text))
            yield Problem(said.where, f"`{shown}` cannot be used", setting.kind.allowed)
    values.setdefault(setting.field, tuple(read) if setting.repeatable else read[0] if read else None)


def _from_flags(flags: Mapping[str, str | tuple[str, ...]]) -> Iterator[_Said]:
    for name, text in flags.items():
        yield _Said(name, f"--{_shown(name)}", (text,) if isinstance(text, str) else text)


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Setting]) -> Iterator[_Said]:
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE or _SERVICE_LINK.fullmatch(variable):
            continue
        upper = variable.removeprefix(PREFIX)
        # Only the one spelling counts: `EXTAUTHZ_threads` is another variable than `EXTAUTHZ_THREADS`.
        name = upper.lower().replace("_", "-") if upper == upper.upper() and "-" not in upper else variable
        text = environ[variable]
        several = name in known and known[name].repeatable
        yield _Said(name, _shown(variable), tuple(text.split(",")) if several else (text,))


def _from_file(file: bytes | None, file_name: str) -> Iterator[_Said | Problem]:
    if file is None:
        return
    if len(file) > _MAX_FILE:
        yield Problem(file_name, f"the file is larger than {_MAX_FILE} bytes")
        return
    try:
        root = yaml.compose(file.decode("utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        yield Problem(f"{file_name}{_line(error)}", "the file is not one YAML document in UTF-8")
        return
    match root:
        case None | yaml.ScalarNode(tag="tag:yaml.org,2002:null"):
            return
        case yaml.MappingNode():
            yield from _from_mapping(root, file_name)
        case _:
            yield Problem(file_name, "the file is not a mapping", "lines like `threads: 4`")


def _from_mapping(root: yaml.MappingNode, file_name: str) -> Iterator[_Said | Problem]:
    seen = set()
    for key, value in root.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        where = f"{file_name}:{key.start_mark.line + 1}:{_shown(name)}"
        texts = _texts(value)
        if name in seen:
            yield Problem(where, "is said twice", "each key once")
        elif texts is None:
            yield Problem(where, "is neither a value nor a list of values")
        else:
            yield _Said(name, where, texts)
        seen.add(name)


def _texts(node: yaml.Node) -> tuple[str, ...] | None:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    plain = all(isinstance(item, yaml.ScalarNode) and item.tag in _PLAIN for item in items)
    return tuple(item.value for item in items) if plain else None


def _together(values: Mapping[str, Any], *, part: bool) -> Settings | tuple[Problem, ...]:
    """The settings, unless they are at odds with each other."""
    found = Settings(**values)
    problems = [*_at_odds(found), *(() if part else _pepper_at_odds(found))]
    return tuple(problems) or found


def _at_odds(found: Settings) -> Iterator[Problem]:
    if found.namespace is not None and not found.kubernetes:
        yield Problem("--namespace", "is given without `kubernetes`", "`kubernetes` besides it")
    if (found.tls_cert is None) != (found.tls_key is None):
        given, absent = ("tls-cert", "tls-key") if found.tls_key is None else ("tls-key", "tls-cert")
        yield Problem(f"--{given}", f"is given without `{absent}`", "both or neither")
    if found.tls_client_ca is not None and found.tls_cert is None:
        yield Problem("--tls-client-ca", "is given without `tls-cert`", "`tls-cert` and `tls-key` besides it")
    fixed = [
        a for a in (*found.listen, found.admin) if a is not None and not (isinstance(a, TcpAddress) and not a.port)
    ]
    for twice in sorted({str(a) for a in fixed if fixed.count(a) > 1}):
        yield Problem("--listen", f"`{twice}` is used twice", "each address once, and another one for `admin`")
    if isinstance(found.store, StoreAddress):
        yield from _shared_store_at_odds(found, found.store)
    else:
        for name in _SHARED_ONLY:
            if getattr(found, name.replace("-", "_")) is not None:
                yield Problem(f"--{name}", "is given without a shared store", "`store` with a URL")


def _pepper_at_odds(found: Settings) -> Iterator[Problem]:
    if isinstance(found.store, StoreAddress) and found.pepper_file is None:
        allowed = "`pepper-file` with the same secret for all replicas, or each would count under keys of its own"
        yield Problem("--store", "is shared, and `pepper-file` is not set", allowed)


def _shared_store_at_odds(found: Settings, store: StoreAddress) -> Iterator[Problem]:
    if (found.store_cert is None) != (found.store_key is None):
        given, absent = ("store-cert", "store-key") if found.store_key is None else ("store-key", "store-cert")
        yield Problem(f"--{given}", f"is given without `{absent}`", "both or neither")
    if not store.tls and (found.store_ca, found.store_cert, found.store_key) != (None, None, None):
        yield Problem("--store", "has no TLS, and `store-ca`, `store-cert` or `store-key` is set", "`rediss://…`")
    if found.store_user is not None and found.store_password_file is None:
        yield Problem("--store-user", "is given without `store-password-file`", "both, or no user")
    if found.store_deadline >= found.check_budget:
        yield Problem("--store-deadline", "leaves no time within `check-budget`", "less than `check-budget`")


def _missing(setting: Setting) -> Problem:
    return Problem(setting.flag, f"is not set; give the flag, {setting.variable} or the key `{setting.name}`")


def _unknown(said: _Said, known: Iterable[str]) -> Problem:
    close = get_close_matches(said.name.lower().removeprefix(PREFIX.lower()).replace("_", "-"), known, n=1)
    return Problem(said.where, f"there is no such setting{f'; did you mean `{close[0]}`?' if close else ''}")


def _shown(text: str) -> str:
    return ascii(text[:_MAX_SHOWN])[1:-1]


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""
