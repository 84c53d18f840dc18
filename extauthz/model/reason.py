"""Why a request was refused: one table for the response, the metrics label, the decision log, the docs and the CLI."""

from __future__ import annotations

from enum import Enum
from typing import Final

OK: Final = 0
INVALID_ARGUMENT: Final = 3
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


_AT_TOKEN_ENDPOINT: Final = {
    "credential_absent": "invalid_request",
    "invalid_request": "invalid_request",
    "request_malformed": "invalid_request",
    "invalid_token": "invalid_grant",
    "claim_refused": "invalid_grant",
    "insufficient_user_authentication": "invalid_grant",
    "insufficient_scope": "invalid_scope",
}
"""What a token endpoint calls a reason, by its error code where it has one, else by its name."""


class Reason(Enum):
    """A reason for refusing: its name, gRPC code, HTTP status, OAuth error code and the text a client may read.

    The text tells a client what to do and an attacker nothing: no key, issuer, claim or policy is named in it.
    """

    CREDENTIAL_ABSENT = ("credential_absent", UNAUTHENTICATED, 401, "", "a bearer token is required")
    CREDENTIAL_MALFORMED = (
        "credential_malformed",
        INVALID_ARGUMENT,
        400,
        "invalid_request",
        "the request must carry exactly one well-formed bearer token",
    )
    REQUEST_MALFORMED = (
        "request_malformed",
        INVALID_ARGUMENT,
        400,
        None,
        "the host, method or path of the request has no single reading",
    )
    TOKEN_MALFORMED = ("token_malformed", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    SIGNATURE_INVALID = ("signature_invalid", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    KEY_UNKNOWN = ("key_unknown", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    ISSUER_UNTRUSTED = ("issuer_untrusted", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    AUDIENCE_MISMATCH = (
        "audience_mismatch",
        UNAUTHENTICATED,
        401,
        "invalid_token",
        "the token was not issued for this resource",
    )
    TOKEN_EXPIRED = ("token_expired", UNAUTHENTICATED, 401, "invalid_token", "the token expired")
    TOKEN_NOT_YET_VALID = (
        "token_not_yet_valid",
        UNAUTHENTICATED,
        401,
        "invalid_token",
        "the token is not valid yet",
    )
    TOKEN_TOO_LONG_LIVED = (
        "token_too_long_lived",
        UNAUTHENTICATED,
        401,
        "invalid_token",
        "the token is valid for longer than this resource accepts",
    )
    TOKEN_REUSED = ("token_reused", UNAUTHENTICATED, 401, "invalid_token", "the token was already used")
    TOKEN_BOUND_ELSEWHERE = (
        "token_bound_elsewhere",
        UNAUTHENTICATED,
        401,
        "invalid_token",
        "the token is in use by another caller",
    )
    TOKEN_INACTIVE = ("token_inactive", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    TOKEN_REVOKED = ("token_revoked", UNAUTHENTICATED, 401, "invalid_token", "the token is not valid")
    SENDER_MISMATCH = (
        "sender_mismatch",
        UNAUTHENTICATED,
        401,
        "invalid_token",
        "the token is bound to a sender that was not confirmed",
    )
    SCOPE_MISSING = ("scope_missing", PERMISSION_DENIED, 403, "insufficient_scope", "the token lacks a needed scope")
    STEP_UP_REQUIRED = (
        "step_up_required",
        UNAUTHENTICATED,
        401,
        "insufficient_user_authentication",
        "a more recent or a stronger authentication is required",
    )
    CLAIM_REFUSED = ("claim_refused", PERMISSION_DENIED, 403, None, "the token does not permit this request")
    NO_POLICY = ("no_policy", PERMISSION_DENIED, 403, None, "no policy admits this request")
    RATE_EXCEEDED = ("rate_exceeded", RESOURCE_EXHAUSTED, 429, None, "too many requests")
    STORE_UNAVAILABLE = ("store_unavailable", UNAVAILABLE, 503, None, "temporarily unavailable")
    STORE_QUOTA = ("store_quota", UNAVAILABLE, 503, None, "temporarily unavailable")
    KEYS_UNAVAILABLE = ("keys_unavailable", UNAVAILABLE, 503, None, "temporarily unavailable")
    INTROSPECTION_UNAVAILABLE = ("introspection_unavailable", UNAVAILABLE, 503, None, "temporarily unavailable")
    POLICY_INVALID = ("policy_invalid", UNAVAILABLE, 503, None, "temporarily unavailable")
    OVERLOADED = ("overloaded", UNAVAILABLE, 503, None, "temporarily unavailable")
    NOT_READY = ("not_ready", UNAVAILABLE, 503, None, "temporarily unavailable")
    INTERNAL = ("internal", INTERNAL, 500, None, "internal error")

    def __init__(self, label: str, grpc_code: int, http_status: int, error: str | None, text: str) -> None:
        self.label = label
        self.grpc_code = grpc_code
        self.http_status = http_status
        self.error = error
        """The `error` of the `WWW-Authenticate` challenge (RFC 6750, section 3.1): a code, the empty text for a
        challenge without one, or None for no challenge, because a new token would not help."""
        self.token_endpoint_error = _AT_TOKEN_ENDPOINT.get(error or label)
        """The `error` where a token endpoint is guarded (RFC 6749, section 5.2), told with status 400; None where the
        status is told as everywhere: what is wrong is neither the request nor its token."""
        self.text = text
