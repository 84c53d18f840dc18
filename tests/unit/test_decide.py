"""The story of a Check, from bytes to bytes, with real signatures."""

import re
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.verdict import Allow, Deny
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Spend
from extauthz.replay.store import Left, Outcome, Unavailable
from tests.building import NOW, anonymous, obj, policy, revocation, with_token
from tests.checks import check_request, read_response
from tests.clock import FakeClock
from tests.issuing import claims, header, token
from tests.worlds import CORP, Asked

IDENTITY = {"claimHeaders": {"x-auth-sub": "sub"}}


class Outage:
    """A store that cannot be reached."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Say so."""
        return Unavailable("the store does not answer")

    def ready(self) -> bool:
        """Not now."""
        return False

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """Say so."""
        return Unavailable("the store does not answer")


def test_nothing_loaded_denies_as_not_ready() -> None:
    asked = Asked()
    asked.snapshot = None
    response = asked.ask()
    assert (response.http_status, response.metadata["reason"]) == (503, "not_ready")


def test_no_rule_denies() -> None:
    assert Asked().reason("/", token()) == "no_policy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "credential_absent"),
        ("garbage", "token_malformed"),
        (token(), "allow"),
        (token(claims(aud="billing")), "audience_mismatch"),
        (token(claims(iss="https://evil.example")), "issuer_untrusted"),
        (token(claims(exp=NOW - 31, iat=NOW - 60)), "token_expired"),
        (token(claims(nbf=NOW + 60)), "token_not_yet_valid"),
        (token(claims(exp=NOW + 9000)), "token_too_long_lived"),
        (token(claims(scope="orders.read")), "scope_missing"),
        (token(claims(tenant="evil")), "claim_refused"),
        (token(claims(cnf={"jkt": "x"})), "sender_mismatch"),
    ],
)
def test_each_refusal_has_its_reason(text: str | None, expected: str) -> None:
    require = {"scopes": ["orders.write"], "cel": "!has(claims.tenant) || claims.tenant == 'acme'"}
    assert Asked(policy("p", with_token("r", require=require))).reason("/", text) == expected


@pytest.mark.parametrize("mode", ["Enforce", "Shadow"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"aud": "billing"}, "audience_mismatch"),
        ({"exp": NOW - 31, "iat": NOW - 60}, "token_expired"),
        ({"nbf": NOW + 60}, "token_not_yet_valid"),
        ({"exp": NOW + 9000}, "token_too_long_lived"),
    ],
)
def test_a_denial_for_the_time_or_the_place_says_whose_token_it_is(
    said: dict[str, Any], expected: str, mode: str
) -> None:
    asked, text = Asked(policy("p", with_token("r"), mode=mode)), token(claims(**said))
    assert asked.reason("/", text) == (expected if mode == "Enforce" else "allow")
    verdict = asked.seen[-1].verdict
    deny = verdict if isinstance(verdict, Deny) else verdict.shadowed
    assert deny is not None
    assert deny.reason.label == expected
    ground = deny.ground
    assert (str(ground.issuer), ground.subject, ground.client) == ("TokenIssuer shop/corp", "alice", "web")
    assert ground.token_hash is not None


def test_a_token_has_the_digits_in_the_log_that_it_had_while_it_was_good() -> None:
    clock = FakeClock()
    asked, text = Asked(policy("p", with_token("r")), clock=clock), token()
    assert asked.reason("/", text) == "allow"
    clock.advance(331)
    assert asked.reason("/", text) == "token_expired"
    good, late = (each.verdict.ground.token_hash for each in asked.seen)
    assert good == late is not None


def test_a_token_that_nobody_vouches_for_names_nobody() -> None:
    asked = Asked(policy("p", with_token("r")))
    for text in (token(key="rsa-other", head=header(kid="rsa")), token(claims(iss="https://evil.example")), "garbage"):
        asked.ask("/", text)
        ground = asked.seen[-1].verdict.ground
        assert (ground.subject, ground.client, ground.token_hash) == (None, None, None)


def test_the_subject_reaches_the_upstream_and_the_token_does_not() -> None:
    response = Asked(policy("p", with_token("r", upstream=IDENTITY))).ask("/", token(), headers={"x-auth-sub": "admin"})
    assert response.headers["x-auth-sub"] == "alice"
    assert response.removed == ("authorization",)


def test_an_anonymous_path_removes_every_header_that_some_policy_sets() -> None:
    asked = Asked(policy("p", with_token("r", upstream=IDENTITY)), policy("q", anonymous("h"), hosts=("q.example",)))
    forged = {"x-auth-sub", "x_auth_sub", "x.auth.sub", "x-auth~sub", "x!auth_sub"}
    response = asked.ask(
        "/", host="q.example", headers=dict.fromkeys(forged, "admin") | {"x-other": "1", "x.other": "1"}
    )
    assert response.code == 0
    assert set(response.removed) == forged


def test_one_spelling_of_a_header_of_ours_is_removed_wherever_it_stands_alone() -> None:
    asked = Asked(policy("p", with_token("r", upstream=IDENTITY), anonymous("h", path={"exact": "/h"})))
    assert asked.ask("/h", headers={"x.auth.sub": "admin"}).removed == ("x.auth.sub",)


def test_a_refused_request_spends_nothing() -> None:
    rule = with_token("r", reuse={"maxUses": 1}, require={"cel": "request.headers['x-ok'] == 'yes'"})
    asked, text = Asked(policy("p", rule)), token()
    assert asked.reason("/", text, headers={"x-ok": "no"}) == "claim_refused"
    assert asked.reason("/", text) == "claim_refused"
    assert asked.reason("/", text, headers={"x-ok": "yes"}) == "allow"
    assert asked.reason("/", text, headers={"x-ok": "yes"}) == "token_reused"


def test_F09_garbage_never_writes_to_the_store() -> None:
    asked = Asked(policy("p", with_token("r", reuse={"maxUses": 1})))
    for text in ("garbage", token()[:-4] + "AAAA", token(claims(aud="x")), token(claims(exp=NOW - 100, iat=NOW - 200))):
        asked.ask("/", text)
    assert len(asked.store) == 0  # type: ignore[arg-type]


def test_F13_envoys_repetition_is_counted_once() -> None:
    asked, text = Asked(policy("p", with_token("r", reuse={"maxUses": 1}))), token()
    assert [asked.reason("/", text, stream_id="9") for _ in range(3)] == ["allow"] * 3
    assert asked.reason("/", text, stream_id="10") == "token_reused"


def test_F04_a_window_tells_when_to_come_again() -> None:
    asked, text = Asked(policy("p", with_token("r", reuse={"maxUses": 2, "window": "1m"}))), token()
    assert [asked.reason("/", text) for _ in range(2)] == ["allow", "allow"]
    refused = asked.ask("/", text)
    assert refused.http_status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "www-authenticate" not in refused.headers
    asked.clock.advance(61)
    assert asked.reason("/", text) == "allow"


def test_F19_a_count_survives_an_edit_of_its_limit() -> None:
    asked, text = Asked(policy("p", with_token("r", reuse={"maxUses": 1}))), token()
    asked.ask("/", text)
    asked.load(policy("p", with_token("r", reuse={"maxUses": 2})))
    assert [asked.reason("/", text) for _ in range(2)] == ["allow", "token_reused"]


def test_a_token_bound_to_its_first_caller_is_of_no_use_elsewhere() -> None:
    asked, text = Asked(policy("p", with_token("r", reuse={"maxUses": 9, "bindTo": ["SourcePrincipal"]}))), token()
    assert asked.reason("/", text, principal="spiffe://shop/web") == "allow"
    assert asked.reason("/", text, principal="spiffe://shop/thief") == "token_bound_elsewhere"
    assert asked.reason("/", text) == "token_bound_elsewhere"
    assert asked.reason("/", text, principal="spiffe://shop/web") == "allow"


LIMIT = {"name": "per-subject", "by": ["Subject"], "requests": 3, "window": "1m"}


@pytest.mark.parametrize(
    ("rule", "before", "words"),
    [
        ({"reuse": {"maxUses": 1}}, 1, "the one use is taken (`reuse`)"),
        ({"reuse": {"maxUses": 2}}, 2, "all 2 uses are taken (`reuse`)"),
        (
            {"reuse": {"maxUses": 1, "window": "10s"}},
            1,
            "the one request in any 10s is taken (`reuse`); possible again in 5s",
        ),
        ({"limits": [LIMIT]}, 3, "all 3 requests in any 1m are taken (`per-subject`, COUNT); possible again in 55s"),
        (
            {"reuse": {"maxUses": 9, "bindTo": ["SourcePrincipal"]}},
            1,
            "another caller came first, and the token is tied to that one (`bindTo SourcePrincipal`)",
        ),
    ],
)
def test_a_count_that_refuses_is_told_with_its_bound_and_when_it_lets_in_again(
    rule: dict[str, Any], before: int, words: str
) -> None:
    asked, text = Asked(policy("p", with_token("r", **rule))), token()
    assert [asked.reason("/", text, principal="spiffe://shop/web") for _ in range(before)] == ["allow"] * before
    asked.clock.advance(5)
    asked.ask("/", text, principal="spiffe://shop/thief")
    verdict = asked.seen[-1].verdict
    assert isinstance(verdict, Deny)
    assert re.sub(r"counted as `[0-9a-f]{8}`", "COUNT", verdict.refusal.detail) == words


def test_it_is_told_whether_one_spends_a_limit_or_many() -> None:
    limit = {"name": "per-tenant", "by": ["Claim"], "claim": "tenant", "requests": 1, "window": "1m"}
    asked = Asked(policy("p", with_token("r", limits=[limit])))
    found = []
    for sub, tenant in (("a", "acme"), ("b", "acme"), ("c", "acme"), ("d", "globex"), ("d", "globex")):
        asked.ask("/", token(claims(sub=sub, tenant=tenant)))
        verdict = asked.seen[-1].verdict
        if isinstance(verdict, Deny):
            assert "acme" not in verdict.refusal.detail
            found.append(verdict.refusal.detail.partition("counted as ")[2][:10])
    first, second, other = found
    assert first == second != other


def test_a_store_that_is_full_for_an_issuer_is_told_with_the_quota_and_whose_it_is() -> None:
    asked = Asked(policy("p", with_token("r", reuse={"maxUses": 1})), quotas=Quotas(issuer=1))
    assert asked.reason("/", token(claims(jti="1"))) == "allow"
    assert asked.reason("/", token(claims(jti="2"))) == "store_quota"
    verdict = asked.seen[-1].verdict
    assert isinstance(verdict, Deny)
    assert verdict.refusal.detail.startswith("the one key is taken (`store quota of TokenIssuer shop/corp`); possible")


def test_limits_count_each_subject_apart() -> None:
    limit = {"name": "per-subject", "by": ["Subject"], "requests": 1, "window": "1m"}
    asked = Asked(policy("p", with_token("r", limits=[limit])))
    assert asked.reason("/", token(claims(jti="1"))) == "allow"
    assert asked.reason("/", token(claims(jti="2"))) == "rate_exceeded"
    assert asked.reason("/", token(claims(sub="bob"))) == "allow"


@pytest.mark.parametrize("iat", [NOW - 60, ...])
def test_a_revoked_token_is_good_under_no_other_issuer_object_when_its_own_has_let_it_expire(iat: Any) -> None:
    lenient = CORP["spec"] | {"clockSkew": "5m"}
    both = {"issuers": [{"name": "corp"}, {"name": "lenient"}], "audiences": ["orders-api"]}
    rule = policy("p", {"name": "r", "token": both})
    asked = Asked(rule, obj("TokenIssuer", "lenient", lenient), revocation("stolen", subject="alice"))
    text = token(claims(iat=iat))
    assert asked.reason("/", text) == "token_revoked"
    asked.clock.advance(331)
    assert asked.reason("/", text) == "token_expired"


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ({"limits": [{"name": "l", "by": ["Subject"], "requests": 1, "window": "1m"}]}, "rate_exceeded"),
        ({"limits": [{"name": "l", "by": ["Issuer"], "requests": 1, "window": "1m"}]}, "rate_exceeded"),
        ({"reuse": {"maxUses": 1, "key": "Jti"}}, "token_reused"),
        ({"reuse": {"maxUses": 1, "key": "Claim", "claim": "sub"}}, "token_reused"),
    ],
)
def test_the_names_of_one_issuer_share_its_counts(rule: dict[str, Any], refused: str) -> None:
    spec = {**CORP["spec"], "issuerAliases": ["https://inner.corp.example"]}
    counted = with_token("r") | {"token": {"issuers": [{"name": "named"}], "audiences": ["orders-api"]}, **rule}
    asked = Asked(obj("TokenIssuer", "named", spec), policy("p", counted))
    assert asked.reason("/", token()) == "allow"
    assert asked.reason("/", token(claims(iss="https://inner.corp.example"))) == refused


def test_a_lost_store_denies_uses_and_lets_a_rate_pass_that_says_so() -> None:
    limit = {"name": "l", "by": ["Subject"], "requests": 1, "window": "1m"}
    lenient = limit | {"onStoreError": "Allow"}
    rules = [
        with_token("use", match={"path": {"exact": "/use"}}, reuse={"maxUses": 1}),
        with_token("rate", match={"path": {"exact": "/rate"}}, limits=[limit]),
        with_token("open", match={"path": {"exact": "/open"}}, limits=[lenient]),
        with_token("both", match={"path": {"exact": "/both"}}, reuse={"maxUses": 1}, limits=[lenient]),
        with_token("none", match={"path": {"exact": "/none"}}),
    ]  # fmt: skip
    asked = Asked(policy("p", *rules), store=Outage())
    found = {path: asked.reason(path, token()) for path in ("/use", "/rate", "/open", "/both", "/none")}
    assert found == {
        "/use": "store_unavailable", "/rate": "store_unavailable", "/open": "allow", "/both": "store_unavailable",
        "/none": "allow",
    }  # fmt: skip


def test_shadow_admits_records_and_vouches_for_nobody() -> None:
    asked = Asked(policy("p", with_token("r", upstream=IDENTITY, reuse={"maxUses": 1}), mode="Shadow"))
    text = token()
    assert asked.ask("/", text).headers == {"x-auth-sub": "alice"}
    for presented in (text, None, "garbage"):
        response = asked.ask("/", presented, headers={"x-auth-sub": "admin"})
        assert response.code == 0
        assert response.headers == {}
        assert response.removed == ("x-auth-sub",)
        assert response.metadata["reason"] in {"token_reused", "credential_absent", "token_malformed"}
        assert "subject" not in response.metadata


def test_shadow_admits_no_odd_path_that_may_be_one_of_a_policy_that_enforces() -> None:
    trial = policy("trial", with_token("r"), mode="Shadow")
    for host in ("api.example", "*"):
        asked = Asked(trial, policy("guard", with_token("r", match={"path": {"prefix": "/admin"}}), hosts=(host,)))
        found = {
            path: asked.ask(path).code == 0 for path in ("/orders", "//admin", "/%2Fadmin", "/admin;a=b", "/%2561")
        }
        assert found == {path: path == "/orders" for path in found}
    alone = Asked(trial, policy("guard", with_token("r"), hosts=("other.example",)))
    assert alone.ask("//admin").code == 0


def test_a_shadow_policy_with_the_closer_match_decides_before_one_that_enforces() -> None:
    trial = policy("trial", with_token("r", match={"path": {"prefix": "/orders"}}), mode="Shadow")
    asked = Asked(trial, policy("guard", with_token("r")))
    assert [asked.reason(path) for path in ("/orders", "/other")] == ["allow", "credential_absent"]


EVERY_ODDITY = ["EmptySegment", "EncodedSlash", "Backslash", "PathParameter", "DoubleEncoding"]


@pytest.mark.parametrize("mode", ["Enforce", "Shadow"])
@pytest.mark.parametrize(
    "path",
    [
        "//admin",
        "/%2Fadmin/x",
        "/admin;a=b",
        "/%2561dmin",
        "/%5Cadmin%252Fx",
        "/a/%252e%252e/admin",
        "//" + "a" * 1024,
        "/b;/..;/admin",
    ],
)
def test_an_odd_path_that_is_let_in_may_be_no_path_that_another_policy_enforces(path: str, mode: str) -> None:
    wide = policy("wide", anonymous("r"), allowOddPaths=EVERY_ODDITY, mode=mode)
    guard = with_token("r", match={"path": {"prefix": "/admin"}})
    assert Asked(wide, policy("guard", guard)).reason(path) == "request_malformed"


@pytest.mark.parametrize("path", ["//orders", "/a%2Fb", "/orders//admin", "/admins;a=b", "/%255Cadmins"])
def test_an_odd_path_that_is_let_in_is_admitted_where_it_is_nobody_elses(path: str) -> None:
    wide = policy("wide", anonymous("r"), allowOddPaths=EVERY_ODDITY)
    guard = with_token("r", match={"path": {"prefix": "/admin"}})
    assert Asked(wide, policy("guard", guard)).reason(path) == "allow"
    assert Asked(wide, policy("trial", guard, mode="Shadow")).reason("//admin") == "allow"


def test_shadow_counts_apart_from_enforce() -> None:
    rule = with_token("r", reuse={"maxUses": 1})
    asked, text = Asked(policy("p", rule, mode="Shadow")), token()
    asked.ask("/", text)
    asked.load(policy("p", rule))
    assert [asked.reason("/", text) for _ in range(2)] == ["allow", "token_reused"]


def test_a_broken_policy_denies_with_503() -> None:
    response = Asked(policy("p", anonymous("r") | {"typo": 1})).ask()
    assert (response.http_status, response.metadata["reason"]) == (503, "policy_invalid")


def test_a_method_in_lower_case_does_not_get_around_a_rule_for_that_method() -> None:
    strict = with_token("strict", match={"methods": ["DELETE"]}, require={"scopes": ["admin"]})
    asked = Asked(policy("p", strict, anonymous("lax")))
    assert asked.reason(method="DELETE") == "credential_absent"
    assert asked.reason(method="delete") == "request_malformed"


@pytest.mark.parametrize("sent", [("prod", "prod"), ("prod", "dev"), ("dev", "prod")])
def test_a_header_that_comes_twice_does_not_get_around_the_rule_for_one_of_its_values(sent: tuple[str, ...]) -> None:
    strict = with_token("strict", match={"headers": [{"name": "x-env", "exact": "prod"}], "methods": ["GET"]})
    everywhere = policy("any", anonymous("all"), hosts=("*",))
    asked = Asked(policy("p", strict, anonymous("lax")), everywhere)
    assert _sent(asked, "x-env", *sent) == "request_malformed"
    assert _sent(asked, "x-env", *sent, method="POST") == "allow"
    assert _sent(asked, "x-env", *sent, host="other.example") == "allow"
    assert _sent(asked, "x-env", "dev", "test") == "allow"
    asked.load(policy("p", strict), everywhere)
    assert _sent(asked, "x-env", *sent) == "request_malformed"


def test_a_header_that_comes_twice_is_in_nobodys_way_where_the_rule_is_the_same_or_only_records() -> None:
    by_header = {"headers": [{"name": "x-env", "exact": "prod"}]}
    same = anonymous("all", **by_header)
    same["match"].append({"path": {"prefix": "/"}})
    assert _sent(Asked(policy("p", same)), "x-env", "prod", "dev") == "allow"
    trial = policy("trial", with_token("strict", match=by_header), mode="Shadow")
    assert _sent(Asked(trial, policy("p", anonymous("lax"))), "x-env", "prod", "dev") == "allow"


def _sent(asked: Asked, name: str, *values: str, **more: Any) -> str:
    """The answer to a request with a header that stands there once for each value."""
    data = check_request(headers=[(name, value) for value in values], raw=True, **more)
    response = read_response(asked.answerer.answer(data, Seconds(1.0)))
    return "allow" if response.code == 0 else str(response.metadata["reason"])


def test_an_odd_path_needs_leave() -> None:
    assert Asked(policy("p", anonymous("r"))).reason("/a%2Fb") == "request_malformed"
    assert Asked(policy("p", anonymous("r"), allowOddPaths=["EncodedSlash"])).reason("/a%2Fb") == "allow"
    assert Asked(policy("p", anonymous("r"), allowOddPaths=["EncodedSlash"])).reason("/..%2Fb") == "request_malformed"


def test_the_challenge_says_what_would_help() -> None:
    require = {"scopes": ["a", "b"], "authentication": {"acrValues": ["mfa"], "maxAge": "5m"}}
    challenge = {"realm": "shop", "resourceMetadata": "https://api.example/.well-known/oauth-protected-resource"}
    asked = Asked(policy("p", with_token("r", require=require), challenge=challenge))
    absent = asked.ask().headers["www-authenticate"]
    assert absent.startswith('Bearer realm="shop"')
    assert "error=" not in absent
    assert 'resource_metadata="https://api.example/.well-known/oauth-protected-resource"' in absent
    step_up = asked.ask("/", token()).headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in step_up
    assert 'acr_values="mfa"' in step_up
    assert 'max_age="300"' in step_up
    scope = asked.ask("/", token(claims(acr="mfa", auth_time=NOW - 10, scope="a"))).headers["www-authenticate"]
    assert 'error="insufficient_scope"' in scope
    assert 'scope="a b"' in scope


def test_a_query_token_is_taken_out_of_the_url() -> None:
    rule = with_token("r")
    rule["token"]["from"] = {"query": "access_token"}
    response = Asked(policy("p", rule)).ask(f"/?a=1&access_token={token()}")
    assert response.code == 0
    assert response.query_removed == ("access_token",)


def test_a_cluster_issuer_serves_the_namespaces_that_it_allows() -> None:
    issuer: dict[str, Any] = {"issuer": "https://corp.example", "keys": {"inline": {"keys": []}}}
    rule = with_token("r")
    rule["token"]["issuers"] = [{"kind": "ClusterTokenIssuer", "name": "corp"}]
    cluster = obj("ClusterTokenIssuer", "corp", issuer | {"allowedNamespaces": ["other"]})
    assert Asked(policy("p", rule), cluster).reason("/", token()) == "policy_invalid"
    cluster = obj("ClusterTokenIssuer", "corp", issuer | {"allowedNamespaces": ["shop"]})
    assert Asked(policy("p", rule), cluster).reason("/", token()) == "keys_unavailable"


def test_no_token_material_is_observed() -> None:
    asked, text = Asked(policy("p", with_token("r", reuse={"maxUses": 1}))), token()
    for presented in (text, text, text[:-3] + "AAA", "x." + text):
        asked.ask("/", presented)
    shown = repr(asked.seen)
    assert text not in shown
    assert all(segment not in shown for segment in text.split("."))
    assert "id-1" not in shown


def test_an_answer_that_comes_too_late_spends_nothing() -> None:
    class Slow:
        """A clock that a second passes between any two looks at."""

        def __init__(self) -> None:
            self.seconds = 0.0

        def now(self) -> Any:
            return NOW

        def monotonic(self) -> float:
            self.seconds += 1.0
            return self.seconds

    asked = Asked(policy("p", with_token("r", reuse={"maxUses": 1})))
    object.__setattr__(asked.answerer, "clock", Slow())
    assert asked.reason("/", token()) == "overloaded"
    assert len(asked.store) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 100, b"\x0a\x05abc", b"\x0a\x00" * 10_000])
def test_what_is_no_check_request_is_denied(data: bytes) -> None:
    asked = Asked(policy("p", anonymous("r")))
    assert asked.answerer.answer(data, Seconds(1.0))
    assert asked.seen[-1].verdict.ground.policy is None
    assert "Deny" in type(asked.seen[-1].verdict).__name__


def test_a_bug_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(policy("p", anonymous("r")))
    monkeypatch.setattr(asked, "snapshot", object())
    response = asked.ask()
    assert (response.code, response.http_status) == (13, 500)


@pytest.mark.parametrize("key", [{"key": "Jti"}, {"key": "Claim", "claim": "txn"}])
def test_without_iat_uses_by_id_or_claim_are_refused(key: dict[str, str]) -> None:
    """Two tokens of one id could outlive each other by any time: the count would be forgotten before the second."""
    asked = Asked(policy("p", with_token("r", reuse={"maxUses": 1, **key})))
    assert asked.reason("/", token(claims(iat=..., txn="1"))) == "token_malformed"
    assert asked.reason("/", token(claims(txn="1"))) == "allow"
    assert asked.reason("/", token(claims(txn="1", sub="bob"))) == "token_reused"


HIDDEN: list[tuple[dict[str, Any], dict[str, Any], set[str], set[str]]] = [
    (
        {"path": {"regex": "/admin/.*"}},
        {"path": {"prefix": "/"}},
        {"GET /admin/x", "POST /admin/", "GET /admin/x/y"},
        {"GET /", "GET /admin", "GET /adminx", "GET /x/admin/"},
    ),
    (
        {"path": {"template": "/users/{id}/keys"}, "methods": ["GET", "PUT"]},
        {"path": {"prefix": "/users"}},
        {"GET /users/7/keys", "PUT /users/8/keys"},
        {"POST /users/7/keys", "GET /users/7", "GET /users/7/keys/"},
    ),
    (
        {"path": {"prefix": "/a"}, "methods": ["GET"]},
        {"path": {"prefix": "/a"}, "methods": ["GET", "POST"]},
        {"GET /a", "GET /a/b"},
        {"POST /a", "POST /a/b"},
    ),
    (
        {"path": {"template": "/{a}"}, "headers": [{"name": "x-env", "exact": "prod"}]},
        {"path": {"prefix": "/"}},
        {"GET /x prod"},
        {"GET /x", "GET /x test", "GET /x/y prod"},
    ),
]


@pytest.mark.parametrize(("strict", "lax", "refused", "admitted"), HIDDEN, ids=lambda each: str(each)[:30])
def test_what_a_stricter_rule_was_to_take_is_refused_where_a_laxer_one_is_asked(
    strict: dict[str, Any], lax: dict[str, Any], refused: set[str], admitted: set[str]
) -> None:
    asked = Asked(policy("p", anonymous("lax", **lax), with_token("strict", match=strict)))

    def reason(line: str) -> str:
        method, path, *env = line.split(" ")
        return asked.reason(path, token(), method=method, headers=dict(zip(["x-env"], env, strict=False)))

    assert {line: reason(line) for line in refused} == dict.fromkeys(refused, "policy_invalid")
    assert {line: reason(line) for line in admitted} == dict.fromkeys(admitted, "allow")


def test_each_method_is_refused_by_the_rule_that_takes_it() -> None:
    takers = (anonymous("get", path={"prefix": "/"}, methods=["GET"]), anonymous("put", methods=["PUT"]))
    strict = with_token("strict", match={"path": {"template": "/{a}"}, "methods": ["GET", "PUT"]})
    asked = Asked(policy("p", *takers, strict))
    assert [asked.reason("/x", method=method) for method in ("GET", "PUT")] == ["policy_invalid"] * 2
    assert [asked.reason("/", method=method) for method in ("GET", "PUT")] == ["allow"] * 2


def test_each_rule_with_a_prefix_that_holds_the_hidden_one_refuses_what_was_to_come_there() -> None:
    get = anonymous("get", path={"prefix": "/a"}, methods=["GET"])
    test = anonymous("test", path={"prefix": "/a"}, headers=[{"name": "x-env", "exact": "test"}])
    strict = with_token("strict", match={"path": {"template": "/a/{x}"}})
    asked = Asked(policy("p", get, test, anonymous("rest"), strict, anonymous("closer", path={"prefix": "/a/b"})))
    assert [asked.reason("/a/x", method=method) for method in ("GET", "PUT")] == ["policy_invalid"] * 2
    assert asked.reason("/a/x", method="PUT", headers={"x-env": "test"}) == "policy_invalid"
    assert [asked.reason(path) for path in ("/a", "/a/b", "/a/x/y", "/b")] == ["allow"] * 4


def test_a_rule_that_a_request_comes_to_serves_beside_one_that_none_comes_to() -> None:
    exact = anonymous("health", path={"exact": "/admin/health"})
    strict = with_token("strict", match={"path": {"regex": "/admin/.*"}})
    asked = Asked(policy("p", exact, strict, anonymous("rest")), policy("q", anonymous("r"), hosts=("q.example",)))
    assert asked.reason("/admin/health") == "allow"
    assert asked.reason("/admin/x") == "policy_invalid"
    assert asked.reason("/admin/x", host="q.example") == "allow"
    assert asked.reason("/admin/x", extensions={"extauthz.dev/policy": "shop/p"}) == "policy_invalid"


def test_a_shadow_policy_admits_what_nobody_can_tell_and_says_so() -> None:
    strict = with_token("strict", match={"path": {"regex": "/admin/.*"}})
    asked = Asked(policy("p", anonymous("lax"), strict, mode="Shadow"))
    assert asked.reason("/admin/x") == "allow"
    verdict = asked.seen[-1].verdict
    assert isinstance(verdict, Allow)
    assert verdict.shadowed is not None
    assert verdict.shadowed.reason is Reason.POLICY_INVALID
