"""Injection by label on a real API server: who gets a sidecar, what stays as it is, and what nobody gets by with."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.admitting import LABEL, WANTED, Admission, adds_envoy, webhook
from tests.chart.rendering import Object
from tests.chart.sidecars import APP, ENVOY, PODS, UNFIT, Sample, injected, pod
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import Binaries

VALUES: Object = {
    "mode": "sidecar",
    "store": {"url": "rediss://counts.example:6379/0", "secretName": "counts", "caKey": "ca.crt"},
    "pepper": {"secretName": "extauthz-pepper"},
    "sidecar": {
        "injection": {"enabled": True},
        "resources": {"requests": {"cpu": 0.25, "memory": "1Gi"}, "limits": {"cpu": 1, "memory": 2147483648}},
    },
}
LENIENT: Object = {
    "mode": "sidecar",
    "sidecar": {
        "injection": {"enabled": True, "failurePolicy": "Ignore", "optOut": False, "apiVersion": "v1beta1"},
    },
}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
ODD = ("True", "yes", "1", "disabled", "")
OPTED_OUT = {LABEL: "false"}


def serving(binaries: Binaries, helm: str, values: Object, *flags: str) -> Iterator[Admission]:
    with tempfile.TemporaryDirectory(prefix="extauthz-admission-") as folder:
        server = ApiServer(Path(folder), binaries, *flags)
        try:
            admission = Admission(helm, server, Path(folder))
            admission.release(values)
            yield admission
        finally:
            server.stop()


@pytest.fixture(scope="module")
def strict(binaries: Binaries, helm: str) -> Iterator[Admission]:
    """A release with the defaults of injection."""
    yield from serving(binaries, helm, VALUES)


@pytest.fixture(scope="module")
def lenient(binaries: Binaries, helm: str) -> Iterator[Admission]:
    """A release that keeps no pod from running, on a server that has the beta version of the policy too."""
    yield from serving(binaries, helm, LENIENT, "--runtime-config=admissionregistration.k8s.io/v1beta1=true")


@pytest.fixture(scope="module")
def sample(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(helm, tmp_path_factory.mktemp("sample"))


@pytest.fixture
def plain(strict: Admission) -> str:
    """A namespace without the label."""
    return strict.namespace()


def labelled(template: Object, **labels: str) -> Object:
    found = copy.deepcopy(template)
    found.setdefault("metadata", {}).setdefault("labels", {}).update(labels or WANTED)
    return found


@pytest.mark.parametrize("template", PODS.values(), ids=PODS)
def test_the_three_ways_give_the_same_pod(
    strict: Admission, plain: str, sample: Sample, template: Object, tmp_path: Path
) -> None:
    """By the policy, by `extauthz inject` and by the library, each with what the release says."""
    options = strict.options()
    by_policy = strict.make(labelled(template), plain)
    by_inject = strict.make(injected(template, options, tmp_path), plain)
    by_library = strict.make(sample.rendered(template, options), plain)
    assert len(by_policy.sidecars) == 1
    assert by_policy.template == by_inject.template == by_library.template


@pytest.mark.parametrize("template", PODS.values(), ids=PODS)
def test_a_pod_that_was_injected_stays_as_it_is(
    strict: Admission, plain: str, template: Object, tmp_path: Path
) -> None:
    once = strict.make(labelled(template), plain)
    assert strict.make(labelled(once.template), plain).template == once.template
    by_hand = strict.make(labelled(injected(template, strict.options(), tmp_path)), plain)
    assert by_hand.template == once.template


def test_a_sidecar_with_other_options_becomes_the_releases(strict: Admission, plain: str, tmp_path: Path) -> None:
    other = {"image": "old", "pepper-secret": "old", "args": ["--store=redis://old:6379", "--threads=2"]}
    made = strict.make(labelled(injected(pod(), other, tmp_path)), plain)
    assert made.template == strict.make(labelled(pod()), plain).template


@pytest.mark.parametrize(
    ("of_namespace", "of_pod", "has_one"),
    [
        ("", "", False),
        ("", "true", True),
        ("", "false", False),
        ("true", "", True),
        ("true", "true", True),
        ("true", "false", False),
        ("false", "", False),
        ("false", "true", True),
    ],
)
def test_labels_say_who_gets_one(strict: Admission, of_namespace: str, of_pod: str, *, has_one: bool) -> None:
    namespace = strict.namespace({LABEL: of_namespace} if of_namespace else {})
    made = strict.make(labelled(pod(), **{LABEL: of_pod}) if of_pod else pod(), namespace)
    assert len(made.sidecars) == has_one
    if not has_one:
        assert [each["name"] for each in made.spec["containers"]] == ["app", "envoy"]
        assert not {"initContainers", "volumes"} & made.spec.keys()


@pytest.mark.parametrize("label", ODD)
def test_a_label_that_says_neither_is_refused_where_it_is_written(strict: Admission, plain: str, label: str) -> None:
    """On a pod, whatever its namespace says, and on a namespace."""
    told = f"the label {LABEL} is `{label}`; allowed are `true` and `false`"
    assert told in strict.make(labelled(pod(), **{LABEL: label}), plain).message
    assert told in strict.make(labelled(pod(), **{LABEL: label}), strict.namespace(WANTED)).message
    assert told in strict.relabel(plain, {LABEL: label}).message
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "odd", "labels": {LABEL: label}}}
    assert told in strict.call("POST", "/api/v1/namespaces", body, dry=True).message
    assert strict.relabel(strict.namespace(WANTED), {LABEL: None}).status == 200


def test_a_label_that_says_neither_stops_no_other_change_of_what_has_it_already(lenient: Admission) -> None:
    """Where failures are ignored it is told as a warning, once."""
    namespace = lenient.namespace()
    assert "allowed are `true` and `false`" in lenient.relabel(namespace, {LABEL: "True"}).warnings
    assert lenient.relabel(namespace, {"team": "orders"}).warnings == ""
    made = lenient.make(labelled(pod(), **{LABEL: "True"}), namespace, dry=False)
    assert made.sidecars == []
    assert "allowed are `true` and `false`" in made.warnings
    assert lenient.patch("pod", namespace, [_replaced("/metadata/labels/app", "other")]).warnings == ""


@pytest.mark.parametrize("namespace", ["kube-system", "extauthz-system"])
def test_namespaces_that_are_let_out_may_have_any_label(strict: Admission, namespace: str) -> None:
    assert strict.relabel(namespace, {LABEL: "True"}).status == 200
    assert strict.make(labelled(pod(), **{LABEL: "True"}), namespace).sidecars == []


@pytest.mark.parametrize(("template", "words"), UNFIT.values(), ids=UNFIT)
def test_a_pod_that_can_have_none_is_refused_with_the_reason(
    strict: Admission, plain: str, template: Object, words: str
) -> None:
    assert strict.make(template, plain).status < 300, "without the label it is nobody's business"
    made = strict.make(labelled(template), plain)
    assert made.status == 422
    assert "no sidecar of extauthz can be injected: the pod has" in made.message or "the pod is" in made.message
    assert words in made.message


@pytest.mark.parametrize("spec", [{}, {"hostNetwork": True}], ids=["plain", "on the node's network"])
def test_a_pod_without_envoy_is_left_alone_unless_it_asks(strict: Admission, spec: Object) -> None:
    """As a Job that migrates a database; one on the node's network, too."""
    namespace = strict.namespace(WANTED)
    made = strict.make(pod(APP, **spec), namespace)
    assert (made.sidecars, made.warnings) == ([], "")
    assert "has no container `envoy`" in strict.make(labelled(pod(APP, **spec)), namespace).message


@pytest.mark.parametrize(("template", "words"), [found for name, found in UNFIT.items() if name != "no Envoy"])
def test_a_namespace_refuses_a_pod_with_envoy_that_can_have_none(
    strict: Admission, template: Object, words: str
) -> None:
    assert words in strict.make(template, strict.namespace(WANTED)).message


def test_every_reason_is_told(strict: Admission, plain: str) -> None:
    made = strict.make(labelled(pod(APP, hostNetwork=True, os={"name": "windows"})), plain)
    assert all(words in made.message for words in ("hostNetwork", "; it is one of Windows", "; it has no container"))


def test_a_look_alike_is_replaced(strict: Admission, plain: str) -> None:
    """Whoever puts a server of his own in our place, to be asked instead, is not."""
    own = pod(
        {**APP, "volumeMounts": [{"name": "extauthz-socket", "mountPath": "/s"}, {"name": "a", "mountPath": "/a"}]},
        {**ENVOY, "volumeMounts": [{"name": "extauthz-socket", "mountPath": "/run/extauthz"}]},
        initContainers=[
            {"name": "first", "image": "f"},
            {
                "name": "extauthz",
                "image": "allows-all",
                "restartPolicy": "Always",
                "command": ["/allow"],
                "env": [{"name": "EXTAUTHZ_POLICIES", "value": "/allow"}],
                "volumeMounts": [{"name": "extauthz-socket", "mountPath": "/run/extauthz"}],
            },
        ],
        volumes=[
            {"name": "extauthz-socket", "hostPath": {"path": "/tmp"}},
            {"name": "a", "emptyDir": {}},
            {"name": "extauthz-pepper", "secret": {"secretName": "other"}},
        ],
    )
    own["metadata"]["annotations"] = {"extauthz.dev/injected": "extauthz"}
    honest = pod(
        {**APP, "volumeMounts": [{"name": "a", "mountPath": "/a"}]},
        ENVOY,
        initContainers=[{"name": "first", "image": "f"}],
        volumes=[{"name": "a", "emptyDir": {}}],
    )
    assert strict.make(labelled(own), plain).template == strict.make(labelled(honest), plain).template


def test_two_look_alikes_are_refused(strict: Admission, plain: str) -> None:
    twice = pod(initContainers=[{"name": "extauthz", "image": image} for image in ("a", "b")])
    assert strict.make(labelled(twice), plain).status == 422


def test_what_runs_may_not_be_changed(strict: Admission, plain: str) -> None:
    """The image is the one field of a running pod's containers that the API lets its owner change."""
    assert strict.make(labelled(pod(APP, ENVOY)), plain, dry=False).status == 201
    evil = strict.patch("pod", plain, [_replaced("/spec/initContainers/0/image", "allows-all")])
    assert "the sidecar of extauthz may not be changed" in evil.message
    step = strict.patch("pod", plain, [_replaced("/metadata/labels/extauthz.dev~1inject", "false")])
    assert f"the label {LABEL} of a pod that runs may not be changed" in step.message
    both = [
        _replaced("/metadata/labels/extauthz.dev~1inject", "false"),
        _replaced("/spec/initContainers/0/image", "allows-all"),
    ]
    assert "may not be changed" in strict.patch("pod", plain, both).message
    assert strict.patch("pod", plain, [_replaced("/spec/containers/0/image", "app:2")]).status == 200
    assert strict.patch("pod", plain, [_replaced("/metadata/labels/app", "other")]).status == 200
    assert strict.patch("pod", plain, [_replaced("/metadata/annotations", {})]).status == 200


def test_an_upgrade_is_for_new_pods_and_stops_no_change_of_old_ones(strict: Admission, plain: str) -> None:
    old = strict.make(labelled(pod()), plain, dry=False).sidecars
    strict.release(VALUES)
    assert strict.patch("pod", plain, [_replaced("/metadata/labels/app", "other")]).sidecars == old
    new = strict.make(labelled(pod()), plain, name="new").sidecars
    assert [each["image"] for each in new] == [strict.options()["image"]] != [each["image"] for each in old]


def test_a_pod_that_ran_before_its_namespace_was_labelled_may_still_change(strict: Admission, plain: str) -> None:
    assert strict.make(pod(APP), plain, dry=False).status == 201
    strict.label(plain, WANTED)
    assert strict.patch("pod", plain, [_replaced("/metadata/labels/app", "other")]).status == 200
    assert strict.patch("pod", plain, [_replaced("/spec/containers/0/image", "app:2")]).status == 200


@pytest.mark.parametrize("template", PODS.values(), ids=PODS)
def test_a_namespace_that_enforces_the_restricted_standard_takes_the_pod(strict: Admission, template: Object) -> None:
    """Pod Security admission sees the pod with its sidecar."""
    namespace = strict.namespace({f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")})
    assert "violates PodSecurity" in strict.make(labelled(template), namespace).message
    found = labelled(template)
    for each in (*found["spec"]["containers"], *found["spec"].get("initContainers", [])):
        each["securityContext"] = RESTRICTED
    made = strict.make(found, namespace)
    assert (len(made.sidecars), made.warnings) == (1, "")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_workloads_are_left_alone_and_their_pods_are_not(strict: Admission, plain: str, kind: str) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "orders", "labels": WANTED},
        "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": labelled(pod())},
    }
    made = strict.call("POST", f"/apis/apps/v1/namespaces/{plain}/{kind.lower()}s", body, dry=True)
    found = made.spec["template"]
    assert "initContainers" not in found["spec"]
    assert "annotations" not in found["metadata"]
    assert len(strict.make(found, plain).sidecars) == 1


@pytest.mark.parametrize("namespace", ["kube-system", "extauthz-system"])
def test_namespaces_of_the_cluster_and_our_own_are_let_out(strict: Admission, namespace: str) -> None:
    strict.label(namespace, WANTED)
    assert strict.make(labelled(pod()), namespace).sidecars == []
    assert strict.make(labelled(pod(APP)), namespace).status == 201


def test_an_envoy_that_a_webhook_adds_later_is_seen(strict: Admission, plain: str, tmp_path: Path) -> None:
    """As meshes add theirs: after the policy has looked at the pod for the first time."""
    with webhook(strict, plain, tmp_path, adds_envoy):
        made = strict.make(labelled(pod(APP)), plain)
        assert [each["name"] for each in made.spec["containers"]] == ["app", "envoy"]
        assert len(made.sidecars) == 1
        assert made.spec["containers"][1]["volumeMounts"] == [
            {"name": "extauthz-socket", "mountPath": "/run/extauthz", "readOnly": True}
        ]


OURS = "/spec/initContainers/0"
CHANGES: dict[str, list[Object]] = {
    "another command": [{"op": "add", "path": f"{OURS}/command", "value": ["/allow"]}],
    "other arguments": [{"op": "replace", "path": f"{OURS}/args/0", "value": "version"}],
    "no sidecar any more": [
        {"op": "remove", "path": f"{OURS}/{name}"}
        for name in ("restartPolicy", "startupProbe", "livenessProbe", "readinessProbe")
    ],
    "nothing": [{"op": "remove", "path": OURS}],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_sidecar_that_a_webhook_changes_last_is_refused(
    strict: Admission, plain: str, change: list[Object], tmp_path: Path
) -> None:
    with webhook(strict, plain, tmp_path, lambda spec: change if "initContainers" in spec else []):
        made = strict.make(labelled(pod()), plain)
        assert "the pod has no sidecar of extauthz as this cluster injects it" in made.message


def test_a_webhook_may_take_the_image_from_a_mirror(strict: Admission, plain: str, tmp_path: Path) -> None:
    change = _replaced("/spec/initContainers/0/image", "mirror.example/extauthz:1")
    with webhook(strict, plain, tmp_path, lambda spec: [change] if "initContainers" in spec else []):
        (sidecar,) = strict.make(labelled(pod()), plain).sidecars
        assert sidecar["image"] == "mirror.example/extauthz:1"


def test_a_very_large_pod_is_within_the_budget_of_cel(strict: Admission, plain: str) -> None:
    """50 containers with 50 mounts each; 200 with 200 were too, and a request cannot hold much more."""
    mounts = [{"name": f"v{number}", "mountPath": f"/m/{number}"} for number in range(50)]
    several = [{"name": f"c{number}", "image": "i", "volumeMounts": mounts} for number in range(50)]
    volumes: list[Any] = [{"name": f"v{number}", "emptyDir": {}} for number in range(50)]
    made = strict.make(labelled(pod(ENVOY, *several, volumes=volumes)), plain)
    assert len(made.sidecars) == 1


ENDLESS = pod(
    APP,
    {**ENVOY, "volumeMounts": [{"name": "own", "mountPath": "/" + "a" * 2_500_000}]},
    volumes=[{"name": "own", "emptyDir": {}}],
)
"""A pod about which CEL cannot be asked within its budget."""


def test_a_pod_that_cannot_be_judged_is_refused(strict: Admission, plain: str) -> None:
    assert strict.make(ENDLESS, plain).status == 201
    made = strict.make(labelled(ENDLESS), plain)
    assert made.status >= 400
    assert "actual cost limit exceeded" in made.message


def test_a_release_that_ignores_failures_lets_it_run(lenient: Admission) -> None:
    assert lenient.make(labelled(ENDLESS), lenient.namespace()).sidecars == []


@pytest.mark.parametrize(("template", "words"), UNFIT.values(), ids=UNFIT)
def test_a_release_that_ignores_failures_lets_such_pods_run_and_warns(
    lenient: Admission, template: Object, words: str
) -> None:
    made = lenient.make(labelled(template), lenient.namespace())
    assert made.sidecars == []
    assert words in made.warnings


def test_the_beta_version_of_the_policy_injects_the_same(lenient: Admission, tmp_path: Path) -> None:
    namespace = lenient.namespace()
    made = lenient.make(labelled(pod()), namespace)
    assert made.template == lenient.make(injected(pod(), lenient.options(), tmp_path), namespace).template


@pytest.mark.parametrize("label", ["false", "true", "no"])
def test_where_nobody_may_opt_out_the_namespace_decides(lenient: Admission, label: str) -> None:
    wanted = lenient.namespace(WANTED)
    assert len(lenient.make(labelled(pod(), **{LABEL: label}), wanted).sidecars) == 1
    other = lenient.make(labelled(pod(), **{LABEL: label}), lenient.namespace())
    assert len(other.sidecars) == (label == "true")


def _replaced(path: str, value: Any) -> Object:
    return {"op": "replace", "path": path, "value": value}
