"""From the chart to a sidecar in a pod: what the ConfigMap says, `extauthz inject` takes, and `extauthz serve` too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from extauthz.cli.main import main
from tests.chart.rendering import CASES, Object, containers, objects, of_kind, pods
from tests.cluster.access import Access

WORKLOAD: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "orders"},
    "spec": {
        "selector": {"matchLabels": {"app": "orders"}},
        "template": {
            "metadata": {"labels": {"app": "orders"}},
            "spec": {
                "serviceAccountName": "orders",
                "containers": [{"name": name, "image": name} for name in ("app", "envoy", "proxy")],
            },
        },
    },
}
LEVEL = ("pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def injected(helm: str, case: Path, folder: Path, workload: Object = WORKLOAD) -> Object:
    """The workload with the sidecar that the chart's release describes."""
    (config,) = of_kind(objects(helm, case.read_text()), "ConfigMap")
    file = folder / "inject.yaml"
    file.write_text(config["data"]["inject.yaml"])
    done = CliRunner().invoke(main, ("inject", "--options", str(file), "-"), input=json.dumps(workload))
    assert done.exit_code == 0, done.stderr
    found: Object = yaml.safe_load(done.stdout)
    return found


each_sidecar_case = pytest.mark.parametrize(
    "case", [case for case in CASES if case.stem.startswith("sidecar")], ids=lambda case: case.stem
)


@each_sidecar_case
def test_what_the_chart_says_of_sidecars_is_what_serve_takes(
    helm: str, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod,) = pods([injected(helm, case, tmp_path)])
    (sidecar,) = pod["initContainers"]
    for variable in sidecar["env"]:
        monkeypatch.setenv(variable["name"], "shop")
    checked = CliRunner().invoke(main, (*sidecar["args"], "--check-config"))
    assert (checked.exit_code, checked.stdout) == (0, "the settings are good\n"), checked.stderr


@each_sidecar_case
def test_every_file_that_the_sidecar_names_is_mounted(helm: str, case: Path, tmp_path: Path) -> None:
    (pod,) = pods([injected(helm, case, tmp_path)])
    (sidecar,) = pod["initContainers"]
    files = [part.partition("=")[2] for part in sidecar["args"] if "=/etc/" in part]
    mounts = [mount["mountPath"] for mount in sidecar["volumeMounts"]]
    assert all(any(file.startswith(f"{mount}/") for mount in mounts) for file in files)


@pytest.mark.parametrize("name", ["maxSourceAge", "maxRevocations", "logLevel"])
def test_a_setting_that_is_emptied_has_the_default_of_the_program(helm: str, name: str) -> None:
    """`null` takes a default of a chart away, in helm."""
    lines = [containers(each)[0]["args"] for each in pods(objects(helm, f"settings: {{{name}: null}}"))]
    assert [args[0] for args in lines] == ["serve", "controller"]
    for args in lines:
        checked = CliRunner().invoke(main, (*args, "--check-config"))
        assert checked.exit_code == 0, checked.stderr


def test_every_central_command_line_is_one_that_serve_takes(helm: str) -> None:
    for case in CASES:
        for pod in pods(objects(helm, case.read_text())):
            for container in containers(pod):
                checked = CliRunner().invoke(main, (*container["args"], "--check-config"))
                assert (checked.exit_code, checked.stdout) == (0, "the settings are good\n"), checked.stderr


@pytest.mark.slow
def test_a_namespace_that_enforces_the_restricted_standard_takes_every_pod(
    helm: str, access: Access, namespace: str, tmp_path: Path
) -> None:
    """Pod Security admission of a real API server, which the server that runs has built in."""
    label = access.kubectl("label", "namespace", namespace, *LEVEL)
    assert label.returncode == 0, label.stderr
    workload = json.loads(json.dumps(WORKLOAD))
    for container in workload["spec"]["template"]["spec"]["containers"]:
        container["securityContext"] = RESTRICTED
    found: list[Any] = [
        pod
        for case in CASES
        for pod in (
            pods(objects(helm, case.read_text()))
            if not case.stem.startswith("sidecar")
            else pods([injected(helm, case, tmp_path, workload)])
        )
    ]
    assert len(found) >= len(CASES)
    for spec in found:
        spec.pop("priorityClassName", None)  # the one of the case may be used in one namespace only
        done = _try(access, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})
        assert done.returncode == 0, done.stderr
    done = _try(access, namespace, injected(helm, CASES[-1], tmp_path, workload))
    assert (done.returncode, "would violate" in done.stderr) == (0, False), done.stderr
    refused = _try(access, namespace, injected(helm, CASES[-1], tmp_path))
    assert "would violate PodSecurity" in refused.stderr, "the standard must be one that is enforced"


def _try(access: Access, namespace: str, found: Object) -> subprocess.CompletedProcess[str]:
    return access.kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=json.dumps(found))
