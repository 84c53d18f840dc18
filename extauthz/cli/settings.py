"""The settings of `extauthz.config` as options of commands, and how a command gets them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

import click

from extauthz.config import CONFIG_VARIABLE, Setting, Settings, load, settings

Flag: TypeAlias = "str | tuple[str, ...] | None"
"""What click hands over for one setting."""

_START: Final = "cannot start"


def options(wanted: Callable[[Setting], bool] = lambda _: True) -> list[click.Option]:
    """`--config`, and one option for each setting that is wanted."""
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        metavar="FILE",
        help="A YAML file with settings.",
    )
    return [config, *(_option(setting) for setting in settings() if wanted(setting))]


def load_or_stop(
    config: Path | None, flags: Mapping[str, Flag], *, part: bool = False, failing: str = _START
) -> Settings:
    """The settings, or the end: every mistake on a line of its own. `part` is that of `load`."""
    given = {
        setting.name: value for setting in settings() if (value := flags.get(setting.field)) is not None and value != ()
    }
    try:
        file = config.read_bytes() if config is not None else None
    except OSError as error:
        stop(f"--config: `{config}` cannot be read: {error.strerror}")
    found = load(given, os.environ, file, str(config) if config is not None else "", part=part)
    if isinstance(found, Settings):
        return found
    mistakes = "\n".join(str(problem) for problem in found)
    return stop(f"{mistakes}\n{failing}: {len(found)} mistake{'s' * (len(found) != 1)} in the settings")


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
