"""Laws of policies: order never matters, an empty snapshot denies, breaking a policy never hands its requests away."""

import copy
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.verdict import Refusal
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import Broken, parse
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from tests.building import policy, view

_PATHS = st.sampled_from(["/", "/a", "/a/b", "/b", "/b/a"])
_PATH_SPECS = st.one_of(
    _PATHS.map(lambda p: {"exact": p}),
    _PATHS.map(lambda p: {"prefix": p}),
    st.sampled_from([{"template": "/a/{x}"}, {"template": "/{x}/{y}"}, {"regex": "/a.*"}, {"regex": "/.*"}]),
)
_MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "path": _PATH_SPECS,
        "methods": st.sampled_from([["GET"], ["POST"], ["GET", "POST"]]),
        "headers": st.sampled_from([[{"name": "x-a", "present": True}], [{"name": "x-a", "exact": "1"}]]),
    },
)
_HOSTS = st.sampled_from([("api.example",), ("*.example",), ("*",), ("api.example", "other.example")])


@st.composite
def _policies(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        policy(
            f"p{index}",
            *(
                {"name": f"r{number}", "anonymous": True, "match": draw(st.lists(_MATCHES, max_size=2))}
                for number in range(draw(st.integers(1, 3)))
            ),
            hosts=draw(_HOSTS),
        )
        for index in range(draw(st.integers(1, 4)))
    ]


_REQUESTS = st.builds(
    view,
    _PATHS,
    method=st.sampled_from(["GET", "POST", "PUT"]),
    host=st.sampled_from(["api.example", "other.example", "x.example"]),
    headers=st.sampled_from([{}, {"x-a": "1"}, {"x-a": "2"}]),
)


def _snapshot(objects: list[dict[str, Any]]) -> Snapshot:
    return compile_snapshot(tuple(parse(each) for each in objects))


def _break(raw: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same policy with something that cannot be, in one place of its spec below `hosts`."""
    broken = copy.deepcopy(raw)
    places = list(_places(broken["spec"]["rules"]))
    holder, step = chance.choice(places)
    holder[step] = chance.choice([None, 7, "(", [], {}, {"x": 1}, ["("], [7], "/../", [{"path": {"exact": 1}}]])
    if chance.random() < 0.3 and isinstance(holder, dict):
        holder[f"{step}x"] = holder.pop(step)
    return broken


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield value, step
        yield from _places(inner)


@given(_REQUESTS)
def test_an_empty_snapshot_denies(request: Any) -> None:
    assert isinstance(_snapshot([]).choose(request), Refusal)


@given(_policies(), st.randoms(use_true_random=False), _REQUESTS)
def test_the_order_of_objects_never_matters(objects: list[dict[str, Any]], chance: random.Random, request: Any) -> None:
    shuffled = copy.deepcopy(objects)
    chance.shuffle(shuffled)
    one, other = _snapshot(objects), _snapshot(shuffled)
    assert one.version == other.version
    assert one.choose(request) == other.choose(request)
    assert {str(problem) for problem in one.problems} == {str(problem) for problem in other.problems}


@given(_policies(), st.randoms(use_true_random=False), st.lists(_REQUESTS, min_size=1, max_size=5))
def test_breaking_a_policy_never_hands_its_requests_to_another(
    objects: list[dict[str, Any]], chance: random.Random, requests: list[Any]
) -> None:
    victim = chance.randrange(len(objects))
    after = [*objects[:victim], _break(objects[victim], chance), *objects[victim + 1 :]]
    if not isinstance(parse(after[victim]), Broken):
        return
    whole, hurt = _snapshot(objects), _snapshot(after)
    for request in requests:
        before, now = whole.choose(request), hurt.choose(request)
        if isinstance(before, Rule) and before.policy.name == f"p{victim}":
            assert isinstance(now, Refusal) or now.broken is not None


@given(_policies(), st.randoms(use_true_random=False), _REQUESTS)
def test_a_broken_policy_touches_no_other_host(
    objects: list[dict[str, Any]], chance: random.Random, request: Any
) -> None:
    mine = policy("mine", {"name": "r", "anonymous": True}, hosts=("mine.example",), created="2020-01-01T00:00:00Z")
    elsewhere = [each for each in objects if set(each["spec"]["hosts"]) <= {"api.example", "other.example"}]
    broken = [_break(each, chance) for each in elsewhere]
    rule = _snapshot([*broken, mine]).choose(view("/", host="mine.example"))
    assert isinstance(rule, Rule)
    assert rule.policy.name == "mine"
    assert rule.broken is None
