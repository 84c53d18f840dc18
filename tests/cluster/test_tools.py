"""The cache of tools: each thing is made once, and is there whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.cluster.binaries import NoBinariesError, find_binaries
from tests.cluster.tools.cache import made_once, name_of


def test_a_thing_is_made_once_however_many_ask_for_it(tmp_path: Path) -> None:
    folder, made = tmp_path / "tool", []

    def make(part: Path) -> None:
        made.append(part)
        (part / "program").write_text("first half, ")
        with (part / "program").open("a") as program:
            program.write("second half")

    def ask() -> None:
        assert (made_once(folder, make) / "program").read_text() == "first half, second half"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(made) == 1
    assert (folder / "program").is_file()


def test_what_fails_on_the_way_leaves_nothing_and_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "tool"

    def fail(part: Path) -> None:
        (part / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        made_once(folder, fail)
    assert not folder.exists()
    (tmp_path / "tool.part-killed").mkdir()  # what a run that was killed leaves
    assert made_once(folder, lambda part: (part / "whole").touch()) == folder
    assert {each.name for each in tmp_path.iterdir()} == {"tool", "tool.lock"}
    assert {each.name for each in folder.iterdir()} == {"whole"}


def test_another_pin_is_another_name() -> None:
    assert len({name_of(b"ab", b"c"), name_of(b"a", b"bc"), name_of(b"abc")}) == 3


def test_a_folder_that_lacks_a_program_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(NoBinariesError, match="has no kube-apiserver, kubectl: run make cluster-tools"):
        find_binaries()
