"""`python -m bench`: run the benchmarks, print tables, and write JSON when asked to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from bench import answering, calling, choosing, cluster, memory, revoking, store
from bench.measure import Effort, Report
from bench.report import as_json, machine, text_of

BENCHMARKS: Final[Mapping[str, Callable[[Effort], Report]]] = {
    "answer": answering.run,
    "call": calling.run,
    "choose": choosing.choose_report,
    "build": choosing.build_report,
    "memory": memory.run,
    "revocation": revoking.run,
    "store": store.run,
}
WITH_CLUSTER: Final = {**BENCHMARKS, "cluster": cluster.run}
"""And what needs an API server."""


@click.command()
@click.option("--only", type=click.Choice(list(WITH_CLUSTER)), multiple=True, help="Run this one; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="Rounds that count.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Of the usual calls; for a quick look."
)
@click.option(
    "--output", type=(click.Choice(["json"]), click.Path(path_type=Path)), metavar="json FILE", help="Write all rounds."
)
def main(only: tuple[str, ...], rounds: int, share: float, output: tuple[str, Path] | None) -> None:
    """Measure what a Check costs, each thing beside its yardstick and within one run."""
    effort = Effort(rounds, share)
    click.echo(", ".join(f"{name} {value}" for name, value in machine().items()))
    reports = []
    for name in only or WITH_CLUSTER:
        reports.append(WITH_CLUSTER[name](effort))
        click.echo(text_of(reports[-1]))
    if output is not None:
        output[1].write_text(json.dumps(as_json(reports, effort), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
