"""CustomResourceDefinitions of other projects, out of the Go modules that publish them, pinned by `crds/go.mod`.

`make cluster-tools` runs it. It prints the folder that holds them, one file for each project, and does nothing when
they are there. go.sum beside that go.mod holds the hash of each module. None is built, and none is in this repository.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.tools.build import NoGoError, make
from tests.cluster.tools.cache import cache_folder, name_of

PINS: Final = Path(__file__).parent / "crds"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a project keeps its definitions: a module, and files in it by a pattern."""

    module: str
    files: str


PROJECTS: Final = {
    "gateway-api": Source("sigs.k8s.io/gateway-api", "config/crd/standard/*.yaml"),
    # The same kinds and more, with fields that the standard channel lacks.
    "gateway-api-experimental": Source("sigs.k8s.io/gateway-api", "config/crd/experimental/*.yaml"),
    "istio": Source("istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"),
    "envoy-gateway": Source("github.com/envoyproxy/gateway", "charts/gateway-helm/charts/crds/crds/generated/*.yaml"),
    "ai-gateway": Source("github.com/envoyproxy/ai-gateway", "manifests/charts/ai-gateway-crds-helm/templates/*.yaml"),
}


class NotFetchedError(Exception):
    """The definitions are not on this machine."""


def published_folder() -> Path:
    """Where the definitions are, or will be: it changes with what is pinned."""
    pins = [path.read_bytes() for path in (PINS / "go.mod", PINS / "go.sum", Path(__file__))]
    return cache_folder() / f"published-{name_of(*pins)}"


def published_crds(project: str) -> list[dict[str, Any]]:
    """The definitions of a project, as it publishes them. Raises NotFetchedError; never fetches."""
    path = published_folder() / f"{project}.json"
    assert project in PROJECTS, f"no project `{project}`: one of {', '.join(PROJECTS)}"
    if not path.is_file():
        raise NotFetchedError(f"there is no `{path}`: run make cluster-tools")
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def fetch_published(folder: Path) -> None:
    """Write the definitions of each project: seconds, some 20 MB of modules. Raises NoGoError."""
    folders = _modules()
    for name, source in PROJECTS.items():
        files = sorted(folders[source.module].glob(source.files))
        found = [
            each for path in files for each in yaml.load_all(path.read_text(), yaml.CSafeLoader) if _is_definition(each)
        ]
        assert found, f"`{source.module}` has no definitions in `{source.files}`"
        (folder / f"{name}.json").write_text(json.dumps(found))


def _is_definition(document: Any) -> bool:
    return isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition"


def _modules() -> dict[str, Path]:
    """The folder of each module. Go refuses a module whose hash is not the one in go.sum."""
    command = ["go", "mod", "download", "-json", *sorted({each.module for each in PROJECTS.values()})]
    try:
        done = subprocess.run(
            command, cwd=PINS, env={"GOTOOLCHAIN": "auto", **os.environ}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise NoGoError("no `go` on the path: install Go to fetch the definitions of other projects") from error
    if done.returncode != 0:
        raise NoGoError(f"modules cannot be fetched: {done.stderr or done.stdout}")
    return {each["Path"]: Path(each["Dir"]) for each in _objects(done.stdout)}


def _objects(text: str) -> list[dict[str, str]]:
    """JSON objects that follow each other, as `go` prints them."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        each, end = decoder.raw_decode(text)
        found.append(each)
        text = text[end:]
    return found


if __name__ == "__main__":
    sys.exit(make(published_folder(), fetch_published))
