"""The steps of a decision, in the order they are taken: where a request was refused, in one word.

The decision log names the step that refused, and `extauthz explain` tells them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from extauthz.model.reason import Reason


class Step(Enum):
    """One step of a decision: its word, and what holds when it is passed."""

    text: str

    def __new__(cls, word: str, text: str) -> Step:  # noqa: D102, PYI034 - an enum has no subclasses
        step = object.__new__(cls)
        step._value_ = word
        step.text = text
        return step

    ANSWER = "answer", "There was time and room for an answer, and no bug."
    REQUEST = "request", "The CheckRequest was read, and has one reading."
    POLICIES = "policies", "Policies are loaded."
    RULE = "rule", "A rule of a policy takes the request."
    POLICY = "policy", "The rule is one that can serve: nothing in it is mistaken."
    PATH = "path", "Servers read the path alike, or the policy lets the odd kind through."
    CREDENTIAL = "credential", "The slot of the rule holds exactly one token, and no other place does."
    FORM = "form", "The token is a signed JWT in compact form, or one that its issuer's endpoint is asked about."
    ISSUER = "issuer", "It names an issuer of the rule."
    KEYS = "keys", "This issuer's keys are here, and fresh enough."
    ALGORITHM = "algorithm", "The issuer accepts its `alg`."
    KEY = "key", "The issuer has a usable key for it."
    SIGNATURE = "signature", "The signature fits that key."
    TYPE = "type", "Its header says that it is a token of the kind that the issuer's access tokens are."
    INTROSPECTION = "introspection", "The issuer's endpoint says that the token is active."
    CLAIMS = "claims", "Its claims have the form of their standard, and are those that the issuer's settings demand."
    SENDER = "sender", "Whoever must present it did."
    TIME = "time", "It is valid now."
    AUDIENCE = "audience", "It is for this service."
    LIFETIME = "lifetime", "It does not live for too long."
    REVOCATION = "revocation", "No TokenRevocation names it."
    AUTHENTICATION = "authentication", "`require.authentication`: how, and how long ago, the user authenticated."
    SCOPES = "scopes", "`require.scopes`."
    ROLES = "roles", "`require.roles`."
    CLAIM = "claim", "`require.claims`: one claim of them."
    CONDITION = "condition", "`require.cel`."
    UPSTREAM = "upstream", "What goes upstream can be written into headers."
    BINDING = "binding", "`reuse.bindTo`: the token's first caller is this one."
    REUSE = "reuse", "`reuse`: uses of the token are left."
    LIMITS = "limits", "`limits`: requests within the rate are left."
    STORE = "store", "The store of counts could answer."


_USUAL: Final[Mapping[Reason, Step]] = {
    Reason.CREDENTIAL_ABSENT: Step.CREDENTIAL,
    Reason.CREDENTIAL_MALFORMED: Step.CREDENTIAL,
    Reason.REQUEST_MALFORMED: Step.REQUEST,
    Reason.TOKEN_MALFORMED: Step.FORM,
    Reason.SIGNATURE_INVALID: Step.SIGNATURE,
    Reason.KEY_UNKNOWN: Step.KEY,
    Reason.ISSUER_UNTRUSTED: Step.ISSUER,
    Reason.AUDIENCE_MISMATCH: Step.AUDIENCE,
    Reason.TOKEN_EXPIRED: Step.TIME,
    Reason.TOKEN_NOT_YET_VALID: Step.TIME,
    Reason.TOKEN_TOO_LONG_LIVED: Step.LIFETIME,
    Reason.TOKEN_REUSED: Step.REUSE,
    Reason.TOKEN_BOUND_ELSEWHERE: Step.BINDING,
    Reason.TOKEN_INACTIVE: Step.INTROSPECTION,
    Reason.TOKEN_REVOKED: Step.REVOCATION,
    Reason.SENDER_MISMATCH: Step.SENDER,
    Reason.SCOPE_MISSING: Step.SCOPES,
    Reason.STEP_UP_REQUIRED: Step.AUTHENTICATION,
    Reason.CLAIM_REFUSED: Step.CLAIM,
    Reason.NO_POLICY: Step.RULE,
    Reason.RATE_EXCEEDED: Step.LIMITS,
    Reason.STORE_UNAVAILABLE: Step.STORE,
    Reason.STORE_QUOTA: Step.STORE,
    Reason.KEYS_UNAVAILABLE: Step.KEYS,
    Reason.INTROSPECTION_UNAVAILABLE: Step.INTROSPECTION,
    Reason.POLICY_INVALID: Step.POLICY,
    Reason.OVERLOADED: Step.ANSWER,
    Reason.NOT_READY: Step.POLICIES,
    Reason.INTERNAL: Step.ANSWER,
}


def usual_step(reason: Reason) -> Step:
    """The step that refuses with this reason, where the refusal does not name another."""
    return _USUAL[reason]
