"""Matches to which no request comes because of another policy of the same host: told, and nothing else comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.control.files import lint
from extauthz.policy.overtaken import overtaken
from extauthz.policy.parse import Parsed, parse
from tests.building import anonymous, policy, with_token
from tests.worlds import CORP, Asked

ADMIN = with_token("admin", match={"path": {"regex": "/admin/.*"}})


def told(*objects: dict[str, Any]) -> list[str]:
    parsed = [parse(each) for each in objects]
    assert all(isinstance(each, Parsed) for each in parsed)
    return list(map(str, overtaken([each for each in parsed if isinstance(each, Parsed)])))


def test_a_prefix_of_another_policy_is_named_with_the_host() -> None:
    (note,) = told(policy("strict", anonymous("health", path={"exact": "/h"}), ADMIN), policy("lax", anonymous("rest")))
    assert note == (
        "AccessPolicy shop/strict: spec.rules[1].match[0]: no request on `api.example` comes here: the rule `rest` of"
        " AccessPolicy shop/lax takes all of them, since a prefix comes first; write a prefix here, or narrow that"
    )


def test_it_is_told_by_lint_as_a_note_and_decides_nothing(tmp_path: Path) -> None:
    both = (policy("strict", ADMIN), policy("lax", anonymous("rest")))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([CORP, *both]))
    found = lint(tmp_path)
    assert (found.mistakes, len(found.notes)) == ((), 1)
    assert Asked(*both).reason("/admin/x") == "allow"


@pytest.mark.parametrize(
    "others",
    [
        (policy("lax", anonymous("rest"), hosts=("other.example",)),),
        (policy("lax", anonymous("rest"), hosts=("*",)),),
        (policy("lax", anonymous("rest", path={"prefix": "/users"})),),
        (policy("lax", anonymous("rest", methods=["GET"])),),
        (policy("lax", anonymous("rest", path={"exact": "/admin/x"})),),
        (policy("lax", anonymous("rest", headers=[{"name": "x-a", "present": True}])),),
        (),
    ],
)
def test_what_some_request_comes_to_is_not_told(others: tuple[dict[str, Any], ...]) -> None:
    assert told(policy("strict", ADMIN), *others) == []


def test_a_prefix_of_its_own_that_takes_a_part_changes_nothing() -> None:
    own = anonymous("get", path={"prefix": "/admin"}, methods=["GET"])
    assert len(told(policy("strict", own, ADMIN), policy("lax", anonymous("rest")))) == 1


def test_what_is_a_mistake_is_not_told_again() -> None:
    assert told(policy("strict", ADMIN, anonymous("rest")), policy("other", anonymous("x", path={"exact": "/x"}))) == []
    assert (
        told(policy("a", anonymous("r", path={"prefix": "/a"})), policy("b", anonymous("r", path={"prefix": "/a"})))
        == []
    )


def test_each_host_is_told_by_itself() -> None:
    hosts = ("a.example", "b.example", "c.example")
    notes = told(policy("strict", ADMIN, hosts=hosts), policy("lax", anonymous("rest"), hosts=hosts[:2]))
    assert [note.partition("no request on ")[2][:11] for note in notes] == ["`a.example`", "`b.example`"]
