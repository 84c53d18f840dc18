"""The reference pages say all there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from extauthz.model.reason import Reason
from extauthz.model.verdict import Deny, Refusal
from extauthz.telemetry import audit
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.line import MAX_LINE
from extauthz.telemetry.metrics import Metrics
from tests.unit.telemetry.seen import GROUND, READINGS, seen

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def rows(page: str, cells: int) -> list[list[str]]:
    """The rows of the tables with so many columns, without their heads."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("| `")]
    return [row for row in table if len(row) == cells]


def test_every_metric_is_in_the_reference_with_its_labels() -> None:
    counted = Metrics(lambda: READINGS, version="1")
    counted.observe(seen())
    # What counts by an issuer shows no labels before it counts.
    counted.observe(seen(Deny(refusal=Refusal(Reason.STORE_QUOTA, "full"), ground=GROUND)))
    controller = ControllerReadings(leading=True, replicas=1, logouts={"done": 1})
    controlled = ControllerMetrics(lambda: controller, version="1")
    shown: dict[str, set[str]] = {}
    rendered = counted.render()[0] + controlled.render()[0]
    for family in text_string_to_metric_families(rendered.decode()):
        if family.name.startswith("extauthz_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            shown[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows("metrics.md", 4)}
    assert documented == shown


def test_every_field_of_the_decision_log_is_in_the_reference_with_its_bound() -> None:
    documented = {row[0].strip("`"): row[2] for row in rows("decision-log.md", 3)}
    numbers = dict.fromkeys(("remaining", "latency_us", "store_us"), "a number")
    assert documented == {name: str(bound) for name, bound in audit.BOUNDS.items()} | numbers


def test_a_line_with_every_text_at_its_bound_is_no_longer_than_a_line_may_be() -> None:
    names = [*audit.BOUNDS, "remaining", "latency_us", "store_us"]
    digits = 3 * len(str(2**63))
    assert sum(audit.BOUNDS.values()) + sum(len(f'"{name}":"",') for name in names) + digits + 2 <= MAX_LINE
