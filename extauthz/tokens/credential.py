"""Bearer credentials: the one place where a request carries its token (RFC 6750, section 2; cookies: RFC 6265;
refresh tokens: RFC 6749, section 6).

A rule names one slot, and only that slot is read. A credential in a second place makes the request ambiguous, because
the upstream might believe the other one: it is refused, never resolved.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final, assert_never

from extauthz.model.reason import Reason
from extauthz.model.request import PREFLIGHT, RequestView
from extauthz.model.step import Step
from extauthz.model.token import MAX_TOKEN, Credential, Slot, SlotKind
from extauthz.model.verdict import Refusal
from extauthz.tokens.parameters import Unclear, is_token68, leniently, named_alike, once, parameter, strictly, token68
from extauthz.tokens.token_request import refuse_request

QUERY_NAME: Final = "access_token"
"""The query parameter of RFC 6750, section 2.3. Never read unless a slot names it, and never ignored beside a token."""

KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key", "api-key")
"""Where servers of AI models and their gateways take a credential besides `Authorization`."""

# Many servers take `_` for `-` in the names of headers (CGI, RFC 3875, section 4.1.18, makes both one variable).
_KEY_SPELLINGS: Final = frozenset(
    "".join(spelling) for name in KEY_HEADERS for spelling in product(*("-_" if sign == "-" else sign for sign in name))
)

_OTHER_SCHEMES: Final = frozenset(("basic", "digest", "dpop", "negotiate", "ntlm", "token", "apikey"))
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
# A comma, then a word that no `=` follows: the next credential, not the next parameter of this one.
_SECOND_SCHEME: Final = re.compile(r",[ \t]*(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]|\Z)|\Z)", re.ASCII)


def find_credential(
    view: RequestView, slot: Slot, alongside: frozenset[str] = frozenset(), longest: int = MAX_TOKEN
) -> Credential | Refusal:
    """The one bearer token of a request.

    Refuses with `credential_absent` when the slot is empty or holds another scheme, with `credential_malformed` when it
    holds anything but exactly one token68 (RFC 9110, section 11.2) or a second place holds a credential as well, and
    with `token_malformed` for one of more than `longest` characters and for a token in JSON form. `alongside` are
    headers for API keys that may be filled besides.
    """
    if slot.kind is SlotKind.AUTHORIZATION:
        plain = _plain(view, longest)
        if plain is not None:
            return Credential(plain, slot)
    unread = refuse_request(view) if slot.kind is SlotKind.FORM else ""
    if unread:
        return Refusal(Reason.CREDENTIAL_MALFORMED, unread, at=Step.CREDENTIAL)
    try:
        token = _read(view, slot)
    except Unclear as problem:
        return Refusal(problem.reason, f"{place_of(slot)} {problem}", at=Step.CREDENTIAL)
    other = _elsewhere(view, slot, alongside)
    if token is None:
        hint = f"; {other} is filled, but not what this rule reads" if other else ""
        preflight = PREFLIGHT if view.is_preflight else ""
        return Refusal(Reason.CREDENTIAL_ABSENT, f"{_absent(view, slot)}{hint}{preflight}")
    if other:
        return Refusal(
            Reason.CREDENTIAL_MALFORMED, f"{place_of(slot)} holds a token and {other} is filled too: send one"
        )
    if len(token) > longest:
        found = f"a token of {len(token)} characters, allowed are {longest} (`token.maxLength` of the rule)"
        return Refusal(Reason.TOKEN_MALFORMED, f"{place_of(slot)} holds {found}", at=Step.CREDENTIAL)
    return Credential(token, slot)


def _absent(view: RequestView, slot: Slot) -> str:
    """What is there in place of a bearer token. A word that may be a token without its scheme is not quoted."""
    text = _single(view.headers.get("authorization", ())) if slot.kind is SlotKind.AUTHORIZATION else ""
    if not text:
        return f"{place_of(slot)} is not there, or empty"
    scheme = text.partition(" ")[0]
    if scheme.lower() in _OTHER_SCHEMES:
        return f"{place_of(slot)} has the scheme `{scheme}`, and `Bearer` is wanted"
    return f"{place_of(slot)} has another scheme than `Bearer`, or a token without a scheme before it"


def _plain(view: RequestView, longest: int) -> str | None:
    """The token of nearly every request, found at one look; None where it takes a closer one."""
    values = view.headers.get("authorization", ())
    query = view.target.query
    if len(values) != 1 or view.form or (query and _may_name_token(query)):
        return None
    if not view.headers.keys().isdisjoint(_KEY_SPELLINGS):
        return None
    value = values[0]
    token = value[len("Bearer ") :]
    return token if value.startswith(("Bearer ", "bearer ")) and len(token) <= longest and is_token68(token) else None


def _read(view: RequestView, slot: Slot) -> str | None:
    match slot.kind:
        case SlotKind.AUTHORIZATION:
            return _bearer(view.headers.get("authorization", ()))
        case SlotKind.HEADER:
            return _bare(view.headers.get(slot.name, ()))
        case SlotKind.COOKIE:
            return _cookie(view.headers.get("cookie", ()), slot.name)
        case SlotKind.QUERY:
            return parameter(view.target.query, slot.name)
        case SlotKind.FORM:
            return parameter(view.form, slot.name, "form")
        case _:
            assert_never(slot.kind)


def _bearer(values: tuple[str, ...]) -> str | None:
    """The token of `Authorization: Bearer`, None for another scheme (RFC 9110, section 11.4)."""
    text = _single(values)
    if not text:
        return None
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise Unclear("does not begin with the name of a scheme")
    if scheme[0].lower() == "bearer":
        return token68(text[scheme.end() :], after_scheme=True)
    if _SECOND_SCHEME.search(text) is not None:
        raise Unclear("holds more than one credential")
    return None


def _bare(values: tuple[str, ...]) -> str | None:
    text = _single(values)
    if text.lower().startswith("bearer "):
        raise Unclear("holds a scheme before the token; outside `Authorization` a token stands without a scheme")
    return token68(text) if text else None


def _single(values: tuple[str, ...]) -> str:
    if len(values) > 1:
        raise Unclear("is sent more than once")
    return values[0].strip(" ") if values else ""


def _cookie(values: tuple[str, ...], name: str) -> str | None:
    """The value of a cookie. Fields sent apart are one list (RFC 9113, section 8.2.3)."""
    text = "; ".join(values)
    found = strictly(text, ";", name)
    if found != leniently(text, ";,", name):
        raise Unclear("can be read in two ways, because of a comma, a blank or percent-encoding in `Cookie`")
    return _bare(once(found))


def _may_name_token(query: str) -> bool:
    """Whether a query may hold QUERY_NAME, in whatever spelling; false for nearly all."""
    return "%" in query or "access" in query.lower()


def _elsewhere(view: RequestView, slot: Slot, alongside: frozenset[str]) -> str | None:
    """Another place of the request that holds a credential."""
    if slot.kind is not SlotKind.AUTHORIZATION:
        filled = [value for value in view.headers.get("authorization", ()) if value.strip(" ")]
        if filled and not (slot.kind is SlotKind.FORM and _is_client(filled)):
            return "`Authorization`"
    mine = slot.name if slot.kind is SlotKind.HEADER else ""
    for name, values in view.headers.items():
        if name != mine and any(v.strip(" ") for v in values):
            folded = name.replace("_", "-")
            if folded == mine.replace("_", "-"):
                return f"`{name}`, which many servers take for `{mine}`,"
            if folded in KEY_HEADERS and folded not in alongside:
                return f"`{name}`, which the rule does not list in `alongside`,"
    # RFC 6750, section 2.2: a third way to send a token, which no slot reads.
    if view.form and named_alike(view.form, "&;", QUERY_NAME):
        return f"the form parameter `{QUERY_NAME}`"
    query = view.target.query
    if _may_name_token(query) and slot != Slot(SlotKind.QUERY, QUERY_NAME):
        # Where `;` does not separate, what follows it belongs to the value.
        found = any(named_alike(query, "&;", QUERY_NAME)) or (";" in query and any(named_alike(query, "&", QUERY_NAME)))
        return f"the query parameter `{QUERY_NAME}`" if found else None
    return None


def _is_client(values: list[str]) -> bool:
    """Whether this is how a client shows who it is at a token endpoint (RFC 6749, section 2.3.1): no second token."""
    scheme, _, secret = values[0].strip(" ").partition(" ")
    return len(values) == 1 and scheme.lower() == "basic" and is_token68(secret.lstrip(" "))


def place_of(slot: Slot) -> str:
    """The slot, in words for people."""
    match slot.kind:
        case SlotKind.AUTHORIZATION:
            return "`Authorization`"
        case SlotKind.HEADER:
            return f"the header `{slot.name}`"
        case SlotKind.COOKIE:
            return f"the cookie `{slot.name}`"
        case SlotKind.QUERY:
            return f"the query parameter `{slot.name}`"
        case SlotKind.FORM:
            return f"the form parameter `{slot.name}`"
        case _:
            assert_never(slot.kind)
