"""Laws of decisions: adding a requirement never admits more, and no client header survives that we assert."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.telemetry.observation import FamilyOutcome
from tests.building import NOW, anonymous, policy, with_token
from tests.issuing import claims, token
from tests.worlds import Asked

_TOKENS = [
    None, "garbage", token(), token(claims(scope="a")), token(claims(scope="a b", tenant="acme")),
    token(claims(aud="x")), token(claims(acr="mfa", scope="b")), token(claims(sub="bob", tenant=["acme"])),
]  # fmt: skip
_REQUIREMENTS = st.lists(
    st.sampled_from(
        [
            ("scopes", ["a"]),
            ("scopes", ["a", "b"]),
            ("claims", [{"claim": "tenant", "oneOf": ["acme"]}]),
            ("claims", [{"claim": "tenant", "contains": "acme"}]),
            ("authentication", {"acrValues": ["mfa"]}),
            ("cel", "claims.sub == 'alice'"),
            ("cel", "claims.nothing == 1"),
        ]
    ),
    max_size=4,
)


@given(_REQUIREMENTS, _REQUIREMENTS, st.sampled_from(_TOKENS))
def test_adding_a_requirement_never_turns_a_denial_into_an_admission(
    some: list[tuple[str, Any]], more: list[tuple[str, Any]], text: str | None
) -> None:
    few = dict(some)
    many = copy.deepcopy(few) | {name: value for name, value in more if name not in few}
    before = Asked(policy("p", with_token("r", require=few))).reason("/", text)
    after = Asked(policy("p", with_token("r", require=many))).reason("/", text)
    assert after != "allow" or before == "allow"


_NAMES = st.sampled_from(["x-auth-sub", "x_auth_sub", "X-Auth-Sub", "x-auth_sub", "x-tenant", "x_tenant", "x-other"])


@given(st.dictionaries(_NAMES.map(str.lower), st.just("forged"), max_size=5), st.sampled_from(_TOKENS), st.booleans())
@settings(max_examples=60)
def test_no_header_that_we_assert_survives_from_a_client(
    headers: dict[str, str], text: str | None, shadow: bool
) -> None:
    asked = Asked(
        policy(
            "p",
            with_token(
                "r",
                match={"path": {"exact": "/t"}},
                upstream={"claimHeaders": {"x-auth-sub": "sub", "x-tenant": "tenant"}},
            ),
            anonymous("a"),
            mode="Shadow" if shadow else "Enforce",
        )
    )
    for path in ("/t", "/a"):
        response = asked.ask(path, text, headers=headers)
        if response.code == 0:
            asserted = {name for name in headers if name.replace("_", "-") in {"x-auth-sub", "x-tenant"}}
            assert asserted <= set(response.removed) | set(response.headers)
            assert "forged" not in response.headers.values()


_FORGED = st.one_of(
    st.text(st.characters(codec="ascii"), max_size=40),
    st.sampled_from(
        [
            token(claims(jti="a"), key="rsa-evil"), token(claims(jti="a", aud="x")),
            token(claims(jti="a", exp=NOW - 60)), token(claims(jti="a", scope="x")), token(claims(jti="a")) + "=",
            token(claims(jti="a"))[:-9] + "A" * 9, token(claims(jti="a", iss="https://evil.example")),
        ]
    ),
)  # fmt: skip


@given(st.lists(_FORGED, min_size=1, max_size=6))
@settings(max_examples=40)
def test_no_token_that_is_refused_by_itself_ends_a_family(texts: list[str]) -> None:
    reuse = {"maxUses": 1, "family": {"claim": "sub"}}
    asked = Asked(policy("p", with_token("r", require={"scopes": ["orders.read"]}, reuse=reuse)))
    assert asked.reason("/", token(claims(jti="a"))) == "allow"
    for text in texts * 3:
        headers = {"authorization": "Bearer " + text.translate(dict.fromkeys(map(ord, "\r\n\0")))}
        assert asked.reason("/", headers=headers) != "allow"
        assert asked.seen[-1].family is FamilyOutcome.NONE
    assert asked.reason("/", token(claims(jti="b"))) == "allow"
