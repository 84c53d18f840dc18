"""What an endpoint answered (RFC 7662, section 2.2), read strictly.

INVARIANT: a token is active only where `active` is the JSON value `true`. An answer that is not understood is none: it
neither admits a token nor calls it bad, since a client would throw a good token away.
"""

from __future__ import annotations

import re
from typing import Final

from urllib3 import HTTPHeaderDict

from extauthz.model.encoding import Ambiguous, Json, parse_json_object
from extauthz.model.question import Active, Answer, Inactive, Unanswered
from extauthz.model.time import Seconds

MAX_ANSWER: Final = 1 << 14
"""Octets of an answer. Real ones stay below 4,000."""

_TEXTS: Final = ("scope", "client_id", "username", "token_type", "sub", "iss", "jti")
_TIMES: Final = ("exp", "iat", "nbf")
_SIGNED: Final = "application/token-introspection+jwt"
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_LONGEST_PAUSE: Final = 60.0
_OF_THE_TOKEN: Final = frozenset({400, 413, 414, 422, 431})
"""Statuses that servers give to a token that they cannot read, instead of calling it inactive."""


def read_answer(status: int, headers: HTTPHeaderDict, body: bytes) -> Answer:
    """What a whole HTTP response says. Never raises; the details begin where the endpoint's name would stand."""
    if status != 200:
        return Unanswered(_refused(status), _retry_after(headers), of_this_token=status in _OF_THE_TOKEN)
    problem = _not_json(headers)
    if problem is not None:
        return _garbage(problem)
    try:
        said = parse_json_object(body)
    except Ambiguous as error:
        return _garbage(f"answers with what is not unambiguous JSON: {error}")
    return _judge(said)


def _garbage(detail: str) -> Unanswered:
    # INVARIANT: what a stranger's token can bring about must not make the endpoint look broken for all others.
    return Unanswered(detail, of_this_token=True)


def _refused(status: int) -> str:
    if status in {401, 403}:
        return f"refuses our own credentials (HTTP status {status}); look at the client and its secret"
    return f"answers with HTTP status {status}"


def _retry_after(headers: HTTPHeaderDict) -> Seconds | None:
    """For how long the server asks to be left alone (RFC 9110, section 10.2.3), within reason."""
    text = headers.get("Retry-After", "")
    return Seconds(min(float(text), _LONGEST_PAUSE)) if _SECONDS.fullmatch(text) else None


def _not_json(headers: HTTPHeaderDict) -> str | None:
    found = headers.getlist("Content-Type")
    kind = found[0].partition(";")[0].strip().lower() if len(found) == 1 else ""
    if kind == _SIGNED:
        return "answers with a signed response (RFC 9701), which is not read here; let it answer in plain JSON"
    if kind != "application/json":
        return "answers with another content type than `application/json`"
    return None


def _judge(said: dict[str, Json]) -> Answer:
    active = said.get("active")
    if active is False:
        return Inactive()
    if active is not True:
        return _garbage("answers without `active: true` or `active: false`")
    odd = _odd(said)
    if odd is not None:
        return _garbage(f"answers with a `{odd}` that is not as RFC 7662 says")
    return Active({name: value for name, value in said.items() if name != "active"})


def _odd(said: dict[str, Json]) -> str | None:
    """The member that has another type than its standard gives it; a list of scopes is common enough to be let be."""
    for name in _TEXTS:
        if name in said and not (isinstance(said[name], str) or (name == "scope" and _is_texts(said[name]))):
            return name
    for name in _TIMES:
        value = said.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return name
    aud = said.get("aud", "")
    return None if isinstance(aud, str) or _is_texts(aud) else "aud"


def _is_texts(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
