"""Writing a CheckResponse: what Envoy is told to do, and what a refused client reads."""

from __future__ import annotations

import json

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Challenge, Deny, Ground, Mode, PolicyRef, Refusal
from extauthz.server.codec import INTERNAL_DENIAL, write_verdict
from tests.checks import Response, read_response

GROUND = Ground(
    policy=PolicyRef("shop", "orders"),
    rule="place-order",
    issuer=IssuerRef("TokenIssuer", "shop", "corp"),
    subject="alice",
    client="web",
    token_hash="0123456789abcdef",
)


def denied(reason: Reason, retry_after: float | None = None, challenge: Challenge | None = None) -> Response:
    refusal = Refusal(reason, "for operators only", retry_after=None if retry_after is None else Seconds(retry_after))
    return read_response(write_verdict(Deny(refusal=refusal, ground=GROUND, challenge=challenge or Challenge())))


def allowed(allow: Allow) -> Response:
    return read_response(write_verdict(allow))


@pytest.mark.parametrize("reason", Reason)
def test_a_token_endpoint_tells_its_own_errors(reason: Reason) -> None:
    """RFC 6749, section 5.2: 400 and a code; and what is neither the request's nor the token's fault as elsewhere."""
    plain, told = denied(reason), denied(reason, challenge=Challenge(token_endpoint=True))
    assert told.code == plain.code != 0
    assert "www-authenticate" not in told.headers
    if plain.http_status in {429, 500, 503} or reason is Reason.NO_POLICY:
        assert told.http_status == plain.http_status
        assert told.body == plain.body
        return
    assert told.http_status == 400
    codes = {401: "invalid_grant", 400: "invalid_request", 403: "invalid_grant"}
    special = {Reason.CREDENTIAL_ABSENT: "invalid_request", Reason.SCOPE_MISSING: "invalid_scope"}
    error = special.get(reason, codes[plain.http_status])
    assert json.loads(told.body) == {"error": error, "error_description": reason.text}
    assert told.headers["cache-control"] == "no-store"


def test_a_bare_allow_says_ok_and_changes_nothing() -> None:
    response = allowed(Allow())
    assert (response.code, response.headers, response.removed, response.query_removed) == (0, {}, (), ())
    assert response.metadata == {"decision": "allow", "mode": "Enforce"}


def test_an_allow_carries_its_changes_and_its_ground() -> None:
    response = allowed(
        Allow(
            ground=GROUND,
            set_headers=(("x-auth-sub", "alice"), ("x-auth-empty", "")),
            remove_headers=("authorization",),
            remove_query=("access_token",),
            remaining=4,
        )
    )
    assert response.headers == {"x-auth-sub": "alice", "x-auth-empty": ""}
    assert response.removed == ("authorization",)
    assert response.query_removed == ("access_token",)
    assert response.metadata == {
        "decision": "allow",
        "mode": "Enforce",
        "policy": "shop/orders",
        "rule": "place-order",
        "issuer": "TokenIssuer shop/corp",
        "subject": "alice",
        "client": "web",
        "remaining": 4,
    }


def test_no_use_left_is_told_apart_from_nothing_counted() -> None:
    assert allowed(Allow(remaining=0)).metadata["remaining"] == 0
    assert "remaining" not in allowed(Allow()).metadata


def test_a_header_that_is_set_is_not_removed_after() -> None:
    response = allowed(Allow(set_headers=(("x-auth-sub", "alice"),), remove_headers=("X-Auth-Sub", "x-auth-client")))
    assert response.removed == ("x-auth-client",)


def test_a_would_be_denial_is_admitted_with_its_reason_and_without_a_name() -> None:
    shadowed = Deny(refusal=Refusal(Reason.SCOPE_MISSING, ""), ground=GROUND)
    ground = Ground(policy=GROUND.policy, rule=GROUND.rule, mode=Mode.SHADOW, subject="alice", client="web")
    response = allowed(Allow(ground=ground, shadowed=shadowed))
    assert response.code == 0
    assert response.metadata == {
        "decision": "allow",
        "mode": "Shadow",
        "policy": "shop/orders",
        "rule": "place-order",
        "reason": "scope_missing",
    }


@pytest.mark.parametrize(
    "header",
    [
        ("x", "b\r\nroot: 1"),
        ("x-a", "\0"),
        ("x-a", "caf\xe9"),
        ("x a", "b"),
        (":path", "/"),
        ("", "b"),
        ("x\n", "b"),
    ],
)
def test_a_header_that_http_cannot_carry_is_an_error_not_an_allow(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="HTTP cannot carry"):
        write_verdict(Allow(set_headers=(header,)))


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.label)
def test_every_reason_makes_a_full_denial(reason: Reason) -> None:
    response = denied(reason)
    assert (response.code, response.http_status) == (reason.grpc_code, reason.http_status)
    assert response.code != 0
    assert response.http_status >= 400
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["access-control-expose-headers"] == "WWW-Authenticate, Retry-After"
    assert ("www-authenticate" in response.headers) == (reason.error is not None)
    assert ("retry-after" in response.headers) == (reason.http_status in {429, 503})
    body = json.loads(response.body)
    assert set(body) == {"type", "title", "status"}
    assert (body["title"], body["status"]) == (reason.text, reason.http_status)
    assert response.metadata == {
        "decision": "deny",
        "reason": reason.label,
        "mode": "Enforce",
        "policy": "shop/orders",
        "rule": "place-order",
        "issuer": "TokenIssuer shop/corp",
        "subject": "alice",
        "client": "web",
    }


def test_every_401_has_a_challenge() -> None:
    # RFC 9110, section 15.5.2.
    assert all("www-authenticate" in denied(reason).headers for reason in Reason if reason.http_status == 401)


def test_reasons_that_read_alike_look_alike_to_the_client() -> None:
    def shown(reason: Reason) -> tuple[int, str, str | None]:
        response = denied(reason)
        return response.http_status, response.body, response.headers.get("www-authenticate")

    for one in Reason:
        for other in Reason:
            assert (shown(one) == shown(other)) == (one.text == other.text), (one, other)


def test_the_problem_type_names_a_reason_that_has_a_text_of_its_own() -> None:
    assert json.loads(denied(Reason.TOKEN_REUSED).body)["type"] == "urn:extauthz:reason:token_reused"
    assert json.loads(denied(Reason.KEY_UNKNOWN).body)["type"] == "urn:extauthz:reason:invalid_token"
    assert json.loads(denied(Reason.NOT_READY).body)["type"] == "urn:extauthz:reason:unavailable"


def test_the_client_reads_nothing_meant_for_operators() -> None:
    response = denied(Reason.CLAIM_REFUSED)
    for secret in ("operators", "alice", "shop", "corp", "place-order", "0123456789abcdef"):
        assert secret not in response.body
        assert secret not in " ".join(response.headers.values())


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "1"),
        (0.0, "1"),
        (-5.0, "1"),
        (0.2, "1"),
        (1.0, "1"),
        (1.001, "2"),
        (59.5, "60"),
        (float("inf"), "2147483647"),
        (float("nan"), "1"),
    ],
)
@pytest.mark.parametrize("reason", [Reason.RATE_EXCEEDED, Reason.STORE_UNAVAILABLE])
def test_retry_after_is_in_whole_seconds_and_never_early(reason: Reason, seconds: float | None, told: str) -> None:
    assert denied(reason, seconds).headers["retry-after"] == told


def test_a_denial_that_waiting_does_not_mend_has_no_retry_after() -> None:
    assert "retry-after" not in denied(Reason.TOKEN_REUSED, 5.0).headers


def test_one_denial_leaves_no_trace_in_the_next() -> None:
    denied(Reason.RATE_EXCEEDED, 17.0)
    bare = read_response(write_verdict(Deny(refusal=Refusal(Reason.RATE_EXCEEDED, ""))))
    assert bare.headers["retry-after"] == "1"
    assert bare.metadata == {"decision": "deny", "reason": "rate_exceeded", "mode": "Enforce"}


def test_the_answer_of_last_resort_is_a_denial() -> None:
    response = read_response(INTERNAL_DENIAL)
    assert (response.code, response.http_status) == (13, 500)
