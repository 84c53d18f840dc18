"""`extauthz version`."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

from extauthz import __version__


@click.command("version")
def command() -> None:
    """Print the versions of extauthz and of what it stands on."""
    click.echo(f"extauthz {__version__}")
    click.echo(f"python {platform.python_version()}, grpcio {version('grpcio')}, protobuf {version('protobuf')}")
