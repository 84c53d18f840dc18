"""The settings of `extauthz.config` as options of commands, and how a command gets them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

import click

from extauthz.config import (
    CONFIG_VARIABLE,
    ControllerSettings,
    Problem,
    Setting,
    Settings,
    load,
    load_controller,
    settings,
)

Flag: TypeAlias = "str | tuple[str, ...] | None"
"""What click hands over for one setting."""

_START: Final = "cannot start"


def options(wanted: Callable[[Setting], bool] = lambda _: True, of: type = Settings) -> list[click.Option]:
    """`--config`, and one option for each setting that is wanted."""
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        metavar="FILE",
        help="A YAML file with settings.",
    )
    return [config, *(_option(setting) for setting in settings(of) if wanted(setting))]


def load_or_stop(
    config: Path | None, flags: Mapping[str, Flag], *, part: bool = False, failing: str = _START
) -> Settings:
    """The settings, or the end: every mistake on a line of its own. `part` is that of `load`."""
    file, name = _file(config)
    found = load(_given(settings(), flags), os.environ, file, name, part=part)
    return found if isinstance(found, Settings) else _stop_for(found, failing)


def controller_or_stop(config: Path | None, flags: Mapping[str, Flag]) -> ControllerSettings:
    """The settings of `extauthz controller`, or the end."""
    file, name = _file(config)
    found = load_controller(_given(settings(ControllerSettings), flags), os.environ, file, name)
    return found if isinstance(found, ControllerSettings) else _stop_for(found, _START)


def _given(known: Iterable[Setting], flags: Mapping[str, Flag]) -> dict[str, str | tuple[str, ...]]:
    return {each.name: value for each in known if (value := flags.get(each.field)) is not None and value != ()}


def _file(config: Path | None) -> tuple[bytes | None, str]:
    try:
        return (None, "") if config is None else (config.read_bytes(), str(config))
    except OSError as error:
        return stop(f"--config: `{config}` cannot be read: {error.strerror}")


def _stop_for(found: tuple[Problem, ...], failing: str) -> NoReturn:
    mistakes = "\n".join(str(problem) for problem in found)
    stop(f"{mistakes}\n{failing}: {len(found)} mistake{'s' * (len(found) != 1)} in the settings")


def stop(line: str) -> NoReturn:
    """Say why there is no answer, and exit with 2."""
    click.echo(line, err=True)
    sys.exit(2)


def _option(setting: Setting) -> click.Option:
    default = f"  [default: {setting.default}]" if setting.default else ""
    names, words = [setting.flag, setting.field], f"{setting.doc}{default}"
    if setting.label == "BOOLEAN":
        # A switch may stand bare: `--allow-http-loopback` says true.
        return click.Option(names, metavar=setting.label, help=words, is_flag=False, flag_value="true")
    return click.Option(names, metavar=setting.label, help=words, multiple=setting.repeatable)
