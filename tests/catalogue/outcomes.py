"""What a client is told, one word for each kind of answer: status, challenge, `Retry-After`, and the reasons behind it.

Every denial is `Cache-Control: no-store`, has a problem body (RFC 9457), and says its reason in the dynamic metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.checks import Response

METADATA = "https://api.example/.well-known/oauth-protected-resource"
"""The `resource_metadata` (RFC 9728, section 5.1) of the catalogue's policy."""


@dataclass(frozen=True, slots=True)
class Word:
    """One kind of answer."""

    name: str
    status: int
    error: str | None
    """`error` of the Bearer challenge (RFC 6750, section 3.1): empty for a challenge without it, None for none."""
    reasons: frozenset[str]
    retry: bool = False
    """Whether `Retry-After` says when to come again."""

    def __repr__(self) -> str:
        return self.name


def _word(name: str, status: int, error: str | None, *reasons: str) -> Word:
    return Word(name, status, error, frozenset(reasons), retry=status in {429, 503})


NOAUTH = _word("NOAUTH", 401, "", "credential_absent")
INVREQ = _word("INVREQ", 400, "invalid_request", "credential_malformed")
INVTOK = _word(
    "INVTOK", 401, "invalid_token", "token_malformed", "signature_invalid", "key_unknown", "issuer_untrusted",
    "audience_mismatch", "token_expired", "token_not_yet_valid", "token_too_long_lived",
)  # fmt: skip
SCOPE = _word("SCOPE", 403, "insufficient_scope", "scope_missing")
STEPUP = _word("STEPUP", 401, "insufficient_user_authentication", "step_up_required")
REVOKED = _word("REVOKED", 401, "invalid_token", "token_revoked")
USED = _word("USED", 401, "invalid_token", "token_reused")
RATE = _word("RATE", 429, None, "rate_exceeded")
POLICY = _word("POLICY", 403, None, "claim_refused", "no_policy")
DOWN = _word("DOWN", 503, None, "store_unavailable", "keys_unavailable", "policy_invalid", "not_ready")
UNREAD = _word("UNREAD", 400, None, "request_malformed")
"""The request has no single reading, so no policy is chosen and there is nothing to challenge for."""

_PARAMETER = re.compile(r'([a-z_]+)="([\x20\x21\x23-\x5b\x5d-\x7e]*)"')


def admitted(response: Response) -> None:
    """Insist that a request goes upstream."""
    assert response.code == 0, response.metadata
    assert response.metadata["decision"] == "allow"
    assert "reason" not in response.metadata


def refused(response: Response, word: Word, reason: str | None = None) -> None:
    """Insist on an outcome word in full, and on the reason when one is given."""
    metadata = response.metadata
    found = metadata.get("reason")
    assert (word.name, response.http_status) == (word.name, word.status), metadata
    assert response.code != 0
    assert metadata["decision"] == "deny"
    assert found in word.reasons
    assert reason is None or found == reason
    told(response.http_status, response.headers, response.body, word)
    # A request that is not read has no policy, and so nobody's metadata to tell of.
    if word.error is not None and "policy" in metadata:
        assert challenge_of(response.headers)["resource_metadata"] == METADATA


def told(status: int, headers: Mapping[str, str], body: str, word: Word) -> None:
    """Insist on what a client reads, whoever brings it."""
    assert (word.name, status) == (word.name, word.status), body
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == word.status
    _insist_on_challenge(headers, word)
    if word.retry:
        assert 1 <= int(headers["retry-after"]) <= 3600
    else:
        assert "retry-after" not in headers


def challenge_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The parameters of the Bearer challenge, each of which occurs once and in its own alphabet."""
    text = headers["www-authenticate"]
    assert text.startswith("Bearer ")
    pairs = _PARAMETER.findall(text)
    assert text == "Bearer " + ", ".join(f'{name}="{value}"' for name, value in pairs)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def _insist_on_challenge(headers: Mapping[str, str], word: Word) -> None:
    if word.error is None:
        assert "www-authenticate" not in headers
        return
    challenge = challenge_of(headers)
    assert challenge["realm"]
    assert challenge.get("error", "") == word.error
    assert ("error_description" in challenge) == bool(word.error)
    if word is USED:
        assert challenge["error_description"] == "the token was already used"
    if word is SCOPE:
        assert challenge["scope"]
    if word is STEPUP:
        assert challenge.keys() & {"acr_values", "max_age"}


def refused_at_token_endpoint(response: Response, error: str, reason: str) -> None:
    """Insist on the error of a token endpoint (RFC 6749, section 5.2), and on the reason behind it."""
    metadata = response.metadata
    assert (metadata["decision"], metadata.get("reason")) == ("deny", reason), metadata
    assert response.code != 0
    assert response.http_status == 400
    assert json.loads(response.body)["error"] == error
    assert response.headers == {"content-type": "application/json", "cache-control": "no-store", "pragma": "no-cache"}
