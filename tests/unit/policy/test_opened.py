"""Matches that open what another policy keeps closed: told, and nothing else comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.control.files import lint
from extauthz.policy.opened import opened
from extauthz.policy.parse import Parsed, parse
from tests.building import anonymous, policy, with_token
from tests.worlds import CORP, Asked

CLOSED = policy("orders", with_token("read", match={"path": {"prefix": "/api"}}))
OPEN = {"path": {"exact": "/api/export"}}


def told(*objects: dict[str, Any]) -> list[str]:
    parsed = [parse(each) for each in objects]
    assert all(isinstance(each, Parsed) for each in parsed)
    return list(map(str, opened([each for each in parsed if isinstance(each, Parsed)])))


def test_a_closer_path_without_a_token_is_told_with_the_rule_that_it_opens() -> None:
    (note,) = told(CLOSED, policy("debug", anonymous("h", path={"exact": "/h"}), anonymous("open", **OPEN)))
    asks = "where else the rule `read` of AccessPolicy shop/orders asks for a token; is that meant?"
    where = "AccessPolicy shop/debug: spec.rules[1].match[0]"
    assert note == f"{where}: admits without a token what comes here on `api.example`, {asks}"


def test_it_is_told_by_lint_as_a_note_and_decides_nothing(tmp_path: Path) -> None:
    both = (CLOSED, policy("debug", anonymous("open", **OPEN)))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([CORP, *both]))
    found = lint(tmp_path)
    assert (found.mistakes, len(found.notes)) == ((), 1)
    asked = Asked(*both)
    assert (asked.reason("/api/export"), asked.reason("/api/other")) == ("allow", "credential_absent")


@pytest.mark.parametrize(
    ("other", "path"),
    [
        (policy("p", anonymous("r", path={"exact": "/api"})), "/api"),
        (policy("p", anonymous("r", path={"prefix": "/api/v1"})), "/api/v1/x"),
        (policy("p", with_token("r", match=OPEN), mode="Shadow"), "/api/export"),
        (policy("p", anonymous("r", methods=["GET", "PUT"], **OPEN)), "/api/export"),
        (policy("p", anonymous("r", methods=["GET"], path={"prefix": "/api"})), "/api/x"),
    ],
)
def test_whatever_comes_first_and_asks_for_nothing_is_told(other: dict[str, Any], path: str) -> None:
    assert len(told(CLOSED, other)) == 1
    assert Asked(CLOSED).reason(path) == "credential_absent"
    assert Asked(CLOSED, other).reason(path) == "allow"


@pytest.mark.parametrize("wide", ["*", "*.example", "*.shop.example"])
@pytest.mark.parametrize("path", [{"prefix": "/"}, {"prefix": "/api/v1"}, {"exact": "/api"}])
def test_on_a_closer_host_a_wider_path_opens_too(wide: str, path: dict[str, str]) -> None:
    closed = policy("wide", with_token("read", match={"path": {"prefix": "/api"}}), hosts=(wide,))
    other = policy("p", anonymous("r", path=path), hosts=("a.shop.example",))
    (note,) = told(closed, other)
    assert "on `a.shop.example`" in note
    asked = path.get("exact", "/api/v1")
    assert Asked(closed).reason(asked, host="a.shop.example") == "credential_absent"
    assert Asked(closed, other).reason(asked, host="a.shop.example") == "allow"


@pytest.mark.parametrize(
    "other",
    [
        policy("p", anonymous("r", path={"prefix": "/"})),
        policy("p", anonymous("r", path={"prefix": "/apis"})),
        policy("p", anonymous("r", path={"exact": "/h"})),
        policy("p", anonymous("r", **OPEN), hosts=("other.example",)),
        policy("p", anonymous("r", **OPEN), hosts=("*",)),
        policy("p", anonymous("r", **OPEN), hosts=("*.api.example",)),
        policy("p", with_token("r", match=OPEN)),
    ],
)
def test_what_opens_nothing_is_not_told(other: dict[str, Any]) -> None:
    assert told(CLOSED, other) == []


def test_of_two_matches_with_one_path_the_one_that_asks_for_more_is_looked_at() -> None:
    header = {"headers": [{"name": "x-debug", "present": True}], "path": {"prefix": "/api"}}
    assert len(told(CLOSED, policy("p", anonymous("r", **header)))) == 1
    assert Asked(CLOSED, policy("p", anonymous("r", **header))).reason("/api", headers={"x-debug": "1"}) == "allow"
    gets = policy("orders", with_token("read", match={"methods": ["GET"], "path": {"prefix": "/api"}}))
    assert told(gets, policy("p", anonymous("r", path={"prefix": "/api"}))) == []
    assert told(gets, policy("p", anonymous("r", **header))) == []


def test_neither_other_methods_nor_the_same_policy_nor_one_that_only_records_are_told() -> None:
    writes = policy("w", with_token("w", match={"methods": ["POST"], "path": {"prefix": "/"}}))
    assert told(writes, policy("p", anonymous("r", methods=["GET"], path={"exact": "/a"}))) == []
    assert told(policy("p", with_token("a"), anonymous("r", path={"exact": "/a"}))) == []
    assert told(policy("s", with_token("a"), mode="Shadow"), policy("p", anonymous("r", path={"exact": "/a"}))) == []
