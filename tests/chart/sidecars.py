"""Pods and options for the three ways to a sidecar: `extauthz inject`, the Helm library, the admission policy."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from click.testing import CliRunner, Result

from extauthz.cli.main import main
from tests.chart.rendering import CHART, Object, run

LIBRARY: Final = CHART / "charts" / "extauthz-sidecar"
SAMPLE: Final = Path(__file__).parent / "orders"

APP: Final[Object] = {"name": "app", "image": "app"}
ENVOY: Final[Object] = {"name": "envoy", "image": "envoy"}


def pod(*containers: Object, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A pod template."""
    found = {"serviceAccountName": "orders", "containers": list(containers or (APP, ENVOY)), **spec}
    return {"metadata": {"labels": {"app": "orders", **(labels or {})}}, "spec": copy.deepcopy(found)}


PODS: Final[dict[str, Object]] = {
    "plain": pod(),
    "with much of its own": pod(
        {**APP, "volumeMounts": [{"name": "data", "mountPath": "/data"}], "ports": [{"containerPort": 8080}]},
        {**ENVOY, "volumeMounts": [{"name": "boot", "mountPath": "/run"}]},
        initContainers=[{"name": "migrate", "image": "m"}, {"name": "extauthz-warm", "image": "w"}],
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "boot", "configMap": {"name": "boot"}}],
        securityContext={"fsGroup": 7},
        shareProcessNamespace=False,
    ),
    "with Envoy as a native sidecar": pod(APP, initContainers=[{**ENVOY, "restartPolicy": "Always"}]),
}
"""Pods that can have a sidecar."""

UNFIT: Final[dict[str, tuple[Object, str]]] = {
    "no Envoy": (pod(APP), "no container"),
    "on the node's network": (pod(hostNetwork=True), "hostNetwork"),
    "of Windows": (pod(os={"name": "windows"}), "Windows"),
    "a container of our name": (pod(APP, ENVOY, {"name": "extauthz", "image": "other"}), "none of ours"),
    "our port": (pod(APP, {**ENVOY, "ports": [{"containerPort": 9090}]}), "port 9090"),
    "something in our folder": (
        pod(
            APP,
            {**ENVOY, "volumeMounts": [{"name": "own", "mountPath": "//run/extauthz/x"}]},
            volumes=[{"name": "own", "emptyDir": {}}],
        ),
        "/run/extauthz",
    ),
}
"""Pods that can have none, and the words that say why."""


def inject(template: Object, options: Object, folder: Path) -> Result:
    """`extauthz inject` of a pod."""
    file = folder / "options.yaml"
    file.write_text(json.dumps(options))
    manifest = {"apiVersion": "v1", "kind": "Pod", **template}
    return CliRunner().invoke(main, ("inject", "--options", str(file), "-"), input=json.dumps(manifest))


def injected(template: Object, options: Object, folder: Path) -> Object:
    """The pod template that it gives."""
    done = inject(template, options, folder)
    assert done.exit_code == 0, done.stderr
    found: Object = yaml.safe_load(done.stdout)
    return {name: found[name] for name in ("metadata", "spec")}


class Sample:
    """Somebody else's chart, with the library as Helm fetches it."""

    def __init__(self, helm: str, folder: Path) -> None:
        self._helm = helm
        self._chart = folder / "orders"
        shutil.copytree(SAMPLE, self._chart)
        said = self._chart / "Chart.yaml"
        said.write_text(said.read_text().replace("LIBRARY", str(LIBRARY)))
        done = run(helm, "dependency", "update", str(self._chart), home=folder)
        assert done.returncode == 0, done.stderr

    def template(self, template: Object, options: Object) -> subprocess.CompletedProcess[str]:
        """`helm template`."""
        values = json.dumps({"pod": template, "extauthz": options})
        return run(self._helm, "template", "orders", str(self._chart), "--values", "-", stdin=values)

    def rendered(self, template: Object, options: Object) -> Object:
        """The pod template that it renders."""
        done = self.template(template, options)
        assert done.returncode == 0, done.stderr
        found: Object = yaml.safe_load(done.stdout)["spec"]["template"]
        return found
