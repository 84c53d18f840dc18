"""Requests to the token endpoint of an authorization server: of which grant, and whether they have one reading
(RFC 6749, sections 3.2 and 6).

INVARIANT: a request passes as one of another grant only when no server can read a refresh token in it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from extauthz.model.request import RequestView
from extauthz.model.token import REFRESH_TOKEN
from extauthz.tokens.parameters import Unclear, named_alike, single

_GRANT: Final = "grant_type"
# A value under anything but a name as section 8.2 spells them. Such a name needs no encoding, so nobody has to know
# what a server makes of one that is encoded. With `_` first none is asked for, and some are understood: `_charset_`.
_ODD: Final = re.compile(r"(?:\A|[&;])(?![A-Za-z][A-Za-z0-9._-]*=)[^&;=]*=", re.ASCII)
_NAMED: Final = "holds a parameter whose name is not made of letters, digits and `-._` (RFC 6749, section 8.2)"
_MOST: Final = 100
"""Parameters of a token request, or of its query. Some ten are defined, and some of those may be repeated."""
_WITHOUT: Final = "the request has no form (`application/x-www-form-urlencoded`), where a refresh token stands"
_OTHER: Final = "`grant_type` is none of `refresh_token` and those that the rule's slot lists in `otherGrants`"


def is_of_another_grant(view: RequestView, grants: frozenset[str]) -> bool:
    """Whether it is, without a doubt, a token request of one of these grants, and has no refresh token."""
    if _ambiguity(view):
        return False
    try:
        grant = _grant(view)
    except Unclear:
        return False
    return grant in grants and not named_alike(view.form, "&;", REFRESH_TOKEN)


def refuse_request(view: RequestView) -> str:
    """Why it is no token request with a refresh token that has one reading, for the operator; empty when it is one."""
    found = _ambiguity(view)
    if found:
        return found
    try:
        grant = _grant(view)
    except Unclear as problem:
        return f"`{_GRANT}` {problem}"
    if not grant:
        return f"the form has no `{_GRANT}`, which says `refresh_token` (RFC 6749, section 6)"
    return "" if grant == REFRESH_TOKEN else _OTHER


def _ambiguity(view: RequestView) -> str:
    if view.method != "POST":
        return "a token request is sent by POST, and in no other way (RFC 6749, section 3.2)"
    if view.form_doubt:
        return view.form_doubt
    if not view.form:
        return _WITHOUT
    for place, text in (("form", view.form), ("query", view.target.query)):
        # INVARIANT: before it is taken apart, for that costs most and anybody may send it.
        if text.count("&") + text.count(";") >= _MOST:
            return f"the {place} holds more than {_MOST} parameters"
        if _ODD.search(text) is not None:
            return f"the {place} {_NAMED}, so that servers may read it differently"
    # Many servers read both as one list of parameters.
    found = next((name for name in (REFRESH_TOKEN, _GRANT) if _is_named(view.target.query, name)), "")
    return f"the query holds `{found}`, which belongs into the body alone (RFC 6749, section 3.2)" if found else ""


def _is_named(query: str, name: str) -> bool:
    # Where `;` does not separate, what follows it belongs to the value before it.
    return query != "" and bool(named_alike(query, "&;", name) or named_alike(query, "&", name))


def _grant(view: RequestView) -> str:
    return unquote_plus(single(view.form, _GRANT, "form"))
