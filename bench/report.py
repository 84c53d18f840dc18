"""Reports for people and for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import extauthz.decide
from bench.measure import Effort, Figure, Report, Row, Target

_PACKAGES: Final = ("grpcio", "pyjwt", "cryptography", "protobuf")
SCHEMA: Final = 1


def text_of(report: Report) -> str:
    """One benchmark as a table, its targets and its notes."""
    lines = ["", f"{report.name}: {report.about}", *(_table(report.rows) if report.rows else ())]
    if report.targets:
        lines += ["", *_columns([("target", "bound", "figure", ""), *map(_target_cells, report.targets)])]
    if report.standing:
        lines += ["", *_table(report.standing)]
    return "\n".join([*lines, *(f"  {note}" for note in report.notes)])


def as_json(reports: Iterable[Report], effort: Effort) -> dict[str, Any]:
    """All benchmarks of one run, with what they ran on."""
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "rounds": effort.rounds,
        "share": effort.share,
        "benchmarks": {
            report.name: {
                "about": report.about,
                "rows": _rows(report.rows),
                "standing": _rows(report.standing),
                "targets": {
                    target.name: {
                        "bound": target.bound,
                        "atLeast": target.at_least,
                        "reached": target.reached,
                        **_figure(target.figure),
                    }
                    for target in report.targets
                },
                "notes": list(report.notes),
            }
            for report in reports
        },
    }


def machine() -> dict[str, Any]:
    """What a figure depends on, besides us."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "extauthz": "compiled" if str(extauthz.decide.__file__).endswith(".so") else "interpreted",
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rows(rows: Iterable[Row]) -> dict[str, Any]:
    return {row.name: {column: _figure(each) for column, each in row.figures.items()} for row in rows}


def _figure(figure: Figure) -> dict[str, Any]:
    return {"median": figure.median, "spread": figure.spread, "values": list(figure.values)}


def _table(rows: Sequence[Row]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row.figures))
    return _columns([("", *columns), *((row.name, *_cells(row, columns)) for row in rows)])


def _cells(row: Row, columns: Iterable[str]) -> Iterator[str]:
    for column in columns:
        figure = row.figures.get(column)
        yield "" if figure is None else _cell(figure)


def _cell(figure: Figure) -> str:
    """The median, and behind it how far the rounds lie apart."""
    spread = f" ±{figure.spread / 2:.0%}" if len(figure.values) > 1 else ""
    return _number(figure.median) + spread.rjust(5 if spread else 0)


def _target_cells(target: Target) -> tuple[str, ...]:
    bound = f"{'>=' if target.at_least else '<='} {target.bound:g}"
    return target.name, bound, _cell(target.figure), "reached" if target.reached else "missed"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _columns(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines with columns below each other, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        name, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(["", name, *rest]).rstrip()
