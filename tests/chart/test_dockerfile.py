"""The Dockerfile, read as a list of instructions: no builder runs here, so what it promises is looked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
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


def test_the_bases_have_a_version_and_can_be_pinned_from_outside() -> None:
    base, compiler = (rest for word, rest in instructions() if word == "ARG")
    assert re.fullmatch(r"PYTHON=python:3\.\d+-slim", base)
    # One Python on one Debian, or the libraries do not fit.
    assert compiler == base.replace("PYTHON", "COMPILER").removesuffix("-slim")
    assert [stage[0][1].split()[0] for stage in stages()] == ["${COMPILER}", "${PYTHON}", "${PYTHON}"]


def test_what_is_installed_has_the_hashes_of_the_lock() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and " install " in rest]
    locks = ["/src/requirements/native.txt", "/src/run.txt"]
    for install, lock in zip(installs, locks, strict=True):
        words = shlex.split(install)
        assert {"--require-hashes", "--only-binary", "--no-deps"} <= set(words)
        assert words[words.index("-r") + 1] == lock
    assert ("COPY", "requirements/native.txt /src/requirements/native.txt") in stages()[0]
    assert ("COPY", "requirements/run.txt /src/run.txt") in stages()[1]


@pytest.mark.parametrize("lock", ["run", "native"])
def test_every_requirement_of_a_lock_has_a_hash(lock: str) -> None:
    lock = (ROOT / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
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
    assert entry == ["/opt/extauthz/bin/extauthz"]


def test_the_program_has_a_name_that_the_on_call_can_run(tmp_path: Path) -> None:
    """`kubectl exec … -- extauthz store ping`: the very lines that the Dockerfile writes, with our interpreter."""
    (words,) = (shlex.split(part) for part in _build_commands() if part.startswith("printf"))
    arrow = words.index(">")
    assert words[arrow + 1] == "/opt/extauthz/bin/extauthz"
    script = tmp_path / "extauthz"
    script.write_text("\n".join(words[2:arrow]).replace("/opt/extauthz/bin/python", sys.executable) + "\n")
    script.chmod(0o755)
    said = subprocess.run([str(script), "version"], capture_output=True, text=True, timeout=30, check=False)
    assert (said.returncode, said.stdout.split()[0]) == (0, "extauthz"), said.stderr


def test_two_builds_at_two_times_compile_the_same_octets(tmp_path: Path) -> None:
    (words,) = (shlex.split(part) for part in _build_commands() if "compileall" in part)
    flags = words[words.index("compileall") + 1 : -1]
    assert words[0] == "PYTHONHASHSEED=0"
    made = [_compiled(tmp_path / name, flags, age) for name, age in (("one", 0.0), ("two", 86_400.0))]
    assert len(made[0]) > 100
    assert made[0] == made[1]
    plain = [_compiled(tmp_path / name, ["-q"], age) for name, age in (("three", 0.0), ("four", 86_400.0))]
    assert plain[0] != plain[1], "without these flags they would differ, or this test could not fail"


def _build_commands() -> list[str]:
    """The commands of the stage that puts the program together, one by one."""
    return [part.strip() for word, rest in stages()[1] if word == "RUN" for part in rest.split("&&")]


def _compiled(folder: Path, flags: list[str], age: float) -> dict[str, str]:
    """The digests of the byte code of the program, from sources that are `age` seconds older than they are."""
    place = folder / "lib"
    shutil.copytree(ROOT / "extauthz", place / "extauthz", ignore=shutil.ignore_patterns("__pycache__"))
    for path in place.rglob("*.py"):
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    command = [sys.executable, "-m", "compileall", *flags, "-s", str(folder), str(place)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, timeout=60, check=True)
    files = sorted(place.rglob("*.pyc"))
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_nothing_in_the_last_stage_leaves_byte_code_of_its_own_time() -> None:
    last = stages()[-1]
    environment = next(
        i for i, (word, rest) in enumerate(last) if word == "ENV" and "PYTHONDONTWRITEBYTECODE=1" in rest
    )
    assert environment < min(i for i, (word, _) in enumerate(last) if word == "RUN")


@pytest.mark.parametrize("copied", ["LICENSE", "extauthz", "native", "requirements/native.txt", "requirements/run.txt"])
def test_only_what_is_copied_is_sent_to_the_builder(copied: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert f"!{copied}" in ignored
    assert (ROOT / copied).exists()
    assert any(word == "COPY" and rest.split()[0] == copied for word, rest in instructions())


def test_the_program_is_the_one_with_compiled_modules() -> None:
    assert "/opt/native/bin/python /src/native/build.py /src/build/native" in [
        rest for word, rest in stages()[0] if word == "RUN"
    ]
    assert ("COPY", "--from=native /src/build/native /src/program") in stages()[1]
    assert any(part.startswith("cp -r /src/program/. ") for part in _build_commands())
