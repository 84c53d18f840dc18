"""The line that a forgetting leaves is whole, or told elsewhere."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extauthz.cli.store.audit import write_whole

LINE = b'{"decision":"forget"}\n'


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Files that take so many bytes, as a disk that is nearly full does. Nothing else may be written meanwhile: what
    the tests print may go into a file, too."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_line_is_written_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        write_whole(log.fileno(), LINE)
    assert (tmp_path / "log").read_bytes() == LINE


def test_a_line_of_which_only_the_beginning_is_taken_is_an_error(tmp_path: Path) -> None:
    path, most = tmp_path / "log", len(LINE) // 2
    with path.open("wb") as log, pytest.raises(OSError, match="too large"), small_files(most):
        write_whole(log.fileno(), LINE)
    assert path.stat().st_size == most
