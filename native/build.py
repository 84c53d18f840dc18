"""Compiles the modules that every Check goes through to C with mypyc, in a copy of the package.

python native/build.py build/native

The copy has all of `extauthz`, and beside the sources below a library that Python takes in their place: the same
program, which costs a third less to run (docs/adr/0039-compiled.md). It is made for the Python that runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

MODULES: Final = (
    "decide",
    *("keys.algorithm", "keys.jwk"),
    *(
        "model.encoding",
        "model.question",
        "model.request",
        "model.target",
        "model.time",
        "model.token",
        "model.verdict",
    ),
    *("policy.match", "policy.revocations", "policy.rule", "policy.snapshot", "policy.upstream"),
    *("replay.family", "replay.plan", "replay.spend", "replay.store"),
    *("server.answer", "server.challenge", "server.codec", "server.form", "server.respond"),
    *("telemetry.audit", "telemetry.line", "telemetry.metrics", "telemetry.observation", "telemetry.writer"),
    *("tokens.acceptance", "tokens.cache", "tokens.claims", "tokens.credential", "tokens.jws", "tokens.parameters"),
    *("tokens.signer", "tokens.verify"),
)
"""What a Check runs through, without the package's name. What is not of it gains nothing and stays as it is."""

_LOOK: Final = """
import importlib, sys
for name in sys.argv[1:]:
    module = importlib.import_module(f"extauthz.{name}")
    if not str(module.__file__).endswith(".so"):
        sys.exit(f"`{module.__file__}` was imported where its library was to be")
"""


def build(into: Path) -> None:
    """Make the copy, in place of an earlier one. Raises SystemExit, with words, when it cannot be made."""
    _need_compiler()
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f"{into.name}.") as place:
        copy = Path(place) / "copy"
        shutil.copytree(ROOT / "extauthz", copy / "extauthz", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        _compile(copy, Path(place) / "objects")
        _look(copy)
        shutil.rmtree(into, ignore_errors=True)
        copy.rename(into)


def _need_compiler() -> None:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise SystemExit(f"`{compiler}` is not there, and a C compiler is needed: apt-get install gcc libc6-dev")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise SystemExit(f"`{header}` is not there, and Python's headers are needed: apt-get install python3-dev")


def _compile(copy: Path, objects: Path) -> None:
    """Compile in a process of its own: the compilers work in the folder that they are called in."""
    command = [sys.executable, str(Path(__file__).resolve()), "--here", str(objects)]
    # One seed, so that two builds write the same.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nthe modules could not be compiled")


def _compile_here(objects: str) -> None:
    from mypyc.build import mypycify  # noqa: PLC0415 - only here is the compiler needed
    from setuptools import Distribution  # noqa: PLC0415

    paths = [f"extauthz/{name.replace('.', '/')}.py" for name in MODULES]
    # Asserts stay: they guard what the types cannot say. No debug information, which would name this folder.
    flags = ["--config-file=", f"--cache-dir={objects}/mypy", "--ignore-missing-imports"]
    extensions = mypycify([*flags, *paths], opt_level="3", debug_level="0", group_name="extauthz", target_dir=objects)
    distribution = Distribution({"name": "extauthz", "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.inplace, command.build_temp = 1, objects  # type: ignore[attr-defined]
    distribution.run_command("build_ext")
    # What the compilers leave has names of chance in it.
    for left in Path().iterdir():
        if not left.name.startswith("extauthz"):
            shutil.rmtree(left)


def _look(copy: Path) -> None:
    """Import every module, so that a build that does not start is found here."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _LOOK, *MODULES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nthe compiled modules do not start (exit code {done.returncode})")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--here", objects]:
            _compile_here(objects)
        case [folder] if not folder.startswith("-"):
            build(Path(folder))
        case _:
            raise SystemExit("python native/build.py FOLDER")
