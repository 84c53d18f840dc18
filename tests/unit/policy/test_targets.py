"""Policies with `targetRefs`: hosts and matches that come from Gateways and routes of Gateway API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Instant
from extauthz.model.verdict import Refusal
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.policy.problem import Cause
from extauthz.policy.snapshot import Snapshot
from extauthz.server.loaded import loaded
from tests.building import anonymous, obj, policy, view, with_token
from tests.gatewaying import Raw, World, gateway, grpc_route, listener, parent, route, targeting

OLD, MID, NEW = "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"
ORDERS = "orders.shop.example"


def chosen(snapshot: Snapshot, path: str = "/", host: str = ORDERS, **more: Any) -> str:
    """`policy/rule` that takes a request; `!` and the reason where one is refused before any rule."""
    found = snapshot.choose(view(path, host=host, **more))
    if isinstance(found, Refusal):
        return f"!{found.reason.name}"
    return f"{found.policy.name}/{found.name}{' broken' if found.broken else ''}"


def causes(snapshot: Snapshot) -> list[Cause]:
    return [problem.cause for problem in snapshot.problems]


# Hosts


@pytest.mark.parametrize(
    ("listeners", "hostnames", "wanted"),
    [
        (["*.shop.example"], [ORDERS], {ORDERS}),
        ([ORDERS], ["*.shop.example"], {ORDERS}),
        ([None], [ORDERS], {ORDERS}),
        (["*.shop.example"], [], {"*.shop.example"}),
        ([None], [], {"*"}),
        (["*.shop.example", "*.b.example"], ["a.shop.example", "b.example"], {"a.shop.example"}),
        (["*.a.shop.example"], ["*.shop.example"], {"*.a.shop.example"}),
        (["shop.example"], ["*.shop.example"], {"*.shop.example"}),
        (["a.example"], ["b.example"], {"b.example"}),
    ],
)
def test_hosts_are_what_routes_and_listeners_have_in_common(
    listeners: Sequence[str | None], hostnames: Sequence[str], wanted: set[str]
) -> None:
    gate = gateway("edge", *(listener(f"l{n}", hostname=host) for n, host in enumerate(listeners)))
    found = World(gate, route("r", hostnames=hostnames), targeting("p", "r")).snapshot()
    assert {each.key.host for routes in found.policies.values() for each in routes} == wanted
    assert not found.problems


def test_only_the_listeners_that_a_route_names_count() -> None:
    gate = gateway("edge", listener("a", hostname="a.example", port=80), listener("b", hostname="b.example", port=81))
    for named, host in ((parent("edge", sectionName="b"), "b.example"), (parent("edge", port=80), "a.example")):
        found = World(gate, route("r", parents=[named]), targeting("p", "r")).snapshot()
        assert chosen(found, host=host) == "p/all"
        assert chosen(found, host="c.example") == "!NO_POLICY"


@pytest.mark.parametrize(
    "parents",
    [
        [parent("gone")], [], [parent("edge", kind="Service", group="")], [parent("edge", sectionName="gone")],
        [parent("edge"), parent("gone")], [{"name": 7}], 7, [7],
    ],
)  # fmt: skip
def test_where_listeners_cannot_be_told_a_route_is_not_narrowed(parents: Any) -> None:
    gate = gateway("edge", listener("a", hostname="a.example"))
    found = World(gate, route("r", parents=parents), targeting("p", "r")).snapshot()
    assert chosen(found, host="elsewhere.example") == "p/all"


def test_a_gateway_of_another_namespace_narrows() -> None:
    gate = gateway("edge", listener("a", hostname="*.a.example"), namespace="infra")
    named = route("r", hostnames=["*.example"], parents=[parent("edge", namespace="infra")])
    found = World(gate, named, targeting("p", "r")).snapshot()
    assert chosen(found, host="x.a.example") == "p/all"
    assert chosen(found, host="x.b.example") == "!NO_POLICY"


def test_a_gateway_stands_for_its_listeners_for_http() -> None:
    gate = gateway(
        "edge",
        listener("web", hostname="web.example"),
        listener("api", hostname="*.api.example", protocol="HTTPS"),
        listener("tcp", protocol="TCP"),
        listener("tls", protocol="TLS", hostname="tls.example"),
    )
    found = World(gate, targeting("p", "edge", kind="Gateway")).snapshot()
    assert {each.key.host for routes in found.policies.values() for each in routes} == {"web.example", "*.api.example"}
    one = World(gate, targeting("p", "edge", kind="Gateway", section="api")).snapshot()
    assert chosen(one, host="web.example") == "!NO_POLICY"
    assert chosen(one, host="x.api.example") == "p/all"


def test_a_namespace_gets_no_host_by_a_route_that_it_was_not_granted() -> None:
    gate = gateway("edge", listener("any"))
    stolen = route("r", hostnames=["orders.bank.example", ORDERS])
    found = World(gate, stolen, targeting("p", "r"), grants={"shop": ("*.shop.example",)}).snapshot()
    assert chosen(found, host="orders.bank.example") == "!NO_POLICY"
    assert chosen(found) == "p/all"
    assert causes(found) == [Cause.HOST_NOT_GRANTED]
    assert "`orders.bank.example`" in found.problems[0].message


@pytest.mark.parametrize("grants", [{}, {"bank": ("*",)}, {"shop": ()}, {"shop": ("%%",)}])
def test_without_a_grant_a_route_gives_no_host(grants: Mapping[str, tuple[str, ...]]) -> None:
    for hostnames in ([], [ORDERS], ["*.example"]):
        found = World(
            gateway("edge", listener("a")), route("r", hostnames=hostnames), targeting("p", "r"), grants=grants
        )
        assert not any(found.snapshot().policies.values())
        assert causes(found.snapshot()) == [Cause.HOST_NOT_GRANTED]


def test_a_route_without_hostnames_is_cut_to_the_grants() -> None:
    found = World(
        gateway("edge", listener("a")), route("r"), targeting("p", "r"), grants={"shop": (ORDERS, "*.b.example")}
    ).snapshot()
    assert {each.key.host for routes in found.policies.values() for each in routes} == {ORDERS, "*.b.example"}
    assert not found.problems


# Matches


def matched(**match: Any) -> Raw:
    return route("r", hostnames=[ORDERS], matches=[match])


@pytest.mark.parametrize(
    ("match", "taken", "left"),
    [
        ({"path": {"type": "Exact", "value": "/a"}}, ["/a"], ["/a/b", "/", "/ab"]),
        ({"path": {"type": "PathPrefix", "value": "/a"}}, ["/a", "/a/b"], ["/ab", "/"]),
        ({"path": {"value": "/a/"}}, ["/a", "/a/b"], ["/ab", "/"]),
        ({"path": {"type": "RegularExpression", "value": "/a[0-9]+"}}, ["/a1"], ["/a", "/a1/b"]),
        ({}, ["/", "/a"], []),
    ],
)
def test_only_what_the_path_of_a_route_takes_is_claimed(
    match: dict[str, Any], taken: list[str], left: list[str]
) -> None:
    found = World(matched(**match), targeting("p", "r")).snapshot()
    assert [chosen(found, path) for path in taken] == ["p/all"] * len(taken)
    assert [chosen(found, path) for path in left] == ["!NO_POLICY"] * len(left)


def test_method_and_headers_of_a_route_are_matched_as_envoy_does() -> None:
    exact = {"name": "X-Version", "value": "1,2"}
    pattern = {"type": "RegularExpression", "name": "x-tenant", "value": "a.*"}
    found = World(matched(method="POST", headers=[exact, pattern]), targeting("p", "r")).snapshot()

    def asked(method: str = "POST", **headers: Any) -> str:
        return chosen(found, method=method, headers={name.replace("_", "-"): text for name, text in headers.items()})

    assert asked(x_version="1,2", x_tenant="acme") == "p/all"
    assert asked(x_version=("1", "2"), x_tenant="acme") == "p/all"
    assert asked(x_version="1", x_tenant="acme") == "!NO_POLICY"
    assert asked(x_version="1,2", x_tenant="beta") == "!NO_POLICY"
    assert asked(x_version="1,2") == "!NO_POLICY"
    assert asked("GET", x_version="1,2", x_tenant="acme") == "!NO_POLICY"


def test_of_several_headers_of_one_name_the_first_counts() -> None:
    headers = [{"name": "x-a", "value": "1"}, {"name": "X-A", "value": "2"}]
    found = World(matched(headers=headers), targeting("p", "r")).snapshot()
    assert chosen(found, headers={"x-a": "1"}) == "p/all"


def test_a_query_parameter_narrows_and_two_readings_of_it_are_refused() -> None:
    strict = World(
        route("old", hostnames=[ORDERS]),
        route("r", hostnames=[ORDERS], matches=[{"queryParams": [{"name": "v", "value": "2"}]}]),
        targeting("lax", "old"),
        targeting("strict", "r"),
    ).snapshot()
    assert chosen(strict, "/x?v=2") == "strict/all"
    assert chosen(strict, "/x?v=1") == chosen(strict, "/x") == chosen(strict, "/x?w=2") == "lax/all"
    for query in ("v=2&v=1", "v=1&v=2", "v=%32", "%76=2", "v=+2"):
        assert chosen(strict, f"/x?{query}") == "!REQUEST_MALFORMED"


@pytest.mark.parametrize(
    ("method", "taken", "left"),
    [
        ({"service": "a.B", "method": "C"}, ["/a.B/C"], ["/a.B/D", "/a.B"]),
        ({"service": "a.B"}, ["/a.B/C", "/a.B/D"], ["/a.C/C"]),
        ({"method": "C"}, ["/a.B/C", "/x/C"], ["/a.B/D", "/a/b/C"]),
        ({"type": "RegularExpression", "service": "a|b", "method": "C.*"}, ["/a/C1", "/b/C"], ["/a/D", "/ab/C"]),
        (None, ["/a.B/C"], []),
    ],
)
def test_a_grpc_route_takes_services_and_methods(method: Any, taken: list[str], left: list[str]) -> None:
    match = {} if method is None else {"method": method}
    found = World(
        grpc_route("r", hostnames=[ORDERS], matches=[match]), targeting("p", "r", kind="GRPCRoute")
    ).snapshot()
    assert [chosen(found, path) for path in taken] == ["p/all"] * len(taken)
    assert [chosen(found, path) for path in left] == ["!NO_POLICY"] * len(left)


def test_a_section_is_one_named_rule_of_a_route() -> None:
    rules = [
        {"name": "a", "matches": [{"path": {"value": "/a"}}]},
        {"name": "b", "matches": [{"path": {"value": "/b"}}]},
    ]
    found = World(route("r", hostnames=[ORDERS], rules=rules), targeting("p", "r", section="b")).snapshot()
    assert chosen(found, "/b/x") == "p/all"
    assert chosen(found, "/a/x") == "!NO_POLICY"
    gone = World(route("r", hostnames=[ORDERS], rules=rules), targeting("p", "r", section="c")).snapshot()
    assert causes(gone) == [Cause.TARGET_NOT_FOUND]
    assert "with a rule named `c`" in gone.problems[0].message


# Rules within a route


def test_what_no_rule_takes_of_a_targets_requests_falls_to_no_other_policy() -> None:
    api = route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}])
    only = targeting("p", "r", rules=[anonymous("admin", path={"exact": "/api/admin"})])
    wide = [policy(f"w{n}", anonymous("all"), hosts=(host,)) for n, host in enumerate((ORDERS, "*.shop.example", "*"))]
    found = World(api, only, *wide).snapshot()
    assert chosen(found, "/api/admin") == "p/admin"
    assert chosen(found, "/api/other") == "!NO_POLICY"
    assert chosen(found, "/other") == "w0/all"
    pinned = found.choose(view("/api/other", host=ORDERS, pinned="shop/p"))
    assert isinstance(pinned, Refusal)
    assert pinned.reason is Reason.NO_POLICY


def test_the_route_that_envoy_chooses_comes_before_the_paths_of_rules() -> None:
    wide, deep = (
        route("wide", hostnames=[ORDERS]),
        route("deep", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}]),
    )
    lax = targeting("lax", "wide", rules=[anonymous("admin", path={"exact": "/api/admin"})])
    found = World(wide, deep, lax, targeting("strict", "deep")).snapshot()
    assert chosen(found, "/api/admin") == "strict/all"


def test_within_a_route_the_closer_rule_decides_whichever_policy_it_is_of() -> None:
    one = targeting("one", "r", rules=[anonymous("all"), anonymous("deep", path={"prefix": "/a/b"})])
    two = targeting("two", "r", rules=[anonymous("a", path={"prefix": "/a"}), anonymous("x", path={"exact": "/x"})])
    found = World(route("r", hostnames=[ORDERS]), one, two).snapshot()
    assert [chosen(found, path) for path in ("/", "/a", "/a/b/c", "/x")] == ["one/all", "two/a", "one/deep", "two/x"]
    assert not found.problems


def test_of_two_routes_with_the_same_match_the_older_one_counts_not_the_older_policy() -> None:
    routes = [route("old", hostnames=[ORDERS], created=OLD), route("new", hostnames=[ORDERS], created=NEW)]
    found = World(*routes, targeting("a", "new", created=OLD), targeting("b", "old", created=NEW)).snapshot()
    assert chosen(found) == "b/all"
    assert not found.problems


def test_two_policies_for_one_target_conflict_and_the_older_serves() -> None:
    found = World(
        route("r", hostnames=[ORDERS]), targeting("a", "r", created=NEW), targeting("b", "r", created=OLD)
    ).snapshot()
    assert chosen(found) == "b/all"
    assert causes(found) == [Cause.CONFLICTED]
    assert found.problems[0].object.name == "a"


def test_a_route_comes_before_its_gateway_however_old_the_policies_are() -> None:
    gate = gateway("edge", listener("a", hostname=ORDERS), created=OLD)
    of_gate = targeting("gate", "edge", kind="Gateway", created=OLD)
    found = World(gate, route("r", created=NEW), of_gate, targeting("route", "r", created=NEW)).snapshot()
    assert chosen(found) == "route/all"
    assert not found.problems


@pytest.mark.parametrize(("older", "serves"), [(OLD, "hosts/r"), (NEW, "target/all")])
def test_a_policy_for_a_host_and_one_for_a_route_that_say_the_same_conflict(older: str, serves: str) -> None:
    api = route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}], created=OLD)
    plain = policy("hosts", anonymous("r", path={"prefix": "/api"}), hosts=(ORDERS,), created=older)
    found = World(api, plain, targeting("target", "r", created=MID)).snapshot()
    assert chosen(found, "/api/x") == serves
    assert causes(found) == [Cause.CONFLICTED]


def test_a_conflicted_policy_owns_nothing() -> None:
    plain = policy("hosts", anonymous("all"), hosts=(ORDERS,), created=MID)
    newest = targeting("new", "r", created=NEW)
    found = World(route("r", hostnames=[ORDERS]), targeting("old", "r", created=OLD), plain, newest).snapshot()
    assert chosen(found) == "old/all"
    assert ["shop/old is older" in problem.message for problem in found.problems] == [True, True]


@pytest.mark.parametrize("other", [None, {"value": "/"}, {"type": "RegularExpression", "value": "/v.*"}])
def test_no_policy_admits_where_the_order_of_routes_is_not_defined(other: Any) -> None:
    versions = {"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}
    rest = (
        [policy("b", anonymous("all"), hosts=(ORDERS,))]
        if other is None
        else [route("o", hostnames=[ORDERS], matches=[{"path": other}]), targeting("b", "o")]
    )
    found = World(route("r", hostnames=[ORDERS], matches=[versions]), targeting("a", "r"), *rest).snapshot()
    assert chosen(found, "/v1") == "!REQUEST_MALFORMED"
    assert chosen(found, "/vx") == "b/all"
    exact = policy("e", anonymous("one", path={"exact": "/v1"}), hosts=(ORDERS,))
    sure = World(route("r", hostnames=[ORDERS], matches=[versions]), targeting("a", "r"), *rest, exact).snapshot()
    assert chosen(sure, "/v1") == "e/one"


def test_two_policies_for_one_route_with_a_pattern_are_in_no_dispute() -> None:
    versions = route("r", hostnames=[ORDERS], matches=[{"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}])
    posts = targeting("b", "r", rules=[anonymous("post", methods=["POST"])])
    found = World(versions, targeting("a", "r"), posts).snapshot()
    assert chosen(found, "/v1") == "a/all"
    assert chosen(found, "/v1", method="POST") == "b/post"


# What is missing, broken or odd


def test_a_target_that_never_was_claims_nothing_and_says_so() -> None:
    for kind, words in (
        ("HTTPRoute", "no HTTPRoute `r`"),
        ("GRPCRoute", "no GRPCRoute `r`"),
        ("Gateway", "no Gateway `r`"),
    ):
        found = World(targeting("p", "r", kind=kind), policy("w", anonymous("all"), hosts=("*",))).snapshot()
        assert chosen(found) == "w/all"
        assert causes(found) == [Cause.TARGET_NOT_FOUND]
        assert words in found.problems[0].message


def test_a_target_of_another_namespace_is_out_of_reach() -> None:
    found = World(route("r", hostnames=[ORDERS], namespace="other"), targeting("p", "r")).snapshot()
    assert causes(found) == [Cause.TARGET_NOT_FOUND]


def test_the_other_targets_of_a_policy_serve_when_one_is_missing() -> None:
    several = targeting("p", "gone")
    several["spec"]["targetRefs"].append({"kind": "HTTPRoute", "name": "r"})
    found = World(route("r", hostnames=[ORDERS]), several).snapshot()
    assert chosen(found) == "p/all"
    assert causes(found) == [Cause.TARGET_NOT_FOUND]


def test_what_a_target_took_that_is_gone_falls_to_no_laxer_policy() -> None:
    world = World(
        route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}]),
        targeting("p", "r"),
        policy("w", anonymous("all"), hosts=("*",)),
        policy("same", anonymous("all"), hosts=(ORDERS,)),
    )
    assert chosen(world.snapshot(), "/api/x") == "p/all"
    gone = world.without("HTTPRoute", "r").snapshot()
    assert chosen(gone, "/api/x") == "p/no-target broken"
    assert chosen(gone, "/other") == "same/all"
    assert causes(gone) == [Cause.TARGET_NOT_FOUND]
    assert "are denied until it is back" in gone.problems[0].message
    assert chosen(gone_again := world.snapshot(), "/api/x") == "p/no-target broken"
    assert gone_again.version == gone.version
    back = world.with_(route("r", hostnames=[ORDERS])).snapshot()
    assert chosen(back, "/api/x") == "p/all"


@pytest.mark.parametrize("then", ["gone", "unclear"])
def test_a_policy_that_was_conflicted_with_one_whose_target_went_stays_so(then: str) -> None:
    rules = [with_token("api", match={"path": {"prefix": "/api"}})]
    world = World(
        obj("TokenIssuer", "corp", {"issuer": "https://corp.example", "keys": {"discovery": {}}}),
        route("r", hostnames=[ORDERS]),
        targeting("p", "r", created=OLD, rules=rules),
        policy("later", anonymous("lax", path={"prefix": "/api"}), hosts=(ORDERS,), created=NEW),
    )
    assert chosen(world.snapshot(), "/api/x") == "p/api"
    if then == "gone":
        changed = world.without("HTTPRoute", "r").snapshot()
    else:
        changed = world.with_(route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/"}, "new": 1}])).snapshot()
    assert chosen(changed, "/api/x") == "p/no-target broken"
    assert Cause.CONFLICTED in causes(changed)


def test_what_is_remembered_of_a_target_ends_when_no_policy_names_it() -> None:
    world = World(route("r", hostnames=[ORDERS]), targeting("p", "r"), policy("w", anonymous("all"), hosts=("*",)))
    world.snapshot()
    world.without("HTTPRoute", "r").snapshot()
    assert chosen(world.without("AccessPolicy", "p").snapshot()) == "w/all"
    assert chosen(world.with_(targeting("p", "r")).snapshot()) == "w/all"


def test_a_section_that_is_gone_is_remembered_too() -> None:
    named = {"name": "a", "matches": [{"path": {"value": "/a"}}]}
    world = World(route("r", hostnames=[ORDERS], rules=[named]), targeting("p", "r", section="a"))
    assert chosen(world.snapshot(), "/a") == "p/all"
    renamed = world.with_(route("r", hostnames=[ORDERS], rules=[named | {"name": "b"}]))
    assert chosen(renamed.snapshot(), "/a") == "p/no-target broken"


def test_a_broken_policy_denies_all_that_its_targets_take() -> None:
    api = route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}])
    rule = anonymous("r", path={"exact": "/api/a"}) | {"typo": 1}
    lost = targeting("p", "r", rules=[{"name": "r", "matc": []}])
    wide = policy("w", anonymous("all"), hosts=(ORDERS,))
    read = World(api, targeting("p", "r", rules=[rule]), wide).snapshot()
    assert chosen(read, "/api/a") == "p/r broken"
    assert chosen(read, "/api/b") == "!NO_POLICY"
    assert chosen(World(api, lost, wide).snapshot(), "/api/b") == "p/r broken"
    assert chosen(World(api, lost, wide).snapshot(), "/b") == "w/all"


@pytest.mark.parametrize(
    "match",
    [
        7, None, [], {"path": 7}, {"path": {"type": "Glob", "value": "/a"}}, {"path": {"value": 7}},
        {"path": {"value": "a"}}, {"path": {"type": "RegularExpression", "value": "("}}, {"path": {"value": "/a/../b"}},
        {"path": {"value": "/a", "caseInsensitive": True}},
    ],
)  # fmt: skip
def test_a_path_of_a_route_that_is_not_understood_could_be_any(match: Any) -> None:
    wide = policy("w", anonymous("one", path={"exact": "/a"}), hosts=(ORDERS,))
    found = World(route("r", hostnames=[ORDERS], matches=[match]), targeting("p", "r"), wide).snapshot()
    assert chosen(found, "/a") == "p/no-target broken"
    assert Cause.INVALID in causes(found)
    assert "is not understood" in found.problems[0].message


@pytest.mark.parametrize(
    "more",
    [
        {"cookies": []}, {"method": 7}, {"method": "A B"}, {"headers": 7}, {"headers": [7]},
        {"headers": [{"name": "a"}]},
        {"headers": [{"type": "Glob", "name": "a", "value": "b"}]}, {"headers": [{"name": "Host", "value": "b"}]},
        {"headers": [{"type": "RegularExpression", "name": "a", "value": "("}]}, {"queryParams": [{"name": "a"}]},
    ],
)  # fmt: skip
def test_a_condition_of_a_route_that_is_not_understood_denies_its_path_and_no_other(more: dict[str, Any]) -> None:
    match = {"path": {"value": "/a"}, **more}
    wide = policy("w", anonymous("all"), hosts=(ORDERS,))
    found = World(route("r", hostnames=[ORDERS], matches=[match]), targeting("p", "r"), wide).snapshot()
    assert chosen(found, "/a/x") == "p/no-target broken"
    assert chosen(found, "/b") == "w/all"


@pytest.mark.parametrize("hostnames", [7, [7], ["a..b"], [""], ["HTTP://a"], [None], [ORDERS, 7]])
def test_hostnames_that_are_not_understood_deny_all_hosts_of_the_namespace(hostnames: Any) -> None:
    found = World(
        route("r", hostnames=hostnames), targeting("p", "r"), policy("w", anonymous("all"), hosts=(ORDERS,)),
        grants={"shop": (ORDERS,)},
    ).snapshot()  # fmt: skip
    assert chosen(found) == "p/no-target broken"


@pytest.mark.parametrize(
    "listeners", [7, None, [7], [{"name": "a", "hostname": 7}], [{"name": "a", "hostname": "A B"}]]
)
def test_listeners_that_are_not_understood_narrow_nothing(listeners: Any) -> None:
    gate = gateway("edge")
    gate["spec"]["listeners"] = listeners
    found = World(gate, route("r"), targeting("p", "r"), targeting("g", "edge", kind="Gateway")).snapshot()
    assert chosen(found) in {"p/all", "g/no-target broken"}
    assert chosen(found, host="elsewhere.example") in {"p/all", "g/no-target broken"}


def test_more_matches_than_there_is_room_for_deny_the_hosts() -> None:
    matches = [{"path": {"type": "Exact", "value": f"/{n}"}} for n in range(64)]
    rules = [anonymous(f"r{n}", path={"exact": f"/r{n}"}, methods=["GET", "POST"]) for n in range(64)]
    hosts = [f"h{n}.example" for n in range(16)]
    found = World(route("r", hostnames=hosts, matches=matches), targeting("p", "r", rules=rules)).snapshot()
    assert causes(found) == [Cause.INVALID]
    assert "more than 65536" in found.problems[0].message
    assert {chosen(found, "/x", host=host) for host in hosts} == {"p/too-many broken"}
    assert chosen(found) == "!NO_POLICY"


def test_where_nobody_knows_of_targets_the_policy_says_so() -> None:
    found = compile_snapshot([parse(targeting("p", "r"), cluster=True)])
    assert "is for a central service" in found.problems[0].message
    assert not any(found.policies.values())


def test_what_is_compiled_follows_its_targets_and_grants_alone() -> None:
    world = World(
        route("r", hostnames=[ORDERS]), targeting("p", "r"), policy("q", anonymous("all"), hosts=("q.example",))
    )
    first = world.snapshot()
    assert world.snapshot().policies is first.policies
    unrelated = world.with_(route("other", hostnames=["x.example"])).snapshot()
    assert unrelated.policies is first.policies
    assert unrelated.version == first.version
    edited = world.with_(route("r", hostnames=["new.shop.example"])).snapshot()
    assert edited.version != first.version
    assert chosen(edited) == "!NO_POLICY"
    assert chosen(edited, host="new.shop.example") == "p/all"
    narrowed = world.granting({"shop": ("x.example",)}).snapshot()
    assert chosen(narrowed, host="new.shop.example") == "!NO_POLICY"


# What is shown


def test_the_page_of_what_is_loaded_tells_the_target_of_each_host() -> None:
    api = route("r", hostnames=[ORDERS], matches=[{"path": {"value": "/api"}}])
    several = targeting("p", "r", rules=[anonymous("one", path={"exact": "/api/one"})])
    several["spec"]["targetRefs"].append({"kind": "Gateway", "name": "edge", "sectionName": "web"})
    gate = gateway("edge", listener("web", hostname="*.web.example"))
    found = World(gate, api, several, policy("q", anonymous("all"), hosts=("q.example",))).snapshot()
    pages = {each["policy"]: each for each in loaded(found, (), {}, Instant(0.0))["policies"]}
    assert pages["shop/p"]["targets"] == {
        "Gateway shop/edge, section web": ["*.web.example"],
        "HTTPRoute shop/r": [ORDERS],
    }
    assert pages["shop/p"]["rules"] == ["one"]
    assert pages["shop/q"]["targets"] == {}
