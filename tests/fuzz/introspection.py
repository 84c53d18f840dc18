"""Fuzzes what an introspection endpoint answers: only a plain and whole "active" ever admits (RFC 7662, section 2.2).

An input is a status, a content type and a body. The law reads the body by another parser, which takes nearly anything.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, Final

from urllib3 import HTTPHeaderDict

from extauthz.introspection.response import read_answer
from extauthz.model.encoding import Ambiguous, parse_json_object
from extauthz.model.question import Active, Answer, Answered, Ask, Inactive, Question, Unanswered
from extauthz.model.time import Instant
from extauthz.model.token import (
    Credential,
    Demand,
    Introspected,
    IssuerRef,
    Slot,
    SlotKind,
    VerifiedToken,
)
from extauthz.tokens.verify import Verifier
from tests.building import TRUST
from tests.fuzz.answers import answer_of, plain
from tests.fuzz.octets import mutate_octets
from tests.fuzz.target import Target, insist
from tests.fuzz.trees import mutate_tree, write_json

NOW: Final = 1_790_000_000
ISSUER: Final = "https://opaque.example"
TOKEN: Final = "2YotnFZFEjr1zCsicMWpAA"
_URL: Final = "https://opaque.example/introspect"
_TRUST: Final = replace(
    TRUST,
    ref=IssuerRef("TokenIssuer", "shop", "opaque"),
    issuer=ISSUER,
    algorithms=frozenset(),
    introspected=Introspected(endpoint=_URL),
)
_SLOT: Final = Slot(SlotKind.AUTHORIZATION, "authorization")
_DEMAND: Final = Demand(slot=_SLOT, issuers=(), introspector=_TRUST)
_WORDS: Final = (
    "active", "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "client_id", "username", "token_type", "cnf",
    "token_use", "typ", ISSUER, ISSUER + "/", "orders-api", ["orders-api"], "Bearer", "DPoP", "refresh_token", "true",
    "false", NOW, NOW + 300, NOW - 60, NOW + 3600, str(NOW + 300), {"jkt": "a"},
)  # fmt: skip
_HEADS: Final = (b"200 application/json", b"200 text/html", b"401 application/json", b"200 ", b"302 application/json",
                 b"200 application/token-introspection+jwt", b"200 application/json; charset=utf-8")  # fmt: skip


def judge(data: bytes) -> str:
    """Read the answer, and decide about a token by it."""
    head, _, body = data.partition(b"\n")
    status, _, kind = head.decode("latin-1").partition(" ")
    answer = read_answer(int(status) if status.isdecimal() else 0, HTTPHeaderDict({"Content-Type": kind}), body)
    found = _decided(answer)
    if isinstance(found, VerifiedToken):
        insist(
            status == "200" and kind.partition(";")[0].strip().lower() == "application/json", "another answer counts"
        )
        _hold(body, found)
        return "accepted"
    if isinstance(answer, Unanswered):
        return f"no answer: {plain(answer.detail)}"
    if isinstance(answer, Active):
        times = [_read(body).get(name, 0) for name in ("exp", "iat", "nbf")]
        insist(all(type(time) in {int, float} for time in times), "an answer that is none makes a token bad")
    if isinstance(answer, Inactive):
        insist(_read(body).get("active") is False, "a token is called inactive that was not")
    insist(not isinstance(found, Ask) and found is not None, "an answer leads to another question")
    return answer_of(found)


def _decided(answer: Answer) -> Any:
    question = Question(_TRUST.ref, _URL, TOKEN)
    return Verifier(0).introspect(Credential(TOKEN, _SLOT), _DEMAND, Answered(question, answer), Instant(NOW))


def _hold(body: bytes, token: VerifiedToken) -> None:
    said = _read(body)
    insist(said.get("active") is True, "a token is accepted that was not called active")
    insist(_twice(body) == 0, "a name stands twice, and the token is accepted")
    insist(said.get("iss", ISSUER) == ISSUER, "another issuer's token is accepted")
    aud = said.get("aud")
    insist("orders-api" in (aud if isinstance(aud, list) else [aud]), "a token for others is accepted")
    exp: Any = said.get("exp")
    iat: Any = said.get("iat", NOW)
    insist(isinstance(exp, int | float) and not isinstance(exp, bool), "a token without end is accepted")
    insist(exp > NOW - 30 and exp - iat <= 3601, "a token is accepted beyond its end")
    insist(said.get("nbf", 0) <= NOW + 30 and iat <= NOW + 30, "a token is accepted before it begins")
    insist("cnf" not in said, "a bound token is accepted from anybody")
    insist(str(said.get("token_type", "bearer")).lower() == "bearer", "a token of another kind is accepted")
    insist("refresh" not in str(said.get("token_use", "")).lower(), "a refresh token is accepted")
    insist(token.subject == said.get("sub"), "the subject is another than was said")


def _read(body: bytes) -> dict[str, Any]:
    """By the most common reader, which lets the last of two names count."""
    found = json.loads(body.decode("utf-8-sig"))
    return found if isinstance(found, dict) else {}


def _twice(body: bytes) -> int:
    doubled: list[int] = []

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        doubled.append(len(pairs) - len(dict(pairs)))
        return dict(pairs)

    json.loads(body, object_pairs_hook=count)
    return sum(doubled)


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to the octets, to what stands before the body, or to one node of it."""
    head, _, body = data.partition(b"\n")
    if chance.random() < 0.1:
        head = chance.choice(_HEADS)
    try:
        tree = parse_json_object(body)
    except Ambiguous:
        return mutate_octets(data, other, chance)
    if chance.random() < 0.2:
        return mutate_octets(data, other, chance)
    return head + b"\n" + write_json(mutate_tree(tree, _WORDS, chance), chance)


TARGET: Final = Target(name="introspection", mutate=mutate, judge=judge, share=5)
