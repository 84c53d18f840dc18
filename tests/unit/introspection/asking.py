"""Endpoints as the code sees them, for servers of `tests.introspecting`."""

from __future__ import annotations

from typing import Any

from extauthz.introspection.endpoint import ClientSecretBasic, Endpoint, GivenSecret
from extauthz.model.question import Question
from extauthz.model.token import IssuerRef

REF = IssuerRef("TokenIssuer", "shop", "opaque")


def at(url: str, ref: IssuerRef = REF, **more: Any) -> Endpoint:
    """The endpoint at a URL."""
    secret = GivenSecret(b"s3cret-of-ours", "entry `secret` of Secret `client`")
    return Endpoint(ref=ref, url=url, client=ClientSecretBasic("orders", secret), **more)


def question(url: str, token: str = "token-1", ref: IssuerRef = REF) -> Question:
    """A question about a token."""
    return Question(ref, url, token)
