"""What goes upstream: identity headers are ours alone, and the token stays behind."""

import dataclasses
from typing import Any

import pytest

from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.token import ClaimPath, Demand, Slot, SlotKind
from extauthz.model.verdict import Allow, PolicyRef, Refusal
from extauthz.policy.rule import Rule
from extauthz.policy.upstream import changes_of
from tests.building import verified, view

AUTHORIZATION = Slot(SlotKind.AUTHORIZATION, "authorization")


def rule(slot: Slot | None = AUTHORIZATION, **more: Any) -> Rule:
    """A rule that sets `x-auth-sub`, and `x-auth-roles` from a claim that few tokens have."""
    return Rule(
        policy=PolicyRef("shop", "p"),
        name="r",
        demand=None if slot is None else Demand(slot=slot, issuers=()),
        claim_headers=(("x-auth-sub", ClaimPath("sub")), ("x-auth-roles", ClaimPath("roles"))),
        **more,
    )


def changes(of: Rule, ours: tuple[str, ...] = (), headers: dict[str, Any] | None = None, **claims: Json) -> Allow:
    """What an admitted request is changed to."""
    allow = changes_of(of, verified(claims), view("/", headers=headers), ours)
    assert isinstance(allow, Allow)
    return allow


def test_a_header_is_set_from_its_claim_and_a_missing_claim_sets_none() -> None:
    assert changes(rule()).set_headers == (("x-auth-sub", "alice"),)


def test_headers_that_are_ours_and_not_set_are_removed() -> None:
    allow = changes(rule(), ours=("x-auth-sub", "x_auth_sub", "x-auth-roles"))
    assert set(allow.remove_headers) == {"x_auth_sub", "x-auth-roles", "authorization"}


def test_an_anonymous_rule_removes_all_that_is_ours() -> None:
    anonymous = dataclasses.replace(rule(None), claim_headers=())
    allow = changes_of(anonymous, None, view("/"), ("x-auth-sub",))
    assert isinstance(allow, Allow)
    assert (allow.set_headers, allow.remove_headers) == ((), ("x-auth-sub",))


def test_the_token_stays_behind_unless_it_may_go() -> None:
    assert "authorization" in changes(rule()).remove_headers
    assert "authorization" not in changes(rule(forward_token=True)).remove_headers
    assert "x-api-key" in changes(rule(Slot(SlotKind.HEADER, "x-api-key"))).remove_headers


@pytest.mark.parametrize("forward", [True, False])
def test_a_token_in_the_query_never_goes_upstream(forward: bool) -> None:
    allow = changes(rule(Slot(SlotKind.QUERY, "access_token"), forward_token=forward))
    assert allow.remove_query == ("access_token",)
    assert not allow.remove_headers


def test_of_the_cookies_only_the_token_is_taken_out() -> None:
    slot = Slot(SlotKind.COOKIE, "session")
    allow = changes(rule(slot), headers={"cookie": "a=1; session=tok; b=2"})
    assert ("cookie", "a=1; b=2") in allow.set_headers
    assert "cookie" in changes(rule(slot), headers={"cookie": "session=tok"}).remove_headers


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("plain text", "plain text"),
        ("a\r\nx-admin: 1", "a%0D%0Ax-admin: 1"),
        ("nul\x00", "nul%00"),
        ("é\u202e", "%C3%A9%E2%80%AE"),
        ("100%", "100%25"),
        (" edge ", "%20edge%20"),
        ("", None),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", "b"], "a,b"),
        (["a,b", "c"], "a%2Cb,c"),
        ([], None),
    ],
)
def test_D22_a_claim_never_reaches_a_header_unescaped(value: Json, header: str | None) -> None:
    headers = dict(changes(rule(), sub=value).set_headers)
    assert headers.get("x-auth-sub") == header


@pytest.mark.parametrize("value", [{"a": 1}, [1], [["a"]], "x" * 5000, ["x" * 3000, "y" * 3000]])
def test_a_claim_that_no_header_can_hold_refuses(value: Json) -> None:
    refusal = changes_of(rule(), verified({"sub": value}), view("/"), ())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLAIM_REFUSED
