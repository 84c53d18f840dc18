"""`python -m bench.soak`: the long runs. Exits 1 when an answer was wrong or memory grew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bench.report import machine
from bench.soak.through_envoy import Run
from bench.soak.tokens import Tokens


@click.command()
@click.option("--only", type=click.Choice(["envoy", "tokens"]), help="One of the two.")
@click.option("--seconds", type=click.IntRange(min=1), default=600, show_default=True, help="How long through Envoy.")
@click.option("--rate", type=click.IntRange(min=4), default=300, show_default=True, help="Requests a second.")
@click.option("--tokens", type=click.IntRange(min=1000), default=1_000_000, show_default=True, help="How many tokens.")
@click.option(
    "--output",
    type=(click.Choice(["json"]), click.Path(path_type=Path)),
    metavar="json FILE",
    help="Write all samples.",
)
def main(only: str | None, seconds: int, rate: int, tokens: int, output: tuple[str, Path] | None) -> None:
    """Run for long, and look for wrong answers and for memory that grows."""
    outcomes = []
    if only != "tokens":
        outcomes.append(Run(seconds, rate)())
        click.echo(outcomes[-1])
    if only != "envoy":
        outcomes.append(Tokens(tokens).run())
        click.echo(outcomes[-1])
    if output is not None:
        page = {"schema": 1, "machine": machine(), "runs": {each.name: each.as_dict() for each in outcomes}}
        output[1].write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(each.wrong for each in outcomes))


if __name__ == "__main__":
    main()
