"""CheckResponse: what Envoy is told of a verdict, and what a refused client reads (RFC 9110, RFC 9457, RFC 6749).

Everything that depends on the reason alone is laid down once, when the module is loaded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from math import ceil
from typing import Final, assert_never

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.model.encoding import is_field_value, printable
from extauthz.model.reason import OK, Reason
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Deny, Ground, Mode, PolicyRef, Refusal, Verdict
from extauthz.server.challenge import www_authenticate

NAMESPACE: Final = "extauthz"
"""Under which key of the filter's dynamic metadata the decision stands."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_RETRY_AFTER: Final = 2**31 - 1
_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


def write_verdict(verdict: Verdict) -> bytes:
    """Serialise the CheckResponse of a verdict.

    INVARIANT: an Allow, and nothing but an Allow, encodes to status code 0.
    Raises ValueError for an Allow with a header that HTTP cannot carry: that is a bug in whoever made it, and to be
    answered with INTERNAL_DENIAL.
    """
    match verdict:
        case Allow():
            return _admit(verdict).SerializeToString()
        case Deny():
            return _refuse(verdict).SerializeToString()
        case _:
            assert_never(verdict)


def _admit(allow: Allow) -> CheckResponse:
    ground = _vouched(allow)
    names = tuple([name for name, _ in allow.set_headers])
    shadowed = allow.shadowed.reason if allow.shadowed is not None else None
    response = CheckResponse()
    response.CopyFrom(_frame(names, allow.remove_headers, allow.remove_query, _where("allow", ground, shadowed)))
    for option, (name, value) in zip(response.ok_response.headers, allow.set_headers, strict=True):
        _put_value(option, name, value)
    _describe(response, ground)
    if allow.remaining is not None:
        response.dynamic_metadata.fields[NAMESPACE].struct_value.fields["remaining"].number_value = allow.remaining
    return response


@lru_cache(maxsize=4096)
def _frame(
    names: tuple[str, ...], removed: tuple[str, ...], query: tuple[str, ...], where: tuple[tuple[str, str], ...]
) -> CheckResponse:
    """What is the same for everyone whom a rule admits. Only ever copied."""
    response = CheckResponse()
    # Setting a field makes its message present even when it is the default: an allow is said, not left to defaults.
    response.status.code = OK
    response.ok_response.SetInParent()
    changes = response.ok_response
    for name in names:
        _overwrite(changes.headers.add(), name, "")
    # Envoy removes after it sets: a name in both would lose what we set.
    ours = {name.lower() for name in names}
    changes.headers_to_remove.extend(name for name in removed if name.lower() not in ours)
    changes.query_parameters_to_remove.extend(query)
    fields = response.dynamic_metadata.fields[NAMESPACE].struct_value.fields
    for name, text in where:
        fields[name].string_value = text
    return response


def _overwrite(option: HeaderValueOption, name: str, value: str) -> None:
    """Set a header in place of any that the client sent.

    INVARIANT: both forms of the choice say so, for Envoy's versions differ: older ones read `append` alone, newer ones
    read it first and, when it is absent, `append_action`, whose default appends. An empty value overwrites too.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError(_uncarried(name))
    option.header.key = name
    _put_value(option, name, value)
    option.append.value = False
    option.append_action = _OVERWRITE
    option.keep_empty_value = True


def _put_value(option: HeaderValueOption, name: str, value: str) -> None:
    if not is_field_value(value):
        raise ValueError(_uncarried(name))
    option.header.value = value


def _uncarried(name: str) -> str:
    return f"a header has a name or value that HTTP cannot carry, its name is {name[:64]!a}"


def _vouched(allow: Allow) -> Ground:
    """In Shadow, a would-be denial vouches for nobody: later filters must not take a name from it."""
    ground = allow.ground
    if allow.shadowed is None:
        return ground
    return Ground(policy=ground.policy, rule=ground.rule, mode=ground.mode)


def _refuse(deny: Deny) -> CheckResponse:
    reason = deny.reason
    response = CheckResponse()
    at_token_endpoint = deny.challenge.token_endpoint
    response.CopyFrom(_AT_TOKEN_ENDPOINT[_told(deny.refusal)] if at_token_endpoint else _TEMPLATES[reason])
    challenge = None if at_token_endpoint else www_authenticate(reason, deny.challenge)
    if challenge is not None:
        _overwrite(response.denied_response.headers.add(), "www-authenticate", challenge)
    if response.denied_response.status.code in {429, 503}:
        _overwrite(response.denied_response.headers.add(), "retry-after", _retry_after(deny.refusal.retry_after))
    fields = response.dynamic_metadata.fields[NAMESPACE].struct_value.fields
    for name, text in _where("deny", deny.ground, reason):
        fields[name].string_value = text
    _describe(response, deny.ground)
    return response


def _told(refusal: Refusal) -> Reason:
    """What a client of a token endpoint is told. That a key was not fetched yet is not the token's fault: a client that
    reads `invalid_grant` throws its token away, and its user logs in anew."""
    waits = refusal.reason is Reason.KEY_UNKNOWN and refusal.retry_after is not None
    return Reason.KEYS_UNAVAILABLE if waits else refusal.reason


def _retry_after(seconds: Seconds | None) -> str:
    """Whole seconds (RFC 9110, section 10.2.3), rounded up so that nobody comes back too early; at least 1."""
    # Written so that NaN falls to the bound too.
    if seconds is None or not seconds > 1.0:
        return "1"
    return str(ceil(min(seconds, _MAX_RETRY_AFTER)))


def _describe(response: CheckResponse, ground: Ground) -> None:
    """Put who asked where access logs and later filters of Envoy can read it."""
    fields = response.dynamic_metadata.fields[NAMESPACE].struct_value.fields
    # An issuer's words, and often a user's: later filters may write them into a header or a line.
    if ground.subject is not None:
        fields["subject"].string_value = printable(ground.subject)
    if ground.client is not None:
        fields["client"].string_value = printable(ground.client)


def _where(decision: str, ground: Ground, reason: Reason | None) -> tuple[tuple[str, str], ...]:
    """The decision, and the rule and issuer that it was made by."""
    return _words_of(decision, reason, ground.mode, ground.policy, ground.rule, ground.issuer)


@lru_cache(maxsize=4096)
def _words_of(
    decision: str,
    reason: Reason | None,
    mode: Mode,
    policy: PolicyRef | None,
    rule: str | None,
    issuer: IssuerRef | None,
) -> tuple[tuple[str, str], ...]:
    words = {
        "decision": decision,
        "reason": reason.label if reason is not None else None,
        "mode": mode.value,
        "policy": str(policy) if policy is not None else None,
        "rule": rule,
        "issuer": str(issuer) if issuer is not None else None,
    }
    return tuple((name, text) for name, text in words.items() if text is not None)


_SHARED: Final = Counter(reason.text for reason in Reason)


def _problem_type(reason: Reason) -> str:
    """The `type` of the problem details (RFC 9457, section 3.1.1).

    INVARIANT: reasons that share their text share their type, or the type would tell a stranger what the text hides.
    """
    name = reason.label if _SHARED[reason.text] == 1 else reason.error or "unavailable"
    return f"urn:extauthz:reason:{name}"


def _template(reason: Reason) -> CheckResponse:
    """The part of a denial that is the same for everyone who gets it."""
    response = CheckResponse()
    response.status.code = reason.grpc_code
    response.status.message = reason.text
    denied = response.denied_response
    denied.status.code = reason.http_status  # type: ignore[assignment]  # the enum's numbers are the HTTP statuses
    denied.body = json.dumps({"type": _problem_type(reason), "title": reason.text, "status": reason.http_status})
    _overwrite(denied.headers.add(), "content-type", "application/problem+json")
    _overwrite(denied.headers.add(), "cache-control", "no-store")
    _overwrite(denied.headers.add(), "access-control-expose-headers", "WWW-Authenticate, Retry-After")
    return response


def _token_endpoint_template(reason: Reason) -> CheckResponse:
    """The same where a token endpoint is guarded: its clients read the errors of RFC 6749, section 5.2."""
    response = _template(reason)
    if reason.token_endpoint_error is None:
        return response
    denied = response.denied_response
    denied.status.code = 400  # type: ignore[assignment]  # as above
    denied.body = json.dumps({"error": reason.token_endpoint_error, "error_description": reason.text})
    del denied.headers[:]
    for name, value in (("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache")):
        _overwrite(denied.headers.add(), name, value)
    return response


_AT_TOKEN_ENDPOINT: Final = {reason: _token_endpoint_template(reason) for reason in Reason}
_TEMPLATES: Final = {reason: _template(reason) for reason in Reason}

INTERNAL_DENIAL: Final = write_verdict(Deny(refusal=Refusal(Reason.INTERNAL, "a bug in extauthz")))
"""The answer when there is no other: ready, so that nothing can fail in making it."""
