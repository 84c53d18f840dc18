"""`extauthz serve`: the server. Its options are the settings of `extauthz.config`, one for one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, TypeAlias

import click

from extauthz.config import CONFIG_VARIABLE, Setting, Settings, load, settings

_EPILOG = """\b
Each setting is also an environment variable (EXTAUTHZ_DRAIN_TIMEOUT) and a key
of the configuration file (drain-timeout). A flag beats a variable, a variable
beats the file, the file beats the default.
\b
Examples:
  extauthz serve --policies policies/
  extauthz serve --policies policies/ --listen unix:/run/extauthz.sock --admin off
  extauthz serve --config extauthz.yaml --check-config"""


_Flag: TypeAlias = "str | tuple[str, ...] | None"


def _option(setting: Setting) -> click.Option:
    default = f"  [default: {setting.default}]" if setting.default else ""
    names, words = [setting.flag, setting.field], f"{setting.doc}{default}"
    if setting.label == "BOOLEAN":
        # A switch may stand bare: `--allow-http-loopback` says true.
        return click.Option(names, metavar=setting.label, help=words, is_flag=False, flag_value="true")
    return click.Option(names, metavar=setting.label, help=words, multiple=setting.repeatable)


def _load(config: Path | None, flags: Mapping[str, _Flag]) -> Settings:
    """The settings, or the end: every mistake on a line of its own."""
    given = {
        setting.name: value for setting in settings() if (value := flags.get(setting.field)) is not None and value != ()
    }
    try:
        file = config.read_bytes() if config is not None else None
    except OSError as error:
        _stop(f"--config: `{config}` cannot be read: {error.strerror}")
    found = load(given, os.environ, file, str(config) if config is not None else "")
    if isinstance(found, Settings):
        return found
    mistakes = "\n".join(str(problem) for problem in found)
    return _stop(f"{mistakes}\ncannot start: {len(found)} mistake{'s' * (len(found) != 1)} in the settings")


def _stop(line: str) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(2)


def _serve(*, config: Path | None, check_config: bool, **flags: _Flag) -> None:
    """Serve Envoy's Authorization service by the policies in a folder."""
    found = _load(config, flags)
    if check_config:
        click.echo("the settings are good")
        return
    from extauthz.app import StartError, serve  # noqa: PLC0415 - `--help` and `--check-config` need none of it

    try:
        serve(found, click.echo)
    except StartError as error:
        _stop(f"cannot start: {error}")


command = click.Command(
    "serve",
    callback=_serve,
    params=[
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            envvar=CONFIG_VARIABLE,
            metavar="FILE",
            help="A YAML file with settings.",
        ),
        click.Option(["--check-config"], is_flag=True, help="Check the settings and stop."),
        *(_option(setting) for setting in settings()),
    ],
    help=_serve.__doc__,
    epilog=_EPILOG,
)
