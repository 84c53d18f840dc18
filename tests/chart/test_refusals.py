"""The chart refuses what it does not know, and says where."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, CHART, template

SCHEMA = json.loads((CHART / "values.schema.json").read_text())

WRONG: tuple[tuple[str, str], ...] = (
    ("replicaCunt: 3", "replicaCunt"),
    ("replicaCount: 0", "/replicaCount"),
    ("replicaCount: '2'", "/replicaCount"),
    ("mode: sidecars", "/mode"),
    ("image: {tagg: v1}", "tagg"),
    ("image: {digest: 'sha256:abc'}", "/image/digest"),
    ("image: {tag: 'a b'}", "/image/tag"),
    ("image: {pullPolicy: Sometimes}", "/image/pullPolicy"),
    ("crds: {instal: false}", "instal"),
    ("store: redis://counts", "/store"),
    ("store: {url: 'redis://user:secret@counts'}", "/store/url"),
    ("store: {url: counts:6379}", "/store/url"),
    ("store: {password: secret}", "password"),
    ("pepper: {value: secret}", "value"),
    ("pepper: {secretName: Extauthz}", "/pepper/secretName"),
    ("tls: {certManager: {issuer: corp}}", "issuer"),
    ("settings: {drainDelay: 5s}", "drainDelay"),
    ("settings: {check-budget: 1s}", "check-budget"),
    ("settings: {checkBudget: 150}", "/settings/checkBudget"),
    ("settings: {checkBudget: 150 ms}", "/settings/checkBudget"),
    ("settings: {threads: 0}", "/settings/threads"),
    ("settings: {logLevel: trace}", "/settings/logLevel"),
    ("settings: {decisionLogAllows: 2}", "/settings/decisionLogAllows"),
    ("settings: {decisionLogRedact: [user]}", "/settings/decisionLogRedact"),
    ("drain: {delaySeconds: 5s}", "/drain/delaySeconds"),
    ("resources: {limit: {memory: 1Gi}}", "limit"),
    ("resources: {limits: {memory: 1 GB}}", "/resources/limits/memory"),
    ("autoscaling: {minReplica: 2}", "minReplica"),
    ("networkPolicy: {callers: [{podSelctor: {}}]}", "podSelctor"),
    ("adminPort: 9191", "/adminPort"),
    ("references: {named: [{secrets: [a]}]}", "namespace"),
    ("sidecar: {namespaces: [{namespace: shop}]}", "serviceAccounts"),
    ("sidecar: {namespaces: [{namespace: shop, serviceAccounts: []}]}", "serviceAccounts"),
    ("sidecar: {injection: {enable: true}}", "enable"),
    ("sidecar: {injection: {failurePolicy: Warn}}", "/sidecar/injection/failurePolicy"),
    ("sidecar: {injection: {apiVersion: v2}}", "/sidecar/injection/apiVersion"),
    ("sidecar: {namespaces: [{namespace: '*', serviceAccounts: [a]}]}", "/sidecar/namespaces/0/namespace"),
    ("extauthz-sidecar: {image: i}", "image"),
    # Each value is good, and not with the other.
    ("sidecar: {injection: {enabled: true}}", "sidecar is set, and mode is central"),
    ("sidecar: {namespaces: [{namespace: shop, serviceAccounts: [a]}]}", "sidecar is set, and mode is central"),
    ("{mode: sidecar, singleReplica: true}", "extauthz inject --arg=--single-replica"),
    ("{mode: sidecar, drain: {delaySeconds: 10}}", "drain is set, and mode is sidecar"),
    ("{mode: sidecar, networkPolicy: {callers: [{podSelector: {}}]}}", "networkPolicy.callers is set, and mode is"),
    # Servers would have the rights of the controller, which writes.
    ("serviceAccount: {name: extauthz-controller}", "serviceAccount.name is `extauthz-controller`, the account of the"),
    ("{fullnameOverride: gate, serviceAccount: {name: gate-controller}}", "serviceAccount.name is `gate-controller`"),
    ("{mode: sidecar, sidecar: {injection: {enabled: true}}}", "the cluster serves no MutatingAdmissionPolicy"),
    ("store: {url: redis://counts}", "pepper.secretName is not"),
    ("{store: {url: redis://counts, user: u}, pepper: {secretName: p}}", "store.secretName is not"),
    (
        "{store: {url: rediss://c, caKey: ca.crt}, pepper: {secretName: p}}",
        "store.caKey is set, and store.secretName is",
    ),
    ("{store: {url: rediss://c, certKey: c, privateKeyKey: k}, pepper: {secretName: p}}", "store.certKey is set, and"),
    ("{store: {url: rediss://c, privateKeyKey: k}, pepper: {secretName: p}}", "store.privateKeyKey is set, and"),
    ("singleReplica: true", "singleReplica is true with more than one replica"),
    ("{singleReplica: true, replicaCount: 1, autoscaling: {enabled: true}}", "singleReplica is true with more"),
    ("autoscaling: {enabled: true}", "autoscaling.enabled is true without a shared store"),
    (
        "{store: {url: redis://c}, pepper: {secretName: p}, autoscaling: {enabled: true, minReplicas: 11}}",
        "autoscaling.minReplicas is more",
    ),
    (
        "{store: {url: redis://c}, pepper: {secretName: p}, autoscaling: {enabled: true}, resources: {requests: null}}",
        "autoscaling.enabled is true without resources.requests.cpu",
    ),
    ("tls: {requireClientCertificate: true}", "tls.requireClientCertificate is true without"),
    ("tls: {certManager: {enabled: true}}", "without tls.certManager.issuerRef"),
    ("controller: {enabled: false, events: {enabled: true}}", "without controller.enabled"),
    ("controller: {events: {requireClientCertificate: true}}", "without controller.events.tlsSecretName"),
    ("controller: {events: {enabled: true, port: 9090}}", "the same as adminPort"),
    ("{mode: sidecar, settings: {decisionLogRedact: [path]}}", "without pepper.secretName"),
    # Its Roles have one name, so one entry would take the other's place.
    (
        "references: {named: [{namespace: shop, secrets: [a]}, {namespace: shop, secrets: [b]}]}",
        "references.named has the namespace shop twice",
    ),
    (
        "{mode: sidecar, sidecar: {namespaces: [&a {namespace: shop, serviceAccounts: [a]}, *a]}}",
        "sidecar.namespaces has the namespace shop twice",
    ),
)


@pytest.mark.parametrize(("values", "named"), WRONG, ids=lambda text: text[:50])
def test_a_mistake_is_refused_and_named(helm: str, values: str, named: str) -> None:
    done = template(helm, values)
    assert done.returncode != 0
    assert named in done.stderr


@pytest.mark.parametrize("values", ["resources: null", "resources: {requests: null, limits: null}"])
def test_no_requests_at_all_may_be_wanted(helm: str, values: str) -> None:
    assert template(helm, values).returncode == 0


@pytest.mark.parametrize("values", ["mode: sidecar", "{mode: sidecar, drain: {delaySeconds: 5}, resources: null}"])
def test_what_the_mode_does_not_read_may_be_left_as_it_is(helm: str, values: str) -> None:
    assert template(helm, values).returncode == 0


@pytest.mark.parametrize("mode", ["central", "sidecar"])
def test_every_value_is_read_in_its_mode_or_refused(helm: str, mode: str) -> None:
    """With each value that any case sets, one of the mode's cases becomes another, or none at all."""
    given = [yaml.safe_load(path.read_text()) for path in CASES]
    bases = [values for values in given if values.get("mode", "central") == mode]
    given.append({"resources": {"limits": {"memory": "1Gi"}}, "replicaCount": 3})

    def tells(name: str) -> bool:
        return any(
            template(helm, base | {name: values[name]}).stdout
            != template(helm, {other: value for other, value in base.items() if other != name}).stdout
            for base in bases
            for values in given
            if name in values
        )

    names = SCHEMA["properties"].keys() - {"mode", "global", "extauthz-sidecar"}
    assert {name for name in names if not tells(name)} == set()


def test_every_name_is_refused_when_it_is_misspelt(helm: str) -> None:
    """All of them at once, each beside the right one: helm tells every mistake of a file."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    wrong = set(_misspell(values, SCHEMA, ""))
    assert len(wrong) > 100
    done = template(helm, values)
    told = re.findall(r"at '([^']*)': additional properties ([^\n]*) not allowed", done.stderr)
    assert {f"{path}/{name}" for path, several in told for name in re.findall(r"'([^']+)'", several)} == wrong


def _misspell(values: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, inner in schema.get("properties", {}).items():
        if name not in {"global", "extauthz-sidecar"}:
            values[f"{name}x"] = "text"
            yield f"{path}/{name}x"
            if isinstance(values.get(name), dict):
                yield from _misspell(values[name], inner, f"{path}/{name}")


def test_every_mapping_of_the_schema_is_closed() -> None:
    """Or says of what type its free members are: labels and the like, or parts of Kubernetes' own types."""
    free = [path for path, node in _mappings(SCHEMA, "") if "additionalProperties" not in node]
    ours = {"affinity", "global", "podSelector", "namespaceSelector", "ipBlock", "tolerations/items"}
    assert [path for path in free if not any(path.endswith(f"/{name}") for name in ours)] == []


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert _names(values, SCHEMA) == []
    assert set(SCHEMA["properties"]) - set(values) == {"global", "extauthz-sidecar"}


def test_cases_use_every_value() -> None:
    """What no case sets is in no golden but as its default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    used = {key for case in CASES for key in yaml.safe_load(case.read_text())}
    assert set(values) - used == {"resources"}


def _mappings(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(node, dict):
        if node.get("type") == "object":
            found.append((path, node))
        for name, inner in node.items():
            found += _mappings(inner, path if name in {"properties", "$defs"} else f"{path}/{name}")
    return found


def _names(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """Where values.yaml and the schema do not tell of the same names."""
    known = schema.get("properties")
    if known is None:
        return []
    wrong = [f"{path}/{name}" for name in values if name not in known]
    for name, value in values.items():
        if isinstance(value, dict) and name in known:
            wrong += _names(value, known[name], f"{path}/{name}")
            lacking = set(known[name].get("properties", {})) - set(value)
            wrong += [f"{path}/{name}/{each}" for each in lacking if value]
    return wrong
