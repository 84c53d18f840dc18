"""`extauthz explain` as its users meet it: the console script, by a folder and by a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import anonymous, obj, policy, with_token
from tests.contract.running import Serve, run, serving, write

CORP = obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}})
ONCE = with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 1})
OPEN = anonymous("open", path={"exact": "/open"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One issuer and one policy."""
    made = tmp_path_factory.mktemp("policies")
    write(made, "shop.yaml", CORP, policy("orders", OPEN, ONCE))
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Serve]:
    """A server with an admin port."""
    with serving(folder, "--admin", "127.0.0.1:0") as started:
        yield started


def token(**said: Any) -> str:
    """A token that is good now."""
    now = int(SystemClock().now())
    return issuing.token(issuing.claims(**{"iat": now - 60, "exp": now + 300, **said}))


def http(path: str, *headers: str) -> str:
    """A request as HTTP text."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: api.example", *headers, "", ""])


def explained(request: str, *arguments: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and the story in JSON."""
    done = run("explain", "--request", "-", "--output", "json", *arguments, stdin=request)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


# By a folder


def test_a_folder_tells_the_story_of_a_curl_command(folder: Path) -> None:
    command = f"curl -H 'authorization: Bearer {token()}' https://api.example/once"
    done = run("explain", "--policies", folder, "--request", "-", stdin=command)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "GET api.example/once"
    assert "  nothing is counted in a folder: every count is told as unused" in lines
    assert "  ✓ reuse: 1 in the life of the token, 1 left before, 0 after" in lines
    assert "verdict: admitted" in lines


def test_where_signs_cannot_be_shown_words_are(folder: Path) -> None:
    environ = {"PYTHONIOENCODING": "ascii"}
    done = run("explain", "--policies", folder, "--request", "-", stdin=http("/open"), environ=environ)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "  ok shop/orders open: " in done.stdout


# By a server


def test_a_server_tells_what_is_left_of_its_counts_and_counts_nothing(served: Serve) -> None:
    admin = served.admin.removeprefix("http://")
    text = token(jti="counted")
    request = http("/once", f"Authorization: Bearer {text}")
    for _ in range(2):
        code, story = explained(request, "--admin", admin)
        assert (code, story["spends"][0]["left"]) == (0, 1)
    url = "https://api.example/once"
    checked = run("check", "--address", served.address, "--token-file", "-", "--output", "json", url, stdin=text)
    assert checked.returncode == 0
    code, story = explained(request, "--admin", admin)
    assert (code, story["verdict"]["step"], story["spends"][0]["left"]) == (1, "reuse", 0)
    assert story["verdict"]["detail"] == "the one use is taken (`reuse`)"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:x"])
def test_a_server_that_does_not_answer_leaves_it_open(address: str) -> None:
    done = run("explain", "--admin", address, "--request", "-", stdin=http("/"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cannot tell: ")
