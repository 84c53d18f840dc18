"""A `*` in a TokenRevocation: it is no wildcard, and its author is told, without a word of the value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from extauthz.control.files import lint, list_folder
from extauthz.control.literal import taken_literally
from extauthz.control.reconcile import FolderReconciler
from extauthz.policy.parse import parse
from tests.building import NOW, obj, revocation
from tests.clock import FakeClock

CORP = obj(
    "TokenIssuer",
    "corp",
    {"issuer": "https://corp.example", "audiences": ["a"], "keys": {"jwksUri": "https://corp.example/k"}},
)


@pytest.mark.parametrize("field", ["jti", "subject", "session", "client"])
@pytest.mark.parametrize("value", ["*", "alice*", "*@corp.example", ".*"])
def test_a_value_with_an_asterisk_is_noted_and_no_mistake(tmp_path: Path, field: str, value: str) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([CORP, revocation("r", **{field: value})]))
    found = lint(tmp_path)
    assert found.mistakes == ()
    (note,) = found.notes
    assert (note.object, note.field) == ("TokenRevocation shop/r", f"spec.{field}")
    assert note.message.startswith("has a `*`, which stands for nothing but itself")
    assert "issuedBefore" in note.message
    assert value not in note.message.replace("`*`", "")


def test_each_value_is_told_and_none_without_an_asterisk() -> None:
    several = parse(revocation("r", subject="*", client="*", session="s"))
    assert [each.field for each in taken_literally([several])] == [("spec", "subject"), ("spec", "client")]
    plain = parse(revocation("r", jti="x", reason="all of *"))
    assert list(taken_literally([plain, parse(CORP), parse(revocation("r", jti="*", expires="soon"))])) == []


def test_the_process_log_notes_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([CORP, revocation("r", jti="hush-*")]))
    FolderReconciler(tmp_path, lambda _: None, clock=FakeClock(NOW)).take(list_folder(tmp_path))
    (note,) = (each.message for each in caplog.records if each.message.startswith("policy note"))
    assert "TokenRevocation shop/r: spec.jti: has a `*`" in note
    assert "hush" not in caplog.text
