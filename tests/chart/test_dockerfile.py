"""The Dockerfile, read as a list of instructions: no builder runs here, so what it promises is looked for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Word and the rest, with lines joined and comments left out."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined)]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def test_every_instruction_is_one_that_builders_know() -> None:
    known = {"ARG", "FROM", "ENV", "RUN", "COPY", "LABEL", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in instructions()} <= known
    for word, rest in instructions():
        assert word == "RUN" or shlex.split(rest)


def test_the_base_has_a_version_and_can_be_pinned_from_outside() -> None:
    (base,) = (rest for word, rest in instructions() if word == "ARG")
    assert re.fullmatch(r"PYTHON=python:3\.\d+-slim", base)
    assert [stage[0][1].split()[0] for stage in stages()] == ["${PYTHON}", "${PYTHON}"]


def test_what_is_installed_has_the_hashes_of_the_lock() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and " install " in rest]
    assert len(installs) == 1
    words = shlex.split(installs[0])
    assert "--require-hashes" in words
    assert words[words.index("-r") + 1] == "/src/run.txt"
    assert ("COPY", "requirements/run.txt /src/run.txt") in stages()[0]


def test_every_requirement_of_the_lock_has_a_hash() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text().replace("\\\n", " ")
    needed = [line for line in lock.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert needed
    assert all(" --hash=sha256:" in line for line in needed)


def test_the_last_stage_runs_as_nobody_and_installs_nothing() -> None:
    last = stages()[-1]
    (user,) = (rest for word, rest in last if word == "USER")
    assert user == "65532:65532"
    commands = " ".join(rest for word, rest in last if word == "RUN")
    assert not re.search(r"\b(apt|apt-get|apk|curl|wget|gcc|pip install)\b", commands)
    assert "pip uninstall" in commands
    assert [word for word, _ in last].index("USER") > max(i for i, (word, _) in enumerate(last) if word == "RUN")


def test_it_starts_the_program_without_a_shell() -> None:
    (entry,) = (json.loads(rest) for word, rest in stages()[-1] if word == "ENTRYPOINT")
    assert entry == ["/opt/extauthz/bin/python", "-m", "extauthz.cli"]
    assert (ROOT / "extauthz" / "cli" / "__main__.py").exists()


@pytest.mark.parametrize("copied", ["LICENSE", "extauthz", "requirements/run.txt"])
def test_only_what_is_copied_is_sent_to_the_builder(copied: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert f"!{copied}" in ignored
    assert (ROOT / copied).exists()
    assert any(word == "COPY" and rest.split()[0] == copied for word, rest in instructions())
