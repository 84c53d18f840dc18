"""The benchmark with an API server runs. No figure is asserted: machines differ."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from bench.__main__ import main
from tests.cluster.binaries import Binaries


def test_the_benchmark_of_the_cluster_says_each_figure(binaries: Binaries, tmp_path: Path) -> None:
    arguments = ["--only", "cluster", "--rounds", "1", "--share", "0.001", "--output", "json"]
    result = CliRunner().invoke(main, [*arguments, str(tmp_path / "bench.json")])
    assert result.exception is None, result.output
    found = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]["cluster"]
    assert found["targets"].keys() == {"seconds to ready", "edit, slowest ms", "resident MiB"}
    assert all(figure["median"] > 0 for figure in found["targets"].values())
