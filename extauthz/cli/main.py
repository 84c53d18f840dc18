"""`extauthz`: the group of commands."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = ("serve", "lint", "check", "explain", "issuer", "crds", "demo", "version")

EXIT_CODES: Final = """\b
Exit codes: 0 for yes, 1 when the answer is no (mistakes found, request denied,
demo not as expected), 2 for wrong usage or what cannot be started or reached."""


class _Lazy(click.Group):
    """Loads a command when it is asked for, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"extauthz.cli.{cmd_name}").command
        return command


@click.command(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
def main() -> None:
    """Answer Envoy's external-authorization call: verify bearer tokens and control how often they are reused."""
