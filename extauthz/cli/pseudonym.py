"""`extauthz pseudonym`: what stands in a redacted decision log for a name."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from extauthz.config import Redactable
from extauthz.replay.rotation import read_pepper


@click.command(
    "pseudonym",
    epilog="""\b
Example:
  extauthz pseudonym --pepper-file /etc/extauthz/pepper/pepper subject alice""",
)
@click.argument("field", type=click.Choice([each.value for each in Redactable]))
@click.argument("text")
@click.option(
    "--pepper-file",
    type=click.Path(path_type=Path),
    required=True,
    envvar="EXTAUTHZ_PEPPER_FILE",
    help="The file with the pepper of the servers that wrote the log.",
)
def command(field: str, text: str, pepper_file: Path) -> None:
    """Tell what the decision log has in place of TEXT in FIELD, with `decision-log-redact`; `-` reads standard input.

    While a pepper takes the place of another there is a line for each: lines of the log from before and from after.
    """
    try:
        pepper = read_pepper(pepper_file)
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    name = sys.stdin.readline().rstrip("\r\n") if text == "-" else text
    for each in pepper.all:
        click.echo(each.pseudonym(field, name))
