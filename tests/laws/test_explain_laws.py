"""Laws of stories: they end as the decision does, change nothing, and never show a piece of a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from extauthz.decide import Grants, World
from extauthz.explain.story import SCHEMA, Outcome, Story, as_json
from extauthz.explain.words import in_words
from extauthz.model.time import Seconds
from extauthz.model.verdict import Allow, Verdict
from extauthz.replay.spend import Pepper
from extauthz.server.explaining import explain_check
from extauthz.telemetry.observation import judged
from extauthz.tokens.verify import Verifier
from tests.building import NOW, anonymous, obj, policy, revocation, with_token
from tests.checks import check_request
from tests.issuing import claims, header, jwks, token, with_signature
from tests.worlds import Asked

TWIN = obj("TokenIssuer", "twin", {"issuer": "https://corp.example", "keys": {"inline": jwks("ec9")}})
BOTH = {"issuers": [{"name": "twin"}, {"name": "corp"}], "audiences": ["orders-api"]}
SLOTS: Mapping[str, Any] = {
    "/header": {"header": "x-token"},
    "/cookie": {"cookie": "session"},
    "/query": {"query": "t"},
}
RULES = (
    with_token("scopes", match={"path": {"prefix": "/scopes"}}, require={"scopes": ["orders.write"], "roles": []}),
    with_token(
        "tenant", match={"path": {"exact": "/tenant"}}, require={"claims": [{"claim": "tenant", "oneOf": ["a"]}]}
    ),
    with_token("cel", match={"path": {"exact": "/cel"}}, require={"cel": "claims.sub == 'alice'"}),
    with_token("acr", match={"path": {"exact": "/acr"}}, require={"authentication": {"maxAge": "1h"}}),
    with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 1, "bindTo": ["SourceAddress"]}),
    with_token("jti", match={"path": {"exact": "/jti"}}, reuse={"maxUses": 2, "window": "1m", "key": "Jti"}),
    with_token(
        "limited",
        match={"path": {"exact": "/limited"}},
        limits=[{"name": "l", "by": ["Client"], "requests": 1, "window": "1m"}],
        upstream={"claimHeaders": {"x-auth-sub": "sub", "x-tenant": "tenant"}},
    ),
    {"name": "two", "match": [{"path": {"exact": "/two"}}], "token": BOTH},
    *(
        with_token(path[1:], match={"path": {"exact": path}})
        | {"token": {"issuers": [{"name": "corp"}], "audiences": ["orders-api"], "from": slot}}
        for path, slot in SLOTS.items()
    ),
    with_token(
        "post", match={"path": {"exact": "/post"}, "methods": ["POST"], "headers": [{"name": "x-a", "exact": "1"}]}
    ),
    anonymous("open", path={"exact": "/open"}),
    {"name": "broken", "match": [{"path": {"exact": "/broken"}}], "token": {"issuers": [{"name": "nobody"}]}},
)
PATHS = (
    "/scopes/a",
    "/tenant",
    "/cel",
    "/acr",
    "/once",
    "/jti",
    "/limited",
    "/two",
    *SLOTS,
    "/post",
    "/open",
    "/broken",
    "/none",
    "/a//b",
    "/scopes/%2F",
)
_TOKENS = st.sampled_from(
    [
        token(),
        token(key="ec"),
        token(head=header(typ="JWT")),
        token(head=header(kid="other")),
        token(head=header(alg="HS256")),
        token(head=header(kid=...)),
        token(head=header(crit=["x"])),
        with_signature(token(), b"forged" * 40),
        token(b"[]"),
        token(claims(iss="https://other.example")),
        token(claims(iss=1)),
        token(claims(aud="x")),
        token(claims(aud=[])),
        token(claims(aud=...)),
        token(claims(exp=NOW - 100, iat=NOW - 200)),
        token(claims(exp="soon")),
        token(claims(nbf=NOW + 200)),
        token(claims(exp=NOW + 10_000)),
        token(claims(cnf={"jkt": "x"})),
        token(claims(sub=...)),
        token(claims(jti=...)),
        token(claims(iat=...)),
        token(claims(client_id=...)),
        token(claims(scope=["orders.write"], tenant="a", auth_time=NOW - 10)),
        token(claims(tenant={"a": 1}, auth_time=NOW + 1000)),
        token(claims(sub="bob", tenant="b", auth_time=NOW - 10_000)),
        "garbage-that-is-no-token-at-all",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        "a.b.c.d.e",
    ]
)
_SENT = st.sampled_from(["authorization", "x-token", "cookie", "query", "path", "x-api-key", "none"])


def asked(*, shadow: bool = False) -> Asked:
    """A server with a rule for each thing that can be asked."""
    return Asked(
        TWIN,
        revocation("gone", subject="bob"),
        policy("p", *RULES, mode="Shadow" if shadow else "Enforce", allowOddPaths=["EncodedSlash"]),
    )


def request(path: str, text: str, place: str, **more: Any) -> bytes:
    """A request with a token in one of the places."""
    headers = {
        "authorization": {"authorization": f"Bearer {text}"},
        "x-token": {"x-token": text},
        "cookie": {"cookie": f"a=b; session={text}"},
        "x-api-key": {"x-api-key": text, "authorization": f"Bearer {text}"},
    }.get(place, {})
    target = {"query": f"{path}?t={text}&u=1", "path": f"{path}/{text}"}.get(place, path)
    return check_request(path=target, headers=headers, **more)


def story_of(server: Asked, data: bytes) -> Story:
    """The story that the server would tell."""
    world = World(server.snapshot, server.keys.states(), Verifier(), Grants(Pepper(b"p" * 32)))
    return explain_check(data, world, server.store, server.clock.now())


_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(PATHS),
        _TOKENS,
        st.just("authorization") | _SENT,
        st.just("GET") | st.sampled_from(["GET", "POST"]),
        st.just("api.example") | st.sampled_from(["api.example", "other.example"]),
        st.just({}) | st.sampled_from([{}, {"extauthz.dev/policy": "shop/p"}, {"extauthz.dev/policy": "shop/q"}]),
        st.just("192.0.2.7") | st.sampled_from(["192.0.2.7", "192.0.2.8", ""]),
    ),
    min_size=1,
    max_size=6,
)


@given(_REQUESTS, st.booleans())
@settings(max_examples=200)
@example([("/once", token(), "authorization", "GET", "api.example", {}, "192.0.2.7")] * 2, False)
@example([("/two", token(key="ec"), "authorization", "GET", "api.example", {}, "")], False)
def test_a_story_ends_as_the_decision_does_and_changes_none(requests: list[tuple[Any, ...]], shadow: bool) -> None:
    told, untold = asked(shadow=shadow), asked(shadow=shadow)
    for number, (path, text, place, method, host, extensions, source) in enumerate(requests):
        data = request(
            path, text, place, method=method, host=host, extensions=extensions, source=source, stream_id=str(number)
        )
        story = story_of(told, data)
        verdict = answered(told, data)
        assert verdict == answered(untold, data)
        decision, denial = judged(verdict)
        ended = story.verdict
        assert ended.decision == decision.value
        assert (ended.reason, ended.step) == (
            ("", None) if denial is None else (denial.reason.label, denial.refusal.step)
        )
        assert ended.remaining == (verdict.remaining if isinstance(verdict, Allow) else None)
        assert (ended.subject, ended.token) == (verdict.ground.subject or "", verdict.ground.token_hash or "")
        check_steps(story)


def answered(server: Asked, data: bytes) -> Verdict:
    """What a server answers."""
    server.answerer.answer(data, Seconds(1.0))
    return server.seen[-1].verdict


def check_steps(story: Story) -> None:
    """The step that refused is told where the verdict says, with its words, and nothing passes after it."""
    refused = [at for at, step in enumerate(story.steps) if step.outcome is Outcome.REFUSED]
    if story.verdict.step is None:
        # Another issuer with the same `iss` may have refused the token before this one accepted it.
        assert all(story.steps[at].issuer != story.verdict.issuer for at in refused)
        return
    assert (story.verdict.step, story.verdict.detail) in {
        (story.steps[at].name, story.steps[at].note) for at in refused
    }
    assert all(step.outcome is Outcome.SKIPPED for step in story.steps[refused[-1] + 1 :])


@given(_REQUESTS)
@settings(max_examples=100)
def test_no_piece_of_a_token_is_in_a_story_wherever_the_token_stood(requests: list[tuple[Any, ...]]) -> None:
    server = asked()
    for path, text, place, method, host, extensions, source in requests:
        data = request(path, text, place, method=method, host=host, extensions=extensions, source=source)
        story = story_of(server, data)
        written = as_json(story).decode() + in_words(story)
        if place != "path" or text.startswith("ey"):
            assert not [text[at : at + 12] for at in range(len(text) - 11) if text[at : at + 12] in written]
        assert SCHEMA.validate_json(as_json(story)) == story
