"""Alerts and the dashboard speak of metrics that the program has, and every alert has its page for the night."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from extauthz.control.logout import Came
from extauthz.introspection.line import Told
from extauthz.keys.jwk import KeySet
from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.time import Instant
from extauthz.model.verdict import Deny, Refusal
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.metrics import Metrics
from tests.chart.promql import Named, NotPromqlError, named
from tests.chart.rendering import CHART, objects, of_kind
from tests.unit.telemetry.seen import ALLOW, GROUND, ISSUER, READINGS, SHADOWED, STORE, seen

ROOT = Path(__file__).parents[2]
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
UNIT_TESTS = Path(__file__).parent / "alerts.test.yaml"
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"

SCRAPED = {"namespace", "job", "instance"}
"""Labels that are there for every target, or may be missing everywhere without making an expression wrong."""
OF_THE_PROCESS = {"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
EXPECTED = ("what it means", "who is hurt", "look first", "mend", "it is over when")

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@cache
def rendered() -> dict[str, dict[str, set[str]]]:
    """Every sample that the program can render, by name: its labels, and the values that were seen of each."""
    full = replace(
        READINGS,
        policies={"accepted": 1, "invalid": 1},
        keys={ISSUER: KeyState(KeySet((), (), "g"), good_until=Instant(99.0), fetched_at=Instant(1.0))},
        endpoints={issuer: replace(each, told=dict.fromkeys(Told, 1)) for issuer, each in READINGS.endpoints.items()},
        shared_store=replace(
            STORE,
            failures=dict.fromkeys(_kinds_of_trouble(), 1),
            nodes={"up": 1, "down": 1},
            given_back={"made": 1, "lost": 1},
        ),
    )
    counted = Metrics(lambda: full, version="1")
    for reason in Reason:
        counted.observe(seen(Deny(refusal=Refusal(reason, "why"), ground=GROUND)))
    for verdict in (ALLOW, SHADOWED):
        counted.observe(seen(verdict))
    logouts = {came.value: 1 for came in Came}
    controller = ControllerReadings(leading=True, replicas=1, logouts=logouts)
    controlled = ControllerMetrics(lambda: controller, version="1")
    found: dict[str, dict[str, set[str]]] = {}
    for page in (counted.render()[0], controlled.render()[0]):
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def _kinds_of_trouble() -> set[str]:
    """The words of `extauthz_store_failures_total{kind}`, which no table in the code lists."""
    folder = ROOT / "extauthz" / "replay" / "redis"
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    return set(re.findall(r'\bTrouble\(\s*"(\w+)"', text)) | set(
        re.findall(r'^    "[A-Z]+": \("(\w+)", ', text, re.MULTILINE)
    )


def unknown(found: Named) -> list[str]:
    """What is named that the program does not render."""
    pages = rendered()
    wrong = [f"metric {name}" for name in sorted(found.metrics) if name not in pages]
    labels = {label for name in found.metrics for label in pages.get(name, ())} | SCRAPED
    wrong += [f"label {label}" for label in sorted(found.groupings - labels)]
    for metric, label, text in found.matchers:
        values = pages.get(metric, {}).get(label)
        if values is None:
            wrong += [] if label in SCRAPED else [f"label {metric}{{{label}}}"]
        else:
            wrong += [f'value {metric}{{{label}="{each}"}}' for each in text.split("|") if each not in values]
    return wrong


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression of every query of the dashboard."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@each_rule
def test_an_alert_names_only_metrics_labels_and_values_that_the_program_renders(rule: dict[str, Any]) -> None:
    assert unknown(named(rule["expr"])) == []


@pytest.mark.parametrize(("title", "expression"), list(panels()))
def test_a_panel_names_only_metrics_labels_and_values_that_the_program_renders(title: str, expression: str) -> None:
    assert '{namespace=~"$namespace", job=~"$job"' in expression
    plain = expression.replace("$__rate_interval", "5m").replace('"$namespace"', '"a"').replace('"$job"', '"a"')
    assert unknown(named(plain)) == []


@pytest.mark.parametrize(
    "expression",
    [
        "extauthz_store_upp == 0",
        'extauthz_checks_total{raison="internal"}',
        'extauthz_checks_total{reason="internall"}',
        'extauthz_checks_total{reason=~"internal|not_redy"}',
        "sum by (polcy) (extauthz_checks_total)",
        "sum by (issuer) (extauthz_checks_total)",
        "extauthz_check_seconds",
        "extauthz_checks",
        "extauthz_store_failures_total{kind='clock'}",
        "rat(extauthz_checks_total[5m])",
        "rate(extauthz_checks_total[5m]",
        'extauthz_store_failures_total{kind="clocks"}',
    ],
)
def test_a_name_that_nothing_renders_is_noticed(expression: str) -> None:
    with contextlib.suppress(NotPromqlError):
        assert unknown(named(expression)) != []


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {metric for _, expression in panels() for metric in named(expression).metrics}
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in rendered() if name.startswith("extauthz")}
    assert families - {re.sub(r"_bucket$", "", name) for name in shown} == set()


def test_the_dashboard_is_one_that_grafana_lays_out() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(DASHBOARD)))
    assert used <= variables
    queries = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert all("label_values(extauthz_build_info" in query for query in queries)


@each_rule
def test_an_alert_says_how_bad_it_is_and_what_was_found(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Extauthz([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert all(text and not text.startswith(" ") for text in rule["annotations"].values())
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


@each_rule
def test_an_alert_fills_in_only_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    text = " ".join(rule["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", text))
    found = named(rule["expr"])
    aggregated = re.search(r"\b(sum|max|min|count)\b", rule["expr"]) is not None
    own = {label for name in found.metrics for label in rendered()[name]} | SCRAPED
    assert used <= (found.groupings if aggregated else own)
    assert re.sub(r"\{\{ \$(labels\.\w+|value)( \| humanize\w*)? \}\}", "", text).count("{{") == 0


def sections() -> dict[str, str]:
    """The runbook, by heading."""
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@each_rule
def test_an_alert_has_a_section_that_tells_what_the_woken_need(rule: dict[str, Any]) -> None:
    section = sections()[rule["alert"]]
    for words in EXPECTED:
        assert f"**{words.capitalize()}**" in section, words
    assert f"({rule['labels']['severity']})" in section


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    alerts = {rule["alert"] for rule in RULES}
    assert {title for title in sections() if title.startswith("Extauthz")} == alerts
    listed = re.findall(r"\[(Extauthz\w+)\]\(#(\w+)\)", RUNBOOK.read_text())
    assert {name for name, _ in listed} == alerts
    assert all(anchor == name.lower() for name, anchor in listed)


def test_every_metric_that_the_runbook_names_is_one_that_the_program_renders() -> None:
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in rendered()} | set(rendered())
    assert {name for name in re.findall(r"\bextauthz_\w+", RUNBOOK.read_text()) if name not in families} == set()


def test_every_alert_can_be_left_out_by_name() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["prometheusRule"]["properties"]["disabled"]["items"]["enum"]
    assert known == [rule["alert"] for rule in RULES]


def test_the_chart_ships_every_alert_with_where_to_read_on(helm: str) -> None:
    page = "https://docs.example/runbook"
    values = {
        "crds": {"install": False},
        "prometheusRule": {
            "enabled": True,
            "runbook": page,
            "alertLabels": {"team": "platform", "severity": "page"},
            "disabled": ["ExtauthzSlow"],
        },
    }
    (rule,) = of_kind(objects(helm, values), "PrometheusRule")
    shipped = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}
    assert shipped.keys() == {each["alert"] for each in RULES} - {"ExtauthzSlow"}
    for each in RULES:
        if each["alert"] != "ExtauthzSlow":
            found = shipped[each["alert"]]
            assert found["annotations"].pop("runbook_url") == f"{page}#{each['alert'].lower()}"
            assert found["labels"].pop("team") == "platform"
            assert found == each


def test_nothing_of_a_prometheus_operator_is_there_unless_asked_for(helm: str) -> None:
    found = objects(helm, {"crds": {"install": False}})
    assert not {each["apiVersion"] for each in found if each["apiVersion"].startswith("monitoring")}
    assert not [each for each in of_kind(found, "ConfigMap") if "dashboard" in each["metadata"]["name"]]


def test_the_dashboard_arrives_unaltered(helm: str) -> None:
    found = objects(helm, {"crds": {"install": False}, "dashboard": {"enabled": True, "annotations": {"folder": "f"}}})
    (config,) = (each for each in of_kind(found, "ConfigMap") if each["metadata"]["name"] == "extauthz-dashboard")
    assert json.loads(config["data"]["extauthz.json"]) == DASHBOARD
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"folder": "f"}
    assert len(config["data"]["extauthz.json"]) < 262_144, "kubectl apply keeps a copy in an annotation"


@pytest.mark.parametrize("mode", ["central", "sidecar"])
def test_everything_that_runs_is_scraped(helm: str, mode: str) -> None:
    sidecar = {"namespaces": [{"namespace": "shop", "serviceAccounts": ["orders"]}]} if mode == "sidecar" else {}
    values = {"crds": {"install": False}, "mode": mode, "serviceMonitor": {"enabled": True}, "sidecar": sidecar}
    found = objects(helm, values)
    selected = [each["spec"] for each in of_kind(found, "PodMonitor")]
    (controllers, *sidecars) = selected
    assert controllers["jobLabel"] == "app.kubernetes.io/component"
    ports = {
        port["name"]
        for each in of_kind(found, "Deployment")
        if each["metadata"]["labels"]["app.kubernetes.io/component"] != "server"
        for container in each["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    assert {each["port"] for each in controllers["podMetricsEndpoints"]} <= ports
    if mode == "sidecar":
        assert sidecars[0]["namespaceSelector"] == {"matchNames": ["shop"]}
        assert sidecars[0]["podMetricsEndpoints"][0]["port"] == "extauthz-admin"
        assert not of_kind(found, "ServiceMonitor")
    else:
        (monitor,) = of_kind(found, "ServiceMonitor")
        labels = monitor["spec"]["selector"]["matchLabels"].items()
        assert [s for s in of_kind(found, "Service") if labels <= s["metadata"]["labels"].items()]


def test_promtool_takes_the_rules(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(CHART / "files" / "alerts.yaml")],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_every_alert_fires_when_it_should_and_not_when_it_should_not(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", str(UNIT_TESTS)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    cases = [
        case
        for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]  # fmt: skip
    for wanted in (True, False):
        tested = {case["alertname"] for case in cases if bool(case.get("exp_alerts")) is wanted}
        assert {rule["alert"] for rule in RULES} - tested == set()


def test_alert_and_panel_take_the_same_denials_for_doubt() -> None:
    doubts = {r.label for r in Reason if r.http_status == 503 and r is not Reason.STORE_QUOTA}
    (rule,) = (rule for rule in RULES if rule["alert"] == "ExtauthzDenyingInDoubt")
    (panel,) = (panel for panel in DASHBOARD["panels"] if panel["title"] == "Denied in doubt")
    for expression in (rule["expr"], panel["targets"][0]["expr"]):
        found = re.search(r'reason=~"([a-z_|]+)"', expression)
        assert found is not None
        assert set(found[1].split("|")) == doubts
