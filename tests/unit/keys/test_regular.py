"""Files that somebody else names."""

import os
from pathlib import Path

import pytest

from extauthz.keys.regular import read_regular


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert (read_regular(file, 3), read_regular(file, 9)) == (b"123", b"12345")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(OSError, match="is no regular file"):
        read_regular(path, 3)
