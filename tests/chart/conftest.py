"""promtool, where it is at hand."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool. In CI it must be there; without it the rules are read by tests.chart.promql alone."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI"):
        pytest.fail("there is no promtool: Debian's package `prometheus` has it", pytrace=False)
    if found is None:
        pytest.skip("no promtool: Debian's package `prometheus` has it")
    return found
