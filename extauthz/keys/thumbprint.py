"""The name of a key that follows from the key itself: JWK thumbprints (RFC 7638)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from extauthz.model.encoding import base64url_encode


def thumbprint(members: Mapping[str, str]) -> str:
    """SHA-256 over the members that make the key (RFC 7638, section 3.2; RFC 8037, section 2), as base64url.

    `members` holds these and nothing else, their values in canonical form.
    """
    text = json.dumps(members, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return base64url_encode(hashlib.sha256(text.encode("ascii")).digest())
