"""Builds Envoy Gateway's `egctl` from its Go module, pinned by the go.mod and go.sum beside this file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.tools.build import NoGoError
from tests.cluster.tools.cache import cache_folder, made_once, name_of

HERE: Final = Path(__file__).parent
PACKAGE: Final = "github.com/envoyproxy/gateway/cmd/egctl"
_FLAGS: Final = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w")


def egctl() -> Path:
    """Where the program is, or will be: it changes with what is pinned."""
    pins = [(HERE / name).read_bytes() for name in ("go.mod", "go.sum", "egctl.py")]
    return cache_folder() / f"egctl-{name_of(*pins)}" / "egctl"


def build(folder: Path) -> None:
    """Build it: ten minutes of processor time at first. Raises NoGoError."""
    print("building egctl: minutes at first, then never again", file=sys.stderr)
    environment = {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0"}
    command = ["go", "build", *_FLAGS, "-o", str(folder / "egctl"), PACKAGE]
    try:
        done = subprocess.run(command, cwd=HERE, env=environment, check=False)
    except FileNotFoundError as error:
        raise NoGoError("no `go` on the path: install Go to build egctl") from error
    if done.returncode != 0:
        raise NoGoError("`go build` failed, see above")


def built() -> Path:
    """The program, built when it is not there. Raises NoGoError."""
    return made_once(egctl().parent, build) / "egctl"
