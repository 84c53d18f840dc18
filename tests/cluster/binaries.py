"""Where kube-apiserver, etcd and kubectl are found: `KUBEBUILDER_ASSETS`, or what `make cluster-tools` has built."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.tools.build import PACKAGES, NoGoError, servers_folder
from tests.cluster.tools.helm import helm_folder

ABSENT: Final = (
    "cluster tests skipped: no kube-apiserver (set KUBEBUILDER_ASSETS or install Go and run make cluster-tools)"
)

NO_HELM: Final = "tests with helm skipped: no helm (run make cluster-tools)"


class NoBinariesError(Exception):
    """The binaries are not on this machine."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The three programs, by their paths."""

    apiserver: str
    etcd: str
    kubectl: str


def find_binaries() -> Binaries:
    """The programs to run. Raises NoBinariesError; never builds, which takes minutes."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    try:
        folder = Path(named) if named else servers_folder()
    except NoGoError as error:
        raise NoBinariesError(str(error)) from error
    missing = [name for name in PACKAGES if shutil.which(folder / name) is None]
    if missing:
        raise NoBinariesError(f"`{folder}` has no {', '.join(missing)}: run make cluster-tools")
    return Binaries(str(folder / "kube-apiserver"), str(folder / "etcd"), str(folder / "kubectl"))


def find_helm() -> str:
    """The path of helm. Raises NoBinariesError."""
    helm = helm_folder() / "helm"
    if not helm.is_file():
        raise NoBinariesError(f"there is no `{helm}`: run make cluster-tools")
    return str(helm)
