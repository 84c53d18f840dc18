"""Builds the control planes that others write, from their Go modules; each is pinned by its own go.mod and go.sum."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.tools.build import NoGoError
from tests.cluster.tools.cache import cache_folder, made_once, name_of

_FLAGS: Final = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w")


@dataclass(frozen=True, slots=True)
class Program:
    """One of them. Its pins stand in the folder of its name."""

    name: str
    package: str

    @property
    def pins(self) -> Path:
        """The folder of go.mod and go.sum."""
        return Path(__file__).parent / self.name

    @property
    def path(self) -> Path:
        """Where the program is, or will be: it changes with what is pinned."""
        pins = [(self.pins / name).read_bytes() for name in ("go.mod", "go.sum")]
        return cache_folder() / f"{self.name}-{name_of(*pins, self.package.encode())}" / self.name

    def built(self) -> Path:
        """The program, built when it is not there: ten minutes of processor time. Raises NoGoError."""
        made_once(self.path.parent, self._build)
        return self.path

    def _build(self, folder: Path) -> None:
        print(f"building {self.name}: minutes at first, then never again", file=sys.stderr)
        environment = {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0"}
        command = ["go", "build", *_FLAGS, "-o", str(folder / self.name), self.package]
        try:
            done = subprocess.run(command, cwd=self.pins, env=environment, check=False)
        except FileNotFoundError as error:
            raise NoGoError(f"no `go` on the path: install Go to build {self.name}") from error
        if done.returncode != 0:
            raise NoGoError(f"`go build` of {self.name} failed, see above")


EGCTL: Final = Program("egctl", "github.com/envoyproxy/gateway/cmd/egctl")
ISTIOD: Final = Program("istiod", "istio.io/istio/pilot/cmd/pilot-discovery")
