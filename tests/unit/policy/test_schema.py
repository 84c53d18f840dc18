"""The CustomResourceDefinitions: structural, bounded, described, and with every rule of the parser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from pydantic import ConfigDict, Field

from extauthz.policy.parse import KINDS
from extauthz.policy.ruled import Ruled
from extauthz.policy.schema import definitions
from extauthz.policy.schema.structural import structural
from extauthz.policy.words import STRICT, Word

DEFINITIONS = definitions()
Node = tuple[str, dict[str, Any]]


def nodes(schema: dict[str, Any], path: str) -> Iterator[Node]:
    """Every value that a schema describes."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in schema:
            yield from nodes(schema[word], path + mark)


def version(definition: dict[str, Any]) -> dict[str, Any]:
    (only,) = definition["spec"]["versions"]
    return dict(only)


ROOTS = {
    definition["spec"]["names"]["kind"]: version(definition)["schema"]["openAPIV3Schema"]
    for definition in DEFINITIONS.values()
}
NODES = {
    f"{kind}{path}": node
    for kind, root in ROOTS.items()
    for part in ("spec", "status")
    for path, node in nodes(root["properties"][part], f".{part}")
}


def words(value: object) -> Iterator[str]:
    """Every word of a schema, at any depth."""
    match value:
        case dict():
            for word, part in value.items():
                yield word
                yield from words(part)
        case list():
            for part in value:
                yield from words(part)
        case _:
            pass


def specs(hint: Any) -> Iterator[type]:
    """A spec and every spec inside it."""
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
        for inner in get_type_hints(hint).values():
            yield from specs(inner)
    for part in get_args(hint):
        yield from specs(part)


SPECS = sorted({each for spec in KINDS.values() for each in specs(spec)}, key=lambda each: each.__name__)


def test_every_kind_of_policy_has_a_definition() -> None:
    assert ROOTS.keys() == KINDS.keys()


def test_no_definition_keeps_fields_that_it_does_not_know() -> None:
    assert "x-kubernetes-preserve-unknown-fields" not in set(words(DEFINITIONS))


def test_a_definition_holds_no_word_that_a_structural_schema_has_not() -> None:
    known = {
        "type", "description", "format", "enum", "default", "pattern", "minLength", "maxLength", "minimum", "maximum",
        "items", "minItems", "nullable", "maxItems", "properties", "required", "additionalProperties", "maxProperties",
        "anyOf", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
        "x-kubernetes-int-or-string",
    }  # fmt: skip
    assert {word for node in NODES.values() for word in node} <= known


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_every_value_is_described_and_bounded(node: dict[str, Any]) -> None:
    assert node["description"]
    match node.get("type"):
        case "string":
            assert "enum" in node or {"maxLength"} <= node.keys()
        case "integer":
            assert {"minimum", "maximum"} <= node.keys()
        case "array":
            assert node["maxItems"] > 0
            assert node["x-kubernetes-list-type"] in {"atomic", "map"}
        case "object" if "properties" not in node:
            assert node["maxProperties"] > 0
        case "object" | "boolean":
            pass
        case kind:
            assert kind is None
            assert node["x-kubernetes-int-or-string"]
            assert {"maxLength", "minimum", "maximum"} <= node.keys()


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_every_rule_in_cel_can_be_read_and_says_how_to_mend(node: dict[str, Any]) -> None:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])
    for rule in node.get("x-kubernetes-validations", ()):
        environment.compile(rule["rule"])
        assert rule["message"]
        assert len(rule["message"]) < 200


@pytest.mark.parametrize("spec", SPECS)
def test_every_check_of_a_spec_is_a_rule_with_both_forms(spec: type) -> None:
    """A `__post_init__` of its own would be a check that no API server knows."""
    assert "__post_init__" not in vars(spec)
    if issubclass(spec, Ruled):
        assert all(rule.cel and rule.message for rule in spec.cel_rules)


def test_rules_are_all_in_the_definitions() -> None:
    said = {rule["rule"] for node in NODES.values() for rule in node.get("x-kubernetes-validations", ())}
    for spec in SPECS:
        for rule in spec.cel_rules if issubclass(spec, Ruled) else ():
            assert rule.cel in said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grown:
    """A spec that someone adds a field to."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    new_words: Annotated[tuple[Word, ...], Field(max_length=3)] = ()
    """What is new."""


def test_a_new_field_is_in_the_schema_without_another_word() -> None:
    new = structural(_Grown)["properties"]["newWords"]
    assert (new["description"], new["type"], new["maxItems"], new["items"]["maxLength"]) == (
        "What is new.",
        "array",
        3,
        256,
    )


def test_a_field_of_any_shape_is_refused() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Loose:
        __pydantic_config__: ClassVar[ConfigDict] = STRICT
        anything: Annotated[dict[str, Any], Field(max_length=3)]

    with pytest.raises(ValueError, match="no structural schema holds"):
        structural(Loose)


def test_a_file_is_for_folders_only() -> None:
    for kind in ("TokenIssuer", "ClusterTokenIssuer"):
        spec = ROOTS[kind]["properties"]["spec"]["properties"]
        assert "file" not in spec["keys"]["properties"]
        assert "file" not in spec["caBundle"]["properties"]
        assert not any("has(self.file)" in rule["rule"] for rule in spec["keys"]["x-kubernetes-validations"])


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_has_the_names_and_the_status_that_people_expect(name: str) -> None:
    definition = DEFINITIONS[name]
    names = definition["spec"]["names"]
    assert name == f"extauthz.dev_{names['plural']}.yaml"
    assert definition["metadata"]["name"] == f"{names['plural']}.extauthz.dev"
    assert names["categories"] == ["extauthz"]
    assert version(definition)["subresources"] == {"status": {}}
    assert "conditions" in version(definition)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]


def test_get_shows_what_an_operator_looks_for() -> None:
    columns = {
        definition["spec"]["names"]["shortNames"][0]: [
            column["name"] for column in version(definition)["additionalPrinterColumns"]
        ]
        for definition in DEFINITIONS.values()
    }
    assert columns == {
        "ap": ["Accepted", "ResolvedRefs", "Programmed", "Mode", "Hosts", "Targets", "Active", "Age"],
        "ti": ["Ready", "KeysFresh", "Issuer", "Age"],
        "cti": ["Ready", "KeysFresh", "Issuer", "Age"],
        "tr": ["Accepted", "ResolvedRefs", "Expires", "Age"],
    }


def test_only_a_cluster_issuer_is_for_the_whole_cluster() -> None:
    scopes = {kind["spec"]["names"]["kind"]: kind["spec"]["scope"] for kind in DEFINITIONS.values()}
    assert {kind for kind, scope in scopes.items() if scope == "Cluster"} == {"ClusterTokenIssuer"}


def test_defaults_are_as_an_author_would_write_them() -> None:
    issuer = ROOTS["TokenIssuer"]["properties"]["spec"]["properties"]
    rule = ROOTS["AccessPolicy"]["properties"]["spec"]["properties"]["rules"]["items"]["properties"]
    assert issuer["maxLifetime"]["default"] == "1h"
    assert issuer["refresh"]["default"] == {}
    assert issuer["refresh"]["properties"]["interval"]["default"] == "5m"
    assert issuer["tokenTypes"]["default"] == ["at+jwt"]
    assert rule["token"]["properties"]["from"]["default"] == {"header": "authorization"}
    assert rule["reuse"]["properties"]["key"]["default"] == "Token"
