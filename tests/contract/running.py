"""The console script as a process of its own, ended by its id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = str(Path(sys.executable).with_name("extauthz"))
PATIENCE = 30.0
"""Seconds after which a test that waits for a process gives up."""


def environment(**more: str) -> dict[str, str]:
    """That of the tests, without any setting of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTHZ_")} | more


def run(
    *arguments: object, stdin: str = "", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [SCRIPT, *map(str, arguments)],
        input=stdin,
        env=environment(**(environ or {})),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@dataclass(frozen=True)
class Serve:
    """A `serve` that is ready."""

    process: subprocess.Popen[str]
    address: str
    """Where it listens, as a client writes it."""
    admin: str
    """The URL of the admin port; empty when that is off."""
    lines: tuple[str, str]
    """What it printed."""

    def end(self) -> tuple[int, str]:
        """Send SIGTERM and wait. Returns the exit code and what it printed after it was ready."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest


@contextmanager
def serving(folder: Path, *flags: object, errors: Path | None = None) -> Iterator[Serve]:
    """`serve` over a folder while the block runs, with the process log in `errors`."""
    command = [SCRIPT, "serve", "--policies", folder, "--decision-log", "off", "--listen", "127.0.0.1:0", *flags]
    if "--admin" not in flags:
        command += ["--admin", "off"]
    with (errors or Path(os.devnull)).open("w") as log:
        process = subprocess.Popen(
            [str(each) for each in command],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield _ready(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def _ready(process: subprocess.Popen[str]) -> Serve:
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert first.startswith("listening on "), first
    where, _, admin = first.removeprefix("listening on ").strip().partition(", admin on ")
    return Serve(process, where.split(", ")[0], admin, (first, second))


def write(folder: Path, name: str, *objects: dict[str, Any]) -> Path:
    """Put a file of objects into a folder, at one stroke, as editors and mounted ConfigMaps do."""
    path = folder / name
    fresh = folder / f".{name}"
    # JSON is YAML, and quotes every name: `n` and `y` of a key would else be read as truth values.
    fresh.write_text("\n---\n".join(json.dumps(each, indent=1) for each in objects))
    fresh.rename(path)
    return path
