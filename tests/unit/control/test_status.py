"""From facts to status: what each condition says, when it turns, and when there is nothing to write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from extauthz.control.objects import Written
from extauthz.control.status import STATUS, Facts, Keys, Serving, keys_of, turned, wanted
from extauthz.keys.jwk import KeyRules, parse_key_set
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.issuer import ASYMMETRIC
from extauthz.policy.parse import parse
from extauthz.policy.problem import Cause, ObjectRef, Problem
from tests import introspecting, issuing
from tests.building import anonymous, obj, policy, revocation, with_token

NOW = Instant(1_790_000_000.0)
LATER = Instant(NOW + 60)
NEW = Written(uid="u", generation=3, version="7", status={})
INLINE = {"issuer": issuing.ISSUER, "audiences": ["a"], "keys": {"inline": issuing.jwks("rsa")}}
ISSUER = obj("TokenIssuer", "corp", INLINE)
REVOCATION = obj("TokenRevocation", "r", {"issuer": {"name": "corp"}, "jti": "x", "expires": "2030-01-31T12:00:00Z"})
ALL = Serving(live=2, as_it_stands=2)
WILD = revocation("r", jti="*")
TYPO = obj("TokenRevocation", "r", {"issuer": {"name": "corp"}, "jti": "x", "expires": "2021-01-31T12:00:00Z"},
           created="2026-01-31T12:00:00Z")  # fmt: skip
GOOD_KEYS = Keys(usable=True, ids=("k1",), fetched=NOW)


def facts_of(*raw: dict[str, Any], grants: dict[str, tuple[str, ...]] | None = None, **more: Any) -> Facts:
    """The facts about the first of some objects."""
    objects = [parse(each, cluster=True) for each in raw]
    snapshot = compile_snapshot(objects, grants=grants)
    problems = tuple(problem for problem in snapshot.problems if problem.object == objects[0].ref)
    return Facts(objects[0], more.pop("written", NEW), problems, **more)


def said(facts: Facts, now: Instant = NOW) -> dict[str, dict[str, Any]]:
    status = wanted(facts, now)
    assert status is not None
    TypeAdapter(STATUS[facts.item.ref.kind]).validate_json(
        json.dumps({name: value for name, value in status.items() if value is not None})
    )
    return {each["type"]: each for each in status["conditions"]}


def after(facts: Facts, now: Instant = NOW) -> Facts:
    """The same facts once the status is written, as an API server hands it back."""
    status = wanted(facts, now)
    assert status is not None
    kept = {name: value for name, value in status.items() if value is not None}
    return replace(facts, written=replace(facts.written, status=json.loads(json.dumps(kept))))


# What is said

OPEN = policy("p", anonymous("r"))
NEEDY = policy("p", with_token("r"))
OTHER = obj("TokenIssuer", "other", INLINE)
SECRET = obj("TokenIssuer", "corp", {**INLINE, "keys": {"secretRef": {"name": "s", "key": "jwks"}}})
FOREIGN = obj("ClusterTokenIssuer", "corp", {**INLINE, "allowedNamespaces": ["else"]})
ALIEN = policy("p", {"name": "r", "token": {"issuers": [{"kind": "ClusterTokenIssuer", "name": "corp"}]}})
BAD = policy("p", {"name": "r"})
BAD_ISSUER = obj("TokenIssuer", "corp", {"issuer": "https://a.example"})
OPAQUE = introspecting.issuer("https://opaque.example/introspect")
CLIENT = introspecting.SECRET
OLDER = policy("a", anonymous("r"), created="2020-01-01T00:00:00Z")
NEWER = policy("p", anonymous("r"), created="2021-01-01T00:00:00Z")

CASES: list[tuple[str, Facts, str, str, str, str]] = [
    ("a good policy", facts_of(OPEN), "Accepted", "True", "Accepted", ""),
    ("a good policy", facts_of(OPEN), "ResolvedRefs", "True", "ResolvedRefs", ""),
    ("a mistake", facts_of(BAD), "Accepted", "False", "Invalid", "spec.rules[0]"),
    ("a mistake", facts_of(BAD), "ResolvedRefs", "Unknown", "NotAccepted", "mended"),
    ("a mistake", facts_of(BAD, serving=ALL), "Programmed", "False", "NotAccepted", "see `Accepted`"),
    ("a conflict", facts_of(NEWER, OLDER), "Accepted", "False", "Conflicted", "shop/a is older"),
    ("the older of two", facts_of(OLDER, NEWER), "Accepted", "True", "Accepted", ""),
    ("no grant", facts_of(OPEN, grants={}), "Accepted", "False", "HostNotGranted", "`api.example`"),
    ("a grant", facts_of(OPEN, grants={"shop": ("*",)}), "Accepted", "True", "Accepted", ""),
    ("no issuer", facts_of(NEEDY), "Accepted", "True", "Accepted", ""),
    ("no issuer", facts_of(NEEDY), "ResolvedRefs", "False", "IssuerNotFound", "there is no TokenIssuer shop/corp"),
    ("no issuer", facts_of(NEEDY, serving=ALL), "Programmed", "False", "RefsNotResolved", "see `ResolvedRefs`"),
    (
        "another issuer",
        facts_of(NEEDY, OTHER),
        "ResolvedRefs",
        "False",
        "IssuerNotFound",
        "spec.rules[0].token.issuers[0]",
    ),
    ("an issuer", facts_of(NEEDY, ISSUER), "ResolvedRefs", "True", "ResolvedRefs", ""),
    (
        "a broken issuer",
        facts_of(NEEDY, BAD_ISSUER),
        "ResolvedRefs",
        "False",
        "IssuerInvalid",
        "has mistakes of its own, the first: ",
    ),
    ("an issuer of others", facts_of(ALIEN, FOREIGN), "ResolvedRefs", "False", "IssuerNotAllowed", "allowedNamespaces"),
    ("all serve", facts_of(OPEN, serving=ALL), "Programmed", "True", "Programmed", ""),
    ("one is behind", facts_of(OPEN, serving=Serving(2, 1)), "Programmed", "False", "Pending", "/readyz"),
    ("one is unknown", facts_of(OPEN, serving=Serving(2, 1, 1)), "Programmed", "False", "Pending", ""),
    ("none lives", facts_of(OPEN, serving=Serving(0, 0)), "Programmed", "False", "NoReplicas", "pods"),
    ("sidecars", facts_of(OPEN), "Programmed", "Unknown", "NotReported", "sidecars"),
    ("good keys", facts_of(ISSUER, keys=GOOD_KEYS), "Ready", "True", "KeysUsable", ""),
    ("good keys", facts_of(ISSUER, keys=GOOD_KEYS), "KeysFresh", "True", "Fetched", ""),
    ("no attempt yet", facts_of(ISSUER), "Ready", "Unknown", "NotFetched", ""),
    ("no attempt yet", facts_of(ISSUER), "KeysFresh", "Unknown", "NotFetched", ""),
    ("no keys", facts_of(ISSUER, keys=Keys(usable=False, problem="down")), "Ready", "False", "KeysUnavailable", "down"),
    ("no keys", facts_of(ISSUER, keys=Keys(usable=False, problem="down")), "KeysFresh", "False", "FetchFailed", "down"),
    ("old keys", facts_of(ISSUER, keys=replace(GOOD_KEYS, problem="down")), "Ready", "True", "KeysUsable", ""),
    (
        "old keys",
        facts_of(ISSUER, keys=replace(GOOD_KEYS, problem="x")),
        "KeysFresh",
        "False",
        "FetchFailed",
        "last good",
    ),
    ("no Secret", facts_of(SECRET), "ResolvedRefs", "False", "RefNotFound", "there is no Secret `s`"),
    ("no Secret", facts_of(SECRET), "Ready", "False", "RefNotFound", "see `ResolvedRefs`"),
    ("no Secret", facts_of(SECRET), "KeysFresh", "Unknown", "NotAccepted", ""),
    ("an endpoint", facts_of(OPAQUE, CLIENT), "Ready", "True", "Introspected", "its endpoint"),
    ("an endpoint", facts_of(OPAQUE, CLIENT), "KeysFresh", "Unknown", "NoKeys", "it has none"),
    ("an endpoint without its Secret", facts_of(OPAQUE), "ResolvedRefs", "False", "RefNotFound", "spec.introspection"),
    ("an endpoint without its Secret", facts_of(OPAQUE), "Ready", "False", "RefNotFound", "see `ResolvedRefs`"),
    ("a bad issuer", facts_of(BAD_ISSUER), "Ready", "False", "Invalid", "see `Accepted`"),
    ("a revocation", facts_of(REVOCATION, ISSUER), "ResolvedRefs", "True", "ResolvedRefs", ""),
    ("a revocation", facts_of(REVOCATION, ISSUER), "Accepted", "True", "Accepted", ""),
    (
        "a revocation with an asterisk",
        facts_of(WILD, ISSUER),
        "Accepted",
        "True",
        "Accepted",
        "but spec.jti: has a `*`",
    ),
    ("a revocation of the past", facts_of(TYPO, ISSUER), "Accepted", "False", "Expired", "2021-01-31T12:00:00Z, is"),
    ("a revocation of the past", facts_of(TYPO, ISSUER), "ResolvedRefs", "True", "ResolvedRefs", ""),
    (
        "a revocation of nobody's",
        facts_of(REVOCATION),
        "ResolvedRefs",
        "False",
        "IssuerNotFound",
        "there is no TokenIssuer",
    ),
]


@pytest.mark.parametrize(("what", "facts", "kind", "status", "reason", "words"), CASES, ids=lambda v: str(v)[:24])
def test_each_condition_says_what_holds_and_why(
    what: str, facts: Facts, kind: str, status: str, reason: str, words: str
) -> None:
    found = said(facts)[kind]
    assert (found["status"], found["reason"]) == (status, reason), what
    assert words in found["message"]
    assert found["observedGeneration"] == 3


def test_every_cause_is_a_reason_that_the_schema_takes() -> None:
    for cause in Cause:
        problem = Problem(ObjectRef("AccessPolicy", "shop", "p"), ("spec",), "words", cause)
        found = said(replace(facts_of(OPEN), problems=(problem,)))
        assert {found["Accepted"]["reason"], found["ResolvedRefs"]["reason"]} & {cause.value}


def test_many_mistakes_are_told_up_to_eight() -> None:
    problems = tuple(Problem(ObjectRef("AccessPolicy", "shop", "p"), ("spec", n), f"m{n}") for n in range(12))
    message = said(replace(facts_of(OPEN), problems=problems))["Accepted"]["message"]
    assert "m7" in message
    assert message.endswith("; and 4 more")


def test_active_shows_how_many_of_how_many() -> None:
    status = wanted(facts_of(OPEN, serving=Serving(3, 1)), NOW)
    assert status is not None
    assert status["active"] == "1/3"
    alone = wanted(facts_of(OPEN), NOW)
    assert alone is not None
    assert alone["active"] is None


# When it is written


@pytest.mark.parametrize(
    "facts",
    [
        facts_of(OPEN, serving=ALL),
        facts_of(OPEN),
        facts_of(BAD),
        facts_of(ISSUER, keys=GOOD_KEYS),
        facts_of(ISSUER),
        facts_of(REVOCATION),
        facts_of(TYPO),
    ],
    ids=lambda facts: str(facts.item.ref),
)
def test_what_is_there_already_is_not_written_again(facts: Facts) -> None:
    assert wanted(after(facts), LATER) is None


def test_the_time_of_a_turn_stays_until_it_turns_again() -> None:
    first = after(facts_of(NEEDY))
    again = replace(first, written=replace(first.written, generation=4))
    found = said(again, LATER)
    assert found["ResolvedRefs"]["observedGeneration"] == 4
    assert found["ResolvedRefs"]["lastTransitionTime"] == said(facts_of(NEEDY))["ResolvedRefs"]["lastTransitionTime"]
    mended = replace(again, problems=())
    assert said(mended, LATER)["ResolvedRefs"]["lastTransitionTime"] != found["ResolvedRefs"]["lastTransitionTime"]


def test_a_new_message_is_written_without_a_turn() -> None:
    before = after(facts_of(ISSUER, keys=Keys(usable=False, problem="one")))
    now = replace(before, keys=Keys(usable=False, problem="two"))
    found = said(now, LATER)["Ready"]
    assert "two" in found["message"]
    assert found["lastTransitionTime"] == before.written.status["conditions"][2]["lastTransitionTime"]


def test_conditions_of_others_are_kept() -> None:
    theirs = {"type": "Compliant", "status": "True", "reason": "R", "message": "", "observedGeneration": 1}
    written = replace(NEW, status={"conditions": [theirs]})
    status = wanted(facts_of(OPEN, written=written), NOW)
    assert status is not None
    assert theirs in status["conditions"]
    assert wanted(after(facts_of(OPEN, written=written)), NOW) is None


@pytest.mark.parametrize("junk", [{"conditions": "x"}, {"conditions": [1, {}, {"type": "Accepted"}]}, {"active": 7}])
def test_a_status_that_makes_no_sense_is_replaced(junk: dict[str, Any]) -> None:
    assert said(facts_of(OPEN, written=replace(NEW, status=junk), serving=ALL))["Accepted"]["status"] == "True"


def test_a_number_of_replicas_that_is_no_longer_known_is_taken_away() -> None:
    before = after(facts_of(OPEN, serving=ALL))
    status = wanted(replace(before, serving=None), NOW)
    assert status is not None
    assert status["active"] is None


def test_a_later_fetch_alone_is_written_only_after_ten_minutes() -> None:
    before = after(facts_of(ISSUER, keys=GOOD_KEYS))
    soon = replace(before, keys=replace(GOOD_KEYS, fetched=Instant(NOW + 599)))
    assert wanted(soon, LATER) is None
    late = wanted(replace(before, keys=replace(GOOD_KEYS, fetched=Instant(NOW + 600))), LATER)
    assert late is not None
    assert late["keys"]["lastFetched"] == "2026-09-21T14:23:20Z"


def test_other_keys_are_written_at_once() -> None:
    before = after(facts_of(ISSUER, keys=GOOD_KEYS))
    status = wanted(replace(before, keys=replace(GOOD_KEYS, ids=("k2",))), LATER)
    assert status is not None
    assert status["keys"]["ids"] == ["k2"]


def test_a_replica_at_an_unknown_version_counts_where_all_served_this_generation_before() -> None:
    before = after(facts_of(OPEN, serving=ALL))
    assert wanted(replace(before, serving=Serving(2, 1, 1)), LATER) is None
    newer = replace(before, written=replace(before.written, generation=4), serving=Serving(2, 1, 1))
    assert said(newer, LATER)["Programmed"]["status"] == "False"


# Events


def test_only_what_turned_is_told() -> None:
    before: dict[str, Any] = {}
    bad = after(facts_of(NEEDY)).written.status
    good = after(facts_of(NEEDY, ISSUER)).written.status
    assert [(turn.type, turn.bad) for turn in turned(before, bad)] == [("ResolvedRefs", True), ("Programmed", True)]
    assert [(turn.type, turn.bad) for turn in turned(bad, good)] == [("ResolvedRefs", False)]
    assert turned(bad, bad) == ()
    assert turned(before, good) == ()


def test_a_revocation_that_was_over_before_it_was_created_is_told_by_an_event() -> None:
    [turn] = turned({}, after(facts_of(TYPO, ISSUER)).written.status)
    assert (turn.type, turn.reason, turn.bad) == ("Accepted", "Expired", True)


# Revocations that were over before they were there


@pytest.mark.parametrize(
    ("created", "reason"),
    [
        ("2021-01-31T12:05:00Z", "Expired"),
        ("2021-01-31T12:00:00Z", "Expired"),
        ("2021-01-31T11:59:59Z", "Accepted"),
        ("2021-01-30T12:00:00Z", "Accepted"),
        (None, "Accepted"),
    ],
)
def test_whatever_was_over_as_it_was_created_is_told(created: str | None, reason: str) -> None:
    facts = facts_of(obj("TokenRevocation", "r", TYPO["spec"], created=created), ISSUER)
    assert said(facts)["Accepted"]["reason"] == reason


# Keys


def test_keys_are_told_by_their_ids_and_only_while_they_are_usable() -> None:
    rules = KeyRules(algorithms=ASYMMETRIC)
    keys = parse_key_set(json.dumps(issuing.jwks("rsa", "ec")).encode(), rules)
    state = KeyState(keys, good_until=Instant(NOW + 1), fetched_at=NOW)
    assert keys_of(state, NOW) == Keys(True, tuple(sorted(key.kid or "" for key in keys.keys)), NOW)
    assert keys_of(state, LATER) == Keys(usable=False, fetched=NOW)
    assert keys_of(replace(state, good_until=Instant(float("inf"))), NOW).fetched is None
    assert keys_of(None, NOW) == Keys(usable=False)
