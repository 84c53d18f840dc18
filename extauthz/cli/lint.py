"""`extauthz lint`: every mistake in a folder of policies, at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from extauthz.cli.issuer.id_tokens import id_tokens_let_in
from extauthz.control.files import Found, lint
from extauthz.model.time import SystemClock


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
    mistake, and so is one whose address is never asked, such as `http://`, or whose secret for its endpoint is not
    there. No mistake, and noted, are a field that was left empty, a match to which no request of a host comes because
    of another policy's prefix, one that opens what another policy asks a token for, a TokenRevocation whose `expires`
    has passed or is before the end of the tokens that it revokes, or that has a `*` in a value, and a TokenIssuer of a
    provider known to `extauthz issuer scaffold` that takes its ID tokens for access tokens.
    """
    found = lint(folder, cluster=cluster, now=SystemClock().now(), advise=id_tokens_let_in)
    if output == "json":
        told = {name: [each.as_dict() for each in getattr(found, name)] for name in ("mistakes", "notes")}
        click.echo(json.dumps({"objects": found.objects, **told}, indent=2))
    else:
        click.echo(_text(found))
    sys.exit(1 if found.mistakes else 0)


def _text(found: Found) -> str:
    total = [_counted(found.objects, "object"), "no mistakes"]
    if found.mistakes:
        files = _counted(len({mistake.file for mistake in found.mistakes}), "file")
        total[1] = f"{_counted(len(found.mistakes), 'mistake')} in {files}"
    if found.notes:
        total.append(_counted(len(found.notes), "note"))
    return "\n".join([*map(str, found.mistakes), *map(str, found.notes), ", ".join(total)])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
