"""Files that are open to everybody are told; what is closed, or none of ours, is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extauthz.app.exposed import exposed
from extauthz.config import Settings, load


def settings(folder: Path, **files: Path) -> Settings:
    flags = {name.replace("_", "-"): str(path) for name, path in files.items()}
    found = load({"policies": str(folder), **flags}, {})
    assert isinstance(found, Settings), found
    return found


def file(folder: Path, name: str, mode: int) -> Path:
    path = folder / name
    path.write_text("secret")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "may"), [(0o600, None), (0o640, None), (0o660, None), (0o644, "read"), (0o666, "write"), (0o602, "write")]
)
def test_a_secret_that_everybody_may_read_or_write_is_told(tmp_path: Path, mode: int, may: str | None) -> None:
    tmp_path.chmod(0o755)
    pepper = file(tmp_path, "pepper", mode)
    told = list(exposed(settings(tmp_path, pepper_file=pepper), tmp_path))
    mend = f"(`--pepper-file`); take that from them by `chmod o= {pepper}`"
    assert told == ([] if may is None else [f"everybody on this machine may {may} `{pepper}` {mend}"])


def test_the_private_key_is_told_and_the_certificate_is_not(tmp_path: Path) -> None:
    cert, key = file(tmp_path, "cert", 0o644), file(tmp_path, "key", 0o644)
    [told] = exposed(settings(tmp_path, tls_cert=cert, tls_key=key), tmp_path)
    assert "`--tls-key`" in told


@pytest.mark.parametrize(("mode", "open_to_all"), [(0o755, False), (0o775, False), (0o777, True)])
def test_a_folder_of_policies_that_everybody_may_write_to_is_told(tmp_path: Path, mode: int, open_to_all: bool) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    folder.chmod(mode)
    told = list(exposed(settings(folder), tmp_path))
    assert [f"chmod o-w {folder}" in words for words in told] == [True] * open_to_all


def test_a_link_is_as_what_it_leads_to_and_a_pipe_or_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file(tmp_path, "pepper", 0o600))
    assert list(exposed(settings(tmp_path, pepper_file=tmp_path / "link"), tmp_path)) == []
    os.mkfifo(tmp_path / "pipe", 0o666)
    (tmp_path / "pipe").chmod(0o666)
    assert list(exposed(settings(tmp_path, pepper_file=tmp_path / "pipe"), tmp_path)) == []
    assert list(exposed(settings(tmp_path, pepper_file=tmp_path / "none"), tmp_path)) == []


def test_what_stands_in_a_folder_that_is_closed_to_others_is_not_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    pepper = file(closed, "pepper", 0o666)
    assert list(exposed(settings(tmp_path, pepper_file=pepper), tmp_path)) == []
    closed.chmod(0o711)
    assert len(list(exposed(settings(tmp_path, pepper_file=pepper), tmp_path))) == 1
