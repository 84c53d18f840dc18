"""The page that people open with a reason in hand has that reason, for each that the code can write."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.control import status
from extauthz.policy.problem import Cause

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "troubleshoot.md"


def written() -> set[tuple[str, str]]:
    """Each condition with each reason that `control/status.py` gives it."""
    found: set[tuple[str, str]] = set()
    for call in ast.walk(ast.parse(Path(status.__file__).read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "_Said":
            condition = call.args[0]
            assert isinstance(condition, ast.Constant)
            found |= {(str(condition.value), reason) for reason in _reasons(str(condition.value), call.args[2])}
    return found


def _reasons(condition: str, said: ast.expr) -> Iterator[str]:
    match said:
        case ast.Constant(value=str(reason)):
            yield reason
        case ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))):
            yield from (one, other)
        case ast.Attribute(attr="value"):
            yield from (cause.value for cause in Cause if cause.of_reference is (condition == "ResolvedRefs"))
        case ast.Attribute(value=ast.Name(id="unmet"), attr="reason"):
            yield "a reason of `Accepted` or `ResolvedRefs`"
        case _:
            pytest.fail(f"a reason that this test cannot read: {ast.unparse(said)}")


def told() -> set[tuple[str, str]]:
    """Each condition with each reason that the page has a row for."""
    parts = re.split(r"^## `(\w+)`.*$", PAGE.read_text(), flags=re.MULTILINE)
    found: set[tuple[str, str]] = set()
    for condition, text in zip(parts[1::2], parts[2::2], strict=True):
        for cell in re.findall(r"^\| ([^|]+) \|", text.partition("\n## ")[0], re.MULTILINE):
            reasons = [cell] if cell.startswith("a ") else re.findall(r"`(\w+)`", cell)
            found |= {(condition, reason) for reason in reasons}
    return found


def test_every_reason_has_a_row_and_every_row_a_reason() -> None:
    assert len(written()) > 20
    assert told() == written()
