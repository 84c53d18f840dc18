"""Builds kube-apiserver, etcd and kubectl from their Go modules, pinned by the go.mod and go.sum beside this file.

`make cluster-tools` runs it. It prints the folder of the binaries, and builds only when they are not there. How modules
are fetched (`GOPROXY`, `GOSUMDB`, `GOFLAGS`) is the business of the environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.cluster.tools.cache import cache_folder, made_once, name_of

HERE: Final = Path(__file__).parent
PACKAGES: Final = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
_FLAGS: Final = ("-trimpath", "-buildvcs=false", "-mod=readonly")
_VERSION: Final = "k8s.io/component-base/version"


class NoGoError(Exception):
    """There is no Go toolchain that could build."""


def servers_folder() -> Path:
    """Where the binaries are, or will be: it changes with what is pinned and with the toolchain. Raises NoGoError."""
    pins = [(HERE / name).read_bytes() for name in ("go.mod", "go.sum", "build.py")]
    toolchain = _go("env", "GOVERSION", "GOOS", "GOARCH")
    return cache_folder() / name_of(*pins, toolchain.encode())


def build_servers(folder: Path) -> None:
    """Build every binary: 5 to 10 minutes of processor time at first, about 100 MB of modules. Raises NoGoError."""
    for name, package in PACKAGES.items():
        print(f"building {name}: minutes at first, then never again", file=sys.stderr)
        _go("build", *_FLAGS, f"-ldflags={_stamp()}", "-o", str(folder / name), package)


def _stamp() -> str:
    """Linker flags: no symbols, and the version, without which clients cannot parse what the server says it is."""
    version = _go("list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").strip()
    major, minor = re.findall(r"\d+", version)[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(("-s", "-w", *(f"-X {_VERSION}.{name}={value}" for name, value in values.items())))


def _go(*arguments: str) -> str:
    """Run `go` beside go.mod. A Go that is too old fetches the one that go.mod names, when it is 1.21 or newer."""
    environment = {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            ["go", *arguments], cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    except FileNotFoundError as error:
        raise NoGoError("no `go` on the path: install Go, or set KUBEBUILDER_ASSETS") from error
    if done.returncode != 0:
        raise NoGoError(f"`go {arguments[0]}` failed, see above: tests/cluster/tools/go.mod says which Go it needs")
    return done.stdout


def make(folder: Path, build: Callable[[Path], None]) -> int:
    """The command that makes a folder, once, and prints where it is."""
    try:
        print(made_once(folder, build))
    except NoGoError as error:
        print(f"cluster tools: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(make(servers_folder(), build_servers))
