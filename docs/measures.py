"""The page about metrics: the table is what the program itself renders, with its own help texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from extauthz.introspection.desk import LineReadings
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.readings import Readings, SharedStoreReadings

ALERTS = Path(__file__).parents[1] / "charts" / "extauthz" / "files" / "alerts.yaml"
_LABELS = {
    "extauthz_checks": ("decision", "reason", "policy", "rule"),
    "extauthz_spends": ("outcome",),
    "extauthz_store_quota_refusals": ("issuer",),
}
"""Of what counts, which shows no labels before it counts."""

_INTRO = """\
# Metrics

`/metrics` on the admin address speaks the Prometheus text format. Labels come from loaded policies and from our own tables, never from a
request, so no client can make series.

"""

_REST = """
The usual `process_…` metrics (CPU, memory, open files, start time) stand beside them on Linux.

## `extauthz_checks_total`

- `decision`: `allow`; `deny`; or `shadow_deny`, a request that was admitted because its policy is in Shadow mode and would otherwise have been
  denied. What a Shadow policy would do in Enforce mode is the share of `shadow_deny`.
- `reason`: why it was denied, such as `token_reused`; empty for `allow`.
- `policy` (`namespace/name`) and `rule`: who decided; empty when no rule took the request.

At most 10,000 label sets are kept. Beyond that, decisions of policies that are new to the counter are counted under `policy="other"`; only a
process that has seen thousands of policies come and go gets there, and a restart clears it.

"""

_WATCH = """
## What to watch

The chart brings these alerts (`prometheusRule.enabled`) and a dashboard (`dashboard.enabled`); without an operator take `charts/extauthz/files/alerts.yaml`. Each leads to its section in the runbook.

| alert | severity | says |
|---|---|---|
"""


def metrics_page() -> str:
    """Every metric, with its type, its labels and what it says."""
    rows = ["| metric | type | labels | says |", "|---|---|---|---|", *map(_row, _families())]
    return _INTRO + "\n".join(rows) + "\n" + _REST + _controller() + _watch()


def _watch() -> str:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    rows = (_alert(rule) for group in groups for rule in group["rules"])
    return _WATCH + "\n".join(rows) + "\n"


def _alert(rule: dict[str, Any]) -> str:
    name, summary = rule["alert"], rule["annotations"]["summary"]
    said = re.sub(r"\{\{ \$(?:labels\.)?(\w+)(?: \| \w+)? \}\}", r"*\1*", summary)
    return f"| [{name}](../how-to/runbook.md#{name.lower()}) | {rule['labels']['severity']} | {said} |"


def _controller() -> str:
    everything = ControllerReadings(leading=True, replicas=2, logouts={"done": 1})
    text = ControllerMetrics(lambda: everything, version="1").render()[0].decode()
    found = (each for each in text_string_to_metric_families(text) if each.name.startswith("extauthz_controller"))
    head = "\n## `extauthz controller`\n\n| metric | type | labels | says |\n|---|---|---|---|\n"
    tls = "\n`extauthz_tls_certificate_…` tell of the certificate that issuers are shown at `--events`.\n"
    return head + "\n".join(map(_row, found)) + "\n" + tls


def _families() -> Iterator[Metric]:
    issuer = IssuerRef("TokenIssuer", "shop", "corp")
    everything = Readings(
        now=Instant(9.0),
        snapshot_version="v",
        snapshot_published=Instant(1.0),
        policies={"accepted": 1},
        keys={issuer: KeyState(fetched_at=Instant(1.0))},
        endpoints={issuer: LineReadings("https://corp.example/introspect", {}, (0,) * 11, 0.0, None)},
        store_keys=1,
        store_capacity=2,
        certificate=(Instant(1.0), Instant(9.0)),
        source_silent=Seconds(1.0),
        shared_store=SharedStoreReadings(
            up=True,
            may_evict=False,
            commits=1,
            batches=1,
            restarts=0,
            emptied=0,
            failures={"timeout": 1},
            nodes={"up": 3},
            given_back={"made": 1},
        ),
    )
    text = Metrics(lambda: everything, version="1").render()[0].decode()
    yield from (each for each in text_string_to_metric_families(text) if each.name.startswith("extauthz_"))


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    shown = ", ".join(f"`{label}`" for label in _LABELS.get(family.name, labels))
    return f"| `{name}` | {family.type} | {shown} | {family.documentation} |"
