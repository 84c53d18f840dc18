"""Hostile values: each is refused at the very value that has it, or stands in the objects as the text that it is.

Places are found by walking the schema, so a value that is added is tested without being named here. A text is harmless
where the rendered objects are those of a plain text, with the one in the place of the other, and nothing else changed.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

import pytest
import yaml

from tests.chart.rendering import CHART, GOLDENS, run, template

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
Path_: TypeAlias = tuple[str | int, ...]

PLAIN = "zz9"
HOSTILE = (
    'a"b',
    "a'b",
    "a\nb: c",
    "a\n---\nkind: Secret\n",
    "a\r\nb",
    "{{ .Release.Name }}",
    '{{ fail "x" }}',
    "a # b",
    "a: b",
    "*x",
    "&x y",
    "!!python/object:os.system",
    "a\u2028b",
    "\u0000",
    "\ta",
    "a\\",
    "- a",
    "| a",
    "%x",
    "@x",
    "`x`",
    "[a",
    "a}",
    "a,b",
    "$(id)",
    "${x}",
    "../../etc/passwd",
    "x" * 300,
    "é",
)
"""What breaks out of a line, a text, a mapping or a template, and what is too long."""
TYPES = ("true", "null", "yes", "on", "123", "1e3", "0x10", "0b1", "1.5", "2001-01-01", "1_0", "n")
"""Good names and labels that YAML reads as something else where they are not quoted."""


def node_of(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    return found


def places(node: dict[str, Any] = SCHEMA, path: Path_ = ()) -> Iterator[tuple[Path_, dict[str, Any]]]:
    """Every value that is a free text, and every mapping whose names are free."""
    node = node_of(node)
    for name, inner in node.get("properties", {}).items():
        yield from places(inner, (*path, name))
    if isinstance(node.get("additionalProperties"), dict):
        yield (*path, "*"), node
        yield from places(node["additionalProperties"], (*path, "zz"))
    elif "items" in node:
        yield from places(node["items"], (*path, 0))
    elif "string" in (node.get("type") or []) and "enum" not in node:
        yield path, node


SORTED = ("sidecar", "resources")
SERVERS = ("service", "tls", "drain", "resources", "autoscaling", "serviceAccount", "references")
UNREAD: dict[str, tuple[Path_, ...]] = {
    "central": (("sidecar",),),
    "sidecar": (("networkPolicy", "callers"), *((name,) for name in SERVERS)),
}
"""What a mode refuses, whatever it says: test_refusals has a case for each."""
PLACES = [(path, node) for path, node in places() if path[0] not in {"global", "extauthz-sidecar"}]


def takes(path: Path_, node: dict[str, Any], text: str) -> bool:
    """Whether the schema lets the text stand there."""
    if path[-1] == "*":
        return names(node, text)
    return matches(node, text) and node.get("minLength", 0) <= len(text) <= node.get("maxLength", len(text))


def matches(node: dict[str, Any], text: str) -> bool:
    """As helm's own expressions have it, where `$` is the very end."""
    return re.search(re.sub(r"\$$", r"\\Z", node.get("pattern", "")), text) is not None


def names(node: dict[str, Any], text: str) -> bool:
    rules = node.get("propertyNames", {})
    barred = "not" in rules and matches(rules["not"], text)
    return matches(node_of(rules), text) and matches(rules, text) and not barred


BASES: dict[str, dict[str, Any]] = {
    "central": yaml.safe_load((GOLDENS.parent / "values" / "central-everything.yaml").read_text()),
    "sidecar": yaml.safe_load((GOLDENS.parent / "values" / "sidecar-everything.yaml").read_text()),
}
BASES["sidecar"]["sidecar"]["injection"] = {"enabled": True, "apiVersion": "v1"}


def with_text(base: dict[str, Any], found: tuple[Path_, ...], text: str) -> dict[str, Any]:
    """The values, with the text in each of these places."""
    values = copy.deepcopy(base)
    for path in found:
        put(values, path, text)
    return values


def put(values: dict[str, Any], path: Path_, text: str) -> None:
    at: Any = values
    for step, following in itertools.pairwise(path):
        if isinstance(step, int):
            at = at[step]
            continue
        if isinstance(following, int):
            needed: dict[str, dict[str, Any]] = {
                "references": {"namespace": "shop"},
                "sidecar": {"namespace": "shop", "serviceAccounts": ["a"]},
            }
            if not isinstance(at.get(step), list) or len(at[step]) != 1:
                mapped = path[path.index(following) + 1 :]
                at[step] = [dict(needed.get(str(path[0]), {}))] if mapped else [PLAIN]
            at = at[step]
        else:
            at = at.setdefault(step, {})
    if path[-1] == "*":
        at[text] = "1"
    else:
        at[path[-1]] = text


class Strict(yaml.SafeLoader):
    """Refuses a name that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(found) == len(set(found)), f"a name stands twice among {found}"
        return super().construct_mapping(node, deep=deep)


def read(text: str) -> list[Any]:
    """The objects, with YAML inside of them read, too."""
    return [_unfolded(each) for each in yaml.load_all(text, Loader=Strict) if each is not None]  # a SafeLoader


def _unfolded(node: Any, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _unfolded(value, str(key)) for key, value in node.items()}
    if isinstance(node, list):
        return [_unfolded(each) for each in node]
    if isinstance(node, str) and name.endswith(".yaml"):
        return _unfolded(yaml.load(node, Loader=Strict))  # a SafeLoader
    return node


def replaced(node: Any, old: str, new: str) -> Any:
    if isinstance(node, dict):
        return {replaced(key, old, new): replaced(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [replaced(each, old, new) for each in node]
    if not isinstance(node, str):
        return node
    # A text of CEL holds it as CEL writes it, between quotes.
    return node.replace(old, json.dumps(new)[1:-1] if "dyn(" in node else new)


def ordered(objects: list[Any]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in objects)


@pytest.mark.parametrize("mode", BASES)
@pytest.mark.parametrize("text", [*HOSTILE, *TYPES], ids=lambda text: ascii(text)[:20])
def test_what_is_taken_stands_there_as_the_text_that_it_is(helm: str, mode: str, text: str) -> None:
    taken = tuple(
        path
        for path, node in PLACES
        if not any(path[: len(unread)] == unread for unread in UNREAD[mode])
        # Names of the sidecar's resources stand in the text of a CEL expression, in an order of their own.
        and takes(path, node, text)
        and takes(path, node, PLAIN)
        and not (path[:2] == SORTED and path[-1] == "*")
    )
    hostile = read(rendered(helm, mode, taken, text))
    assert ordered(hostile) == ordered(replaced(read(rendered(helm, mode, taken, PLAIN)), PLAIN, text))


@cache
def rendered(helm: str, mode: str, taken: tuple[Path_, ...], text: str) -> str:
    """What helm makes of a mode with the text in these places."""
    done = template(helm, with_text(BASES[mode], taken, text))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_what_is_not_taken_is_refused_at_each_place_that_has_it(helm: str, text: str) -> None:
    refused = tuple(path for path, node in PLACES if not takes(path, node, text))
    assert len(refused) > len(PLACES) / 2
    done = template(helm, with_text(BASES["sidecar"] | {"mode": "central"}, refused, text))
    assert done.returncode != 0
    told = set(re.findall(r"at '([^']*)'", done.stderr))
    assert [path for path in refused if path[-1] != "*" and "/" + "/".join(map(str, path)) not in told] == []
    # helm words a mistake in a name well and its place wrongly, so that the names are counted.
    assert done.stderr.count("invalid propertyName") == sum(path[-1] == "*" for path in refused)


def test_texts_that_break_yaml_are_taken_somewhere_or_the_table_shows_nothing() -> None:
    """Annotations are free text: there they must be rendered."""
    taken = {text for text in HOSTILE if any(takes(path, node, text) for path, node in PLACES)}
    assert taken == set(HOSTILE)


@pytest.mark.parametrize("name", ["app.kubernetes.io/name", "app.kubernetes.io/component", "helm.sh/chart"])
@pytest.mark.parametrize("where", ["podLabels", "serviceMonitor", "prometheusRule", "dashboard"])
def test_a_label_by_which_we_find_our_pods_cannot_be_written_over(helm: str, where: str, name: str) -> None:
    labels = {name: "other"}
    done = template(helm, {where: labels if where == "podLabels" else {"enabled": True, "labels": labels}})
    assert done.returncode != 0
    assert f"invalid propertyName '{name}'" in done.stderr


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)
)


@pytest.mark.parametrize(
    "values",
    [
        f"podAnnotations:\n  {BOMB.replace(chr(10), chr(10) + '  ')}",
        BOMB,
        "podAnnotations: " + "{a: " * 2000 + "1" + "}" * 2000,
        "tolerations: [" * 5000,
        "podLabels: {a: 1, a: 2}",
        "image: {tag: &t v1}\npodLabels: {a: *u}",
        "\u0000",
        "just text",
        "- a list",
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_a_file_of_values_that_is_a_bomb_or_no_mapping_is_refused(helm: str, values: str) -> None:
    """Within the time that tests.chart.rendering gives helm."""
    done = template(helm, values)
    assert done.returncode != 0
    assert "kind:" not in done.stdout


def test_the_longest_names_make_no_two_objects_one(helm: str) -> None:
    """Kubernetes bounds names and labels; what is cut keeps a digest, or two namespaces would share a controller."""
    namespaces = [{"namespace": f"{'n' * 60}-{i}", "serviceAccounts": ["a"]} for i in range(3)]
    values = {
        "mode": "sidecar",
        "fullnameOverride": "f" * 52,
        "crds": {"install": False},
        "controller": {"events": {"enabled": True}},
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
        "sidecar": {"namespaces": namespaces},
    }
    for mode in ("sidecar", "central"):
        if mode == "central":
            del values["sidecar"]
        done = run(
            helm,
            "template",
            "r" * 53,
            str(CHART),
            "--namespace",
            "s" * 63,
            "-f",
            "-",
            stdin=json.dumps(values | {"mode": mode}),
        )
        assert done.returncode == 0, done.stderr
        found = read(done.stdout)
        keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in found]
        assert len(keys) == len(set(keys))
        for kind, _, name in keys:
            assert len(name) <= (63 if kind in {"Service", "Deployment"} else 253)
        for key, text in _labels(found):
            assert len(text) <= 63, key


def _labels(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, inner in node.items():
            if key in {"labels", "matchLabels"} and isinstance(inner, dict):
                yield from inner.items()
            yield from _labels(inner)
    elif isinstance(node, list):
        for each in node:
            yield from _labels(each)
