"""`extauthz lint`: every mistake in a folder of policies, at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from extauthz.control.files import lint
from extauthz.control.located import LocatedProblem


@click.command(
    "lint",
    epilog="""\b
Examples:
  extauthz lint policies/
  extauthz lint --output json policies/
  extauthz lint --cluster manifests/""",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or machines."
)
@click.option("--cluster", is_flag=True, help="Refuse what only a folder takes: files, short forms, other JSON.")
def command(folder: Path, output: str, *, cluster: bool) -> None:
    """Check every policy in FOLDER and tell all mistakes, with file, line and how to mend them.

    Accepts and refuses exactly what `serve` does, with --cluster what a cluster with our CRDs does. Keys are not
    fetched; those in the folder, and in the files that it names, are looked at. An issuer without a usable one is a
    mistake, and so is one whose secret for its endpoint is not there.
    """
    count, mistakes = lint(folder, cluster=cluster)
    if output == "json":
        click.echo(json.dumps({"objects": count, "mistakes": [mistake.as_dict() for mistake in mistakes]}, indent=2))
    else:
        click.echo(_text(count, mistakes))
    sys.exit(1 if mistakes else 0)


def _text(count: int, mistakes: tuple[LocatedProblem, ...]) -> str:
    objects = _counted(count, "object")
    if not mistakes:
        return f"{objects}, no mistakes"
    files = _counted(len({mistake.file for mistake in mistakes}), "file")
    return "\n".join([*map(str, mistakes), f"{objects}, {_counted(len(mistakes), 'mistake')} in {files}"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
