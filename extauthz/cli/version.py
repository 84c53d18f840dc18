"""`extauthz version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import click

from extauthz import __version__


@click.command("version")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or machines."
)
def command(output: str) -> None:
    """Print the versions of extauthz and of what it stands on."""
    base = {"python": platform.python_version(), "grpcio": version("grpcio"), "protobuf": version("protobuf")}
    if output == "json":
        click.echo(json.dumps({"extauthz": __version__, **base}))
        return
    click.echo(f"extauthz {__version__}")
    click.echo(", ".join(f"{name} {number}" for name, number in base.items()))
