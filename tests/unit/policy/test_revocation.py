"""TokenRevocation: what is read, whose tokens it means, under whose policies, and what becomes of a broken one."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.compile import Compiler, compile_snapshot
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.policy.snapshot import Snapshot
from tests.building import NOW, TRUST, anonymous, moment, obj, policy, revocation, verified

ISSUER = {"issuer": "https://corp.example", "keys": {"jwksUri": "https://corp.example/keys"}}
OURS = obj("TokenIssuer", "corp", ISSUER)
THEIRS = obj("TokenIssuer", "corp", ISSUER, "other")
CLUSTERS = obj("ClusterTokenIssuer", "corp", ISSUER)
CLUSTER: dict[str, Any] = {"issuer": {"kind": "ClusterTokenIssuer", "name": "corp"}}


def loaded(*objects: dict[str, Any]) -> Snapshot:
    """A snapshot of objects, with issuers `corp` of two namespaces and of the cluster."""
    return compile_snapshot([parse(each) for each in (OURS, THEIRS, CLUSTERS, *objects)])


def of(kind: str = "TokenIssuer", namespace: str = "shop", name: str = "corp", **claims: Any) -> VerifiedToken:
    """A token of an issuer object."""
    ref = IssuerRef(kind, "" if kind == "ClusterTokenIssuer" else namespace, name)
    return verified(claims, trust=replace(TRUST, ref=ref))


def answer(snapshot: Snapshot, token: VerifiedToken, namespace: str = "shop", now: float = NOW) -> str:
    """Why a token is refused under policies of a namespace, `good` when it is not."""
    refusal = refused(snapshot, token, namespace, now)
    return "good" if refusal is None else refusal.reason.label


def refused(snapshot: Snapshot, token: VerifiedToken, namespace: str = "shop", now: float = NOW) -> Refusal | None:
    """The refusal of a token under policies of a namespace."""
    return None if snapshot.revocations is None else snapshot.revocations.refuse(token, namespace, Instant(now))


def test_what_it_says_is_read() -> None:
    found = parse(revocation("one", jti="b3c1f8e2"))
    assert isinstance(found, Parsed)
    assert isinstance(found.spec, TokenRevocationSpec)
    assert (found.spec.issuer.kind, found.spec.jti, found.spec.issued_before) == ("TokenIssuer", "b3c1f8e2", None)


def test_a_token_that_it_names_is_in_no_message() -> None:
    for field, value in (("jti", "b3c1f8e2\n"), ("tokenHash", "c0ffee" * 9)):
        broken = parse(revocation("one", **{field: value}))
        assert isinstance(broken, Broken)
        refusal = refused(loaded(revocation("one", **{field: value})), of())
        assert refusal is not None
        assert value.strip() not in "\n".join([*map(str, broken.problems), refusal.detail])


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({"subject": "alice"}, "the token, by its `subject`"),
        ({"jti": "id-1", "subject": "alice"}, "the token, by its `jti` and `subject`"),
        ({"client": "web"}, "the token, by its `client`"),
    ],
)
def test_a_refusal_names_the_object_and_by_which_fields_and_nothing_of_the_token(
    said: dict[str, str], means: str
) -> None:
    refusal = refused(loaded(revocation("stolen", **said)), of())
    assert refusal is not None
    assert (refusal.reason, refusal.step, refusal.issuer) == (Reason.TOKEN_REVOKED, Step.REVOCATION, of().trust.ref)
    assert refusal.detail == f"TokenRevocation shop/stolen revokes {means}"


@pytest.mark.parametrize(
    ("iat", "words"),
    [
        (NOW - 60, "; this one was issued before its `issuedBefore`"),
        (..., "; this one has no `iat`, so nobody can tell"),
    ],
)
def test_a_refusal_says_how_time_came_in(iat: Any, words: str) -> None:
    token = of(iat=iat)
    if iat is ...:
        token = token._replace(claims={name: value for name, value in token.claims.items() if name != "iat"})
    refusal = refused(loaded(revocation("old", issuedBefore=moment(NOW))), token)
    assert refusal is not None
    assert refusal.detail.startswith(f"TokenRevocation shop/old revokes every token of the issuer{words}")


@pytest.mark.parametrize("expires", ["2030-01-31T12:00:00", "2030-01-31", "tomorrow"])
def test_a_time_that_is_none_is_told_how_times_are_written(expires: str) -> None:
    found = parse(revocation("one", subject="alice", expires=expires))
    assert isinstance(found, Broken)
    assert "such as `2030-01-31T12:00:00Z`" in found.problems[0].message


def test_nothing_is_asked_when_there_are_none() -> None:
    assert loaded().revocations is None
    assert loaded(policy("p", anonymous("r"))).revocations is None


def test_a_namespace_revokes_for_its_own_issuer_and_its_own_policies() -> None:
    snapshot = loaded(revocation("own", subject="alice"))
    assert answer(snapshot, of()) == "token_revoked"
    assert answer(snapshot, of(namespace="other"), "other") == "good"
    assert answer(snapshot, of("ClusterTokenIssuer")) == "good"


def test_a_namespace_revokes_the_clusters_tokens_under_its_own_policies_alone() -> None:
    snapshot = loaded(revocation("own", subject="alice", **CLUSTER))
    assert answer(snapshot, of("ClusterTokenIssuer"), "shop") == "token_revoked"
    assert answer(snapshot, of("ClusterTokenIssuer"), "other") == "good"
    assert answer(snapshot, of(), "shop") == "good"


def test_what_the_install_namespace_says_of_the_clusters_tokens_counts_for_all() -> None:
    snapshot = loaded(revocation("all", "extauthz-system", subject="alice", **CLUSTER))
    assert [answer(snapshot, of("ClusterTokenIssuer"), name) for name in ("shop", "other")] == ["token_revoked"] * 2
    assert answer(snapshot, of("ClusterTokenIssuer", sub="bob")) == "good"
    elsewhere = Compiler("ops").compile([parse(revocation("all", "extauthz-system", subject="alice", **CLUSTER))])
    assert answer(elsewhere, of("ClusterTokenIssuer")) == "good"


def test_what_the_install_namespace_says_of_its_own_issuer_is_its_own() -> None:
    snapshot = loaded(revocation("own", "extauthz-system", subject="alice"))
    assert answer(snapshot, of()) == "good"


def test_two_objects_about_one_subject_both_count() -> None:
    """The one means more tokens, the other lasts longer."""
    snapshot = loaded(
        revocation("long", subject="alice", issuedBefore=moment(NOW - 100), expires=moment(NOW + 900)),
        revocation("wide", subject="alice", issuedBefore=moment(NOW - 10), expires=moment(NOW + 300)),
        revocation("less", subject="alice", issuedBefore=moment(NOW - 200), expires=moment(NOW + 200)),
    )
    young, old = of(iat=NOW - 50), of(iat=NOW - 150)
    times = (NOW, NOW + 299, NOW + 300, NOW + 899, NOW + 900)
    assert [answer(snapshot, young, now=at) != "good" for at in times] == [True, True, False, False, False]
    assert [answer(snapshot, old, now=at) != "good" for at in times] == [True, True, True, True, False]


@pytest.mark.parametrize("sid", [1, True, None, ["s"], {"s": 1}])
def test_a_session_that_is_no_text_is_none_that_was_named(sid: Any) -> None:
    assert answer(loaded(revocation("one", session="1")), of(sid=sid)) == "good"


def test_one_that_is_over_is_left_out_at_the_next_compilation() -> None:
    objects = [parse(each) for each in (OURS, revocation("over", subject="alice", expires=moment(NOW)))]
    compiler = Compiler()
    held = compiler.compile(objects, Instant(NOW - 1)).revocations
    assert held is not None
    assert held.count == 1
    assert compiler.compile(objects, Instant(NOW)).revocations is None


def test_a_revocation_makes_another_version() -> None:
    one, two = loaded(revocation("one", jti="a")), loaded(revocation("one", jti="b"))
    assert len({loaded().version, one.version, two.version}) == 3


@pytest.mark.parametrize(
    ("where", "issuer", "words"),
    [
        ("shop", {"name": "gone"}, "there is no TokenIssuer shop/gone"),
        ("shop", {"kind": "ClusterTokenIssuer", "name": "gone"}, "there is no ClusterTokenIssuer gone"),
        ("shop", {"kind": "ClusterTokenIssuer", "name": "theirs"}, "is not for namespace `shop`"),
        ("extauthz-system", {"kind": "ClusterTokenIssuer", "name": "gone"}, "there is no ClusterTokenIssuer gone"),
    ],
)
def test_one_that_names_an_issuer_its_namespace_cannot_have_is_told(
    where: str, issuer: dict[str, str], words: str
) -> None:
    theirs = obj("ClusterTokenIssuer", "theirs", ISSUER | {"allowedNamespaces": ["other"]})
    (problem,) = loaded(theirs, revocation("lost", where, issuer=issuer, jti="a")).problems
    assert (problem.object.name, problem.field) == ("lost", ("spec", "issuer"))
    assert words in problem.message


def test_one_whose_issuer_is_there_or_has_mistakes_of_its_own_is_good() -> None:
    hurt = obj("TokenIssuer", "hurt", {"issuer": 1})
    found = loaded(
        hurt,
        revocation("a", issuer={"name": "hurt"}, jti="a"),
        revocation("b", "extauthz-system", jti="b", issuer={"kind": "ClusterTokenIssuer", "name": "corp"}),
    ).problems
    assert {problem.object.kind for problem in found} == {"TokenIssuer"}


@pytest.mark.parametrize(
    ("said", "alice", "bob"),
    [
        ({"subject": "alice", "note": "x"}, "policy_invalid", "good"),
        ({"subject": "alice", "expires": "never"}, "policy_invalid", "good"),
        ({"subject": "alice", "expires": moment(NOW - 1), "note": "x"}, "good", "good"),
        ({"subject": "alice", "issuedBefore": moment(NOW - 90), "note": "x"}, "good", "good"),
        ({"subject": "alice", "issuedBefore": moment(NOW - 90), "expires": moment(NOW - 95)}, "policy_invalid", "good"),
        ({"subject": "alice", "issuedBefore": "2020-01-01T00:00:00Z"}, "policy_invalid", "good"),
        ({"subject": "alice", "jti": 7}, "policy_invalid", "good"),
        ({"subject": "alice", "jti": "id-1", "tokenHash": "x"}, "policy_invalid", "policy_invalid"),
        ({"subject": "alice", "tokenHash": "0" * 64}, "policy_invalid", "good"),
        ({"subject": "carol", "tokenHash": sha256(b"\x01" * 32).hexdigest()}, "policy_invalid", "policy_invalid"),
        ({"sub": "alice"}, "policy_invalid", "policy_invalid"),
        ({}, "policy_invalid", "policy_invalid"),
        ({"subject": "alice", "issuer": {"nmae": "corp"}}, "policy_invalid", "good"),
        ({"subject": "alice", "issuer": ...}, "policy_invalid", "good"),
        ({"subject": "alice", "issuer": {"name": "corp", "kind": "Issuer"}}, "policy_invalid", "good"),
        ({"subject": "alice", "issuer": {"name": "corp", "knd": "ClusterTokenIssuer"}}, "policy_invalid", "good"),
        ({"subject": "alice", "issuer": {"name": "elsewhere", "note": 1}}, "good", "good"),
    ],
    ids=str,
)
def test_a_broken_one_refuses_what_it_could_mean(said: dict[str, Any], alice: str, bob: str) -> None:
    snapshot = loaded(revocation("broken", **said))
    assert isinstance(parse(revocation("broken", **said)), Broken)
    assert answer(snapshot, of()) == alice
    assert answer(snapshot, of(sub="bob")) == bob
    assert answer(snapshot, of(namespace="other"), "other") == "good"
    assert snapshot.problems


def test_a_broken_one_says_what_is_wrong_and_which_object_it_is() -> None:
    refusal = refused(loaded(revocation("broken", sub="alice")), of())
    assert refusal is not None
    assert refusal.step is Step.REVOCATION
    assert "TokenRevocation shop/broken: spec.sub: unknown field; did you mean `subject`?" in refusal.detail


@pytest.mark.parametrize(
    ("issuer", "both"),
    [
        ({"name": "corp", "kind": "Issuer"}, True),
        ({"name": "corp", "knd": "ClusterTokenIssuer"}, True),
        ({"nmae": "corp", "kind": "ClusterTokenIssuer"}, True),
        ("corp", True),
        (..., True),
        ({}, True),
        ({"kind": "TokenIssuer"}, False),
        ({"name": "corp", "kind": "TokenIssuer"}, False),
    ],
    ids=str,
)
def test_one_whose_issuer_is_in_doubt_means_each_that_it_could(issuer: Any, both: bool) -> None:
    snapshot = loaded(revocation("broken", subject="alice", issuer=issuer, note="x"))
    assert answer(snapshot, of()) == "policy_invalid"
    assert answer(snapshot, of("ClusterTokenIssuer")) == ("policy_invalid" if both else "good")
    assert answer(snapshot, of("ClusterTokenIssuer"), "other") == "good"
