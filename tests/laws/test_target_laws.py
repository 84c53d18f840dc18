"""Laws of policies for routes: they take what their routes take, never more than is theirs, and doubt denies."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.control.events import Applied, Deleted, Event, Listed
from extauthz.control.objects import Objects
from extauthz.control.resources import TARGETS
from extauthz.model.request import RequestView
from extauthz.model.verdict import Refusal
from extauthz.policy.attach import targets_of
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.gateway.reading import read_object
from extauthz.policy.gateway.surface import Remembering
from extauthz.policy.gateway.target import Place
from extauthz.policy.parse import parse
from extauthz.policy.snapshot import Snapshot
from tests.building import anonymous, policy, view, with_token
from tests.clock import FakeClock
from tests.gatewaying import Raw, World, gateway, listener, parent, route, targeting

_HOSTS: Final = ("a.shop.example", "b.shop.example", "shop.example", "bank.example")
_NAMES: Final = ("*.shop.example", *_HOSTS)
_GRANTS: Final = {"shop": ("*.shop.example",), "bank": ("bank.example", "*.bank.example")}
_TIMES: Final = ("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z")
_PATHS: Final = ("/", "/api", "/api/x", "/v1", "/api?v=1", "/api?v=1&v=2", "/x?v=%31")
_REQUESTS: Final = tuple(
    view(path, host=host, method=method, headers=headers)
    for path in _PATHS
    for host in _HOSTS
    for method in ("GET", "POST")
    for headers in ({}, {"x-a": "1"})
)
_MATCHES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"path": {"value": "/api"}},
    {"path": {"type": "Exact", "value": "/api"}},
    {"path": {"type": "RegularExpression", "value": "/v[0-9]"}},
    {"method": "POST"},
    {"headers": [{"name": "x-a", "value": "1"}]},
    {"queryParams": [{"name": "v", "value": "1"}]},
)
_RULES: Final = (
    anonymous("all"),
    anonymous("api", path={"prefix": "/api"}),
    anonymous("deep", path={"exact": "/api/x"}, methods=["GET"]),
    anonymous("head", headers=[{"name": "x-a", "present": True}]),
    with_token("token", match={"path": {"regex": "/(api|v1)"}}),
)
Set: TypeAlias = dict[tuple[str, str, str], Raw]


@st.composite
def _route(draw: st.DrawFn) -> Raw:
    kind = draw(st.sampled_from(["HTTPRoute", "HTTPRoute", "GRPCRoute"]))
    matches = draw(st.lists(st.sampled_from(_MATCHES), max_size=2))
    if kind == "GRPCRoute":
        matches = [{"method": {"service": "api"}}] if matches else []
    return route(
        draw(st.sampled_from("qrs")),
        kind=kind,
        hostnames=draw(st.lists(st.sampled_from(_NAMES), max_size=2, unique=True)),
        matches=matches,
        parents=draw(st.sampled_from([None, [], [parent("gone")], [parent("edge", sectionName="one")]])),
        namespace=draw(st.sampled_from(["shop", "bank"])),
        created=draw(st.sampled_from(_TIMES)),
    )


@st.composite
def _gateway(draw: st.DrawFn) -> Raw:
    names = draw(st.lists(st.sampled_from([None, *_NAMES]), min_size=1, max_size=2))
    listeners = (listener(label, hostname=name) for label, name in zip(("one", "two"), names, strict=False))
    return gateway("edge", *listeners, namespace=draw(st.sampled_from(["shop", "bank"])), created=_TIMES[0])


@st.composite
def _targeting(draw: st.DrawFn) -> Raw:
    kind = draw(st.sampled_from(["HTTPRoute", "HTTPRoute", "GRPCRoute", "Gateway"]))
    rules = draw(st.lists(st.sampled_from(_RULES), min_size=1, max_size=2, unique_by=lambda rule: rule["name"]))
    target = "edge" if kind == "Gateway" else draw(st.sampled_from("qrs"))
    namespace, created = draw(st.sampled_from(["shop", "bank"])), draw(st.sampled_from(_TIMES))
    return targeting(draw(st.sampled_from("tuv")), target, kind=kind, rules=rules, namespace=namespace, created=created)


@st.composite
def _plain(draw: st.DrawFn) -> Raw:
    hosts = tuple(draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=2, unique=True)))
    namespace, created = draw(st.sampled_from(["shop", "bank"])), draw(st.sampled_from(_TIMES))
    return policy("h", draw(st.sampled_from(_RULES)), hosts=hosts, namespace=namespace, created=created)


_SETS: Final = st.lists(st.one_of(_route(), _gateway(), _targeting(), _targeting(), _plain()), max_size=10).map(
    lambda objects: {_key(each): each for each in objects}
)


def _key(raw: Raw) -> tuple[str, str, str]:
    return raw["kind"], raw["metadata"]["namespace"], raw["metadata"]["name"]


def _snapshot(objects: Mapping[Any, Raw]) -> Snapshot:
    return World(*objects.values(), grants=_GRANTS).snapshot()


def _told(found: Snapshot, request: RequestView) -> str:
    """Who decides, and how."""
    chosen = found.choose(request)
    if isinstance(chosen, Refusal):
        return chosen.reason.name
    return f"{chosen.policy}/{chosen.name} {chosen.broken is None}"


def _may_admit(found: Snapshot, request: RequestView) -> bool:
    """Whether a rule takes it that can admit."""
    chosen = found.choose(request)
    return not isinstance(chosen, Refusal) and chosen.broken is None


@given(_SETS)
@settings(max_examples=200)
def test_no_host_is_claimed_that_is_not_granted(objects: Set) -> None:
    for ref, routes in _snapshot(objects).policies.items():
        ending = {"shop": ".shop.example", "bank": "bank.example"}[ref.namespace]
        assert all(each.key.host.endswith(ending) for each in routes)


@given(_SETS, st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_the_order_in_which_objects_come_never_shows(objects: Set, chance: Any) -> None:
    shuffled = list(objects.items())
    chance.shuffle(shuffled)
    one, other = _snapshot(objects), _snapshot(dict(shuffled))
    assert one.version == other.version
    assert sorted(map(str, one.problems)) == sorted(map(str, other.problems))
    assert [_told(one, each) for each in _REQUESTS] == [_told(other, each) for each in _REQUESTS]


@given(_SETS)
@settings(max_examples=150)
def test_what_no_target_takes_is_decided_as_if_there_were_no_policy_for_it(objects: Set) -> None:
    whole = _snapshot(objects)
    without = {key: each for key, each in objects.items() if "targetRefs" not in each["spec"]}
    rest, conflicted = _snapshot(without), [each for each in whole.problems if "conflicted" in each.message]
    if conflicted:
        return
    for request in _REQUESTS:
        tables = whole.tables(request)
        lists = (found for table in tables for found in table.candidates(request.target.path))
        touched = any(
            each.key.within is not None and each.key.within.misses(request) is None for f in lists for each in f
        )
        if not touched:
            assert _told(whole, request) == _told(rest, request)


@given(_SETS, _route())
@settings(max_examples=150)
def test_a_route_that_no_policy_targets_changes_nothing(objects: Set, more: Raw) -> None:
    stray = {**more, "metadata": {**more["metadata"], "name": "stray"}}
    one, other = _snapshot(objects), _snapshot({**objects, _key(stray): stray})
    assert one.version == other.version
    assert [_told(one, each) for each in _REQUESTS] == [_told(other, each) for each in _REQUESTS]


@given(_SETS, st.data())
@settings(max_examples=200)
def test_when_a_target_goes_no_request_that_was_denied_or_its_own_is_admitted(
    objects: Set, data: st.DataObject
) -> None:
    """What is gone denies what it took; it opens nothing to the policies that it stood before."""
    targets = [key for key in objects if key[0] in TARGETS]
    if not targets:
        return
    gone = data.draw(st.sampled_from(targets))
    world = World(*objects.values(), grants=_GRANTS)
    before = world.snapshot()
    after = world.without(gone[0], gone[2], gone[1]).snapshot()
    for request in _REQUESTS:
        chosen = before.choose(request)
        if isinstance(chosen, Refusal) or not _took(before, request, gone):
            continue
        assert not _may_admit(after, request)


def _took(found: Snapshot, request: RequestView, target: tuple[str, str, str]) -> bool:
    """Whether the route that decides a request came from this target."""
    place = _target(found, request)
    return place is not None and (place.kind, place.namespace, place.name) == target


def _target(found: Snapshot, request: RequestView) -> Place | None:
    """The target that the route which decides a request came from."""
    lists = (routes for table in found.tables(request) for routes in table.candidates(request.target.path))
    first = next((each for routes in lists for each in routes if each.misses(request) is None), None)
    return None if first is None or first.key.within is None else first.key.within.target.place


_ODD: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.just([]), st.just({}), st.just([7]),
    st.just(["*"]), st.just({"type": "Glob", "value": "/"}), st.just([{"name": "x-b", "value": 7}]),
    st.just([{"matches": 7}]),
)  # fmt: skip


@given(_SETS, st.sampled_from(["shop", "bank"]))
@settings(max_examples=200)
def test_when_a_gateway_goes_its_routes_keep_what_they_took(objects: Set, namespace: str) -> None:
    key = ("Gateway", namespace, "edge")
    if key not in objects:
        return
    world = World(*objects.values(), grants=_GRANTS)
    before = world.snapshot()
    after = world.without(key[0], key[2], key[1]).snapshot()
    for request in _REQUESTS:
        target = _target(before, request)
        if target is not None and target.kind != "Gateway":
            assert _target(after, request) is not None


@given(_SETS, st.data())
@settings(max_examples=300)
def test_garbage_in_a_route_never_raises_and_claims_nothing_new(objects: Set, data: st.DataObject) -> None:
    targets = [key for key in objects if key[0] in TARGETS]
    if not targets:
        return
    key = data.draw(st.sampled_from(targets))
    spoilt = copy.deepcopy(objects[key])
    holder = spoilt["spec"]
    while True:
        step = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        inner = holder[step]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            holder[step] = data.draw(_ODD)
            break
        holder = inner
    found = _snapshot({**objects, key: spoilt})
    for ref, routes in found.policies.items():
        ending = {"shop": ".shop.example", "bank": "bank.example"}[ref.namespace]
        assert all(each.key.host.endswith(ending) for each in routes)
    for request in _REQUESTS:
        found.choose(request)


_WORDS: Final = (
    "spec", "metadata", "name", "namespace", "rules", "matches", "path", "value", "type", "hostnames", "parentRefs",
    "listeners", "hostname", "headers", "creationTimestamp", "method", "service", "queryParams",
)  # fmt: skip
_ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(_ANYTHING, st.sampled_from(sorted(TARGETS)))
@settings(max_examples=500)
def test_whatever_is_handed_over_can_be_read(raw: Any, kind: str) -> None:
    read_object(kind, raw if isinstance(raw, dict) else {"spec": raw})


@st.composite
def _histories(draw: st.DrawFn) -> list[Event]:
    """Targets that come, change and go, and kinds that are listed anew."""
    events: list[Event] = []
    for found in draw(st.lists(st.one_of(_route(), _gateway()), max_size=8)):
        resource = TARGETS[found["kind"]]
        act = draw(st.sampled_from(["apply", "apply", "delete", "list"]))
        if act == "list":
            events.append(Listed(resource, (found,)))
        else:
            events.append(Applied(resource, found) if act == "apply" else Deleted(resource, found))
    return events


@given(_histories(), st.lists(_targeting(), max_size=3))
@settings(max_examples=150)
def test_however_routes_came_what_counts_is_what_they_are_now(events: list[Event], policies: list[Raw]) -> None:
    told, model = Objects(threading.Event(), FakeClock(), 1_000), dict[tuple[str, str, str], Raw]()
    for event in events:
        told.take(event)
        match event:
            case Listed(resource=resource, objects=objects):
                model = {key: each for key, each in model.items() if TARGETS[key[0]] != resource}
                model |= {_key(dict(each)): dict(each) for each in objects}
            case Applied(object=found):
                model[_key(dict(found))] = dict(found)
            case Deleted(object=found):
                model.pop(_key(dict(found)), None)
    parsed = [parse(each, cluster=True) for each in {_key(each): each for each in policies}.values()]
    surfaces = Remembering().surfaces(targets_of(parsed), told.picture().targets)
    one = compile_snapshot(parsed, grants=_GRANTS, surfaces=surfaces)
    other = _snapshot({**model, **{_key(each): each for each in policies}})
    assert one.version == other.version
    assert [_told(one, each) for each in _REQUESTS] == [_told(other, each) for each in _REQUESTS]
