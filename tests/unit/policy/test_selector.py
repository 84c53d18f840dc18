"""Which namespaces may name a ClusterTokenIssuer, by the labels of the Namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.control.files import list_folder, load
from extauthz.policy.compile import Compiler, compile_snapshot
from extauthz.policy.parse import Broken, parse
from extauthz.policy.problem import Cause
from extauthz.policy.rule import Rule
from extauthz.policy.selector import Labels
from extauthz.policy.snapshot import Snapshot
from tests import issuing
from tests.building import obj, policy, view

GOLD: dict[str, Any] = {"matchLabels": {"tier": "gold"}}
RULE = {"name": "r", "token": {"issuers": [{"kind": "ClusterTokenIssuer", "name": "wide"}], "audiences": ["a"]}}


def wide(selector: Any, **more: Any) -> dict[str, Any]:
    spec = {"issuer": "https://wide.example", "keys": {"inline": issuing.jwks()}, "allowedNamespaceSelector": selector}
    return obj("ClusterTokenIssuer", "wide", spec | more)


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}, "spec": {}}


def compiled(labels: Labels | None, issuer: dict[str, Any]) -> Snapshot:
    return Compiler().compile([parse(issuer), parse(policy("p", RULE))], labels=labels)


def serves(snapshot: Snapshot) -> bool:
    rule = snapshot.choose(view())
    assert isinstance(rule, Rule)
    return rule.broken is None


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        (GOLD, {"tier": "gold"}, True),
        (GOLD, {"tier": "gold", "more": "x"}, True),
        (GOLD, {"tier": "silver"}, False),
        (GOLD, {"Tier": "gold"}, False),
        (GOLD, {}, False),
        ({"matchLabels": {"tier": "gold", "env": ""}}, {"tier": "gold"}, False),
        (
            {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "silver"]}]},
            {"tier": "silver"},
            True,
        ),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}, {}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}, {}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}, {"tier": "gold"}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, {"tier": ""}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, {"tier": ""}, False),
        ({**GOLD, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, {"tier": "gold"}, False),
    ],
)
def test_a_namespace_is_selected_when_all_of_it_holds(
    selector: dict[str, Any], labels: dict[str, str], selected: bool
) -> None:
    snapshot = compiled({"shop": labels}, wide(selector))
    assert serves(snapshot) == selected
    assert [each.cause for each in snapshot.problems] == ([] if selected else [Cause.ISSUER_NOT_ALLOWED])


@pytest.mark.parametrize("labels", [None, {}, {"bank": {"tier": "gold"}}])
def test_a_namespace_whose_labels_are_not_known_is_not_selected(labels: Labels | None) -> None:
    assert not serves(compiled(labels, wide(GOLD)))
    assert not serves(compiled(labels, wide({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]})))


def test_a_change_of_labels_is_a_new_version_only_where_it_selects_others() -> None:
    compiler, objects = Compiler(), [parse(wide(GOLD)), parse(policy("p", RULE))]
    before = compiler.compile(objects, labels={"shop": {"tier": "gold"}})
    same = compiler.compile(objects, labels={"shop": {"tier": "gold", "owner": "me"}, "bank": {}})
    after = compiler.compile(objects, labels={"shop": {"tier": "silver"}})
    assert before.version == same.version != after.version
    assert (serves(before), serves(same), serves(after)) == (True, True, False)


def test_a_folder_takes_the_selector_in_either_place_and_namespaces_beside_the_policies() -> None:
    for spec in ({}, {"allowedNamespaceSelector": None, "allowedNamespaces": {"selector": GOLD}}):
        objects = [wide(GOLD, **spec), policy("p", RULE)]
        known = compile_snapshot(map(parse, [*objects, namespace("shop", tier="gold")]))
        assert serves(known)
        assert not serves(compile_snapshot(map(parse, [*objects, namespace("shop", tier="silver")])))
        assert not serves(compile_snapshot(map(parse, objects)))


def test_every_namespace_of_a_folder_has_the_label_of_its_name() -> None:
    named = wide({"matchLabels": {"kubernetes.io/metadata.name": "shop"}})
    assert serves(compile_snapshot(map(parse, [named, policy("p", RULE), namespace("shop")])))
    forged = namespace("bank", **{"kubernetes.io/metadata.name": "shop"})
    assert not serves(compile_snapshot(map(parse, [named, policy("p", RULE), forged])))


def test_a_namespace_with_labels_that_are_no_texts_is_told_and_selects_nothing(tmp_path: Path) -> None:
    found = parse({**namespace("shop"), "metadata": {"name": "shop", "labels": {"tier": 1}}})
    assert isinstance(found, Broken)
    (tmp_path / "n.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: [a]}\n")
    _, problems = load(list_folder(tmp_path))
    assert ["metadata.labels" in str(each) for each in problems] == [True]
