"""Revocations that are over before the tokens that they revoke: told where that is known, and of no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.control.files import lint
from extauthz.model.time import Instant
from tests.building import NOW, obj, policy, revocation, with_token

ISSUER: dict[str, Any] = {
    "issuer": "https://corp.example",
    "audiences": ["a"],
    "keys": {"jwksUri": "https://corp.example/k"},
}
BEFORE = "2026-11-25T16:00:00Z"


def notes(folder: Path, *objects: dict[str, Any], now: float | None = None) -> list[str]:
    (folder / "a.yaml").write_text(yaml.safe_dump_all(objects))
    found = lint(folder, now=None if now is None else Instant(now))
    assert found.mistakes == ()
    return [f"{each.object} {each.field} {each.message}" for each in found.notes]


def revoked(expires: str, **more: Any) -> dict[str, Any]:
    return revocation("r", subject="alice", issuedBefore=BEFORE, expires=expires, **more)


def corp(**more: Any) -> dict[str, Any]:
    return obj("TokenIssuer", "corp", ISSUER | more)


def rule(name: str, **token: Any) -> dict[str, Any]:
    made = with_token(name, match={"path": {"exact": f"/{name}"}})
    made["token"] |= token
    return made


def test_one_that_ends_before_its_tokens_is_told_with_the_time_that_would_do(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, corp(), revoked("2026-11-25T17:00:29Z"))
    assert note.startswith("TokenRevocation shop/r spec.expires is before the last of these tokens has expired")
    assert note.endswith("live for 1h30s with `clockSkew`; write `2026-11-25T17:00:30Z`")
    assert notes(tmp_path, corp(), revoked("2026-11-25T17:00:30Z")) == []
    assert len(notes(tmp_path, corp(maxLifetime="2h"), revoked("2026-11-25T17:00:30Z"))) == 1


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([rule("a", maxLifetime="10m")], False),
        ([rule("a", maxLifetime="10m"), rule("b")], True),
        ([rule("a", maxLifetime="10m"), rule("b", maxLifetime="11m")], True),
        ([rule("a", maxLifetime="10m"), rule("b", issuers=[{"name": "other"}])], False),
        ([rule("b", issuers=[{"name": "other"}])], True),
    ],
)
def test_a_rule_may_let_tokens_live_for_less(tmp_path: Path, rules: list[dict[str, Any]], told: bool) -> None:
    other = obj("TokenIssuer", "other", ISSUER)
    found = notes(tmp_path, corp(), other, policy("p", *rules), revoked("2026-11-25T16:10:30Z"))
    assert bool(found) is told


def test_nothing_is_told_where_nobody_knows_when_the_last_such_token_ends(tmp_path: Path) -> None:
    assert notes(tmp_path, corp(), revocation("r", subject="alice")) == []
    asked = {"url": "https://corp.example/i", "bearer": {"file": "secret"}}
    (tmp_path / "secret").write_text("hunter2")
    opaque = {name: value for name, value in ISSUER.items() if name != "keys"} | {"introspection": asked}
    assert notes(tmp_path, obj("TokenIssuer", "corp", opaque), revoked("2026-11-25T16:00:30Z")) == []


def test_one_that_is_over_is_told_as_that_alone(tmp_path: Path) -> None:
    past = revocation("r", subject="a", issuedBefore="2020-01-01T00:00:00Z", expires="2020-01-01T00:01:00Z")
    (note,) = notes(tmp_path, corp(), past, now=NOW)
    assert "has passed, so it revokes nothing" in note
