"""`extauthz controller`: says in each object's status what became of it. Its options are its settings, one for one."""

from __future__ import annotations

from pathlib import Path

import click

from extauthz.cli.settings import Flag, controller_or_stop, options, stop
from extauthz.cli.streams import say
from extauthz.config import ControllerSettings

_EPILOG = """\b
Several may run: the one that holds the Lease writes, the others wait to take
over. Each setting is also an environment variable (EXTAUTHZ_LEASE_NAME) and a
key of the configuration file (lease-name). What it must be allowed to do is in
docs/reference/rbac.md.
\b
Examples:
  extauthz controller --install-namespace extauthz-system
  extauthz controller --namespace shop --install-namespace shop --admin off"""


def _controller(*, config: Path | None, check_config: bool, **flags: Flag) -> None:
    """Write status, tell of it by Events, and prune TokenRevocations that have expired."""
    found = controller_or_stop(config, flags)
    if check_config:
        click.echo("the settings are good")
        return
    # `--help` and `--check-config` need none of it.
    from extauthz.app import StartError  # noqa: PLC0415
    from extauthz.app.controller import control  # noqa: PLC0415

    try:
        control(found, say)
    except StartError as error:
        stop(f"cannot start: {error}")


_CONFIG, *_SETTINGS = options(of=ControllerSettings)

command = click.Command(
    "controller",
    callback=_controller,
    params=[
        _CONFIG,
        click.Option(["--check-config"], is_flag=True, help="Check the settings and stop."),
        *_SETTINGS,
    ],
    help=_controller.__doc__,
    epilog=_EPILOG,
)
