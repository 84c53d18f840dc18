"""What another project's control plane makes of our objects, as it was recorded: `make translations` records anew.

A recording is found by a digest of the objects, so that objects that changed have none, and the tests say so.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from tests.deploy.scene import Config

FOLDER: Final = Path(__file__).parent / "recorded"


def digest(source: Any) -> str:
    """What a recording is found by."""
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:24]


def recorded(project: str, source: Any) -> Config:
    """The bootstrap that was recorded for these objects."""
    found: dict[str, Config] = json.loads((FOLDER / f"{project}.json").read_bytes())
    assert digest(source) in found, f"nothing is recorded of {project} for these objects: run make translations"
    return found[digest(source)]


def record(project: str, recordings: dict[str, Config]) -> None:
    """Write all recordings of a project, one a line, the same octets for the same ones."""
    lines = [f"{json.dumps(name)}: {json.dumps(recordings[name], sort_keys=True)}" for name in sorted(recordings)]
    (FOLDER / f"{project}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
