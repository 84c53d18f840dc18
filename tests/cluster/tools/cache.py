"""A folder outside the repository that holds what takes long to make: each thing is made once, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """Where tools are kept: below `XDG_CACHE_HOME`, which defaults to `~/.cache` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "extauthz" / "cluster-tools"


def name_of(*inputs: bytes) -> str:
    """A short name that differs as soon as one of the inputs differs."""
    digest = hashlib.sha256()
    for each in inputs:
        digest.update(len(each).to_bytes(8, "big") + each)
    return digest.hexdigest()[:16]


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, filled by `make` when it is not there yet.

    One process makes it while others wait. It is filled beside its place and renamed, so that a folder under its own
    name is always complete, whatever was killed on the way.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a run that was killed; we hold the lock
            shutil.rmtree(left)
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        try:
            make(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder
