"""What a story tells of a request: the rules, the steps, the counts and the end."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from extauthz.decide import Grants, World
from extauthz.explain.requirements import step_of, tell_clause
from extauthz.explain.story import Outcome, Story, ToldStep, as_json
from extauthz.explain.words import in_words
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.policy import clauses
from extauthz.policy.clause import Clause
from extauthz.policy.clauses.authentication import AuthenticationSpec, RequireAuthentication
from extauthz.policy.clauses.cel import compile_cel
from extauthz.policy.clauses.claims import ClaimSpec, RequireClaim
from extauthz.policy.clauses.roles import RequireRoles
from extauthz.policy.clauses.scopes import RequireScopes
from extauthz.replay.spend import Pepper
from extauthz.server.explaining import explain_check
from extauthz.tokens.verify import Verifier
from tests.building import NOW, anonymous, obj, policy, verified, view, with_token
from tests.checks import check_request
from tests.gatewaying import World as Routed
from tests.gatewaying import route, targeting
from tests.issuing import claims, header, jwk, token
from tests.unit.explain.validating import invalid
from tests.unit.test_decide import Outage
from tests.worlds import Asked

SCHEMA_FILE = Path(__file__).parents[3] / "docs" / "reference" / "explain.schema.json"
ONCE = with_token("once", match={"path": {"exact": "/once"}}, reuse={"maxUses": 1, "bindTo": ["SourceAddress"]})


def story(asked: Asked, path: str = "/", text: str | None = None, **more: Any) -> Story:
    """The story of a request, with a token or without."""
    headers = dict(more.pop("headers", {}))
    if text is not None:
        headers["authorization"] = f"Bearer {text}"
    world = World(asked.snapshot, asked.keys.states(), Verifier(), Grants(Pepper(b"p" * 32)))
    data = check_request(path=path, headers=headers, **more)
    return explain_check(data, world, asked.store, asked.clock.now())


def step(told: Story, name: Step) -> ToldStep:
    """The one step of this name."""
    (found,) = [each for each in told.steps if each.name is name]
    return found


def why(told: Story) -> dict[str, str]:
    """Why each rule was not taken, by its name."""
    return {rule.rule: rule.why for rule in told.rules}


# Targets


def routed(*objects: dict[str, Any]) -> Asked:
    """A server whose policies target routes."""
    asked = Asked()
    asked.snapshot = Routed(*objects).snapshot()
    return asked


API = route("r", hostnames=["api.example"], matches=[{"path": {"value": "/api"}}])


def test_a_rule_tells_the_target_that_its_host_came_from() -> None:
    rules = [anonymous("deep", path={"exact": "/api/deep"}), anonymous("all")]
    asked = routed(API, targeting("p", "r", rules=rules), policy("wide", anonymous("wide"), hosts=("*",)))
    told = story(asked, "/api/x")
    routed_by = "every method, prefix `/api` on api.example, from HTTPRoute shop/r"
    assert {rule.rule: rule.matches for rule in told.rules} == {
        "all": routed_by,
        "deep": f"every method, exact `/api/deep` within {routed_by}",
        "wide": "every method, every path on *",
    }
    assert told.rules[0].taken
    assert why(told)["wide"] == "it fits, but the host `api.example` is closer than `*`"
    assert why(told)["deep"] == "its target takes the path, and the rule another one"
    assert story(asked, "/api/deep").rules[0].rule == "deep"


def test_a_condition_of_a_target_that_fails_is_named_without_its_value() -> None:
    match = {"headers": [{"name": "x-a", "value": "secret"}], "queryParams": [{"name": "v", "value": "hidden"}]}
    asked = routed(route("r", hostnames=["api.example"], matches=[match]), targeting("p", "r"))
    assert why(story(asked))["all"] == "its target takes another value of the header `x-a`"
    told = story(asked, headers={"x-a": "secret"})
    assert why(told)["all"] == "its target takes another value of the query parameter `v`"
    assert not {"secret", "hidden"} & set(as_json(told).decode().replace('"', " ").split())


@pytest.mark.parametrize(("path", "reason"), [("/api/y", Reason.NO_POLICY), ("/v1?v=1&v=2", Reason.REQUEST_MALFORMED)])
def test_what_a_target_takes_and_no_rule_does_ends_as_it_is_decided(path: str, reason: Reason) -> None:
    doubtful = route("d", hostnames=["api.example"], matches=[{"queryParams": [{"name": "v", "value": "1"}]}])
    asked = routed(
        API, doubtful, targeting("p", "r", rules=[anonymous("x", path={"exact": "/api/x"})]), targeting("q", "d")
    )
    told = story(asked, path)
    assert told.verdict.reason == reason.label
    assert step(told, Step.RULE).outcome is Outcome.REFUSED
    assert asked.ask(path).metadata["reason"] == reason.label


# Rules


def test_each_rule_says_why_it_was_not_taken_the_closest_first() -> None:
    asked = Asked(
        policy(
            "a",
            anonymous("host", path={"exact": "/x"}),
            hosts=("other.example",),
        ),
        policy(
            "b",
            anonymous("path", path={"exact": "/y"}),
            anonymous("method", path={"exact": "/x"}, methods=["PUT"]),
            anonymous("header", path={"exact": "/x"}, headers=[{"name": "x-a", "present": True}]),
            anonymous("prefix", path={"prefix": "/"}),
            anonymous("later", path={"exact": "/x"}),
            anonymous("taken", path={"exact": "/x"}, methods=["GET"]),
        ),
        policy("c", anonymous("wildcard", path={"exact": "/x"}), hosts=("*.example",)),
    )
    told = story(asked, "/x")
    assert [rule.rule for rule in told.rules if rule.taken] == ["taken"]
    order = [rule.rule for rule in told.rules]
    assert (order[0], set(order[1:4])) == ("taken", {"later", "prefix", "wildcard"})
    assert order[4:] == ["header", "method", "path", "host"]
    assert why(told) == {
        "taken": "",
        "later": "it fits, but it names no method",
        "prefix": "it fits, but its path is less specific: every path comes after exact `/x`",
        "wildcard": "it fits, but the host `api.example` is closer than `*.example`",
        "header": "the request lacks the header `x-a`",
        "method": "it takes `PUT`, the request is `GET`",
        "path": "its path is another",
        "host": "it is for the host `other.example`",
    }


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"created": "2026-01-01T00:00:00Z"}, {"created": "2026-01-02T00:00:00Z"}, "younger than shop/one"),
        ({}, {}, "comes after shop/one by name"),
    ],
)
def test_of_two_policies_the_older_and_then_the_first_by_name_serves(one: Any, other: Any, words: str) -> None:
    few, many = ({"headers": [{"name": name, "present": True}]} for name in ("x-a", "x-b"))
    asked = Asked(policy("one", anonymous("r", **few), **one), policy("two", anonymous("s", **many), **other))
    assert words in why(story(asked, headers={"x-a": "1", "x-b": "1"}))["s"]


def test_a_broken_rule_says_what_is_wrong_with_it_and_refuses() -> None:
    asked = Asked(policy("p", {"name": "r", "token": {"issuers": [{"name": "nobody"}]}}))
    told = story(asked, "/", token())
    assert "nobody" in told.rules[0].broken
    assert (step(told, Step.POLICY).outcome, told.verdict.step) == (Outcome.REFUSED, Step.POLICY)


def test_a_pinned_policy_is_told_and_keeps_all_others_out() -> None:
    asked = Asked(policy("p", anonymous("r")), policy("q", anonymous("s"), hosts=("*",)))
    told = story(asked, extensions={"extauthz.dev/policy": "shop/q"})
    assert why(told) == {"s": "", "r": "the route pins the policy `shop/q`"}
    assert told.request is not None
    assert told.request.pinned_policy == "shop/q"


def test_of_many_rules_the_closest_are_told_and_the_rest_is_counted() -> None:
    rules = [anonymous(f"r{n}", path={"exact": f"/{n}"}) for n in range(60)]
    told = story(Asked(*(policy(f"p{n}", *rules[n : n + 10]) for n in range(0, 60, 10))), "/59")
    assert (len(told.rules), told.more_rules) == (50, 10)
    assert told.rules[0].rule == "r59"


# Steps


@pytest.mark.parametrize(
    ("said", "head", "where", "switch"),
    [
        ({}, {"typ": "JWT"}, Step.TYPE, "add `JWT` to its `tokenTypes`"),
        ({}, {"typ": ...}, Step.TYPE, "add `Absent` to its `tokenTypes`"),
        ({}, {"alg": "PS999"}, Step.ALGORITHM, "`algorithms`"),
        ({}, {"kid": "bare"}, Step.KEY, "`keyAlgAbsent` to `FromAlgorithms`"),
        ({}, {"kid": "useless"}, Step.KEY, "add `Absent` to it"),
        ({"iss": "https://corp.example/"}, {}, Step.ISSUER, "`issuerAliases`"),
        ({"aud": "x"}, {}, Step.AUDIENCE, "`audiences` of the rule"),
        ({"aud": ...}, {}, Step.AUDIENCE, "`mapping.audience`"),
        ({"sub": ...}, {}, Step.CLAIMS, "`requiredClaims`"),
        ({"sub": ...}, {}, Step.CLAIMS, "`mapping.subject`"),
        ({"exp": NOW + 9000}, {}, Step.LIFETIME, "`maxLifetime`"),
        ({"exp": NOW - 31}, {}, Step.TIME, "`clockSkew`"),
        ({"jti": ...}, {}, Step.REUSE, "`mapping.tokenId`"),
        ({"jti": ...}, {}, Step.REUSE, "`reuseKeyFallback: Token`"),
        ({"cnf": {"jkt": "x"}}, {}, Step.SENDER, "`cnf`"),
    ],
)
def test_a_refusal_names_its_step_and_the_switch_that_lets_the_token_in(
    said: dict[str, Any], head: dict[str, Any], where: Step, switch: str
) -> None:
    bare, useless = jwk("ec"), jwk("ec")
    del bare["alg"], useless["use"]
    keys = {"keys": [jwk("rsa"), bare | {"kid": "bare"}, useless | {"kid": "useless"}]}
    asked = Asked(
        obj("TokenIssuer", "own", {"issuer": "https://corp.example", "keys": {"inline": keys}}),
        policy(
            "p",
            {"name": "r", "reuse": {"maxUses": 1, "key": "Jti"}}
            | {"token": {"issuers": [{"name": "own"}], "audiences": ["orders-api"]}},
        ),
    )
    told = story(asked, "/", token(claims(**said), header(**{"alg": "ES256" if "kid" in head else "RS256", **head})))
    assert (told.verdict.decision, told.verdict.step) == ("deny", where)
    assert step(told, where).outcome is Outcome.REFUSED
    assert switch in step(told, where).note
    assert told.verdict.detail == step(told, where).note


def test_steps_that_passed_say_what_was_found_and_what_is_wanted() -> None:
    asked = Asked(
        policy(
            "p",
            with_token(
                "r",
                require={
                    "scopes": ["orders.read"],
                    "claims": [{"claim": "tenant", "oneOf": ["acme"]}, {"claim": "jti", "oneOf": ["secret-id"]}],
                    "authentication": {"maxAge": "1h"},
                    "cel": "claims.sub == 'alice'",
                },
            ),
        )
    )
    told = story(asked, "/", token(claims(tenant="acme", jti="secret-id", auth_time=NOW - 600)))
    assert told.verdict.decision == "allow"
    found = {each.name: (each.found, each.wanted) for each in told.steps if each.name is not Step.CLAIM}
    assert found[Step.SCOPES] == ("`orders.read`, `orders.write`", "all of `orders.read`")
    assert found[Step.AUTHENTICATION] == ("10m ago", "authenticated at most 1h ago")
    assert found[Step.CONDITION] == ("true", "`claims.sub == 'alice'`")
    assert found[Step.LIFETIME] == ("6m", "at most 1h")
    assert [each.found for each in told.steps if each.name is Step.CLAIM] == ["`tenant` is `acme`", "`jti` is there"]


def test_issuers_of_one_iss_are_each_told_until_one_accepts() -> None:
    twin = obj("TokenIssuer", "twin", {"issuer": "https://corp.example", "keys": {"inline": {"keys": [jwk("ec9")]}}})
    both = {"issuers": [{"name": "twin"}, {"name": "corp"}], "audiences": ["orders-api"]}
    told = story(Asked(twin, policy("p", {"name": "r", "token": both})), "/", token())
    refused = [each.issuer for each in told.steps if each.outcome is Outcome.REFUSED]
    assert refused == ["TokenIssuer shop/twin"]
    assert (told.verdict.decision, told.verdict.issuer) == ("allow", "TokenIssuer shop/corp")


def test_no_issuer_is_told_after_the_one_that_accepts() -> None:
    twin = obj("TokenIssuer", "twin", {"issuer": "https://corp.example", "keys": {"inline": {"keys": [jwk("ec9")]}}})
    both = {"issuers": [{"name": "corp"}, {"name": "twin"}], "audiences": ["orders-api"]}
    told = story(Asked(twin, policy("p", {"name": "r", "token": both})), "/", token())
    assert {each.issuer for each in told.steps} == {"", "TokenIssuer shop/corp"}


def test_no_issuer_is_told_after_the_one_that_refuses_for_the_time_alone() -> None:
    lenient = obj(
        "TokenIssuer",
        "lenient",
        {"issuer": "https://corp.example", "keys": {"inline": {"keys": [jwk("rsa")]}}, "clockSkew": "5m"},
    )
    both = {"issuers": [{"name": "corp"}, {"name": "lenient"}], "audiences": ["orders-api"]}
    told = story(
        Asked(lenient, policy("p", {"name": "r", "token": both})), "/", token(claims(iat=NOW - 500, exp=NOW - 200))
    )
    assert {each.issuer for each in told.steps} == {"", "TokenIssuer shop/corp"}
    assert (told.verdict.reason, told.verdict.step) == (Reason.TOKEN_EXPIRED.label, Step.TIME)


@pytest.mark.parametrize(
    ("text", "where"),
    [(token(head=header(typ="JWT")), Step.TYPE), (token(claims(scope="")), Step.SCOPES)],
)
def test_nothing_passes_after_a_step_that_refused(text: str, where: Step) -> None:
    rule = with_token("r", require={"scopes": ["a"], "cel": "true"}, reuse={"maxUses": 1})
    told = story(Asked(policy("p", rule)), "/", text)
    names = [each.name for each in told.steps]
    rest = told.steps[names.index(where) + 1 :]
    assert [each.name for each in rest][-3:] == [Step.CONDITION, Step.UPSTREAM, Step.REUSE]
    assert {each.outcome for each in rest} == {Outcome.SKIPPED}
    assert len(names) == len(set(names))


def test_what_was_not_reached_is_told_as_skipped() -> None:
    told = story(Asked(policy("p", with_token("r", require={"scopes": ["a"]}, reuse={"maxUses": 1}))), "/")
    assert told.verdict.step is Step.CREDENTIAL
    skipped = [each.name for each in told.steps if each.outcome is Outcome.SKIPPED]
    assert skipped[-3:] == [Step.SCOPES, Step.UPSTREAM, Step.REUSE]


def test_nothing_loaded_and_an_unreadable_request_are_stories_too() -> None:
    asked = Asked()
    asked.snapshot = None
    assert story(asked).verdict.reason == Reason.NOT_READY.label
    unread = story(asked, "/a/../b")
    assert (unread.request, unread.verdict.step) == (None, Step.REQUEST)
    assert "could not be read" in in_words(unread)


# Counts


def test_a_count_tells_what_is_left_and_telling_uses_nothing_up() -> None:
    asked = Asked(policy("p", ONCE))
    for _ in range(3):
        told = story(asked, "/once", token())
        assert [(each.kind, each.left, each.left_after) for each in told.spends] == [
            ("bind", None, None),
            ("use", 1, 0),
        ]
        assert told.verdict.remaining == 0
    assert asked.reason("/once", token()) == "allow"
    spent = story(asked, "/once", token())
    assert (spent.verdict.reason, spent.verdict.step) == ("token_reused", Step.REUSE)
    assert [(each.outcome, each.left) for each in spent.spends] == [(Outcome.PASSED, None), (Outcome.REFUSED, 0)]
    stolen = story(asked, "/once", token(), source="198.51.100.1")
    assert stolen.verdict.step is Step.BINDING


def test_a_spent_rate_tells_when_to_come_again() -> None:
    limit = {"name": "few", "by": ["Subject"], "requests": 1, "window": "1m"}
    asked = Asked(policy("p", with_token("r", limits=[limit])))
    asked.ask("/", token())
    asked.clock.advance(20)
    told = story(asked, "/", token())
    assert (told.verdict.step, told.spends[0].retry_after) == (Step.LIMITS, 40)
    assert told.response.headers["retry-after"] == "40"
    assert "again in 40s" in in_words(told)


@pytest.mark.parametrize(("on_error", "decision"), [("Deny", "deny"), ("Allow", "allow")])
def test_a_store_that_cannot_tell_is_told_and_what_that_means(on_error: str, decision: str) -> None:
    limit = {"name": "l", "by": ["Subject"], "requests": 1, "window": "1m", "onStoreError": on_error}
    told = story(Asked(policy("p", with_token("r", limits=[limit])), store=Outage()), "/", token())
    assert told.verdict.decision == decision
    assert "does not answer" in step(told, Step.STORE).note
    assert told.spends[0].left is None


# The end


def test_a_denial_is_answered_as_the_client_would_read_it() -> None:
    told = story(Asked(policy("p", with_token("r", require={"scopes": ["a"]}))), "/", token())
    assert told.response.status == 403
    assert 'scope="a"' in told.response.headers["www-authenticate"]
    assert json.loads(told.response.body)["status"] == 403


def test_an_admission_names_the_headers_it_sets_and_shows_no_value() -> None:
    rule = with_token("r", upstream={"claimHeaders": {"x-id": "jti"}})
    told = story(Asked(policy("p", rule)), "/", token(claims(jti="not-to-be-told")))
    assert told.response.set_headers == ("x-id",)
    assert b"not-to-be-told" not in as_json(told)


def test_a_shadow_policy_is_told_as_admitting_what_it_would_refuse() -> None:
    told = story(Asked(policy("p", with_token("r"), mode="Shadow")), "/")
    assert (told.verdict.decision, told.verdict.step, told.response.status) == ("shadow_deny", Step.CREDENTIAL, 200)


def test_the_memory_of_verifications_is_neither_asked_nor_filled() -> None:
    asked, verifier = Asked(policy("p", with_token("r"))), Verifier()
    world = World(asked.snapshot, asked.keys.states(), verifier, Grants(Pepper(b"p" * 32)))
    data = check_request(headers={"authorization": f"Bearer {token()}"})
    for _ in range(2):
        assert explain_check(data, world, asked.store, asked.clock.now()).verdict.decision == "allow"
    assert (verifier.hits, verifier.misses) == (0, 0)


# Words and JSON


def test_what_an_issuer_wrote_moves_no_terminal() -> None:
    told = story(Asked(policy("p", with_token("r"))), "/", token(claims(sub="\x1b[31mred\nverdict: admitted")))
    lines = in_words(told).split("\n")
    assert [line for line in lines if "[31m" in line] == ["  subject: \\x1b[31mred\\x0averdict: admitted"]
    assert in_words(told, plain=True).isascii()


STORIES = [
    lambda: story(Asked(policy("p", ONCE)), "/once", token()),
    lambda: story(Asked(policy("p", ONCE)), "/once", "garbage"),
    lambda: story(Asked(policy("p", with_token("r"), mode="Shadow")), "/"),
    lambda: story(Asked(policy("p", anonymous("r"))), "/", extensions={"extauthz.dev/policy": "shop/none"}),
    lambda: story(Asked(), "/a/../b"),
]


@pytest.mark.parametrize("made", STORIES)
def test_every_story_is_as_its_published_schema_says(made: Any) -> None:
    schema = json.loads(SCHEMA_FILE.read_bytes())
    written = json.loads(as_json(made()))
    assert list(invalid(written, schema, schema)) == []
    assert list(invalid({**written, "more": 1}, schema, schema)) == ["$: more is not allowed"]
    assert list(invalid({**written, "rules": [{"policy": "p"}]}, schema, schema)) != []


def test_every_clause_is_told_with_what_it_wants() -> None:
    kinds = {
        kind
        for module in iter_modules(clauses.__path__)
        for kind in vars(import_module(f"{clauses.__name__}.{module.name}")).values()
        if isinstance(kind, type) and kind.__module__.startswith(clauses.__name__) and hasattr(kind, "check")
    }
    examples: list[Clause] = [
        RequireScopes(frozenset({"a"})),
        RequireRoles(frozenset({"a"})),
        RequireClaim(ClaimSpec(claim="tenant", contains="a")),
        RequireAuthentication(AuthenticationSpec(acr_values=("mfa",))),
        compile_cel("claims.sub == 'bob'"),
    ]
    assert {type(clause) for clause in examples} == kinds
    for clause in examples:
        refused = tell_clause(clause, verified(), view(), Instant(NOW))
        assert refused.outcome is Outcome.REFUSED
        assert refused.name is step_of(clause)
        assert refused.wanted
        assert refused.wanted != type(clause).__name__
