"""Compiling objects into a snapshot: references, conflicts, broken policies, pins."""

from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.token import ClaimPath, SlotKind
from extauthz.model.verdict import Refusal
from extauthz.policy.compile import Compiler, compile_snapshot
from extauthz.policy.parse import parse
from extauthz.policy.problem import dotted
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from tests.building import anonymous, obj, policy, revocation, view, with_token

ISSUER: dict[str, Any] = {"issuer": "https://corp.example", "keys": {"jwksUri": "https://corp.example/keys"}}


def snapshot(*objects: dict[str, Any]) -> Snapshot:
    """A snapshot of objects, the issuer `corp` among them."""
    return compile_snapshot(tuple(parse(each) for each in (obj("TokenIssuer", "corp", ISSUER), *objects)))


def rule_of(loaded: Snapshot, request: RequestView | None = None) -> Rule:
    """The rule that takes a request."""
    chosen = loaded.choose(request if request is not None else view("/"))
    assert isinstance(chosen, Rule)
    return chosen


def test_a_good_rule_has_what_its_author_wrote() -> None:
    rule = rule_of(snapshot(policy("orders", with_token("r", reuse={"maxUses": 1}, require={"scopes": ["a", "b"]}))))
    assert rule.broken is None
    assert rule.demand is not None
    assert rule.demand.slot.kind is SlotKind.AUTHORIZATION
    assert rule.demand.audiences == frozenset({"orders-api"})
    assert [trust.issuer for trust in rule.demand.issuers] == ["https://corp.example"]
    assert rule.challenge.scopes == ("a", "b")
    assert rule.reuse is not None
    assert rule.reuse.max_uses == 1


@pytest.mark.parametrize(
    ("issuer", "words"),
    [
        ({"name": "gone"}, "there is no TokenIssuer shop/gone"),
        ({"kind": "ClusterTokenIssuer", "name": "corp"}, "there is no ClusterTokenIssuer corp"),
        ({"kind": "ClusterTokenIssuer", "name": "theirs"}, "is not for namespace `shop`"),
        (
            {"name": "hurt"},
            "TokenIssuer shop/hurt has mistakes of its own, the first: spec.issuer: found `1`, which is a number",
        ),
        ({"kind": "ClusterTokenIssuer", "name": "hurt"}, "ClusterTokenIssuer hurt has mistakes of its own; mend them"),
    ],
)
def test_a_rule_whose_issuer_it_cannot_have_refuses_alone(issuer: dict[str, str], words: str) -> None:
    bad = with_token("bad", match={"path": {"exact": "/bad"}})
    bad["token"]["issuers"] = [issuer]
    theirs = obj("ClusterTokenIssuer", "theirs", ISSUER | {"allowedNamespaces": ["other"]})
    hurt = (obj(kind, "hurt", {**ISSUER, "issuer": 1}) for kind in ("TokenIssuer", "ClusterTokenIssuer"))
    loaded = snapshot(policy("orders", bad, anonymous("good")), theirs, *hurt)
    assert words in (rule_of(loaded, view("/bad")).broken or "")
    assert rule_of(loaded, view("/")).broken is None
    assert any(words in problem.message for problem in loaded.problems)


def test_a_token_issuer_of_another_namespace_is_out_of_reach() -> None:
    loaded = snapshot(policy("orders", with_token("r"), namespace="elsewhere"))
    assert rule_of(loaded).broken == "there is no TokenIssuer elsewhere/corp"


def test_a_rule_without_any_audience_refuses() -> None:
    rule = with_token("r")
    del rule["token"]["audiences"]
    loaded = snapshot(policy("orders", rule))
    assert "says an audience" in (rule_of(loaded).broken or "")


def test_a_denial_says_how_many_mistakes_there_are_besides_the_first() -> None:
    one, two = anonymous("r") | {"typo": 1}, anonymous("r") | {"typo": 1, "other": 2, "third": 3}
    assert "more" not in (rule_of(snapshot(policy("a", one))).broken or "")
    assert "typo: unknown field" in (rule_of(snapshot(policy("a", two))).broken or "")
    assert (rule_of(snapshot(policy("a", two))).broken or "").endswith(
        "; and 2 more (see `extauthz lint` or the status)"
    )
    lost = with_token("r") | {"token": {"issuers": [{"name": "gone"}, {"name": "lost"}], "audiences": ["a"]}}
    found = rule_of(snapshot(policy("a", lost))).broken or ""
    assert found.startswith("there is no TokenIssuer shop/gone; and 1 more")


def test_of_two_identical_matches_the_older_serves_and_the_newer_refuses_the_rest() -> None:
    old = policy("z-old", anonymous("r", path={"exact": "/a"}), created="2020-01-01T00:00:00Z")
    new = policy(
        "a-new",
        anonymous("r", path={"exact": "/a"}),
        anonymous("s", path={"exact": "/b"}),
        created="2021-01-01T00:00:00Z",
    )
    loaded = snapshot(new, old)
    assert rule_of(loaded, view("/a")).policy.name == "z-old"
    assert rule_of(loaded, view("/a")).broken is None
    assert "shop/z-old is older" in (rule_of(loaded, view("/b")).broken or "")
    assert [problem.object.name for problem in loaded.problems] == ["a-new"]


def test_without_an_age_the_name_decides() -> None:
    loaded = snapshot(policy("b", anonymous("r")), policy("a", anonymous("r")))
    assert rule_of(loaded).policy.name == "a"
    assert [problem.object.name for problem in loaded.problems] == ["b"]


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"path": {"template": "/users/{id}/keys"}}, "the rule `users` takes all of them"),
        ({"path": {"regex": "/users/[0-9]+"}}, "the rule `users` takes all of them"),
        ({"path": {"template": "/users"}, "methods": ["GET"]}, "the rule `users` takes all of them"),
        ({"path": {"template": "/{a}/{b}"}, "methods": ["PUT", "POST"]}, "the rule `write` takes all of them"),
        ({"path": {"prefix": "/users/"}}, "the rule `users` has the same match"),
        ({"path": {"prefix": "/"}, "methods": ["POST"]}, "the rule `write` has the same match"),
    ],
)
def test_a_match_that_no_request_comes_to_is_told(match: Any, words: str) -> None:
    first = (anonymous("users", path={"prefix": "/users"}), anonymous("write", methods=["POST", "PUT"]))
    loaded = snapshot(policy("a", *first, with_token("strict", match=match)))
    (problem,) = loaded.problems
    assert dotted(problem.field) == "spec.rules[2].match[0]"
    assert words in problem.message
    assert rule_of(loaded, view("/users/7/keys")).broken is None


@pytest.mark.parametrize(
    "match",
    [
        {"path": {"template": "/{kind}/{id}"}}, {"path": {"template": "/{kind}/{id}"}, "methods": ["GET", "POST"]},
        {"path": {"regex": "/users|/groups"}}, {"path": {"regex": "/users/?x"}}, {"path": {"regex": "/users.*"}},
        {"path": {"regex": "(?i)/users/.*"}}, {"path": {"prefix": "/users/keys"}}, {"path": {"exact": "/users"}},
        {"path": {"prefix": "/users"}, "methods": ["GET"]},
        {"path": {"prefix": "/users"}, "headers": [{"name": "x-a", "present": True}]}, {"path": {"prefix": "/"}},
    ],
)  # fmt: skip
def test_a_match_that_some_request_comes_to_is_none(match: Any) -> None:
    first = (anonymous("users", path={"prefix": "/users"}), anonymous("write", methods=["POST"]))
    assert not snapshot(policy("a", *first, with_token("strict", match=match))).problems


def test_matches_that_only_overlap_are_no_conflict() -> None:
    loaded = snapshot(policy("a", anonymous("r", path={"prefix": "/a"})), policy("b", anonymous("r", methods=["GET"])))
    assert not loaded.problems


def test_a_broken_policy_denies_its_own_paths_and_no_other() -> None:
    broken = policy("broken", anonymous("r", path={"prefix": "/mine"}) | {"typo": 1})
    loaded = snapshot(broken, policy("good", anonymous("r", path={"prefix": "/theirs"})))
    assert "typo" in (rule_of(loaded, view("/mine/x")).broken or "")
    assert rule_of(loaded, view("/theirs")).broken is None


@pytest.mark.parametrize(
    "match",
    [
        {"path": {"exact": 5}}, {"path": {"exact": "/a", "prefix": "/"}}, {"path": "/admin"},
        {"pth": {"exact": "/admin"}}, {"path": {"exakt": "/admin"}}, 5,
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_read_could_have_been_any(match: Any) -> None:
    broken = policy("broken", {"name": "r", "anonymous": True, "match": [match]})
    loaded = snapshot(broken, policy("good", anonymous("r", path={"exact": "/admin"})))
    assert rule_of(loaded, view("/admin")).broken is not None
    assert rule_of(loaded, view("/admin")).policy.name == "broken"


def test_a_match_that_was_hidden_by_a_mistake_is_no_conflict() -> None:
    broken = policy("b", {"name": "r", "anonymous": True, "match": [{"methods": [7]}]})
    loaded = snapshot(policy("a", anonymous("r")), broken)
    assert rule_of(loaded).policy.name == "b"


@pytest.mark.parametrize("rule", [{}, {"x": 1}, 7, None, {"name": "r", "matc": []}, {"name": "r", "Match": []}])
def test_a_rule_whose_match_is_lost_could_have_been_any(rule: Any) -> None:
    loaded = snapshot(policy("z", rule), policy("a", anonymous("r", path={"exact": "/admin"})))
    assert rule_of(loaded, view("/admin")).policy.name == "z"


def test_a_null_in_a_broken_policy_is_the_same_as_nothing() -> None:
    broken = policy("broken", anonymous("r") | {"match": None, "typo": 1})
    loaded = snapshot(broken, policy("good", anonymous("g", path={"exact": "/ok"})))
    assert rule_of(loaded, view("/ok")).policy.name == "good"
    assert rule_of(loaded, view("/")).broken is not None


def test_a_pattern_that_does_not_compile_leaves_exact_paths_alone() -> None:
    broken = policy("broken", anonymous("r", path={"regex": "/(a"}))
    loaded = snapshot(
        broken, policy("good", anonymous("r", path={"exact": "/a"}), anonymous("s", path={"regex": "/b"}))
    )
    assert rule_of(loaded, view("/a")).broken is None
    assert rule_of(loaded, view("/b")).policy.name == "broken"


def test_a_broken_policy_keeps_a_host_written_with_a_port() -> None:
    loaded = snapshot(
        policy("broken", anonymous("r"), hosts=("API.example:8443",)), policy("wide", anonymous("r"), hosts=("*",))
    )
    assert rule_of(loaded).policy.name == "broken"


@pytest.mark.parametrize(
    ("strict", "words"),
    [
        ({"methods": ["get"], "path": {"exact": "/a/b"}}, "did you mean `GET`?"),
        ({"path": {"prefix": "/a/*"}}, "`prefix` for all below"),
        ({"path": {"exact": "/a/{id}"}}, "`template` with `{name}`"),
        ({"path": {"prefix": "/a/:id"}}, "`template` with `{name}`"),
        ({"methods": ["*"], "path": {"exact": "/a/b"}}, "none for every method"),
        ({"methods": ["GET|POST"], "path": {"exact": "/a/b"}}, "name each by itself"),
        ({"path": {"exact": "/a/b"}, "headers": [{"name": "host", "exact": "api.example"}]}, "name it in `hosts`"),
        (
            {"path": {"exact": "/a/b"}, "headers": [{"name": "x", "exact": "1"}, {"name": "x", "exact": "2"}]},
            "an alternative of `match` for each value",
        ),
    ],
)
def test_what_would_fit_no_request_leaves_nothing_to_a_laxer_rule(strict: Any, words: str) -> None:
    loaded = snapshot(policy("a", anonymous("strict", **strict), anonymous("lax")))
    assert words in (rule_of(loaded, view("/a/b")).broken or "")


@pytest.mark.parametrize(("name", "told"), [("pay", "pay"), ("Päy", "rule-1"), (7, "rule-1"), (None, "rule-1")])
def test_a_rule_of_a_broken_policy_is_called_as_its_author_calls_it_where_that_can_be_read(
    name: Any, told: str
) -> None:
    pay = {"name": name, "match": [{"path": {"exact": "/pay"}}], "tokn": {}}
    rule = rule_of(snapshot(policy("a", anonymous("r", path={"exact": "/r"}), pay)), view("/pay"))
    assert (rule.name, rule.broken is not None) == (told, True)


def test_a_pinned_policy_beats_the_host() -> None:
    loaded = snapshot(policy("a", anonymous("r")), policy("b", anonymous("r"), hosts=("b.example",)))
    assert rule_of(loaded, view("/", pinned="shop/b")).policy.name == "b"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (view("/a", host="other.example"), "no policy is for this host"),
        (view("/b"), "policies are for this host, and none of their rules takes this path"),
        (view("/a"), "rules take this path, and none of them with this method, but `POST`, `PUT`"),
        (
            view("/a", method="OPTIONS", headers={"access-control-request-method": "PUT"}),
            "rules take this path, and none of them with this method, but `POST`, `PUT`; it is a CORS preflight",
        ),
        (view("/h"), "rules take this path with this method, and none of them with these headers or this query"),
        (view("/a", method="POST", host="x.wild.example"), "policies are for this host, and none of"),
    ],
)
def test_a_request_that_no_rule_takes_is_told_how_close_it_came(request_: RequestView, why: str) -> None:
    wild = policy("w", anonymous("r", path={"exact": "/w"}), hosts=("*.wild.example",))
    asking = anonymous("h", path={"exact": "/h"}, headers=[{"name": "x-a", "present": True}])
    writing = (anonymous(each, methods=[each.upper()], path={"exact": "/a"}) for each in ("put", "post"))
    other = anonymous("o", methods=["POST"], path={"exact": "/h"})
    chosen = snapshot(policy("a", asking, *writing, other), wild).choose(request_)
    assert isinstance(chosen, Refusal)
    assert chosen.reason is Reason.NO_POLICY
    assert chosen.detail.startswith(why)


@pytest.mark.parametrize("pinned", ["shop/gone", "", "shop", "../a", "a" * 5000])
def test_a_pin_to_no_policy_denies(pinned: str) -> None:
    chosen = snapshot(policy("a", anonymous("r"))).choose(view("/", pinned=pinned))
    assert isinstance(chosen, Refusal)
    assert chosen.reason is Reason.NO_POLICY
    assert len(chosen.detail) < 300


def test_a_pinned_policy_that_does_not_take_the_path_denies() -> None:
    loaded = snapshot(
        policy("a", anonymous("r")), policy("b", anonymous("r", path={"exact": "/b"}), hosts=("b.example",))
    )
    assert isinstance(loaded.choose(view("/", pinned="shop/b")), Refusal)


def test_equal_content_has_an_equal_version_and_a_change_shows() -> None:
    assert snapshot(policy("a", anonymous("r"))).version == snapshot(policy("a", anonymous("r"))).version
    assert snapshot(policy("a", anonymous("r"))).version != snapshot(policy("a", anonymous("s"))).version
    assert snapshot(policy("a", anonymous("r", x=1))).version != snapshot(policy("a", anonymous("r", x=2))).version


def test_headers_of_every_policy_are_ours_with_dash_or_underscore() -> None:
    loaded = snapshot(policy("a", with_token("r", upstream={"claimHeaders": {"x-auth-sub": "sub"}})))
    assert loaded.ours(["x-auth-sub", "x_auth_sub", "x-other"]) == ("x-auth-sub", "x_auth_sub")


def test_what_did_not_change_is_not_compiled_again() -> None:
    compiler = Compiler()
    corp, one, two = (parse(each) for each in (obj("TokenIssuer", "corp", ISSUER), _named("one"), _named("two")))
    first = compiler.compile([corp, one, two])
    revoked = compiler.compile([two, one, corp, parse(revocation("gone", jti="a"))])
    assert revoked.policies is first.policies
    assert revoked.version != first.version
    edited = compiler.compile([corp, one, parse(_named("two", mode="Shadow"))])
    assert _rule(edited, "one") is _rule(first, "one")
    assert _rule(edited, "two") is not _rule(first, "two")


def test_a_policy_is_compiled_again_when_an_issuer_changes() -> None:
    compiler = Compiler()
    corp, one = parse(obj("TokenIssuer", "corp", ISSUER)), parse(_named("one"))
    for flag in (True, False, True):
        spec = ISSUER | {"claimFlags": {"verified": flag}}
        rule = _rule(compiler.compile([parse(obj("TokenIssuer", "corp", spec)), one]), "one")
        assert rule.demand is not None
        assert rule.demand.issuers[0].claim_equals == {"verified": flag}
    assert _rule(compiler.compile([one]), "one").broken is not None
    assert _rule(compiler.compile([one, corp]), "one").broken is None


def test_one_and_true_are_two_values_of_a_claim() -> None:
    """To Python they are equal."""
    compiler, one = Compiler(), parse(_named("one"))
    for value in (1, True, 1):
        rule = _rule(compiler.compile([parse(obj("TokenIssuer", "corp", ISSUER | {"claimEquals": {"a": value}})), one]))
        assert rule.demand is not None
        assert type(rule.demand.issuers[0].claim_equals[ClaimPath("a")]) is type(value)


def _named(name: str, **more: Any) -> dict[str, Any]:
    return policy(name, with_token("r"), hosts=(f"{name}.example",), **more)


def _rule(loaded: Snapshot, name: str = "one") -> Rule:
    return rule_of(loaded, view("/", host=f"{name}.example"))


def test_a_grant_that_changes_changes_what_is_served_at_once() -> None:
    compiler, one = Compiler(), parse(_named("one"))
    corp = parse(obj("TokenIssuer", "corp", ISSUER))
    for hosts, served in ((("one.example",), True), ((), False), (("*.example",), True)):
        found = compiler.compile([corp, one], grants={"shop": hosts})
        assert isinstance(found.choose(view("/", host="one.example")), Rule) is served
