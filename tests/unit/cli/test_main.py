"""The command line as a whole: what becomes of an answer that cannot be given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.building import anonymous, policy
from tests.contract.running import write

REQUEST = "GET / HTTP/1.1\nHost: a.example\n"


def run(tail: str, *arguments: str | bytes, cwd: Path | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, with what a shell makes of its streams."""
    shell = ["sh", "-c", f'exec "$@" {tail}', "sh", sys.executable, "-m", "extauthz.cli"]
    done = subprocess.run([*shell, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy that admits, and a request."""
    (tmp_path / "policies").mkdir()
    write(tmp_path / "policies", "shop.yaml", policy("open", anonymous("r"), hosts=("a.example",)))
    (tmp_path / "request").write_text(REQUEST)
    return tmp_path


EXPLAIN = ("explain", "--policies", "policies", "--request")


def test_output_that_cannot_be_written_is_neither_yes_nor_no(folder: Path) -> None:
    for command in ((*EXPLAIN, "request"), ("lint", "policies"), ("crds",)):
        code, _, errors = run(">/dev/full", *command, cwd=folder)
        assert (code, errors) == (2, "cannot write the output: No space left on device\n")


def test_a_reader_who_leaves_is_told_nothing(folder: Path) -> None:
    shell = f'{{ "{sys.executable}" -m extauthz.cli crds; echo $? >&2; }} | true'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "2\n"


def test_closed_streams_are_as_good_as_empty_ones(folder: Path) -> None:
    assert run(">&-", *EXPLAIN, "request", cwd=folder)[0] == 0
    assert run("2>&-", *EXPLAIN, "request", cwd=folder)[0] == 0
    code, _, errors = run("<&-", *EXPLAIN, "-", cwd=folder)
    assert code == 2
    assert errors.startswith("cannot tell: the request is neither")


def test_no_decision_log_goes_to_a_standard_output_that_is_closed(folder: Path) -> None:
    serve = ("serve", "--policies", "policies", "--listen", "127.0.0.1:0", "--admin", "off")
    code, _, errors = run(">&-", *serve, cwd=folder)
    assert code == 2
    assert "the decision log `stdout` cannot be written: it is closed" in errors


def test_an_argument_that_is_no_text_is_wrong_usage(folder: Path) -> None:
    code, _, errors = run("", "check", b"https://a.example/\xe9", cwd=folder)
    assert (code, errors) == (2, "cannot go on: an argument, or the name of a file, is not UTF-8\n")


def test_a_file_whose_name_is_no_text_is_told(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder / "policies") + b"/\xe9.yaml")).write_text("{")
    code, output, errors = run("", "lint", "policies", cwd=folder)
    assert (code, errors) == (1, "")
    assert output.startswith(r"\udce9.yaml:")
