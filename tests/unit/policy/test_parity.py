"""The parser and the definitions judge the same objects alike, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.problem import dotted
from extauthz.policy.schema import definitions
from tests.parity.altered import altered
from tests.parity.row import Row
from tests.parity.table import COMPANIONS, ROWS
from tests.structural import mistakes

SCHEMAS = {
    definition["spec"]["names"]["kind"]: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for definition in definitions().values()
}
OF_SPECS = [row for row in ROWS if isinstance(row.object.get("spec"), dict)]


def named(row: Row) -> str:
    return f"{row.object['kind']}: {row.title}"


def test_the_table_is_large_and_names_each_row_once() -> None:
    names = [named(row) for row in ROWS]
    assert len(set(names)) == len(names) >= 80
    assert sum(row.field is None for row in ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_the_parser_judges_as_the_table_says(row: Row) -> None:
    found = parse(row.object, cluster=True)
    problems = found.problems if isinstance(found, Broken) else ()
    if row.field is None:
        assert problems == ()
    else:
        assert any(dotted(each.field).startswith(row.field) and row.words in each.message for each in problems)


@pytest.mark.parametrize("row", OF_SPECS, ids=named)
def test_the_definition_judges_as_the_table_says(row: Row) -> None:
    schema = SCHEMAS[row.object["kind"]]["properties"]["spec"]
    found = mistakes(schema, row.object["spec"], "spec")
    if row.field is None or row.field.partition(".")[0] != "spec":
        assert found == []
    else:
        assert any(path.startswith(row.field) and row.words in message for path, message in found)


def test_altered_objects_are_judged_alike() -> None:
    apart = []
    for raw in altered(seed=8, count=300):
        schema = SCHEMAS[raw["kind"]]["properties"]["spec"]
        refused, found = mistakes(schema, raw["spec"], "spec"), parse(raw, cluster=True)
        if bool(refused) != isinstance(found, Broken):
            apart.append((raw["spec"], refused, found))
    assert apart == []


def test_what_the_rows_refer_to_is_good() -> None:
    assert all(isinstance(parse(each, cluster=True), Parsed) for each in COMPANIONS)


def test_every_rule_of_several_fields_is_broken_by_some_row() -> None:
    said = {
        rule["message"]: path
        for kind, schema in SCHEMAS.items()
        for path, node in _objects(schema["properties"]["spec"], f"{kind}.spec")
        for rule in node.get("x-kubernetes-validations", ())
    }
    broken = {
        message
        for row in OF_SPECS
        for _, message in mistakes(SCHEMAS[row.object["kind"]]["properties"]["spec"], row.object["spec"], "spec")
    }
    assert {message: path for message, path in said.items() if message not in broken} == {}


def test_every_field_stands_in_some_good_row() -> None:
    """Whoever adds a field adds a row to `tests/parity`, and so asks an API server too."""
    fields = {
        f"{kind}.{path}"
        for kind, schema in SCHEMAS.items()
        for path in _fields(schema["properties"]["spec"], "")
        if kind != "ClusterTokenIssuer" or path == "allowedNamespaces"
    }
    written = {
        f"{row.object['kind']}.{path}"
        for row in OF_SPECS
        if row.field is None
        for path in _said(row.object["spec"], "")
    }
    assert fields - written == set()


def _fields(schema: dict[str, Any], path: str) -> set[str]:
    found: set[str] = set()
    for name, part in schema.get("properties", {}).items():
        where = f"{path}.{name}".lstrip(".")
        found |= {where} | _fields(part, where) | _fields(part.get("items", {}), where)
    return found


def _said(value: Any, path: str) -> set[str]:
    if isinstance(value, list):
        return {each for item in value for each in _said(item, path)}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for name, part in value.items():
        where = f"{path}.{name}".lstrip(".")
        found |= {where} | _said(part, where)
    return found


def _objects(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    inner = [(f"{path}.{name}", part) for name, part in schema.get("properties", {}).items()]
    inner += [(path, schema[word]) for word in ("items", "additionalProperties") if word in schema]
    return [(path, schema), *(each for where, part in inner for each in _objects(part, where))]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mapping": {"scope": "scp"}}, "spec.mapping.scope"),
        ({"claimEquals": {"email_verified": True}}, "spec.claimEquals.email_verified"),
        ({"claimEquals": {"a": {"b": [1.5, None]}}}, "spec.claimEquals.a"),
        ({"keys": {"file": "keys.json"}}, "spec.keys.file"),
        ({"keys": {"inline": {"keys": [{"kty": "EC", "ext": True}]}}}, "spec.keys.inline.keys[0].ext"),
        ({"caBundle": {"file": "ca.pem"}}, "spec.caBundle.file"),
    ],
)
def test_a_folder_takes_more_than_a_cluster(spec: dict[str, Any], field: str) -> None:
    issuer = {"issuer": "https://a.example", "keys": {"discovery": {}}} | spec
    raw = {"apiVersion": "extauthz.dev/v1alpha1", "kind": "TokenIssuer", "metadata": {"name": "a"}, "spec": issuer}
    assert isinstance(parse(raw), Parsed)
    refused = parse(raw, cluster=True)
    assert isinstance(refused, Broken)
    assert [dotted(problem.field) for problem in refused.problems] == [field]
