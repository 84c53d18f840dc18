"""Project Wycheproof's cases for JSON Web Keys and JSON Web Signatures, held against our key sets.

The cases are read where they lie, never copied: beside the repository, or where TEST_VECTORS says. Their payloads
are no JSON, so what is tested is the key set, the choice of the key and the signature.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.keys.jwk import KeyRules, KeySetRefused, parse_key_set, signature_holds
from extauthz.model.encoding import Ambiguous, base64url_decode, parse_json_object
from extauthz.model.token import KeyAlgAbsent
from tests.vectors.published import VECTORS, absent

FOLDER = VECTORS / "wycheproof"

# Marked valid, but the key's `alg` is another than the token's, or no algorithm at all.
OTHER_ALG = {346, 347, 350, 351}
# Marked valid, with a `?` inside the base64url.
FOREIGN_CHARACTER = {372, 373}
# Marked invalid for a padding that was lost in the file: what is left is byte for byte the valid case 357.
LOST_PADDING = {367, 370}


def cases(name: str) -> list[Any]:
    file = FOLDER / name
    if not file.is_file():
        missing = pytest.mark.skip(reason=absent(FOLDER))
        return [pytest.param(0, {}, "", "", id="absent", marks=missing)]
    groups = json.loads(file.read_text(encoding="utf-8"))["testGroups"]
    return [
        pytest.param(test["tcId"], group, test["jws"], test["result"], id=f"{test['tcId']}-{test['comment']}")
        for group in groups
        for test in group["tests"]
    ]


def verifies(document: dict[str, Any], jws: str) -> bool:
    """Whether a verifier that an operator set up for this token's algorithm, and for it alone, takes the token."""
    try:
        header, payload, signature = jws.split(".")
        parsed = parse_json_object(base64url_decode(header))
        base64url_decode(payload)
        octets = base64url_decode(signature)
    except (ValueError, Ambiguous):
        return False
    kid, alg = parsed.get("kid"), parsed.get("alg")
    assert isinstance(alg, str)
    assert kid is None or isinstance(kid, str)
    rules = KeyRules(
        algorithms=frozenset({alg}),
        alg_absent=KeyAlgAbsent.FROM_ALGORITHMS,
        use=frozenset({"sig", ""}),
        symmetric=alg.startswith("HS"),
    )
    try:
        keys = parse_key_set(json.dumps(document).encode(), rules)
    except KeySetRefused:
        return False
    signing_input = f"{header}.{payload}".encode("ascii")
    return any(signature_holds(key, alg, signing_input, octets) for key in keys.find(kid, alg))


@pytest.mark.parametrize(("number", "group", "jws", "result"), cases("json_web_key_test.json"))
def test_key_sets_are_judged_as_published(number: int, group: dict[str, Any], jws: str, result: str) -> None:
    document = group.get("public") or group["private"]
    assert verifies(document, jws) == (result == "valid")


@pytest.mark.parametrize(("number", "group", "jws", "result"), cases("json_web_signature_test.json"))
def test_signatures_are_judged_as_published(number: int, group: dict[str, Any], jws: str, result: str) -> None:
    document = {"keys": [group.get("public") or group["private"]]}
    expected = (result == "valid" or number in LOST_PADDING) and number not in OTHER_ALG | FOREIGN_CHARACTER
    assert verifies(document, jws) == expected


def test_the_cases_that_are_marked_otherwise_are_still_those() -> None:
    marked = {case.values[0]: case.values for case in cases("json_web_signature_test.json")}
    if 0 in marked:
        pytest.skip(f"no published vectors at {FOLDER}; name their folder in TEST_VECTORS")
    assert all(marked[number][3] == "valid" for number in OTHER_ALG | FOREIGN_CHARACTER)
    assert all(marked[number][3] == "invalid" and marked[number][2] == marked[357][2] for number in LOST_PADDING)
