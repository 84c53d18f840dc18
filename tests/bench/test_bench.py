"""The benchmarks run, and their JSON has one shape. No figure is asserted: machines differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import BENCHMARKS, main
from bench.calling import LOAD, _doubts
from bench.measure import Effort, Figure, Row, Target, Variant, interleave, ratio

pytestmark = pytest.mark.usefixtures("collector")


def run(folder: Path, name: str) -> dict[str, object]:
    """The JSON of one benchmark with tiny counts."""
    file = folder / "bench.json"
    result = CliRunner().invoke(
        main, ["--only", name, "--rounds", "1", "--share", "0.001", "--output", "json", str(file)]
    )
    assert result.exception is None, result.output
    assert f"{name}: " in result.output
    found: dict[str, object] = json.loads(file.read_text())
    return found


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_benchmark_says_each_figure_with_its_rounds(tmp_path: Path, name: str) -> None:
    found = run(tmp_path, name)
    assert found["schema"] == 1
    assert isinstance(found["machine"], dict)
    assert {"processor", "cores", "load", "python", "pyjwt", "grpcio"} <= found["machine"].keys()
    benchmarks = found["benchmarks"]
    assert isinstance(benchmarks, dict)
    assert list(benchmarks) == [name]
    rows, targets = benchmarks[name]["rows"], benchmarks[name]["targets"]
    assert rows
    for figure in [*(figure for row in rows.values() for figure in row.values()), *targets.values()]:
        assert len(figure["values"]) == 1
        assert figure["median"] >= 0
        assert figure["spread"] >= 0


def test_without_an_api_server_the_benchmark_of_the_cluster_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    result = CliRunner().invoke(main, ["--only", "cluster"])
    assert result.exception is None, result.output
    assert [line for line in result.output.splitlines()[1:] if line] == [
        "cluster: skipped: no kube-apiserver (set KUBEBUILDER_ASSETS or install Go and run make cluster-tools)"
    ]


def test_every_variant_runs_in_every_round_and_the_first_round_does_not_count() -> None:
    ran: list[str] = []

    def variant(name: str) -> Variant:
        def once() -> dict[str, float]:
            ran.append(name)
            return {"count": float(len(ran))}

        return Variant(name, once)

    rows = interleave([variant("a"), variant("b"), variant("c")], 2)
    assert "".join(ran) == "abc" + "bca" + "cab"
    assert {row.name: row.figures["count"].values for row in rows} == {
        "a": (6.0, 8.0),
        "b": (4.0, 9.0),
        "c": (5.0, 7.0),
    }


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    assert ratio([1.0, 20.0, 300.0], [10.0, 100.0, 1000.0]).median == 0.2


@pytest.mark.parametrize(
    ("value", "at_least", "reached"),
    [(0.79, False, True), (0.81, False, False), (0.81, True, True), (0.79, True, False)],
)
def test_a_target_is_reached_on_its_side_of_the_bound(value: float, at_least: bool, reached: bool) -> None:
    assert Target("t", 0.8, Figure((value,)), at_least=at_least).reached is reached


def test_the_spread_is_the_middle_half() -> None:
    assert Figure((1.0, 2.0, 3.0, 4.0, 500.0)).spread == pytest.approx(2 / 3)
    assert Figure((1.0,)).spread == 0.0


def test_the_least_effort_still_measures_something() -> None:
    assert Effort(rounds=1, share=0.0001).of(10) == 1


@pytest.mark.parametrize(("busy", "doubts"), [(99.0, 0), (60.0, 1)])
def test_rates_of_a_server_that_had_to_wait_are_doubted(busy: float, doubts: int) -> None:
    rows = [Row("a server", {LOAD: Figure((busy,))}), Row("no server", {})]
    assert len(list(_doubts(rows))) == doubts
