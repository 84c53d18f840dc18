"""`WWW-Authenticate`, word for word."""

from __future__ import annotations

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.verdict import Challenge
from extauthz.server.challenge import www_authenticate

FULL = Challenge(
    realm="shop",
    scopes=("orders.read", "orders.write"),
    resource_metadata="https://api.example/.well-known/oauth-protected-resource",
    acr_values=("urn:mfa", "urn:hw"),
    max_age=Seconds(300.9),
)
METADATA = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource"'


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        (
            Reason.CREDENTIAL_ABSENT,
            f'Bearer realm="shop", scope="orders.read orders.write", {METADATA}',
        ),
        (
            Reason.CREDENTIAL_MALFORMED,
            (
                'Bearer realm="shop", error="invalid_request", '
                f'error_description="the request must carry exactly one well-formed bearer token", {METADATA}'
            ),
        ),
        (
            Reason.TOKEN_REUSED,
            f'Bearer realm="shop", error="invalid_token", error_description="the token was already used", {METADATA}',
        ),
        (
            Reason.SCOPE_MISSING,
            (
                'Bearer realm="shop", error="insufficient_scope", error_description="the token lacks a needed scope", '
                f'scope="orders.read orders.write", {METADATA}'
            ),
        ),
        (
            Reason.STEP_UP_REQUIRED,
            (
                'Bearer realm="shop", error="insufficient_user_authentication", '
                'error_description="a more recent or a stronger authentication is required", '
                f'scope="orders.read orders.write", acr_values="urn:mfa urn:hw", max_age="300", {METADATA}'
            ),
        ),
        (Reason.CLAIM_REFUSED, None),
        (Reason.NO_POLICY, None),
        (Reason.RATE_EXCEEDED, None),
        (Reason.STORE_UNAVAILABLE, None),
        (Reason.INTERNAL, None),
    ],
    ids=lambda value: value.label if isinstance(value, Reason) else "",
)
def test_each_kind_of_refusal_is_challenged_as_its_standard_says(reason: Reason, value: str | None) -> None:
    assert www_authenticate(reason, FULL) == value


def test_a_rule_that_asks_for_nothing_is_challenged_with_the_realm_alone() -> None:
    assert www_authenticate(Reason.CREDENTIAL_ABSENT, Challenge()) == 'Bearer realm="extauthz"'


@pytest.mark.parametrize("realm", ["", 'shop", error="invalid_token', "a\\", "a\r\nx: y", "caf\xe9", "a\x7f"])
def test_a_realm_that_would_break_the_header_is_replaced(realm: str) -> None:
    assert www_authenticate(Reason.CREDENTIAL_ABSENT, Challenge(realm=realm)) == 'Bearer realm="extauthz"'


@pytest.mark.parametrize("scope", ["", "a b", 'a"', "a\\", "a\n", "\xe9"])
def test_a_scope_that_is_none_drops_the_whole_parameter(scope: str) -> None:
    value = www_authenticate(Reason.CREDENTIAL_ABSENT, Challenge(scopes=("orders.read", scope)))
    assert value == 'Bearer realm="extauthz"'


@pytest.mark.parametrize("url", ["", 'https://api.example/"', "https://api.example/a b", "https://\xe9.example"])
def test_a_metadata_address_that_would_break_the_header_is_dropped(url: str) -> None:
    challenge = Challenge(resource_metadata=url)
    assert www_authenticate(Reason.CREDENTIAL_ABSENT, challenge) == 'Bearer realm="extauthz"'


@pytest.mark.parametrize("age", [-1.0, float("nan"), float("inf")])
def test_an_age_that_is_none_is_dropped(age: float) -> None:
    value = www_authenticate(Reason.STEP_UP_REQUIRED, Challenge(max_age=Seconds(age)))
    assert value is not None
    assert "max_age" not in value


def test_an_age_of_zero_asks_for_a_new_authentication() -> None:
    value = www_authenticate(Reason.STEP_UP_REQUIRED, Challenge(max_age=Seconds(0)))
    assert value is not None
    assert value.endswith('max_age="0"')
