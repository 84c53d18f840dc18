"""Fields that were written and left empty: each is named, with what comes of it, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.control.files import lint, list_folder
from extauthz.control.reconcile import FolderReconciler
from extauthz.control.unsaid import unsaid
from tests.building import NOW, obj, policy, with_token
from tests.clock import FakeClock
from tests.worlds import CORP

RULE = with_token(
    "r",
    match={"methods": ["GET"], "path": {"prefix": "/"}},
    require={"scopes": ["read"]},
    reuse={"maxUses": 1, "bindTo": ["SourceAddress"]},
    limits=[{"name": "a", "by": ["Subject"], "requests": 5, "window": "1m"}],
)
EVERYTHING = "the rule takes every request on the policy's hosts"


def write(folder: Path, rule: dict[str, Any]) -> None:
    (folder / "a.yaml").write_text(yaml.safe_dump_all([CORP, policy("p", rule)]))


@pytest.mark.parametrize(
    ("change", "field", "comes"),
    [
        ({"reuse": None}, "reuse", "a token may be used as often as anybody likes"),
        ({"reuse": {"maxUses": 1, "bindTo": []}}, "reuse.bindTo", "tokens are tied to nobody"),
        ({"reuse": {"maxUses": 1, "window": None}}, "reuse.window", "it counts as left out"),
        ({"require": None}, "require", "nothing is demanded of the token"),
        ({"require": {}}, "require", "nothing is demanded of the token"),
        ({"require": {"scopes": []}}, "require.scopes", "no scope is demanded"),
        ({"require": {"cel": None}}, "require.cel", "no condition is demanded"),
        ({"match": None}, "match", EVERYTHING),
        ({"match": []}, "match", EVERYTHING),
        ({"match": [{}]}, "match[0]", EVERYTHING),
        ({"match": [{"methods": []}]}, "match[0].methods", "every method is taken"),
        ({"match": [{"path": None}]}, "match[0].path", "every path is taken"),
        ({"limits": []}, "limits", "nothing is limited"),
        ({"upstream": None}, "upstream", "it counts as left out"),
    ],
)
def test_what_was_left_empty_is_no_mistake_and_told_with_what_comes_of_it(
    tmp_path: Path, change: dict[str, Any], field: str, comes: str
) -> None:
    write(tmp_path, {**RULE, **change})
    _, mistakes, notes = lint(tmp_path)
    (note,) = notes
    assert mistakes == ()
    assert (note.object, note.field) == ("AccessPolicy shop/p", f"spec.rules[0].{field}")
    assert note.message == f"is empty, so {comes}; fill it in, or remove it"


def test_nothing_is_told_of_what_is_full_or_narrows_nothing_or_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, {**RULE, "token": {**RULE["token"], "audiences": []}, "upstream": {"claimHeaders": {}}})
    assert lint(tmp_path).notes == ()
    write(tmp_path, {**RULE, "reuse": {"maxUses": None}, "require": None})
    assert lint(tmp_path).notes == ()


def test_an_issuers_lists_may_be_empty_and_a_field_of_its_own_is_told(tmp_path: Path) -> None:
    spec = {**CORP["spec"], "requiredClaims": [], "mapping": {"scope": []}, "audiences": None}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(obj("TokenIssuer", "corp", spec)))
    (note,) = lint(tmp_path).notes
    assert note.field == "spec.audiences"


@pytest.mark.parametrize("raw", [None, [], "text", {}, {"kind": ["AccessPolicy"]}, {"kind": "Secret", "data": None}])
def test_whatever_is_no_object_of_ours_has_no_fields_to_tell_of(raw: object) -> None:
    assert unsaid(raw) == ()


@pytest.mark.parametrize(
    "spec", [None, [], {"rules": None}, {"rules": [None, 1, {"match": 1}]}, {"hosts": {"a": None}}]
)
def test_whatever_stands_in_an_object_can_be_looked_through(spec: object) -> None:
    assert isinstance(unsaid({"kind": "AccessPolicy", "spec": spec}), tuple)


def test_the_log_tells_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write(tmp_path, {**RULE, "reuse": None})
    reconciler = FolderReconciler(tmp_path, lambda _: None, clock=FakeClock(NOW))
    for _ in range(2):
        reconciler.take(list_folder(tmp_path))
    (note,) = (each.message for each in caplog.records if each.message.startswith("policy note"))
    assert "spec.rules[0].reuse: is empty, so a token may be used as often as anybody likes" in note
