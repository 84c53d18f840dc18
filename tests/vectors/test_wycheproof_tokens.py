"""Project Wycheproof's cases for encrypted and signed objects, held against our reader of tokens (RFC 7515, RFC 7516).

The cases are read where they lie, never copied: beside the repository, or where TEST_VECTORS says.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import parse_jws
from tests.vectors.published import VECTORS, absent

FOLDER = VECTORS / "wycheproof"

# Marked valid, with a `?` inside the base64url.
FOREIGN_CHARACTER = {372, 373}


def cases(name: str) -> list[Any]:
    """The cases of a file; one that is skipped where there are no vectors."""
    file = FOLDER / name
    if not file.is_file():
        missing = pytest.mark.skip(reason=absent(FOLDER))
        return [pytest.param({}, id="absent", marks=missing)]
    groups = json.loads(file.read_text(encoding="utf-8"))["testGroups"]
    return [pytest.param(test, id=f"{test['tcId']}") for group in groups for test in group["tests"]]


def text_of(case: dict[str, Any], name: str) -> str:
    """The object of a case, which may stand there in JSON form."""
    value = case[name]
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("case", cases("json_web_encryption_test.json"))
def test_every_encrypted_object_is_refused_valid_or_not(case: dict[str, Any]) -> None:
    refusal = parse_jws(text_of(case, "jwe"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("case", cases("json_web_signature_test.json"))
def test_every_valid_signed_object_with_a_payload_is_well_formed(case: dict[str, Any]) -> None:
    text = text_of(case, "jws")
    well_formed = not isinstance(parse_jws(text), Refusal)
    if case["result"] == "valid":
        # A JWT has claims, so an empty payload is none, however well it is signed.
        assert well_formed == (case["tcId"] not in FOREIGN_CHARACTER and ".." not in text)
