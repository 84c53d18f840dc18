"""`extauthz explain` over a folder: stories, exit codes, wrong usage, and never a token in what it prints."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from extauthz.cli.explain import command
from extauthz.model.time import SystemClock
from tests import introspecting, issuing
from tests.building import NOW, anonymous, obj, policy, with_token
from tests.contract.running import write

CORP = obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}})
FAR = obj("TokenIssuer", "far", {"issuer": "https://far.example", "keys": {"jwksUri": "https://127.0.0.1:1/jwks"}})
ONCE = with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 1})
OPEN = anonymous("open", path={"exact": "/open"})
SLOTS = {"header": {"header": "x-token"}, "cookie": {"cookie": "session"}, "query": {"query": "t"}}
TOKEN: dict[str, Any] = {"issuers": [{"name": "corp"}], "audiences": ["orders-api"]}
BY_SLOT = [
    {"name": name, "match": [{"path": {"exact": f"/{name}"}}], "token": TOKEN | {"from": slot}}
    for name, slot in SLOTS.items()
]
FROM_FAR = {
    "name": "far",
    "match": [{"path": {"exact": "/far"}}],
    "token": {"issuers": [{"name": "far"}], "audiences": ["orders-api"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two issuers, one of which cannot be reached, and a rule for each slot."""
    made = tmp_path_factory.mktemp("policies")
    write(made, "shop.yaml", CORP, FAR, policy("orders", OPEN, ONCE, *BY_SLOT, FROM_FAR))
    return made


def token(**said: Any) -> str:
    """A token that is good now."""
    now = int(SystemClock().now())
    return issuing.token(issuing.claims(**{"iat": now - 60, "exp": now + 300, **said}))


def http(path: str, *headers: str) -> str:
    """A request as HTTP text."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: api.example", *headers, "", ""])


def run(*arguments: object, stdin: str) -> Result:
    """Run the command in this process."""
    done = CliRunner().invoke(command, [str(each) for each in arguments], input=stdin.encode())
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def explained(request: str, *arguments: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and the story in JSON."""
    done = run("--request", "-", "--output", "json", *arguments, stdin=request)
    assert done.stderr == ""
    return done.exit_code, json.loads(done.stdout)


# By a folder


def test_a_folder_tells_the_story_of_a_curl_command(folder: Path) -> None:
    command = f"curl -H 'authorization: Bearer {token()}' https://api.example/once"
    done = run("--policies", folder, "--request", "-", stdin=command)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "GET api.example/once"
    assert "  nothing is counted in a folder: every count is told as unused" in lines
    assert "  ✓ reuse: 1 in the life of the token, 1 left before, 0 after" in lines
    assert "verdict: admitted" in lines


def test_a_denial_exits_with_1_and_says_where_it_ended(folder: Path) -> None:
    code, story = explained(http("/once"), "--policies", folder)
    assert (code, story["verdict"]["step"], story["response"]["status"]) == (1, "credential", 401)


def test_another_time_can_be_asked_about(folder: Path) -> None:
    request = http("/once", f"Authorization: Bearer {issuing.token()}")
    assert explained(request, "--policies", folder)[1]["verdict"]["reason"] == "token_expired"
    code, story = explained(request, "--policies", folder, "--at", "2026-09-21T14:13:20Z")
    assert (code, story["at"]) == (0, "2026-09-21T14:13:20.000Z")
    assert int(NOW) == 1_790_000_000


def test_keys_that_cannot_be_fetched_leave_the_answer_open_and_a_file_stands_in(folder: Path, tmp_path: Path) -> None:
    request = http("/far", f"Authorization: Bearer {token(iss='https://far.example')}")
    code, story = explained(request, "--policies", folder, "--offline")
    assert (code, story["verdict"]["reason"]) == (2, "keys_unavailable")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(issuing.jwks()))
    assert explained(request, "--policies", folder, "--keys", keys)[0] == 0


def test_a_folder_that_no_server_would_take_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: AccessPolicy\nspec: {{{\n")
    done = run("--policies", tmp_path, "--request", "-", stdin=http("/"))
    assert done.exit_code == 2
    assert done.stderr.startswith("cannot tell: ")


def test_mistakes_in_the_folder_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "p.yaml", policy("p", OPEN), policy("q", {"name": "r", "token": {"issuers": [{"name": "x"}]}}))
    story = explained(http("/open"), "--policies", tmp_path)[1]
    assert "1 mistake in the folder: see `extauthz lint`" in story["notes"]


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "`--policies` or `--admin`"),
        (["--policies", ".", "--admin", "127.0.0.1:1"], "`--policies` or `--admin`"),
        (["--admin", "127.0.0.1:1", "--offline"], "go with `--policies`"),
        (["--policies", ".", "--at", "2026-09-21T14:13:20"], "RFC 3339 with a zone"),
        (["--policies", ".", "--at", "soon"], "RFC 3339 with a zone"),
    ],
)
def test_wrong_usage_says_what_is_right(arguments: list[str], words: str) -> None:
    done = run("--request", "-", *arguments, stdin=http("/"))
    assert done.exit_code == 2
    assert words in done.stderr


# No token


def _places(text: str) -> Iterator[str]:
    """Requests with a token in each slot, beside it, where it does not belong, and in what cannot be read."""
    bearer = f"Authorization: Bearer {text}"
    yield http("/once", bearer)
    yield http("/once", bearer, bearer)
    yield http("/once", f"Authorization: Bearer {text}, Bearer {text}")
    yield http("/once", f"Authorization: Basic {text}")
    yield http("/once", bearer, f"X-Api-Key: {text}")
    yield http("/header", f"X-Token: {text}")
    yield http("/header", f"X-Token: {text}", bearer)
    yield http("/cookie", f"Cookie: a=b; session={text}; other={text}")
    yield http(f"/query?t={text}&u={text}")
    yield http(f"/query?t={text}%2E")
    yield http(f"/once/{text}", bearer)
    yield http(f"/once/../{text}", bearer)
    yield f"curl -H 'authorization: Bearer {text}' https://api.example/once"
    yield f"curl -u user:{text} https://api.example/once"
    yield f"curl -H 'authorization: Bearer {text} https://api.example/once"
    yield f"curl --{text} https://api.example/once"
    yield f"curl {text}"
    header = {"key": "authorization", "rawValue": b64encode(f"Bearer {text}".encode()).decode()}
    message = {"method": "GET", "host": "api.example", "path": "/once", "headerMap": {"headers": [header]}}
    yield json.dumps({"attributes": {"request": {"http": message}}})
    yield json.dumps({"attributes": {"request": {"http": text}}})
    yield text
    yield f"{{{text}"


@pytest.mark.parametrize("output", ["text", "json"])
def test_no_piece_of_a_token_is_printed_wherever_it_stood(folder: Path, output: str) -> None:
    for text in (token(), token(aud="https://other.example")):
        pieces = {text[at : at + 12] for at in range(len(text) - 11)}
        for request in _places(text):
            done = run("--request", "-", "--output", output, "--policies", folder, stdin=request)
            assert done.exit_code in {0, 1, 2}
            assert {piece for piece in pieces if piece in done.stdout + done.stderr} == set()


# Opaque tokens


def _opaque(folder: Path, url: str) -> Path:
    rule = {"name": "opaque", "token": {"issuers": [{"name": "opaque"}], "audiences": ["orders-api"]}}
    write(folder, "opaque.yaml", introspecting.SECRET, introspecting.issuer(url), policy("orders", rule))
    return folder


def test_an_opaque_token_is_sent_nowhere_unless_it_is_asked_for(tmp_path: Path) -> None:
    request = http("/", f"Authorization: Bearer {introspecting.OPAQUE}")
    now = int(SystemClock().now())
    with introspecting.endpoint() as server:
        server.otherwise = introspecting.active(iat=now - 5, exp=now + 300)
        folder = _opaque(tmp_path, server.url)
        code, story = explained(request, "--policies", folder, "--allow-http-loopback")
        assert (code, story["verdict"]["reason"]) == (2, "introspection_unavailable")
        assert "`--ask` does" in story["verdict"]["detail"]
        assert server.forms == []
        code, story = explained(request, "--policies", folder, "--allow-http-loopback", "--ask")
        assert (code, story["verdict"]["decision"], story["verdict"]["subject"]) == (0, "allow", "alice")
        assert server.asked == [introspecting.OPAQUE]
        assert introspecting.OPAQUE not in json.dumps(story)


def test_asking_goes_with_a_folder() -> None:
    done = run("--request", "-", "--admin", "127.0.0.1:1", "--ask", stdin=http("/"))
    assert done.exit_code == 2
    assert "`--ask`" in done.stderr
