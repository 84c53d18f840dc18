"""`extauthz serve`: the server. Its options are the settings of `extauthz.config`, one for one."""

from __future__ import annotations

from pathlib import Path

import click

from extauthz.cli.settings import Flag, load_or_stop, options, stop
from extauthz.cli.streams import say

_EPILOG = """\b
Each setting is also an environment variable (EXTAUTHZ_DRAIN_TIMEOUT) and a key
of the configuration file (drain-timeout). A flag beats a variable, a variable
beats the file, the file beats the default.
\b
Examples:
  extauthz serve --policies policies/
  extauthz serve --policies policies/ --listen unix:/run/extauthz.sock --admin off
  extauthz serve --config extauthz.yaml --check-config"""


def _serve(*, config: Path | None, check_config: bool, **flags: Flag) -> None:
    """Serve Envoy's Authorization service by the policies in a folder."""
    found = load_or_stop(config, flags)
    if check_config:
        click.echo("the settings are good")
        return
    from extauthz.app import StartError, serve  # noqa: PLC0415 - `--help` and `--check-config` need none of it

    try:
        serve(found, say)
    except StartError as error:
        stop(f"cannot start: {error}")


_CONFIG, *_SETTINGS = options()

command = click.Command(
    "serve",
    callback=_serve,
    params=[
        _CONFIG,
        click.Option(["--check-config"], is_flag=True, help="Check the settings and stop."),
        *_SETTINGS,
    ],
    help=_serve.__doc__,
    epilog=_EPILOG,
)
