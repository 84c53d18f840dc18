"""`extauthz crds`: the CustomResourceDefinitions of this version."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import yaml

from extauthz.cli.dumping import Dumper
from extauthz.policy.schema import definitions

_HEAD = "# Written by `extauthz crds`.\n"


@click.command(
    "crds",
    epilog="""\b
Examples:
  extauthz crds | kubectl apply --server-side -f -
  extauthz crds --output charts/extauthz/files/crds""",
)
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write one file for each kind into this folder.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail when the files in the folder differ.")
def command(output: Path | None, *, check: bool) -> None:
    """Print the CustomResourceDefinitions that a cluster needs, or write them.

    They hold objects to the same rules as `lint`. The same version prints the same.
    """
    if check and output is None:
        raise click.UsageError("--check needs --output: the folder to compare with")
    files = {name: _HEAD + _text(definition) for name, definition in definitions().items()}
    if output is None:
        click.echo("---\n".join(files.values()), nl=False)
        return
    stale = [name for name, text in files.items() if not _holds(output / name, text)]
    if check and stale:
        click.echo(f"not up to date: {', '.join(stale)}; write them with `extauthz crds --output {output}`", err=True)
        sys.exit(1)
    for name in stale:
        (output / name).write_text(files[name], encoding="utf-8")


def _text(definition: object) -> str:
    return yaml.dump(definition, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
