"""What the chart renders, for each file of values; UPDATE_GOLDENS=1 writes what is compared with."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.config import Settings, load, settings
from extauthz.control.rbac import TABLE, Mode
from tests.chart.rendering import CASES, CHART, GOLDENS, Object, containers, objects, of_kind, pods, run, template

DEVIATIONS = {"drain-delay": "5s"}
"""Where the chart means something else than the program: a Service takes a moment to forget a pod."""
PLACE = {
    "listen": "0.0.0.0:9191",
    "admin": "0.0.0.0:9090",
    "kubernetes": "true",
    "install-namespace": "extauthz-system",
}
"""What a pod is told because it is one."""

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)


@each_case
def test_helm_finds_nothing_to_warn_of(helm: str, case: Path) -> None:
    done = run(helm, "lint", "--strict", str(CHART), "--values", str(case))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@each_case
def test_what_is_rendered_is_what_was_reviewed(helm: str, case: Path) -> None:
    done = template(helm, case.read_text())
    assert done.returncode == 0, done.stderr
    golden = GOLDENS / case.name
    if os.environ.get("UPDATE_GOLDENS"):
        golden.write_text(done.stdout)
    before, now = golden.read_text().splitlines(), done.stdout.splitlines()
    changed = "\n".join(difflib.unified_diff(before, now, "reviewed", "rendered", lineterm="", n=2))
    assert not changed, f"{changed}\nif that is meant, run the tests with UPDATE_GOLDENS=1"


def test_no_golden_is_left_over() -> None:
    assert {path.name for path in GOLDENS.iterdir()} == {path.name for path in CASES}


@each_case
def test_every_pod_is_one_that_the_restricted_standard_lets_in(helm: str, case: Path) -> None:
    """Pod Security Standards, level restricted, and a root filesystem that nobody writes to."""
    found = objects(helm, case.read_text())
    for pod in pods(found):
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() <= {"name", "secret", "emptyDir", "projected"} for volume in pod.get("volumes", []))
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
    if case.stem.startswith("central"):
        assert list(pods(found))


@each_case
def test_every_pod_says_what_it_takes_and_runs_the_one_image(helm: str, case: Path) -> None:
    found = objects(helm, case.read_text())
    digest = yaml.safe_load(case.read_text()).get("image", {}).get("digest")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for pod in pods(found):
        for container in containers(pod):
            assert container["image"] == (f"registry.example/extauthz@{digest}" if digest else f"extauthz:{version}")
            assert container["imagePullPolicy"] in {"Always", "IfNotPresent"}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
            (admin,) = (port for port in container["ports"] if port["name"] == "admin")
            assert f":{admin['containerPort']}" in _said(container, "admin")


@each_case
def test_a_pod_outlives_its_draining(helm: str, case: Path) -> None:
    for pod in pods(objects(helm, case.read_text())):
        for container in _servers(pod):
            found = _settings(container)
            assert pod["terminationGracePeriodSeconds"] > found.drain_delay + found.drain_timeout
            assert found.drain_delay > 0


@each_case
def test_every_file_that_is_named_is_mounted(helm: str, case: Path) -> None:
    for pod in pods(objects(helm, case.read_text())):
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in containers(pod):
            mounts = container.get("volumeMounts", [])
            files = [part.partition("=")[2] for part in container["args"] if "=/etc/" in part]
            assert all(any(file.startswith(f"{mount['mountPath']}/") for mount in mounts) for file in files)
            assert {mount["name"] for mount in mounts} == volumes


def test_every_default_is_the_programs_own(helm: str) -> None:
    """So that the reference of settings tells the truth about the chart too."""
    (container,) = (c for pod in pods(objects(helm, "crds: {install: false}")) for c in _servers(pod))
    said = {name: text for name, text in _arguments(container) if name not in PLACE and name not in DEVIATIONS}
    defaults = {setting.name: setting.default for setting in settings()}
    assert said == {name: defaults[name] for name in said}
    assert {name: _said(container, name) for name in DEVIATIONS} == DEVIATIONS
    assert {name: _said(container, name) for name in PLACE} == PLACE


def test_every_setting_can_be_reached_by_a_value(helm: str) -> None:
    """A setting that is added to the program is added to the chart, or listed here with the reason."""
    not_here = {"policies", "namespace", "socket-mode", "service-account", "allow-http-loopback"}
    rendered = {
        name
        for case in CASES
        for pod in pods(objects(helm, case.read_text()))
        for container in _servers(pod)
        for name, _ in _arguments(container)
    }
    assert rendered == {setting.name for setting in settings()} - not_here


@pytest.mark.parametrize(
    ("mode", "case", "account"),
    [
        (Mode.CENTRAL, "controller-central", "extauthz"),
        (Mode.CONTROLLER, "controller-central", "extauthz-controller"),
        (Mode.SIDECAR, "sidecar-everything", "orders"),
        (Mode.CONTROLLER_OF_INSTALL, "controller-sidecar", "extauthz-controller"),
    ],
)
def test_an_account_may_do_what_the_table_says_and_no_more(helm: str, mode: Mode, case: str, account: str) -> None:
    """Where is asked of a real API server, in test_installing."""
    found = objects(helm, (GOLDENS.parent / "values" / f"{case}.yaml").read_text())
    wanted = {(r.group, name, verb) for r in TABLE[mode] for name in r.resources for verb in r.verbs}
    assert set(_rights(found, account)) == wanted


def _rights(found: list[Object], account: str) -> Iterator[tuple[str, str, str]]:
    roles = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in found}
    for binding in (*of_kind(found, "ClusterRoleBinding"), *of_kind(found, "RoleBinding")):
        if any(subject["name"] == account for subject in binding["subjects"]):
            ref, namespace = binding["roleRef"], binding["metadata"].get("namespace")
            for rule in roles[ref["kind"], namespace, ref["name"]]["rules"]:
                yield from product(rule["apiGroups"], rule["resources"], rule["verbs"])


def test_no_secret_is_readable_that_was_not_named(helm: str) -> None:
    """But by `references.everywhere`."""
    for case in CASES:
        everywhere = "everywhere: true" in case.read_text()
        for role in (r for r in objects(helm, case.read_text()) if r["kind"] in {"Role", "ClusterRole"}):
            for rule in role["rules"]:
                if {"secrets", "configmaps"} & set(rule["resources"]):
                    assert rule.get("resourceNames") or (everywhere and role["kind"] == "ClusterRole")


def test_the_definitions_come_with_the_chart_and_stay_when_it_goes(helm: str) -> None:
    found = of_kind(objects(helm, {}), "CustomResourceDefinition")
    made = {path.name: yaml.safe_load(path.read_text()) for path in (CHART / "files" / "crds").iterdir()}
    assert len(found) == len(made)
    for definition in found:
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert definition in made.values()


EVERYWHERE = tuple(case for case in CASES if case.stem.endswith("-everything") or case.stem == "sidecar-injection")


@pytest.mark.parametrize("case", EVERYWHERE, ids=lambda case: case.stem)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("gate", "system"), ("gate", "other")),
        # Joined by dashes these read the same.
        (("a", "b-c"), ("a-b", "c")),
        (("gate", "controller"), ("gate", "server")),
    ],
    ids=str,
)
def test_two_releases_share_no_name_outside_of_their_namespaces(
    helm: str, case: Path, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """But the definitions, which only one of them may have. Helm refuses the second; `kubectl apply` writes over it."""
    values = case.read_text().replace("fullnameOverride: gate\n", "")
    found = [set(_outside(_released(helm, values, *release), release[1])) for release in (one, other)]
    assert all(found)
    assert not found[0] & found[1]


def _released(helm: str, values: str, name: str, namespace: str) -> list[Object]:
    done = run(helm, "template", name, str(CHART), "--namespace", namespace, "--values", "-", stdin=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each is not None]


def _outside(found: list[Object], own: str) -> Iterator[tuple[str, str, str]]:
    for each in found:
        metadata = each["metadata"]
        if metadata.get("namespace") != own:
            yield each["kind"], metadata.get("namespace", ""), metadata["name"]


def _servers(pod: Object) -> list[Object]:
    return [container for container in containers(pod) if container["args"][0] == "serve"]


def _arguments(container: Object) -> Iterator[tuple[str, str]]:
    """The flags by name; a bare switch says true."""
    for part in container["args"][1:]:
        name, equals, text = re.sub(r"^--", "", part).partition("=")
        yield name, text if equals else "true"


def _said(container: Object, name: str) -> str:
    return dict(_arguments(container))[name]


def _settings(container: Object) -> Settings:
    flags: dict[str, Any] = {}
    for name, text in _arguments(container):
        flags[name] = (*flags[name], text) if name in flags else (text,)
    found = load(flags, {})
    assert isinstance(found, Settings), found
    return found


def test_whatever_has_several_pods_is_spread_and_not_evicted_all_at_once(helm: str) -> None:
    """Servers and controllers alike, each by a selector that takes its own pods and no others."""
    sidecar = {"namespaces": [{"namespace": name, "serviceAccounts": ["a"]} for name in ("shop", "bank")]}
    # In sidecar mode there is a controller for each namespace, and for that of the release.
    for values, count in (({}, 2), ({"mode": "sidecar", "sidecar": sidecar}, 3)):
        found = objects(helm, {"crds": {"install": False}, **values})
        deployments = of_kind(found, "Deployment")
        assert len(deployments) == count
        own = [each["spec"]["selector"]["matchLabels"] for each in deployments]
        budgets = [each["spec"]["selector"]["matchLabels"] for each in of_kind(found, "PodDisruptionBudget")]
        assert sorted(budgets, key=str) == sorted(own, key=str)
        for deployment, labels in zip(deployments, own, strict=True):
            spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
            assert [each["labelSelector"]["matchLabels"] for each in spread] == [labels, labels]
            assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
