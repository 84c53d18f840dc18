"""The build of the compiled modules; `make test-native` makes it, and runs these tests with it."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "native" / "build.py"
MODULES: tuple[str, ...] = runpy.run_path(str(SCRIPT))["MODULES"]


@pytest.mark.parametrize("name", MODULES)
def test_what_is_tested_is_what_was_asked_for(name: str) -> None:
    """The libraries under `make test-native`, else the sources: never a mixture."""
    suffix = ".so" if os.environ.get("NATIVE") else ".py"
    assert str(importlib.import_module(f"extauthz.{name}").__file__).endswith(suffix)


@pytest.mark.skipif("not os.environ.get('NATIVE')", reason="the libraries are not what is imported here")
def test_the_copy_holds_the_package_and_its_libraries_and_nothing_else() -> None:
    """It goes into the image as it is: what the compilers leave has other names each time."""
    copy = Path(str(importlib.import_module("extauthz").__file__)).parents[1]
    found = {path.name.partition(".")[0] for path in copy.iterdir() if path.name != ".built"}
    assert found == {"extauthz", "extauthz__mypyc"}


def test_no_module_is_named_twice() -> None:
    assert len(set(MODULES)) == len(MODULES)


def test_without_a_compiler_it_says_what_to_install_and_leaves_an_earlier_build(tmp_path: Path) -> None:
    earlier = tmp_path / "out" / "extauthz"
    earlier.mkdir(parents=True)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out")]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "a C compiler is needed: apt-get install gcc" in done.stderr
    assert earlier.exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["one", "two"]])
def test_wrong_arguments_are_told_what_is_right(arguments: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "python native/build.py FOLDER")
