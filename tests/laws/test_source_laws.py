"""Laws of sources: what is in force depends on the objects alone, not on the source, nor on what was told when."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject, Resource
from extauthz.control.files import list_folder, load
from extauthz.control.objects import Objects
from extauthz.control.resources import NAMESPACES, PLURALS, watched
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.snapshot import Snapshot
from tests import issuing
from tests.building import anonymous, obj, policy, view, with_token
from tests.checks import Response
from tests.clock import FakeClock
from tests.worlds import Asked

_RESOURCES: Final = {each.plural: each for each in watched(None, "ops")}
_HOSTS: Final = ("a.example", "b.example", "*.example")
_TIMES: Final = (None, "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z")
_TOKENS: Final = (None, issuing.token(), issuing.token(issuing.claims(scope="a")))
_REQUESTS: Final = tuple((host, path) for host in ("a.example", "b.example") for path in ("/", "/open"))

Model: TypeAlias = dict[Resource, dict[tuple[str, str], RawObject]]
"""What an API server would hold after the events: by kind, namespace and name."""


@st.composite
def _policy(draw: st.DrawFn) -> dict[str, Any]:
    rules = draw(
        st.lists(
            st.sampled_from(
                [
                    anonymous("open", path={"prefix": "/open"}),
                    with_token("scoped", require={"scopes": ["orders.write"]}),
                    with_token("counted", reuse={"maxUses": 1}),
                    with_token("elsewhere", match={"path": {"prefix": "/"}})
                    | {"token": {"issuers": [{"kind": "ClusterTokenIssuer", "name": "corp"}]}},
                    {"name": "broken", "anonymous": True, "requires": {}},
                    {
                        "name": "uncompiled",
                        "token": {"issuers": [{"name": "corp"}]},
                        "require": {"cel": "claims.sub =="},
                    },
                ]
            ),
            min_size=1,
            max_size=2,
            unique_by=lambda rule: rule["name"],
        )
    )
    hosts = tuple(draw(st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=2, unique=True)))
    namespace, created = draw(st.sampled_from(["shop", "other"])), draw(st.sampled_from(_TIMES))
    return policy(draw(st.sampled_from("pqr")), *rules, hosts=hosts, namespace=namespace, created=created)


@st.composite
def _issuer(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["TokenIssuer", "ClusterTokenIssuer"]))
    spec: dict[str, Any] = {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks("rsa")}}
    spec |= draw(st.sampled_from([{}, {"audiences": ["orders-api"]}, {"audience": ["misspelt"]}]))
    return obj(kind, "corp", spec, draw(st.sampled_from(["shop", "other"])))


@st.composite
def _revocation(draw: st.DrawFn) -> dict[str, Any]:
    spec = {"issuer": {"name": "corp"}, "subject": draw(st.sampled_from(["alice", "bob"]))}
    return obj("TokenRevocation", draw(st.sampled_from("st")), {**spec, "expires": "2099-01-01T00:00:00Z"})


@st.composite
def _namespace(draw: st.DrawFn) -> dict[str, Any]:
    annotations = {"extauthz.dev/hosts": draw(st.sampled_from(["", "a.example", "*.example, b.example"]))}
    name = draw(st.sampled_from(["shop", "other"]))
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}


_OBJECTS: Final = st.one_of(_policy(), _policy(), _issuer(), _revocation(), _namespace())


@st.composite
def _events(draw: st.DrawFn) -> list[Event]:
    """Any history: objects come, change and go, and a kind is listed anew in the midst of it."""
    events: list[Event] = []
    for found in draw(st.lists(_OBJECTS, max_size=12)):
        resource = _resource(found)
        if draw(st.integers(0, 4)) == 0:
            same = [each for each in draw(st.lists(_OBJECTS, max_size=4)) if _resource(each) == resource]
            events.append(Listed(resource, tuple({_name(each): each for each in [found, *same]}.values())))
        else:
            gone, told = draw(st.integers(0, 2)) == 0, _bustled(draw, found)
            events.append(Deleted(resource, told) if gone else Applied(resource, told))
    return events


def _bustled(draw: st.DrawFn, found: dict[str, Any]) -> dict[str, Any]:
    """The object with what an API server writes into it besides."""
    more = {
        "resourceVersion": str(draw(st.integers(1, 99))),
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
    }
    return {**found, "metadata": {**found["metadata"], **more}, "status": {"conditions": []}}


def _resource(found: RawObject) -> Resource:
    return _RESOURCES["namespaces" if found["kind"] == "Namespace" else PLURALS[found["kind"]]]


def _name(found: RawObject) -> tuple[str, str]:
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def _model(events: Iterable[Event]) -> Model:
    model: Model = {resource: {} for resource in _RESOURCES.values()}
    for event in events:
        match event:
            case Listed():
                model[event.resource] = {_name(each): each for each in event.objects}
            case Applied():
                model[event.resource][_name(event.object)] = event.object
            case Deleted():
                model[event.resource].pop(_name(event.object), None)
    return model


def _told(events: Iterable[Event], *, central: bool = False) -> Snapshot:
    """What is in force after these events."""
    objects = Objects(threading.Event(), FakeClock(), 1_000)
    for event in events:
        objects.take(event)
    picture = objects.picture()
    return compile_snapshot(picture.objects, grants=picture.grants if central else None)


def _at_once(model: Model) -> list[Event]:
    return [Listed(resource, tuple(found.values())) for resource, found in model.items()]


def _answers(snapshot: Snapshot) -> list[Response]:
    """What clients get, one after the other: a used token stays used."""
    asked = Asked()
    asked.keys.reconcile(snapshot.issuer_keys)
    asked.snapshot = snapshot
    return [asked.ask(path, token, host=host) for host, path in _REQUESTS for token in _TOKENS]


def _same(one: Snapshot, other: Snapshot) -> None:
    assert one.version == other.version
    assert sorted(map(str, one.problems)) == sorted(map(str, other.problems))
    for host, path in _REQUESTS:
        assert one.choose(view(path, host=host)) == other.choose(view(path, host=host))


@given(_events(), st.booleans())
@settings(max_examples=60)
def test_however_objects_came_what_is_in_force_is_what_they_are_now(events: list[Event], central: bool) -> None:
    _same(_told(events, central=central), _told(_at_once(_model(events)), central=central))


@given(_events(), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=60)
def test_the_order_in_which_kinds_and_objects_are_told_never_shows(
    events: list[Event], chance: Any, central: bool
) -> None:
    model = _model(events)
    shuffled: list[Event] = [
        Applied(resource, found) for resource, several in model.items() for found in several.values()
    ]
    chance.shuffle(shuffled)
    _same(_told(shuffled, central=central), _told(_at_once(model), central=central))


@given(_events())
@settings(max_examples=20)
def test_telling_everything_once_more_changes_nothing(events: list[Event]) -> None:
    again = _at_once(_model(events))
    assert _told([*events, *again, *reversed(again)]).version == _told(events).version


@given(_events())
@settings(max_examples=30)
def test_a_folder_and_a_cluster_of_the_same_objects_decide_the_same(events: list[Event]) -> None:
    model = _model(events)
    found = [each for resource, several in model.items() if resource != NAMESPACES for each in several.values()]
    from_folder, from_cluster = _in_folder(found), _told(_at_once(model))
    _same(from_folder, from_cluster)
    assert _answers(from_folder) == _answers(from_cluster)


def _in_folder(objects: Sequence[RawObject]) -> Snapshot:
    with tempfile.TemporaryDirectory(prefix="extauthz-") as name:
        for number, each in enumerate(objects):
            (Path(name) / f"{number}.yaml").write_text(json.dumps(each))
        return load(list_folder(Path(name)))[0]
