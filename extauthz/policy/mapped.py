"""Where an issuer's settings look for scopes and roles, in words for whoever wonders why a token has none of them.

Only names of claims are told, never what they hold.
"""

from __future__ import annotations

from typing import Final

from extauthz.model.token import ClaimPath, VerifiedToken, claim_at

_SCOPES: Final = ("scope", "scp", "permissions", "roles")
_ROLES: Final = ("roles", "groups", "permissions", "/realm_access/roles", "role")


def where_scopes_are_read(token: VerifiedToken) -> str:
    """What to know where a token lacks scopes: which claim was read for them, and which may have been meant."""
    return _told(token, "scope", token.trust.mapping.scope, _SCOPES)


def where_roles_are_read(token: VerifiedToken) -> str:
    """What to know where a token lacks roles: which claim was read for them, and which may have been meant."""
    return _told(token, "roles", token.trust.mapping.roles, _ROLES)


def _told(token: VerifiedToken, name: str, paths: tuple[ClaimPath, ...], known: tuple[str, ...]) -> str:
    setting = f"`mapping.{name}` of {token.trust.ref}"
    present = [path for path in paths if claim_at(token.claims, path) is not None]
    if len(present) > 1:
        return f"; they are read from `{present[0]}`, the first claim of {setting} that the token has"
    if present:
        said = claim_at(token.claims, present[0])
        if name == "scope" and isinstance(said, str) and "," in said:
            return f"; there is a comma in `{present[0]}`, and scopes stand apart by spaces (RFC 6749, section 3.3)"
        return ""
    others = [claim for claim in known if claim_at(token.claims, ClaimPath(claim)) is not None]
    meant = f"; it has `{others[0]}`, which could be named there" if others else ""
    if not paths:
        return f"; {token.trust.ref} has no `mapping.{name}`{meant}"
    return f"; it has none of the claims of {setting}, which are {', '.join(f'`{path}`' for path in paths)}{meant}"
