"""Laws of revocation: a revoked token is never admitted, nothing is admitted by one, one that is over is as none."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef
from extauthz.policy.compile import Compiler, compile_snapshot
from extauthz.policy.parse import Broken, Parsed, parse
from tests.building import NOW, TRUST, anonymous, moment, obj, policy, revocation, verified, view, with_token
from tests.issuing import claims, token
from tests.worlds import CORP, Asked

_TOKENS = [
    None, "garbage", token(claims(sid="s-1")), token(claims(sub="bob", jti="id-2")), token(claims(client_id="app")),
    token(claims(iat=...)), token(claims(aud="x")), token(claims(scope="b")),
]  # fmt: skip
_MOMENTS = st.sampled_from([NOW - 100, NOW - 60, NOW - 59.5, NOW, NOW + 50])
_SAID = st.fixed_dictionaries(
    {"expires": st.sampled_from([NOW + 51, NOW + 100, NOW + 200]).map(moment)},
    optional={
        "subject": st.sampled_from(["alice", "bob"]),
        "jti": st.sampled_from(["id-1", "id-2"]),
        "session": st.sampled_from(["s-1", "s-2"]),
        "client": st.sampled_from(["web", "app"]),
        "issuedBefore": _MOMENTS.map(moment),
    },
).filter(lambda said: len(said) > 1)
_CLAIMS = {"subject": "sub", "jti": "jti", "session": "sid", "client": "client_id"}
_RULES = (
    with_token("free", match={"path": {"exact": "/free"}}),
    with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 2}),
    with_token("scoped", match={"path": {"exact": "/scoped"}}, require={"scopes": ["orders.read"]}),
    anonymous("open", path={"exact": "/open"}),
)
_ASKS = st.lists(
    st.tuples(st.sampled_from(["/free", "/once", "/scoped", "/open", "/none"]), st.sampled_from(_TOKENS)), max_size=6
)


def names(said: dict[str, Any], token_claims: dict[str, Any], now: float) -> bool:
    """Whether a revocation means a token, worked out in the plainest way."""
    if now >= datetime.fromisoformat(said["expires"]).timestamp():
        return False
    if any(token_claims.get(claim) != said[name] for name, claim in _CLAIMS.items() if name in said):
        return False
    before = said.get("issuedBefore")
    return (
        before is None or "iat" not in token_claims or token_claims["iat"] < datetime.fromisoformat(before).timestamp()
    )


@given(_SAID, _ASKS, _ASKS)
@settings(max_examples=60)
def test_a_revocation_turns_no_denial_into_an_admission_whatever_was_asked_before(
    said: dict[str, Any], before: list[tuple[str, str | None]], after: list[tuple[str, str | None]]
) -> None:
    free, revoking = Asked(policy("p", *_RULES)), Asked(policy("p", *_RULES))
    for path, text in before:
        assert free.reason(path, text) == revoking.reason(path, text)
    revoking.load(policy("p", *_RULES), revocation("r", **said))
    for path, text in after:
        found, otherwise = revoking.reason(path, text), free.reason(path, text)
        assert found in {otherwise, "token_revoked"}


@given(_SAID, _ASKS)
@settings(max_examples=60)
def test_a_revoked_token_is_never_admitted_whatever_was_asked_before(
    said: dict[str, Any], before: list[tuple[str, str | None]]
) -> None:
    named = claims(**{claim: said[name] for name, claim in _CLAIMS.items() if name in said}, iat=NOW - 200)
    text = token(named)
    asked = Asked(policy("p", *_RULES))
    for path, other in (*before, ("/free", text), ("/once", text)):
        asked.reason(path, other)
    asked.load(policy("p", *_RULES), revocation("r", **said))
    for path in ("/free", "/once", "/scoped", "/free"):
        assert asked.reason(path, text) == "token_revoked"


@given(st.lists(_SAID, max_size=3), _ASKS)
@settings(max_examples=60)
def test_revocations_that_are_over_change_nothing(
    over: list[dict[str, Any]], asks: list[tuple[str, str | None]]
) -> None:
    plain = Asked(policy("p", *_RULES))
    with_old = Asked(policy("p", *_RULES), *(revocation(f"r{at}", **said) for at, said in enumerate(over)))
    for asked in (plain, with_old):
        asked.clock.advance(200)
    for path, text in asks:
        assert with_old.reason(path, text) == plain.reason(path, text)


_TOKEN_CLAIMS = st.fixed_dictionaries(
    {"sub": st.sampled_from(["alice", "bob"]), "jti": st.sampled_from(["id-1", "id-2"])},
    optional={
        "sid": st.sampled_from(["s-1", "s-2"]),
        "client_id": st.sampled_from(["web", "app"]),
        "iat": st.sampled_from([NOW - 100, NOW - 60.0, NOW - 59, NOW + 10]),
    },
)


@given(
    st.lists(_SAID, max_size=8), _TOKEN_CLAIMS, st.sampled_from([NOW, NOW + 51, NOW + 100, NOW + 199]), st.booleans()
)
@settings(max_examples=300)
def test_the_index_says_what_the_objects_say_one_by_one(
    objects: list[dict[str, Any]], said: dict[str, Any], now: float, dropped: bool
) -> None:
    items = [parse(each) for each in (CORP, *(revocation(f"r{at}", **each) for at, each in enumerate(objects)))]
    index = Compiler().compile(items, Instant(now) if dropped else None).revocations
    held = verified(said)._replace(claims=said, subject=said["sub"], token_id=said["jti"], client=said.get("client_id"))
    refusal = None if index is None else index.refuse(held, "shop", Instant(now))
    assert (refusal is not None) == any(names(each, said, now) for each in objects)
    assert refusal is None or "TokenRevocation shop/r" in refusal.detail


_JUNK: st.SearchStrategy[Any] = st.sampled_from([None, 7, "", "x\ny", [], {"a": 1}, "2031-13-01T00:00:00Z"])


_HASHES = st.sampled_from([hashlib.sha256(b"\x01" * 32).hexdigest(), "0" * 64, "x"])
"""Of the token that `verified` makes, of none, and what is no digest."""


@given(
    st.one_of(_SAID, st.fixed_dictionaries({"tokenHash": _HASHES.filter(lambda each: each[0] not in "0x")})), st.data()
)
@settings(max_examples=300)
def test_breaking_a_revocation_makes_no_revoked_token_good(said: dict[str, Any], data: st.DataObject) -> None:
    good = revocation("r", **said)
    named: dict[str, Any] = {
        "sub": said.get("subject", "carol"), "jti": said.get("jti", "id-9"), "sid": said.get("session", "s-9"),
        "client_id": said.get("client", "cli"), "iat": NOW - 200,
    }  # fmt: skip
    held = verified(named)
    bad = copy.deepcopy(good)
    field = data.draw(st.sampled_from(sorted(bad["spec"])))
    match data.draw(st.sampled_from(["junk", "misspelt", "gone", "extra", "hash", "subject"])):
        case "junk":
            bad["spec"][field] = data.draw(_JUNK)
        case "misspelt":
            bad["spec"][field + "s"] = bad["spec"].pop(field)
        case "gone":
            del bad["spec"][field]
        case "hash":
            bad["spec"].setdefault("tokenHash", data.draw(_HASHES))
        case "subject":
            bad["spec"].setdefault("subject", "zed")
        case _:
            bad["spec"]["note"] = "x"
    parsed = parse(bad)
    index = compile_snapshot([parse(CORP), parsed]).revocations
    if isinstance(parsed, Broken):
        assert index is not None
        assert index.refuse(held, "shop", Instant(NOW)) is not None


_OBJECTS = st.lists(
    st.sampled_from(
        [
            *(revocation(f"r{at}", subject=name) for at, name in enumerate(("alice", "bob"))),
            revocation("r0", "other", subject="alice"),
            revocation("r3", sub="alice"),
            *(policy(f"p{at}", anonymous("r"), hosts=(f"h{at % 2}.example",)) for at in range(4)),
            policy("q", with_token("r"), hosts=("q.example",)),
            policy("q", with_token("r", require={"scopes": ["a"]}), hosts=("q.example",)),
            policy("q", with_token("r", token={"issuers": [{"name": "spare"}], "audiences": ["a"]}), hosts=("*",)),
            obj("TokenIssuer", "spare", {"issuer": "https://a.example", "keys": {"jwksUri": "https://a.example/"}}),
            obj("TokenIssuer", "spare", {"issuer": "https://b.example", "keys": {"jwksUri": "https://a.example/"}}),
            obj("TokenIssuer", "spare", {"issuer": 1}),
        ]
    ),
    max_size=9,
    unique_by=lambda each: (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")),
)


@given(st.lists(_OBJECTS, min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_what_was_compiled_before_never_matters(sets: list[list[dict[str, Any]]], order: Any) -> None:
    compiler, kept = Compiler(), dict[str, Parsed | Broken]()
    for each in sets:
        items = [kept.setdefault(repr(raw), parse(raw)) for raw in (CORP, *each)]
        order.shuffle(items)
        found, fresh = compiler.compile(items), compile_snapshot([parse(raw) for raw in (CORP, *each)])
        assert found.version == fresh.version
        assert found.policies == fresh.policies
        assert {str(ref): [route.rule for route in routes] for ref, routes in found.policies.items()} == {
            str(ref): [route.rule for route in routes] for ref, routes in fresh.policies.items()
        }
        for host in ("h0.example", "h1.example", "q.example", "x.example"):
            assert found.choose(view(host=host)) == fresh.choose(view(host=host))
        assert (found.issuers, found.issuer_keys, found.problems) == (fresh.issuers, fresh.issuer_keys, fresh.problems)
        for name in ("alice", "bob"):
            held = verified({"sub": name}, trust=replace(TRUST, ref=IssuerRef("TokenIssuer", "shop", "corp")))
            answers = [
                index and str(index.refuse(held, "shop", Instant(NOW)) is not None)
                for index in (found.revocations, fresh.revocations)
            ]
            assert answers[0] == answers[1]
