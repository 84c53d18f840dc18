"""`extauthz crds` prints, writes and compares; `extauthz lint --cluster` holds files to what a cluster takes."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from extauthz.cli.main import main
from extauthz.control.documents import read_documents
from extauthz.policy.schema import definitions

CHART = Path(__file__).parents[3] / "charts" / "extauthz" / "files" / "crds"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_it_prints_every_definition_and_always_the_same() -> None:
    printed = run("crds")
    assert printed.exit_code == 0
    kinds = [document["spec"]["names"]["kind"] for document in yaml.safe_load_all(printed.output)]
    assert kinds == ["AccessPolicy", "TokenIssuer", "ClusterTokenIssuer", "TokenRevocation"]
    assert run("crds").output == printed.output


def test_kubectl_reads_it_as_it_was_meant() -> None:
    """`n` is a truth value to YAML 1.1, and a member of RSA keys to us."""
    assert "\n                            'n':\n" in run("crds").output
    documents, fault = read_documents(run("crds").output.encode())
    assert fault is None
    assert [document.raw for document in documents] == list(definitions().values())


def test_it_writes_the_files_that_the_chart_has(tmp_path: Path) -> None:
    assert run("crds", "--output", str(tmp_path)).exit_code == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in CHART.iterdir()}


def test_a_check_tells_which_file_is_old_and_leaves_it(tmp_path: Path) -> None:
    run("crds", "--output", str(tmp_path))
    assert run("crds", "--check", "--output", str(tmp_path)).exit_code == 0
    old = tmp_path / "extauthz.dev_tokenissuers.yaml"
    old.write_text("old")
    checked = run("crds", "--check", "--output", str(tmp_path))
    assert checked.exit_code == 1
    assert checked.stderr.startswith("not up to date: extauthz.dev_tokenissuers.yaml;")
    assert old.read_text() == "old"


def test_a_check_needs_a_folder() -> None:
    assert run("crds", "--check").exit_code == 2


def test_lint_refuses_for_a_cluster_what_a_folder_takes(tmp_path: Path) -> None:
    (tmp_path / "issuer.yaml").write_text(
        "apiVersion: extauthz.dev/v1alpha1\nkind: TokenIssuer\nmetadata: {name: a}\n"
        "spec: {issuer: https://a.example, keys: {discovery: {}}, mapping: {scope: scp}}\n"
    )
    assert run("lint", str(tmp_path)).exit_code == 0
    refused = run("lint", "--cluster", str(tmp_path))
    assert refused.exit_code == 1
    assert "issuer.yaml:4: TokenIssuer default/a: spec.mapping.scope" in refused.output
