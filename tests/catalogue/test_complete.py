"""Every row of the catalogue of hostile inputs has a test that is found by its number: `pytest -k B07`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
LENGTHS = {"A": 19, "B": 25, "C": 18, "D": 22, "F": 21}
"""How many rows each part has: extraction, structure, keys, claims, replay."""
ROWS = [f"{part}{number:02}" for part, length in LENGTHS.items() for number in range(1, length + 1)]

THROUGH_ENVOY = ["A05", "A07", "A08", "A09", "A13", "A14", "A15", "A16", "A17", "A18", "F13", "F14", "F16", "F18"]
"""Rows that Envoy decides or alters, and that are tested through a real one as well."""

_NAME = re.compile(r"test_([A-H]\d\d)_[a-z]")
_OLD = re.compile(r"test_[a-h]\d\d_")


def _functions(folder: Path) -> Iterator[str]:
    for path in folder.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


def _rows(folder: str) -> set[str]:
    found = (_NAME.match(name) for name in _functions(TESTS / folder))
    return {match[1] for match in found if match is not None}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_a_test(row: str) -> None:
    assert row in _rows("catalogue")


@pytest.mark.parametrize("row", THROUGH_ENVOY)
def test_each_row_that_envoy_has_a_say_in_meets_a_real_one(row: str) -> None:
    assert row in _rows("envoy")


def test_no_test_has_a_row_that_is_not_in_the_catalogue() -> None:
    known = {*ROWS}
    assert _rows("catalogue") <= known
    assert {row for row in _rows("envoy") if row[0] in LENGTHS} <= known


def test_rows_are_written_in_one_way() -> None:
    assert [name for name in _functions(TESTS) if _OLD.match(name)] == []
