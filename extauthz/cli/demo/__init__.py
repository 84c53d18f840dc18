"""`extauthz demo`: the main job on this machine, with a real Envoy."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import click

from extauthz.cli.demo.envoy import EnvoyMissing, version
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.scenario import Row, play
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import SystemClock


@click.command(
    "demo",
    epilog="""\b
Examples:
  extauthz demo
  extauthz demo --keep     leaves all running and prints lines to try""",
)
@click.option("--keep", is_flag=True, help="Leave everything running until ctrl-c, and print curl lines to try.")
def command(*, keep: bool) -> None:
    """Show what extauthz does: a real Envoy, an issuer, an upstream and the sidecar, real requests, a table.

    Everything listens on loopback, on ports the system chooses, and is gone in the end. Needs the extra `demo`.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: _interrupt(stop))
    try:
        with tempfile.TemporaryDirectory(prefix="extauthz-demo-") as folder:
            sys.exit(_run(Path(folder), stop, keep=keep))
    except (EnvoyMissing, TimeoutError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("interrupted; everything is stopped", err=True)
        sys.exit(130)


def _interrupt(stop: threading.Event) -> None:
    stop.set()
    raise KeyboardInterrupt


def _run(folder: Path, stop: threading.Event, *, keep: bool) -> int:
    click.echo(f"Starting an issuer, an upstream, the sidecar and Envoy {version()} on loopback ...")
    stage = Stage(folder, FILES, SystemClock())
    try:
        rows = _show(stage)
        if keep:
            _invite(stage)
            stop.wait()
    finally:
        stage.stop()
    wrong = [row for row in rows if not row.fits]
    for row in wrong:
        click.echo(f"not as expected: {row.request}: wanted {row.expected}, got {row.got}", err=True)
    click.echo(f"{len(rows)} checks, {'all as expected' if not wrong else f'{len(wrong)} not as expected'}")
    return 1 if wrong else 0


_LINE: Final = "{:<38} {:<29} {:<22} {:<20} {:>7}"
"""Fits a terminal of 120 columns."""


def _show(stage: Stage) -> list[Row]:
    """Print the table while it comes about."""
    click.echo(_LINE.format("request", "expected", "got", "reason", "µs"))
    rows = []
    for row in play(stage):
        took = "" if row.seconds is None else f"{row.seconds * 1e6:,.0f}"
        mark = "" if row.fits else "  <- not as expected"
        click.echo(_LINE.format(row.request, row.expected, row.got, row.reason, took).rstrip() + mark)
        rows.append(row)
    return rows


def _invite(stage: Stage) -> None:
    url = f"http://127.0.0.1:{stage.envoy.port}"
    click.echo(f"""
Running until ctrl-c. Policies: {stage.policies}
Edit them and see: what you save is in force a moment later. Lines to try:

  TOKEN={stage.issuer.token(lifetime=600)}    # good for ten minutes
  curl -i -H 'host: api.example' {url}/orders
  curl -i -H 'host: api.example' -H "authorization: Bearer $TOKEN" {url}/orders
  curl -i -H 'host: api.example' -H "authorization: Bearer $TOKEN" -X POST {url}/orders    # once, then 401
  tail -f {stage.sidecar.decisions}
""")
