"""The long runs, made short, as processes of their own: as things are, they find nothing wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def soak(folder: Path, *arguments: str) -> dict[str, Any]:
    """The JSON of a run in a process of its own, whose memory is its own, too."""
    file = folder / "soak.json"
    command = [sys.executable, "-m", "bench.soak", *arguments, "--output", "json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    assert found["schema"] == 1
    return dict(found["runs"])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_many_tokens_pass_through_bounded_memory_once_each(tmp_path: Path) -> None:
    run = soak(tmp_path, "--only", "tokens", "--tokens", "20000")["tokens"]
    assert run["figures"]["answers"] == {
        "first use": 20_000,
        "again while live": pytest.approx(400, abs=50),
        "again when expired": pytest.approx(800, abs=100),
    }
    assert run["memory"].keys() == {"resident_mb", "grown_mb", "bound_mb", "warm_up", "samples_mb"}


@pytest.mark.slow
@pytest.mark.envoy
@pytest.mark.timeout(240)
def test_no_answer_is_wrong_while_policies_and_keys_change_every_second(tmp_path: Path) -> None:
    run = soak(tmp_path, "--only", "envoy", "--seconds", "10", "--rate", "200")["envoy"]
    assert run["wrong"] == []
    assert run["figures"]["requests"] > 0
    assert run["figures"]["whole request, ms"].keys() == {"p50", "p99", "p99.9"}
