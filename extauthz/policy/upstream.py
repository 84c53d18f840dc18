"""What goes upstream on an admitted request: identity headers from claims, and the credential only where it may.

INVARIANT: a header that any policy sets from claims is ours. On every admitted request it is overwritten or removed,
so no client can send one that an upstream would believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.model.encoding import Json, is_field_value, printable
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.token import ClaimPath, Slot, SlotKind, VerifiedToken, claim_at
from extauthz.model.verdict import NO_GROUND, Allow, Ground, Refusal
from extauthz.policy.rule import Rule

_MAX_VALUE: Final = 4096


def depends_on_request(rule: Rule) -> bool:
    """Whether the changes depend on more than the token: a cookie is taken out from among others."""
    return rule.demand is not None and rule.demand.slot.kind is SlotKind.COOKIE and not rule.forward_token


def changes_of(
    rule: Rule, token: VerifiedToken | None, view: RequestView | None, ours: Iterable[str], ground: Ground = NO_GROUND
) -> Allow | Refusal:
    """The changes to a request that `rule` admits. `ours` are the headers sent by the client that some policy sets.

    `view` is None where the changes do not depend on the request; then they last, unless the rule counts.

    Refuses with `claim_refused` when a claim cannot be a header value, with `credential_malformed` when a cookie is to
    be taken out from among others that cannot be written again.
    """
    headers: list[tuple[str, str]] = []
    for name, claim in rule.claim_headers:
        value = _header_value(claim, None if token is None else claim_at(token.claims, claim))
        if isinstance(value, Refusal):
            return value
        if value:
            headers.append((name, value))
    written = {name for name, _ in headers}
    removed = [name for name in ours if name not in written]
    query: tuple[str, ...] = ()
    match None if rule.demand is None else rule.demand.slot:
        case Slot(SlotKind.QUERY, name):
            # Whether or not the token may go upstream: URLs end up in logs.
            query = (name,)
        case Slot(SlotKind.COOKIE, name) if not rule.forward_token:
            refusal = _keep_other_cookies(view.headers if view is not None else {}, name, headers, removed)
            if refusal is not None:
                return refusal
        case Slot(SlotKind.FORM):
            # Nobody can change a body here, and the authorization server needs the token.
            pass
        case Slot(_, name) if not rule.forward_token:
            removed.append(name)
        case _:
            pass
    return Allow(
        ground=ground,
        set_headers=tuple(headers),
        remove_headers=tuple(removed),
        remove_query=query,
        lasting=view is None and not rule.counts,
    )


def _header_value(claim: ClaimPath, value: Json) -> str | Refusal:
    """A claim as a header value in printable ASCII, everything else percent-encoded (RFC 3986, section 2.1).

    An array of texts is joined by commas, and a comma inside one is encoded. The empty text means no header.
    """
    match value:
        case None:
            return ""
        case str():
            text = printable(value)
        case bool():
            text = "true" if value else "false"
        case int() | float():
            text = repr(value)
        case list() if all(isinstance(item, str) for item in value):
            text = ",".join(printable(str(item), also=",") for item in value)
        case _:
            words = f"the claim `{claim}` is neither text, number nor list of texts"
            return Refusal(Reason.CLAIM_REFUSED, words, at=Step.UPSTREAM)
    if len(text) > _MAX_VALUE:
        words = f"the claim `{claim}` is too long for a header, over {_MAX_VALUE} characters"
        return Refusal(Reason.CLAIM_REFUSED, words, at=Step.UPSTREAM)
    return text


def _keep_other_cookies(
    sent: Mapping[str, tuple[str, ...]], name: str, headers: list[tuple[str, str]], removed: list[str]
) -> Refusal | None:
    """Take one cookie out of the `cookie` header (RFC 6265, section 5.4) and leave the others as they are."""
    pairs = [pair.strip() for value in sent.get("cookie", ()) for pair in value.split(";")]
    others = "; ".join(pair for pair in pairs if pair and pair.partition("=")[0].strip() != name)
    # INVARIANT: asked here, before anything is spent. Left to the answer, it would be a bug that had counted the token.
    if not is_field_value(others):
        words = (
            f"beside the cookie `{name}` stands one with a control character or one outside ASCII, which cannot be "
            "written again without the token; `forwardToken: true` leaves `Cookie` as it is"
        )
        return Refusal(Reason.CREDENTIAL_MALFORMED, words, at=Step.UPSTREAM)
    if others:
        headers.append(("cookie", others))
    else:
        removed.append("cookie")
    return None
