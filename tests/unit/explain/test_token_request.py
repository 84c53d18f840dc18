"""The story of a token request: its family is spoken of, and the name of the parameter is no secret."""

from __future__ import annotations

import json

from extauthz.explain.words import in_words
from extauthz.server.explaining import explain_check
from tests.catalogue.token_endpoint import ALICE, FORM, TokenEndpoint, grant, refresh_token, rule
from tests.checks import check_request

REUSE = {"maxUses": 1, "family": {"claim": "sid"}, "bindTo": ["SourcePrincipal"]}
SECRETS = ("rt-SECRET-1", "fam-SECRET-1", "client-SECRET-1")


def told(body: str) -> str:
    endpoint = TokenEndpoint(rule(reuse=REUSE, other_grants=["authorization_code"]))
    data = check_request("POST", "/token", headers=FORM, body=body, raw=True, principal=ALICE)
    story = explain_check(data, endpoint.answerer.world(), endpoint.store, endpoint.clock.now())
    words = in_words(story)
    for secret in (*SECRETS, *refresh_token(family=SECRETS[1], jti=SECRETS[0]).split(".")[1:]):
        assert secret not in f"{words}{story}"
    return words


def test_each_count_is_told_as_what_it_is_and_nothing_of_the_token_is_shown() -> None:
    token = refresh_token(family=SECRETS[1], jti=SECRETS[0])
    words = told(grant(token, client_secret=SECRETS[2]))
    assert "one bearer token in the form parameter `refresh_token`" in words
    assert "family: asks that the token's family is not revoked, and counts nothing" in words
    assert words.count("ties the token to its caller") == 1
    assert "verdict: admitted" in words


def test_a_request_that_is_no_token_request_shows_nothing_either() -> None:
    token = refresh_token(family=SECRETS[1], jti=SECRETS[0])
    for body in (
        f"{grant(token)}&{token}=x",
        f"{grant(token)}&a={token}",
        f"grant_type={SECRETS[2]}",
        json.dumps(token),
    ):
        assert "the form parameter `refresh_token`" in told(body)
