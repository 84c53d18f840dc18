"""The page about metrics: the table is what the program itself renders, with its own help texts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.readings import Readings, SharedStoreReadings

_LABELS = {"extauthz_checks": ("decision", "reason", "policy", "rule"), "extauthz_spends": ("outcome",)}
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

## What to watch

| alert when | because |
|---|---|
| `sum(rate(extauthz_checks_total{reason="internal"}[5m])) > 0` | a bug denies requests |
| `sum(rate(extauthz_checks_total{reason=~"store_unavailable\\|keys_unavailable\\|policy_invalid\\|not_ready\\|overloaded"}[5m])) > 0` | good clients are turned away with 503 |
| `extauthz_keys_usable == 0` | no token of this issuer can be verified |
| `extauthz_store_up == 0` | every request that counts is denied with 503 |
| `extauthz_store_may_evict == 1` | the shared store may forget used tokens: set `maxmemory-policy noeviction` |
| `increase(extauthz_store_failures_total{kind="clock"}[1h]) > 0` | the shared store's clock was set ahead, and uses may be forgotten |
| `extauthz_policies{state="invalid"} > 0` | a policy denies its whole scope until it is mended |
| `extauthz_source_trouble == 1` for minutes | edits of policies are not in force: `/readyz` says why |
| `extauthz_source_silent_seconds > 150` | the API server has not confirmed the policies for long; at `max-source-age` we are no longer ready |
| `histogram_quantile(0.99, sum by (le) (rate(extauthz_check_seconds_bucket[5m]))) > 0.1` | Envoy gives up after 200 ms unless told otherwise |
| `rate(extauthz_decision_log_lost_total[5m]) > 0` | decisions leave no trace: nobody reads the pipe, or the disk is full |
| `extauthz_clock_stepped_back_seconds > 0` | the machine's clock was set back; decisions go on by the time before |
"""


_ALERTS = """

Alert when `sum(extauthz_controller_leader) != 1` lasts for a minute (nobody writes status), and when
`rate(extauthz_controller_failures_total[5m]) > 0` (the log of the leader says why).
"""


def metrics_page() -> str:
    """Every metric, with its type, its labels and what it says."""
    rows = ["| metric | type | labels | says |", "|---|---|---|---|", *map(_row, _families())]
    return _INTRO + "\n".join(rows) + "\n" + _REST + _controller()


def _controller() -> str:
    everything = ControllerReadings(leading=True, replicas=2)
    text = ControllerMetrics(lambda: everything, version="1").render()[0].decode()
    found = (each for each in text_string_to_metric_families(text) if each.name.startswith("extauthz_controller"))
    head = "\n## `extauthz controller`\n\n| metric | type | labels | says |\n|---|---|---|---|\n"
    return head + "\n".join(map(_row, found)) + _ALERTS


def _families() -> Iterator[Metric]:
    issuer = IssuerRef("TokenIssuer", "shop", "corp")
    everything = Readings(
        now=Instant(9.0),
        snapshot_version="v",
        snapshot_published=Instant(1.0),
        policies={"accepted": 1},
        keys={issuer: KeyState(fetched_at=Instant(1.0))},
        store_keys=1,
        source_silent=Seconds(1.0),
        shared_store=SharedStoreReadings(up=True, may_evict=False, commits=1, batches=1, failures={"timeout": 1}),
    )
    text = Metrics(lambda: everything, version="1").render()[0].decode()
    yield from (each for each in text_string_to_metric_families(text) if each.name.startswith("extauthz_"))


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    shown = ", ".join(f"`{label}`" for label in _LABELS.get(family.name, labels))
    return f"| `{name}` | {family.type} | {shown} | {family.documentation} |"
