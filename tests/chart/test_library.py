"""The Helm library of sidecars, in a chart of somebody else: what it renders is what `extauthz inject` gives."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extauthz.cli.inject.sidecar import Options
from tests.chart.rendering import CHART, Object, run
from tests.chart.rendering import template as template_chart
from tests.chart.sidecars import LIBRARY, PODS, UNFIT, Sample, inject, injected, pod

HOW_TO: Final = Path(__file__).parents[2] / "docs" / "how-to" / "inject.md"
OPTIONS: dict[str, Object] = {
    "few": {"image": "registry.example/extauthz:1"},
    "all": {
        "image": "registry.example/extauthz@sha256:" + "0" * 64,
        "image-pull-policy": "Always",
        "envoy-container": "envoy",
        "admin-port": 19090,
        "bind-address": "[::]",
        "store-secret": "counts",
        "pepper-secret": "extauthz-pepper",
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 0.5}},
        "args": ["--store=rediss://counts:6379/0", "--store-ca=/etc/extauthz/store/ca.crt", "--threads=8"],
    },
    "a pepper under another key": {
        "image": "i",
        "pepper-secret": "p",
        "args": ["--pepper-file=/etc/extauthz/pepper/k\"e<y>&'{{d}}\\"],
    },
}
WRONG: dict[str, tuple[Object, str]] = {
    "an unknown one": ({"image": "i", "envoyContaner": "e"}, "`envoyContaner` is no option; known are admin-port,"),
    "no image": ({"image": ""}, "`image` is not set"),
    "an image with a blank": ({"image": "a b"}, "`image` is not set, or no text without blanks"),
    "a policy of pulling": ({"image": "i", "image-pull-policy": "Often"}, "allowed are Always, IfNotPresent, Never"),
    "no container": ({"image": "i", "envoy-container": ""}, "`envoy-container` is empty"),
    "no name": ({"image": "i", "store-secret": "Counts"}, "`store-secret` is `Counts`, which is no name"),
    "a port of text": ({"image": "i", "admin-port": "9090"}, "`admin-port` is `9090`; it is a number"),
    "port nought": ({"image": "i", "admin-port": 0}, "it is a number from 1 to 65535"),
    "a port too high": ({"image": "i", "admin-port": 65536}, "it is a number from 1 to 65535"),
    "an address that is none": ({"image": "i", "bind-address": "::"}, "`bind-address` is `::`; it is"),
    "resources of text": ({"image": "i", "resources": "much"}, "`resources` is no mapping"),
    "args of text": ({"image": "i", "args": "--threads=8"}, "`args` is no list"),
    "an arg that is no flag": ({"image": "i", "args": ["threads=8"]}, "is no flag; write it as `--name=value`"),
}


@pytest.fixture(scope="module")
def sample(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(helm, tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("template", PODS.values(), ids=PODS)
def test_it_renders_what_inject_gives(sample: Sample, template: Object, options: Object, tmp_path: Path) -> None:
    found = sample.rendered(template, options)
    assert found == injected(template, options, tmp_path)
    assert found["spec"]["initContainers"][0]["name"] == "extauthz"


@pytest.mark.parametrize("template", PODS.values(), ids=PODS)
def test_a_pod_that_has_a_sidecar_stays_as_it_is(sample: Sample, template: Object, tmp_path: Path) -> None:
    options = OPTIONS["all"]
    once = sample.rendered(template, options)
    assert sample.rendered(once, options) == once
    assert injected(once, options, tmp_path) == once


def test_other_options_replace_what_a_pod_had(sample: Sample) -> None:
    once = sample.rendered(PODS["with much of its own"], OPTIONS["all"])
    assert sample.rendered(once, OPTIONS["few"]) == sample.rendered(PODS["with much of its own"], OPTIONS["few"])


def test_a_pod_that_wants_none_has_none(sample: Sample) -> None:
    wanting = pod(labels={"extauthz.dev/inject": "false"})
    assert sample.rendered(wanting, OPTIONS["few"]) == wanting


@pytest.mark.parametrize("label", ["True", "yes", "1", ""])
def test_a_label_that_says_neither_is_refused_here_as_there(sample: Sample, label: str, tmp_path: Path) -> None:
    template = pod(labels={"extauthz.dev/inject": label})
    told = f"label `extauthz.dev/inject` is `{label}`; allowed are `true` and `false`"
    assert told in sample.template(template, {"image": "i"}).stderr
    assert told in inject(template, {"image": "i"}, tmp_path).stderr


def test_a_label_that_is_no_text_is_refused_here_as_there(sample: Sample, tmp_path: Path) -> None:
    """The API server would: labels are texts."""
    template = pod()
    template["metadata"]["labels"]["extauthz.dev/inject"] = False
    told = "the label `extauthz.dev/inject` is no text; put its value in quotes"
    assert told in sample.template(template, {"image": "i"}).stderr
    assert told in inject(template, {"image": "i"}, tmp_path).stderr


@pytest.mark.parametrize(("template", "words"), UNFIT.values(), ids=UNFIT)
def test_a_pod_that_can_have_none_is_refused_here_as_there(
    sample: Sample, template: Object, words: str, tmp_path: Path
) -> None:
    options: Any = {"image": "i"}
    refused = sample.template(template, options)
    assert refused.returncode != 0
    assert words in refused.stderr
    other = inject(template, options, tmp_path)
    assert other.exit_code == 2
    assert words in other.stderr


def test_a_volume_of_our_name_is_refused_here_as_there(sample: Sample, tmp_path: Path) -> None:
    template = pod(volumes=[{"name": "extauthz-socket", "emptyDir": {}}])
    assert "has a volume `extauthz-socket` that is none of ours" in sample.template(template, {"image": "i"}).stderr
    assert "has a volume `extauthz-socket` that is none of ours" in inject(template, {"image": "i"}, tmp_path).stderr


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_an_option_that_cannot_be_is_refused(sample: Sample, options: Object, words: str) -> None:
    done = sample.template(pod(), options)
    assert done.returncode != 0
    assert words in done.stderr


def test_options_may_be_written_in_camel_case(sample: Sample) -> None:
    camel = {"image": "i", "adminPort": 9191, "pepperSecret": "p", "imagePullPolicy": "Never"}
    dashes = {"image": "i", "admin-port": 9191, "pepper-secret": "p", "image-pull-policy": "Never"}
    assert sample.rendered(pod(), camel) == sample.rendered(pod(), dashes)


def test_helm_finds_nothing_to_warn_of(helm: str) -> None:
    done = run(helm, "lint", "--strict", str(LIBRARY))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_it_has_the_version_of_the_chart_that_it_comes_with() -> None:
    chart, library = (yaml.safe_load((folder / "Chart.yaml").read_text()) for folder in (CHART, LIBRARY))
    (dependency,) = chart["dependencies"]
    assert dependency["version"] == library["version"] == chart["version"]
    assert library["appVersion"] == chart["appVersion"]


def test_the_example_of_its_page_renders(helm: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", (LIBRARY / "README.md").read_text(), re.DOTALL)
    texts = dict(blocks)
    assert list(texts) == ["Chart.yaml", "templates/deployment.yaml", "values.yaml"]
    texts["Chart.yaml"] = "apiVersion: v2\nname: orders\nversion: 1.0.0\n" + re.sub(
        r"file://\S+", f"file://{LIBRARY}", texts["Chart.yaml"]
    )
    (tmp_path / "templates").mkdir()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = run(helm, "dependency", "update", str(tmp_path), home=tmp_path)
    assert done.returncode == 0, done.stderr
    rendered = run(helm, "template", "orders", str(tmp_path))
    assert rendered.returncode == 0, rendered.stderr
    (sidecar,) = yaml.safe_load(rendered.stdout)["spec"]["template"]["spec"]["initContainers"]
    assert "--install-namespace=extauthz-system" in sidecar["args"]


def test_its_page_tells_of_every_option() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \|", (LIBRARY / "README.md").read_text(), re.MULTILINE)
    assert told == [each.name.replace("_", "-") for each in fields(Options)]


def test_the_values_of_the_chart_have_the_defaults_of_the_code() -> None:
    values, defaults = yaml.safe_load((CHART / "values.yaml").read_text()), Options(image="i")
    assert values["sidecar"]["resources"] == defaults.resources
    assert values["sidecar"]["envoyContainer"] == defaults.envoy_container
    assert values["adminPort"] == defaults.admin_port
    assert values["bindAddress"] == defaults.bind_address
    assert values["image"]["pullPolicy"] == defaults.image_pull_policy


@pytest.mark.parametrize("values", re.findall(r"```yaml\n(mode:.*?)```", HOW_TO.read_text(), re.DOTALL))
def test_the_values_in_the_how_to_are_ones_that_the_chart_takes(helm: str, values: str) -> None:
    done = template_chart(helm, values, "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")
    assert done.returncode == 0, done.stderr
