"""`extauthz inject`: which pods get a sidecar, what it looks like, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from extauthz.cli.main import main

IMAGE = ("--image", "registry.example/extauthz:1")
POD = "{containers: [{name: app, image: app}, {name: envoy, image: envoy}]}"

WORKLOADS = {
    "Pod": f"{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {POD}}}",
    "PodTemplate": f"{{apiVersion: v1, kind: PodTemplate, template: {{spec: {POD}}}}}",
    "ReplicationController": f"{{apiVersion: v1, kind: ReplicationController, spec: {{template: {{spec: {POD}}}}}}}",
    "Deployment": f"{{apiVersion: apps/v1, kind: Deployment, spec: {{template: {{spec: {POD}}}}}}}",
    "ReplicaSet": f"{{apiVersion: apps/v1, kind: ReplicaSet, spec: {{template: {{spec: {POD}}}}}}}",
    "StatefulSet": f"{{apiVersion: apps/v1, kind: StatefulSet, spec: {{template: {{spec: {POD}}}}}}}",
    "DaemonSet": f"{{apiVersion: apps/v1, kind: DaemonSet, spec: {{template: {{spec: {POD}}}}}}}",
    "Job": f"{{apiVersion: batch/v1, kind: Job, spec: {{template: {{spec: {POD}}}}}}}",
    "CronJob": "{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: " + POD + "}}}}}",
}

OTHERS = {
    "Service": "{apiVersion: v1, kind: Service, spec: {ports: [{port: 80}]}}",
    "ConfigMap": "{apiVersion: v1, kind: ConfigMap, data: {'on': 'no', number: '010', text: \"a\\nb\\n\"}}",
    "AccessPolicy": "{apiVersion: extauthz.dev/v1alpha1, kind: AccessPolicy, spec: {hosts: [a.example]}}",
    "a pod that wants none": (
        "{apiVersion: v1, kind: Pod, metadata: {labels: {extauthz.dev/inject: 'false'}}, spec: " + POD + "}"
    ),
}

REFUSED = (
    ("kind: Pod", 1, "is no Kubernetes object"),
    ("- a", 1, "is no Kubernetes object"),
    ("apiVersion: apps/v1\nkind: Deployment\nspec: {}", 3, "`spec.template` is missing"),
    ("apiVersion: v1\nkind: Pod", 1, "`spec` is missing"),
    ("apiVersion: v1\nkind: PodList\nitems: []", 2, "`PodList` is not read"),
    (
        f"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nspec:\n  template:\n    spec: {POD}",
        2,
        "`argoproj.io/Rollout` holds containers and is not known",
    ),
    (f"apiVersion: extensions/v1beta1\nkind: Deployment\nspec: {{template: {{spec: {POD}}}}}", 2, "is not known"),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  hostNetwork: true\n  containers: [{name: envoy, image: e}]",
        4,
        "open on the node",
    ),
    ("apiVersion: v1\nkind: Pod\nspec:\n  os: {name: windows}\n  containers: [{name: envoy, image: e}]", 4, "Windows"),
    ("apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: a}]", 4, "found `app`; name Envoy's by"),
    ("apiVersion: v1\nkind: Pod\nspec:\n  containers: none", 4, "is no list of mappings"),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: envoy, image: e}, {name: extauthz, image: other}]",
        4,
        "is none of ours",
    ),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: envoy}]\n  volumes: [{name: extauthz-store}]",
        5,
        "has a volume `extauthz-store` that is none of ours",
    ),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: envoy, image: e, ports: [{containerPort: 9090}]}]",
        4,
        "choose --admin-port",
    ),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: envoy, volumeMounts: [{mountPath: /run/extauthz}]}]",
        4,
        "mounts something at",
    ),
    (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - volumeMounts: [{mountPath: //run//extauthz/}]",
        5,
        "mounts something at",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {extauthz.dev/inject: false}\nspec: {}",
        4,
        "put its value in quotes",
    ),
    ("apiVersion: v1\nkind: Pod\nspec: {}", 3, "found none"),
    ("apiVersion: v1\nkind: Pod\nkind: Pod", 3, "stands twice"),
    ("a: b: c", 1, "not YAML"),
)

BAD_OPTIONS = (
    ((), "--image: is missing, and is needed"),
    ((*IMAGE, "--admin-port", "0"), "--admin-port: found `0`, allowed is at least 1"),
    ((*IMAGE, "--bind-address", "::"), "--bind-address: "),
    ((*IMAGE, "--bind-address", "[::g]"), "--bind-address: "),
    ((*IMAGE, "--image-pull-policy", "Often"), "--image-pull-policy: found `Often`, allowed is `Always`"),
    ((*IMAGE, "--envoy-container", "En voy"), "--envoy-container: "),
    ((*IMAGE, "--arg=--thread=4"), "did you mean `threads`?"),
    ((*IMAGE, "--arg=--check-budget=5"), "--check-budget"),
    ((*IMAGE, "--arg=--kubernetes"), "--kubernetes: takes one value, found 2"),
    ((*IMAGE, "--arg=threads"), "`threads` is no flag"),
    ((*IMAGE, "--arg=--store=redis://counts"), "`pepper-file` is not set"),
    (
        (*IMAGE, "--pepper-secret=p", "--arg=--store=redis://c", "--arg=--store-password-file=/etc/extauthz/store/p"),
        "without `store-secret`",
    ),
)


BAD_FILES = (
    ("image: x\nadminport: 1", ": adminport: unknown field; did you mean `admin-port`?"),
    ("image: x\nenvoy-container: 1", ": envoy-container: found `1`, which is a number: "),
    ("image: x\nargs: --threads=8", ": args: found `--threads=8`, which is a text: "),
    ("image: x\nargs: [1]", ": args[0]: found `1`, which is a number: "),
    ("image-pull-policy: Always", ": image: is missing, and is needed"),
)


@pytest.mark.parametrize(("text", "words"), BAD_FILES)
def test_a_mistake_in_the_file_of_options_is_told_with_the_file(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text(text)
    done = run("", "--options", str(tmp_path / "o.yaml"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{tmp_path / 'o.yaml'}{words}")


def run(text: str, *options: str) -> Result:
    return CliRunner().invoke(main, ("inject", *(options or IMAGE), "-"), input=text)


def injected(text: str, *options: str) -> list[Any]:
    done = run(text, *options)
    assert done.exit_code == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pod_of(manifest: Any) -> Any:
    """The spec of the pod, wherever it is."""
    if "containers" in manifest:
        return manifest
    return next(pod_of(inner) for name, inner in manifest.items() if name in {"spec", "template", "jobTemplate"})


ROOMY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  template:
    metadata:
      labels: {app: orders}
      annotations: {prometheus.io/scrape: "true"}
    spec:
      initContainers:
        - {name: migrate, image: m, volumeMounts: [{name: data, mountPath: /data}]}
        - {name: extauthz-warm, image: w}
      containers:
        - {name: app, image: a, volumeMounts: [{name: data, mountPath: /data}, {name: extauthz-notes, mountPath: /n}]}
        - {name: envoy, image: e, ports: [{containerPort: 8080}], volumeMounts: [{name: boot, mountPath: /run}]}
      volumes: [{name: data, emptyDir: {}}, {name: boot, configMap: {name: b}}, {name: extauthz-notes, emptyDir: {}}]
"""
"""A pod with much of its own, some of it named a little like ours."""

OLDER = """\
apiVersion: v1
kind: Pod
metadata: {name: a, annotations: {extauthz.dev/injected: extauthz}}
spec:
  initContainers:
    - {name: migrate, image: m}
    - name: extauthz
      image: extauthz:0.0.1
      restartPolicy: Always
      args: [serve, --old-flag]
      ports: [{containerPort: 9090}]
      volumeMounts: [{name: extauthz-socket, mountPath: /run/extauthz}, {name: extauthz-pepper, mountPath: /old}]
  containers:
    - {name: app, image: a, volumeMounts: [{name: extauthz-pepper, mountPath: /pepper}]}
    - name: envoy
      image: e
      volumeMounts: [{name: extauthz-socket, mountPath: /run/extauthz}, {name: c, mountPath: /c}]
  volumes:
    - {name: extauthz-socket, emptyDir: {}}
    - {name: c, emptyDir: {}}
    - {name: extauthz-pepper, secret: {secretName: old}}
"""
BARE = """\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  initContainers: [{name: migrate, image: m}]
  containers:
    - {name: app, image: a}
    - {name: envoy, image: e, volumeMounts: [{name: c, mountPath: /c}]}
  volumes: [{name: c, emptyDir: {}}]
"""
"""The same pod, as its author wrote it."""


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_workload_gets_one_native_sidecar_ahead_of_everything(kind: str) -> None:
    (manifest,) = injected(WORKLOADS[kind])
    pod = pod_of(manifest)
    (sidecar,) = pod["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("extauthz", "Always")
    assert sidecar["image"] == "registry.example/extauthz:1"
    assert [each["name"] for each in pod["containers"]] == ["app", "envoy"]


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_second_run_changes_nothing(kind: str) -> None:
    once = run(WORKLOADS[kind]).stdout
    assert run(once).stdout == once


def test_a_run_with_other_options_replaces_what_the_first_put_in() -> None:
    first = run(WORKLOADS["Deployment"], *IMAGE, "--pepper-secret", "p").stdout
    second = run(first, "--image", "other", "--envoy-container", "app").stdout
    assert second == run(WORKLOADS["Deployment"], "--image", "other", "--envoy-container", "app").stdout


def test_what_an_older_version_put_in_is_replaced_whole_and_wherever_it_stands() -> None:
    assert injected(OLDER) == injected(BARE)


@pytest.mark.parametrize("text", [*WORKLOADS.values(), ROOMY, BARE], ids=[*WORKLOADS, "roomy", "bare"])
def test_a_sidecar_can_be_taken_out_again_and_nothing_of_it_stays(text: str) -> None:
    once = run(text, *IMAGE, "--store-secret", "s", "--pepper-secret", "p").stdout
    done = run(once, "--remove")
    assert list(yaml.safe_load_all(done.stdout)) == list(yaml.safe_load_all(text))
    assert done.stderr == "1 of 1 objects lost their sidecar\n"
    assert run(done.stdout, "--remove").stdout == done.stdout


def test_an_older_sidecar_is_taken_out_too() -> None:
    assert list(yaml.safe_load_all(run(OLDER, "--remove").stdout)) == [yaml.safe_load(BARE)]


def test_a_container_of_our_name_that_we_did_not_put_in_is_not_taken_out() -> None:
    text = "{apiVersion: v1, kind: Pod, spec: {containers: [{name: extauthz, image: other}]}}"
    done = run(text, "--remove")
    assert yaml.safe_load(done.stdout) == yaml.safe_load(text)
    assert done.stderr == "0 of 1 objects lost their sidecar\n"


@pytest.mark.parametrize(("option", "value"), [("--image", "i"), ("--arg", "--threads=2"), ("--admin-port", "1")])
def test_taking_out_and_putting_in_are_not_mixed(option: str, value: str) -> None:
    done = run(ROOMY, "--remove", option, value)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"takes no other option, found {option}" in done.stderr


def test_what_a_pod_has_of_its_own_stays() -> None:
    (manifest,) = injected(ROOMY)
    pod, before = pod_of(manifest), pod_of(yaml.safe_load(ROOMY))
    assert pod["initContainers"][1:] == before["initContainers"]
    assert pod["containers"][0] == before["containers"][0]
    assert pod["volumes"][: len(before["volumes"])] == before["volumes"]
    assert pod["containers"][1]["volumeMounts"][0] == before["containers"][1]["volumeMounts"][0]
    assert manifest["spec"]["template"]["metadata"] == {
        "labels": {"app": "orders"},
        "annotations": {"prometheus.io/scrape": "true", "extauthz.dev/injected": "extauthz"},
    }


SHAPES = ("text", "[]", "[a]", "{}", "{a: b}", "7", "null", "true", "[[]]", "[{}]", "[{name: 7}]")
PLACES = (
    "{apiVersion: v1, kind: Pod, metadata: %s, spec: " + POD + "}",
    "{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: %s, annotations: %s}, spec: " + POD + "}",
    "{apiVersion: v1, kind: Pod, spec: %s}",
    "{apiVersion: apps/v1, kind: Deployment, spec: %s}",
    "{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: %s}}",
    "{apiVersion: apps/v1, kind: Deployment, metadata: %s, spec: {template: {metadata: %s, spec: %s}}}",
    "{apiVersion: v1, kind: Pod, spec: {containers: %s}}",
    "{apiVersion: v1, kind: Pod, spec: {os: %s, containers: [{name: envoy}]}}",
    "{apiVersion: v1, kind: Pod, spec: {volumes: %s, initContainers: %s, containers: [{name: envoy}]}}",
    "{apiVersion: v1, kind: Pod, spec: {containers: [{name: envoy, volumeMounts: %s, ports: %s}]}}",
    "{apiVersion: v1, kind: Pod, spec: {hostNetwork: %s, containers: [{name: envoy, image: %s}]}}",
    "{apiVersion: %s, kind: Pod}",
    "{apiVersion: v1, kind: %s, items: %s}",
)


@pytest.mark.parametrize("place", PLACES)
def test_no_shape_of_manifest_breaks_it(place: str) -> None:
    """Injected, passed on, or refused with a line: never a stack trace, and nothing printed when refused."""
    marked = place.replace("metadata: {name", "metadata: {annotations: {extauthz.dev/injected: x}, name", 1)
    for shape in SHAPES:
        for text in (place.replace("%s", shape), marked.replace("%s", shape)):
            for options in (IMAGE, ("--remove",)):
                done = run(text, *options)
                assert done.exception is None or isinstance(done.exception, SystemExit), (text, done.exception)
                assert (done.exit_code == 0) == bool(done.stdout)
                assert done.exit_code == 0 or done.stderr.startswith("-:1: "), done.stderr


@pytest.mark.parametrize("name", OTHERS)
def test_what_makes_no_pods_comes_out_as_it_went_in(name: str) -> None:
    done = run(OTHERS[name])
    assert yaml.safe_load(done.stdout) == yaml.safe_load(OTHERS[name])
    assert done.stderr == "0 of 1 objects have a sidecar\n"


def test_documents_and_lists_keep_their_order() -> None:
    text = "\n---\n".join([OTHERS["Service"], f"{{kind: List, items: [{WORKLOADS['Job']}, {WORKLOADS['Pod']}]}}"])
    done = run(text)
    assert [each["kind"] for each in yaml.safe_load_all(done.stdout)] == ["Service", "Job", "Pod"]
    assert done.stderr == "2 of 3 objects have a sidecar\n"


def test_several_files_become_one_stream(tmp_path: Path) -> None:
    for name in ("Pod", "Job"):
        (tmp_path / name).write_text(WORKLOADS[name])
    done = CliRunner().invoke(main, ("inject", *IMAGE, str(tmp_path / "Pod"), str(tmp_path / "Job")))
    assert [each["kind"] for each in yaml.safe_load_all(done.stdout)] == ["Pod", "Job"]


def test_only_envoy_and_the_sidecar_reach_the_socket() -> None:
    pod = pod_of(injected(WORKLOADS["Deployment"])[0])
    mounting = [
        each["name"]
        for each in (*pod["initContainers"], *pod["containers"])
        if any(mount["mountPath"] == "/run/extauthz" for mount in each.get("volumeMounts", []))
    ]
    assert mounting == ["extauthz", "envoy"]


def test_envoy_may_be_a_native_sidecar_too() -> None:
    text = (
        "{apiVersion: v1, kind: Pod, spec: {initContainers: [{name: envoy, image: e, restartPolicy: Always}], "
        "containers: [{name: app, image: a}]}}"
    )
    initial = pod_of(injected(text)[0])["initContainers"]
    assert [each["name"] for each in initial] == ["extauthz", "envoy"]
    assert initial[1]["volumeMounts"] == [{"name": "extauthz-socket", "mountPath": "/run/extauthz", "readOnly": True}]


def test_the_application_gets_no_token_and_no_secret_by_it() -> None:
    pod = pod_of(injected(WORKLOADS["Deployment"], *IMAGE, "--store-secret", "s", "--pepper-secret", "p")[0])
    (sidecar,) = pod["initContainers"]
    private = {volume["name"] for volume in pod["volumes"] if "emptyDir" not in volume}
    assert private == {"extauthz-account", "extauthz-store", "extauthz-pepper"}
    assert private < {mount["name"] for mount in sidecar["volumeMounts"]}
    for each in pod["containers"]:
        assert not private & {mount["name"] for mount in each.get("volumeMounts", [])}


def test_its_command_line_is_one_that_serve_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--pepper-secret", "p", "--arg=--store=redis://counts:6379", "--arg=--threads=8")
    (sidecar,) = pod_of(injected(WORKLOADS["Pod"], *IMAGE, *options)[0])["initContainers"]
    monkeypatch.setenv(sidecar["env"][0]["name"], "shop")
    done = CliRunner().invoke(main, (*sidecar["args"], "--check-config"))
    assert (done.exit_code, done.stdout) == (0, "the settings are good\n"), done.stderr


def test_it_is_restricted() -> None:
    (sidecar,) = pod_of(injected(WORKLOADS["Pod"])[0])["initContainers"]
    assert sidecar["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize(("text", "line", "words"), REFUSED, ids=lambda part: str(part)[-40:])
def test_what_is_not_understood_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    done = run(f"{OTHERS['Service']}\n---\n{text}")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"-:{line + 2}: ")
    assert words in done.stderr


def test_a_name_in_a_manifest_moves_no_cursor() -> None:
    text = r'{apiVersion: v1, kind: Pod, metadata: {name: "a\e[2J\nb"}, spec: {containers: [{name: "c\r\n"}]}}'
    (line,) = run(text).stderr.splitlines()
    assert line.isprintable()
    assert r"Pod a\x1b[2J\nb: " in line


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS, ids=lambda part: str(part)[-40:])
def test_options_that_cannot_be_used_are_refused(options: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(main, ("inject", *options, "-"), input=WORKLOADS["Pod"])
    assert done.exit_code == 2
    assert words in done.stderr


def test_options_come_from_a_file_and_flags_beat_them(tmp_path: Path) -> None:
    file = tmp_path / "inject.yaml"
    file.write_text("image: from-file\nadmin-port: 9390\nargs: [--threads=8]\nresources: {limits: {memory: 1Gi}}\n")
    options = ("--options", str(file), "--image", "from-flag")
    (sidecar,) = pod_of(injected(WORKLOADS["Pod"], *options)[0])["initContainers"]
    assert sidecar["image"] == "from-flag"
    assert sidecar["resources"] == {"limits": {"memory": "1Gi"}}
    assert {"--admin=0.0.0.0:9390", "--threads=8"} < set(sidecar["args"])


def test_a_sidecar_listens_where_pods_have_their_addresses() -> None:
    (sidecar,) = pod_of(injected(WORKLOADS["Pod"], *IMAGE, "--bind-address=[::]")[0])["initContainers"]
    assert "--admin=[::]:9090" in sidecar["args"]
    assert "--listen=unix:/run/extauthz/extauthz.sock" in sidecar["args"]


@pytest.mark.parametrize("text", ["imagge: x", "[a]", "image: x\nimage: y", "args: --threads=8\nimage: x"])
def test_a_file_of_options_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "inject.yaml"
    file.write_text(text)
    assert run(WORKLOADS["Pod"], "--options", str(file)).exit_code == 2
