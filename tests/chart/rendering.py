"""What helm makes of the chart, as objects."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parents[2] / "charts" / "extauthz"
CASES: Final = tuple(sorted((Path(__file__).parent / "values").glob("*.yaml")))
"""One file of values for each mode and option."""
GOLDENS: Final = Path(__file__).parent / "goldens"
NAMESPACE: Final = "extauthz-system"

Object = dict[str, Any]


def run(helm: str, *arguments: str, stdin: str = "", home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm to its end, with nothing of the user's own; its exit code is the caller's to look at."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    environment = kept | ({"HOME": str(home), "XDG_CACHE_HOME": str(home)} if home is not None else {})
    return subprocess.run(
        [helm, *arguments], input=stdin, env=environment, capture_output=True, text=True, timeout=50, check=False
    )


def template(helm: str, values: Mapping[str, Any] | str, *flags: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values."""
    text = values if isinstance(values, str) else json.dumps(values)  # JSON is YAML
    command = ["template", "extauthz", str(CHART), "--namespace", NAMESPACE, "--values", "-", *flags]
    return run(helm, *command, stdin=text)


def objects(helm: str, values: Mapping[str, Any] | str) -> list[Object]:
    """The objects that the chart renders, which it must."""
    done = template(helm, values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each is not None]


def of_kind(found: list[Object], kind: str) -> list[Object]:
    """Those of one kind."""
    return [each for each in found if each["kind"] == kind]


def pods(found: list[Object]) -> Iterator[Object]:
    """The specs of all pods that the objects make."""
    for each in found:
        spec = each.get("spec") or {}
        if "template" in spec:
            yield spec["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    """All of a pod, initial ones too."""
    return [*pod.get("initContainers", []), *pod["containers"]]
