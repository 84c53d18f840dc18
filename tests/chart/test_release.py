"""The release workflow, which no test can run: what it promises is looked for, and its shell is parsed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import extauthz
from charts.pin import pin
from tests.chart.rendering import CHART, run

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "release.yml"
TEXT = FILE.read_text()
WORKFLOW = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
DIGEST = f"sha256:{'0a' * 32}"


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = JOBS[job]["steps"]
    return found


def every_step() -> Iterator[dict[str, Any]]:
    for job in JOBS:
        yield from steps(job)


def place(job: str, words: str) -> int:
    """Which step of a job uses or runs this."""
    return next(i for i, each in enumerate(steps(job)) if words in f"{each.get('uses', '')} {each.get('run', '')}")


def test_every_action_is_pinned_by_commit_and_says_its_version() -> None:
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) >= 10
    for action, rest in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), action
    assert len({action.partition("@")[0] for action, _ in used}) == len({action for action, _ in used})


def test_only_a_tag_starts_it_and_no_job_has_a_right_that_it_does_not_use() -> None:
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "check": {"contents": "read"},
        "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
        "chart": {"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"},
    }
    assert (JOBS["image"]["needs"], JOBS["chart"]["needs"]) == ("check", "image")
    assert all(job["timeout-minutes"] <= 90 for job in JOBS.values())


def test_no_text_from_outside_becomes_shell() -> None:
    """Values of the event reach scripts as variables, never by being pasted in."""
    assert [each["run"] for each in every_step() if "${{" in each.get("run", "")] == []
    assert "github.event" not in TEXT


def test_no_checkout_leaves_its_credentials_behind() -> None:
    found = [each for each in every_step() if "actions/checkout" in each.get("uses", "")]
    assert len(found) == len(JOBS)
    assert all(each["with"]["persist-credentials"] is False for each in found)


@pytest.mark.parametrize("script", [each["run"] for each in every_step() if "run" in each], ids=lambda s: s[:30])
def test_every_script_is_shell(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr


def test_all_of_ci_runs_before_anything_is_pushed() -> None:
    assert any(each.get("run", "").endswith(".ci/run") for each in steps("check"))
    assert not any("login" in each.get("uses", "") for each in steps("check"))
    assert (ROOT / ".ci" / "run").exists()


def test_the_image_comes_from_a_pinned_base_twice_the_same_with_sbom_and_provenance() -> None:
    (build,) = (each for each in steps("image") if "build-push-action" in each.get("uses", ""))
    bases = ["PYTHON=${{ vars.PYTHON_IMAGE }}", "COMPILER=${{ vars.COMPILER_IMAGE }}"]
    assert build["with"]["build-args"].splitlines() == bases
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")
    assert "rewrite-timestamp=true" in build["with"]["outputs"]
    assert "SOURCE_DATE_EPOCH" in build["env"]
    (twice,) = (each for each in steps("image") if "--no-cache" in each.get("run", ""))
    assert "SOURCE_DATE_EPOCH" in twice["env"]
    assert place("image", "--no-cache") < place("image", "build-push-action")


@pytest.mark.parametrize(
    ("base", "taken"),
    [
        (f"python:3.13-slim@{DIGEST}", True),
        (f"python:3.13.2-slim-bookworm@{DIGEST}", True),
        ("python:3.13-slim", False),
        ("", False),
        (f"evil/python:3.13-slim@{DIGEST}", False),
        (f"python:3.13-slim@{DIGEST}0", False),
    ],
)
def test_a_base_without_a_digest_is_refused(base: str, taken: bool, tmp_path: Path) -> None:
    (check,) = (each["run"] for each in steps("image") if each.get("id") == "name")
    loop = check[check.index("for each in") : check.index("done\n") + len("done\n")]
    good = f"python:3.13@{DIGEST}"
    for given in ({"BASE": base, "COMPILER": good}, {"BASE": good, "COMPILER": base}):
        done = subprocess.run(["bash", "-c", loop], env=given, capture_output=True, timeout=10, check=False)
        assert (done.returncode == 0) is taken


@pytest.mark.parametrize("job", ["image", "chart"])
def test_what_was_pushed_is_attested_and_signed_by_its_digest(job: str) -> None:
    (attest,) = (each for each in steps(job) if "attest-build-provenance" in each.get("uses", ""))
    assert attest["with"]["subject-digest"].endswith(".outputs.digest }}")
    (sign,) = (each for each in steps(job) if "cosign sign" in each.get("run", ""))
    (subject,) = sign["env"].values()
    assert "}}@${{" in subject
    pushed = place(job, "build-push-action" if job == "image" else "push extauthz-*.tgz")
    assert pushed < place(job, "attest-build-provenance")
    assert pushed < place(job, "cosign sign")


def test_the_versions_that_the_workflow_compares_are_one_now() -> None:
    """By the very lines that it runs."""
    (script,) = (each["run"] for each in steps("check") if "__version__" in each.get("run", ""))
    reads = "\n".join(line for line in script.splitlines() if "=$(" in line.replace('"', ""))
    show = f'{reads}\necho "$program $chart $app"'
    done = subprocess.run(["bash", "-c", show], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    assert done.stdout.split() == [extauthz.__version__] * 3


def test_a_released_chart_runs_the_image_of_its_release_by_digest(helm: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(pin((CHART / "values.yaml").read_text(), "ghcr.io/someone/extauthz", DIGEST))
    done = run(helm, "template", "x", str(CHART), "--values", str(values))
    images = set(re.findall(r'image: "(\S+)"', done.stdout))
    assert images == {f"ghcr.io/someone/extauthz@{DIGEST}"}


@pytest.mark.parametrize("digest", ["", "sha256:abc", f"{DIGEST}\nx: y", "latest"])
def test_what_is_no_digest_pins_nothing(digest: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        pin((CHART / "values.yaml").read_text(), "ghcr.io/someone/extauthz", digest)


def test_a_file_of_values_that_has_changed_is_not_pinned_by_half() -> None:
    with pytest.raises(ValueError, match="stands there 0 times"):
        pin("image: {repository: extauthz}\n", "ghcr.io/someone/extauthz", DIGEST)
