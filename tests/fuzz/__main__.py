"""`python -m tests.fuzz`: fuzz everything, or judge one kept input again. Exits with 1 when a law was broken."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from tests.fuzz.engine import fuzz, judged, shrunk
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS, shares


@click.command()
@click.option("--inputs", type=click.IntRange(min=1), default=100_000, show_default=True, envvar="FUZZ_INPUTS",
              help="Inputs in all; each target has its share. Also the variable FUZZ_INPUTS.")  # fmt: skip
@click.option("--only", type=click.Choice(list(TARGETS)), multiple=True, help="Fuzz this one; may be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Where chance begins.")
@click.option("--findings", type=click.Path(path_type=Path), default=Path("build/fuzz"), show_default=True,
              help="Where inputs that break a law are kept.")  # fmt: skip
@click.option("--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Judge this input alone, with one --only.")  # fmt: skip
def main(inputs: int, only: tuple[str, ...], seed: int, findings: Path, replay: Path | None) -> None:
    """Fuzz the readers of what strangers and authors send."""
    targets = {name: TARGETS[name] for name in only or TARGETS}
    if replay is not None:
        if len(only) != 1:
            raise click.UsageError("--replay needs one --only, which says what the file is an input of")
        sys.exit(_replay(targets[only[0]], replay))
    broken = False
    for name, count in shares(inputs, targets).items():
        campaign = fuzz(targets[name], count, seed)
        click.echo(str(campaign))
        for finding in campaign.findings.values():
            broken = True
            least = shrunk(targets[name], finding)
            findings.mkdir(parents=True, exist_ok=True)
            file = findings / f"{name}-{hashlib.sha256(least.data).hexdigest()[:12]}"
            file.write_bytes(least.data)
            click.echo(f"  {least.what}\n    kept in {file}: {least.data[:160]!a}")
    sys.exit(broken)


def _replay(target: Target, file: Path) -> int:
    answer, problem = judged(target, file.read_bytes())
    click.echo(answer if problem is None else f"  {problem}")
    return int(problem is not None)


if __name__ == "__main__":
    main()
