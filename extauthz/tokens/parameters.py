"""Tokens among the parameters of a query, a form or a cookie: read strictly, and refused where some server reads more.

INVARIANT: what leaves this module as a token is token68, whatever held it: ASCII without blanks, commas or controls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, unquote_plus

from extauthz.model.encoding import Ambiguous, parse_json_object
from extauthz.model.reason import Reason

_TOKEN68: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_MOST_ALIKE: Final = 100
"""Parameters whose names begin like one that is looked for."""
_AS_UNDERSCORE: Final = str.maketrans(" .[", "___")


class Unclear(ValueError):
    """A place holds something, but not exactly one token. The message says why and never quotes the value."""

    def __init__(self, detail: str, reason: Reason = Reason.CREDENTIAL_MALFORMED) -> None:
        super().__init__(detail)
        self.reason = reason


def token68(text: str, *, after_scheme: bool = False) -> str:
    """The token that a text is. Raises Unclear."""
    token = text.lstrip(" ") if after_scheme else text
    if not token:
        raise Unclear("names the scheme `Bearer` without a token")
    if after_scheme and token == text:
        raise Unclear("has no space after the scheme `Bearer`")
    if not is_token68(token):
        if _is_json(token):
            raise Unclear("holds a token in JSON form; only the compact form is taken", Reason.TOKEN_MALFORMED)
        if is_token68(token.replace("=", "")):
            raise Unclear("holds `=` inside the token: the segments of a JWT have no padding (RFC 7515, section 2)")
        raise Unclear("holds characters that no token has: white space, a comma, a control or a foreign character")
    return token


def is_token68(text: str) -> bool:
    """Whether the text is `token68` (RFC 9110, section 11.2): characters of a token, at least one, then any `=`."""
    # A table finds what is foreign among a thousand characters in a fraction of the time that a pattern takes.
    kept = text.rstrip("=")
    return kept != "" and kept.isascii() and not kept.encode("ascii").translate(None, _TOKEN68)


def _is_json(text: str) -> bool:
    """Whether the text is one JSON object: the other serialization of a JWS (RFC 7515, section 7.2)."""
    try:
        return text.startswith("{") and bool(parse_json_object(text.encode("utf-8", "surrogatepass")))
    except Ambiguous:
        return False


def parameter(text: str, name: str, place: str = "query") -> str | None:
    """The token that a query or form holds under a name; None where there is none. Raises Unclear."""
    value = single(text, name, place)
    if not value:
        return None
    if "+" in value:
        raise Unclear("holds a `+`, which servers read in two ways")
    # What is encoded belongs to the value: a blank that a server does not trim is part of another token.
    return token68(unquote(value))


def single(text: str, name: str, place: str) -> str:
    """The one value under a name, as it is encoded; empty where there is none. Raises Unclear."""
    found = strictly(text, "&", name)
    # The proxy that strips the token from the query reads strictly, too: what it would overlook must not get in.
    if found != named_alike(text, "&;", name) or (found and " " in text):
        raise Unclear(f"can be read in two ways, because of `;`, a blank or percent-encoding in the {place}")
    return "".join(once(found))


def once(found: list[str]) -> tuple[str, ...]:
    """What was found, which must not be more than one. Raises Unclear."""
    if len(found) > 1:
        raise Unclear("is sent more than once")
    return tuple(found)


def strictly(text: str, separators: str, name: str) -> list[str]:
    """The values under exactly this name."""
    pairs = _pairs(text, separators, name)
    return [value for found, _, value in pairs if found == name]


def leniently(text: str, separators: str, name: str) -> list[str]:
    """What the most lenient server finds: it trims and decodes names, and splits wherever some standard once did."""
    return _values(text, separators, name, lambda found: unquote_plus(found).strip() == name)


def named_alike(query: str, separators: str, name: str) -> list[str]:
    """What the most lenient server finds in a query or form, where it takes other spellings for this name, too."""
    wanted = folded(name)
    return _values(query, separators, name, lambda found: folded(unquote_plus(found)) == wanted)


def _values(text: str, separators: str, name: str, is_named: Callable[[str], bool]) -> list[str]:
    """The values under a name. To decode a name costs ten times as much as to see that it begins otherwise, and a flood
    of parameters comes from anybody: only those are decoded that may begin with the name, and not too many of them.

    INVARIANT: beyond that, one more counts as found. To look no further must not be a way not to be seen.
    """
    values: list[str] = []
    for number, found in enumerate(_beginnings(separators, name).finditer(text), 1):
        spelt, _, value = found[1].strip(" ").partition("=")
        if number > _MOST_ALIKE:
            # Never empty, for a parameter that is empty is none.
            return [*values, found[1]]
        if is_named(spelt):
            values.append(value)
    return values


@lru_cache(maxsize=64)
def _beginnings(separators: str, name: str) -> re.Pattern[str]:
    """Finds each piece of a text that may begin with a name, whatever stands for its signs or is trimmed before."""
    signs = folded(name)
    # What is trimmed is gone over once where a name cannot begin within it, else sign by sign.
    within, again = ("", "*?") if not signs[0].isalnum() else (f"(?!{_codes(_signs(signs[0]))})", "*+")
    trimmed = rf"(?:[^0-9A-Za-z\u212a%={separators}]|%{within}[0-9A-F]{{2}}){again}"
    spelt = "".join(f"(?:[{re.escape(_signs(sign))}]|%(?:{_codes(_signs(sign))}))" for sign in signs)
    return re.compile(rf"(?:\A|[{separators}])({trimmed}{spelt}[^{separators}]*+)", re.IGNORECASE)


def _signs(sign: str) -> str:
    """What a sign of a folded name may have been. In lower case, KELVIN SIGN is a `k`."""
    return {"_": "_ .[+", "k": "kK\u212a"}.get(sign, sign + sign.upper())


def _codes(signs: str) -> str:
    """Each of the signs in percent-encoding, without the first `%`."""
    return "|".join("%".join(f"{octet:02X}" for octet in sign.encode()) for sign in signs)


def _pairs(text: str, separators: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Names, `=` and values. Those that are too short to have the name are left out: a flood of them must cost nothing,
    for it comes from anybody."""
    for piece in re.split(f"[{separators}]", text):
        if len(piece) >= len(name):
            yield piece.strip(" ").partition("=")


def folded(name: str) -> str:
    """The one name that some server takes a parameter's for: ASP.NET knows no case in them; PHP reads a space, `.` and
    an open `[` as `_`, and `name[…]` as a list of that name; for some a NUL ends it; and URLSearchParams leaves out a
    `?` at the beginning of all (URL Standard, section 6.2)."""
    text = name.partition("\0")[0].strip().lstrip("?").strip().lower()
    return (text.partition("[")[0] if "]" in text else text).translate(_AS_UNDERSCORE)
