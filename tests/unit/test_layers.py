"""Only `model/time.py` reads a clock, also where no `import time` shows it to the import contracts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import extauthz

PACKAGE = Path(extauthz.__file__).parent
THE_CLOCK = PACKAGE / "model" / "time.py"
READINGS = (
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "get_event_loop().time",
    "get_running_loop().time",
    "loop.time",
    # Protobuf's Timestamp and Prometheus' Gauge
    "GetCurrentTime",
    "set_to_current_time",
)


def clock_readings(source: str) -> list[str]:
    """Whatever reads a clock in the source, each with its line."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names) if any(alias.name == "time" for alias in names):
                found.append((node.lineno, "import time"))
            case ast.ImportFrom(module="time"):
                found.append((node.lineno, "from time import"))
            case ast.Attribute() if f".{ast.unparse(node)}".endswith(tuple(f".{reading}" for reading in READINGS)):
                found.append((node.lineno, ast.unparse(node)))
            case _:
                pass
    return [f"line {line}: {reading}" for line, reading in found]


def test_only_one_module_reads_a_clock() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path != THE_CLOCK and "_pb" not in path.parts]
    assert modules
    readings = {str(path.relative_to(PACKAGE)): clock_readings(path.read_text(encoding="utf-8")) for path in modules}
    assert {module: found for module, found in readings.items() if found} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "import datetime\nprint(datetime.datetime.now(datetime.UTC))",
        "read = datetime.now",
        "asyncio.get_running_loop().time()",
        "stamp.GetCurrentTime()",
    ],
)
def test_a_reading_of_a_clock_is_found(source: str) -> None:
    assert clock_readings(source)


@pytest.mark.parametrize(
    "source", ["clock.now()", "from extauthz.model.time import Clock", "datetime.fromtimestamp(now)"]
)
def test_the_use_of_a_clock_that_was_given_is_no_reading(source: str) -> None:
    assert not clock_readings(source)
