"""`extauthz`: the group of commands."""

from __future__ import annotations

from typing import Final

import click

from extauthz.cli.lazy import LazyGroup

_COMMANDS: Final = (
    "serve",
    "controller",
    "lint",
    "check",
    "explain",
    "store",
    "issuer",
    "crds",
    "inject",
    "demo",
    "version",
)

EXIT_CODES: Final = """\b
Exit codes: 0 for yes, 1 when the answer is no (mistakes found, request denied,
demo not as expected), 2 for wrong usage or what cannot be started or reached."""


@click.command(
    cls=LazyGroup,
    places={name: f"extauthz.cli.{name}:command" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
def main() -> None:
    """Answer Envoy's external-authorization call: verify bearer tokens and control how often they are reused."""
