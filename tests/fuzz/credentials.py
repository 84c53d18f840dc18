"""Fuzzes headers, cookies, queries and forms: who finds a token in an admitted request finds this one (RFC 6750,
section 2; RFC 6749, section 6).

An input is a request target on its first line, then one header on each line; `body: …` is the body of a POST.
"""

from __future__ import annotations

import random
import re
from typing import Final

from extauthz.model.request import RequestView
from extauthz.model.token import MAX_TOKEN, REFRESH_TOKEN, Credential, Slot, SlotKind
from extauthz.model.verdict import Refusal
from extauthz.server.codec import read_check
from extauthz.tokens.credential import QUERY_NAME, find_credential
from tests.checks import check_request
from tests.fuzz.answers import answer_of, plain
from tests.fuzz.octets import mutate_text, percent_encoded
from tests.fuzz.reading import bearers_read, cookies_read, parameters_read
from tests.fuzz.target import Target, insist
from tests.fuzz.words import FIELD_WORDS

_SLOTS: Final = (
    Slot(SlotKind.AUTHORIZATION, "authorization"),
    Slot(SlotKind.HEADER, "x-key"),
    Slot(SlotKind.COOKIE, "sid"),
    Slot(SlotKind.QUERY, "token"),
    Slot(SlotKind.QUERY, QUERY_NAME),
    Slot(SlotKind.FORM, REFRESH_TOKEN),
)
_FORM_WORDS: Final = (
    b"body: ", b"refresh_token=", b"Refresh_token=", b"refresh%5ftoken=", b"refresh_token[]=", b"grant_type=",
    b"grant_type=refresh_token&", b"content-type: application/x-www-form-urlencoded\n", b"; charset=utf-8",
)  # fmt: skip
_EDIT: Final = mutate_text((*FIELD_WORDS, *_FORM_WORDS))


def judge(data: bytes) -> str:
    """Read the request, and look for a token in every place that a rule can name."""
    path, *lines = data.decode("latin-1").split("\n")
    pairs = [(name, value) for name, colon, value in (line.partition(": ") for line in lines) if colon]
    fields = [(name, value) for name, value in pairs if name != "body"]
    body = "".join(value for name, value in pairs if name == "body")
    method = "POST" if body else "GET"
    # Envoy sends octets beyond ASCII as they are, and a protobuf text must be UTF-8: their values cannot differ here.
    view = read_check(check_request(method, path, headers=fields, raw=True, pseudo=False, body=body))
    if isinstance(view, Refusal):
        return plain(view.detail)
    return " | ".join(_found(view, slot) for slot in _SLOTS)


def _found(view: RequestView, slot: Slot) -> str:
    found = find_credential(view, slot)
    if not isinstance(found, Credential):
        return answer_of(found)
    others = set(_read_otherwise(view, slot))
    insist(others == {found.token}, f"a token in {slot.kind.value} is taken, and others find another one or none")
    insist(len(found.token) <= MAX_TOKEN, "an over-long token is taken")
    insist(found.token.isascii() and found.token.isprintable(), "a token with foreign characters is taken")
    return "taken"


def _read_otherwise(view: RequestView, slot: Slot) -> list[str]:
    """What servers find in this place, and in those that RFC 6750 knows besides."""
    headers, query = view.headers, view.target.query
    bearers = bearers_read(headers.get("authorization", ()))
    tokens = [*parameters_read(query, QUERY_NAME), *filter(str.strip, headers.get("x-api-key", ()))]
    tokens += parameters_read(view.form, QUERY_NAME)
    match slot.kind:
        case SlotKind.AUTHORIZATION:
            return [*bearers, *tokens]
        case SlotKind.HEADER:
            return [*bearers, *tokens, *(value.strip() for value in headers.get(slot.name, ()))]
        case SlotKind.COOKIE:
            return [*bearers, *tokens, *cookies_read(headers.get("cookie", ()), slot.name)]
        case SlotKind.QUERY:
            return [*bearers, *tokens, *parameters_read(query, slot.name)]
        case SlotKind.FORM:
            queried = [text for name in (slot.name, "grant_type") for text in parameters_read(query, name)]
            # The client's own secret is no token (RFC 6749, section 2.3.1).
            shown = headers.get("authorization", ())
            client = len(shown) == 1 and re.fullmatch(r" *basic +[^ ,]+ *", shown[0], re.IGNORECASE) is not None
            others = [*([] if client else bearers), *tokens]
            return [*others, *queried, *parameters_read(view.form, slot.name)]


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to the text of a request, to the order of its lines, and to how its octets are encoded."""
    kind = chance.random()
    if kind < 0.1:
        first, *lines = data.split(b"\n")
        lines += other.split(b"\n")[1:] if chance.random() < 0.5 else []
        chance.shuffle(lines)
        return b"\n".join((first, *lines))
    return (percent_encoded if kind < 0.25 else _EDIT)(data, other, chance)


TARGET: Final = Target(name="credentials", mutate=mutate, judge=judge, share=20)
