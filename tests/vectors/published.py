"""Where published test data lies: beside the repository, or where TEST_VECTORS says. It is never copied here."""

from __future__ import annotations

import os
from pathlib import Path

VECTORS = Path(os.environ.get("TEST_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))


def absent(folder: Path) -> str:
    """Why the cases of a folder that is not there are skipped."""
    return f"no published vectors at {folder}; name their folder in TEST_VECTORS"
