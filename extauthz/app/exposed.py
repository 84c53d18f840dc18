"""Files of ours that others on this machine may read or write, which is for the operator to know."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extauthz.config import Settings

_SECRETS: Final = ("pepper_file", "store_password_file", "tls_key", "store_key")
_ROOT: Final = Path("/")


def exposed(settings: Settings, root: Path = _ROOT) -> Iterator[str]:
    """What is open to every account of this machine, in words, and how to close it. Folders above `root` count as open.

    Nothing of what is mounted read-only, as Kubernetes mounts a Secret: there the mount keeps others out.
    """
    for name in _SECRETS:
        path = getattr(settings, name)
        if path is not None and (mode := _mode(path, root)) & (stat.S_IROTH | stat.S_IWOTH):
            may = "write" if mode & stat.S_IWOTH else "read"
            flag = f"--{name.replace('_', '-')}"
            yield f"everybody on this machine may {may} `{path}` (`{flag}`); take that from them by `chmod o= {path}`"
    folder = settings.policies
    if folder is not None and _mode(folder, root) & stat.S_IWOTH:
        yield f"everybody on this machine may write policies to `{folder}`; take that from them by `chmod o-w {folder}`"


def _mode(path: Path, root: Path) -> int:
    """The rights of a file or folder; none of a pipe, of what is mounted read-only or others cannot reach."""
    try:
        found = path.stat().st_mode
        fixed = os.statvfs(path).f_flag & os.ST_RDONLY
        closed = any(not each.stat().st_mode & stat.S_IXOTH for each in _above(path.resolve(), root))
    except OSError:
        return 0
    return 0 if fixed or closed or not (stat.S_ISREG(found) or stat.S_ISDIR(found)) else found


def _above(path: Path, root: Path) -> Iterator[Path]:
    for each in path.parents:
        if each == root:
            return
        yield each
