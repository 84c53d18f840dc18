"""The Grafana dashboard of the chart: rows of panels, each a title, a unit, what it says and its queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from extauthz.model.reason import Reason

Json: TypeAlias = dict[str, Any]

_WHO = 'namespace=~"$namespace", job=~"$job"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
_HEIGHT = 8
IN_DOUBT = "|".join(reason.label for reason in Reason if reason.http_status == 503 and reason is not Reason.STORE_QUOTA)
"""What is denied whatever the token says; a quota turns away the tokens of those who used it up."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. In a query `@` stands for the matchers that the variables of the dashboard give."""

    title: str
    unit: str
    says: str
    queries: tuple[tuple[str, str], ...]
    """Expression and legend of each."""
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    steps: tuple[tuple[float | None, str], ...] = ()
    """From which value on which colour; of a `stat` only."""


_BAD_FROM_ONE = ((None, "green"), (1.0, "red"))
_BAD_BELOW_ONE = ((None, "red"), (1.0, "green"))

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Answers",
        (
            Panel(
                "Denied in doubt",
                "percentunit",
                "Share of requests that are denied with 503 whatever their tokens say. Should be 0.",
                (
                    (
                        (
                            f'sum(rate(extauthz_checks_total{{@, decision="deny", reason=~"{IN_DOUBT}"}}[$__rate_interval]))'
                            " / sum(rate(extauthz_checks_total{@}[$__rate_interval]))"
                        ),
                        "",
                    ),
                ),
                kind="stat",
                width=4,
                steps=((None, "green"), (0.001, "orange"), (0.01, "red")),
            ),
            Panel(
                "Checks",
                "reqps",
                "Answered Checks, by what was decided. `shadow_deny`: admitted, and would be denied in Enforce mode.",
                (("sum by (decision) (rate(extauthz_checks_total{@}[$__rate_interval]))", "{{decision}}"),),
                width=10,
                stacked=True,
            ),
            Panel(
                "Denials by reason",
                "reqps",
                "docs/reference/reasons.md tells what each means.",
                (
                    (
                        'sum by (reason) (rate(extauthz_checks_total{@, decision!="allow"}[$__rate_interval]))',
                        "{{reason}}",
                    ),
                ),
                width=10,
                stacked=True,
            ),
            Panel(
                "Latency of a Check",
                "s",
                "Inside the server, reading and writing included. Envoy gives up after 0.2 s unless told otherwise.",
                tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) (rate(extauthz_check_seconds_bucket{{@}}[$__rate_interval])))",
                        f"p{float(share) * 100:g}",
                    )
                    for share in ("0.5", "0.99", "0.999")
                ),
            ),
            Panel(
                "Of that, the store",
                "s",
                "Waiting for the store, of answers to requests that count. What is left of the panel before is ours.",
                tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) (rate(extauthz_store_seconds_bucket{{@}}[$__rate_interval])))",
                        f"p{float(share) * 100:g}",
                    )
                    for share in ("0.5", "0.99", "0.999")
                ),
            ),
            Panel(
                "Busiest policies",
                "reqps",
                "Answered Checks of the ten busiest policies; empty when no rule took the request.",
                (
                    (
                        "topk(10, sum by (policy) (rate(extauthz_checks_total{@}[$__rate_interval])))",
                        "{{policy}}",
                    ),
                ),
            ),
            Panel(
                "Policies that deny most",
                "percentunit",
                "Share of denials, of the ten policies that deny the largest part of what they are asked.",
                (
                    (
                        (
                            'topk(10, sum by (policy) (rate(extauthz_checks_total{@, decision="deny"}[$__rate_interval]))'
                            " / sum by (policy) (rate(extauthz_checks_total{@}[$__rate_interval])))"
                        ),
                        "{{policy}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Counting",
        (
            Panel(
                "Store",
                "none",
                "1 when every server can ask the shared store; no data with the memory store.",
                (("min(extauthz_store_up{@})", ""),),
                kind="stat",
                width=4,
                steps=_BAD_BELOW_ONE,
            ),
            Panel(
                "May evict",
                "none",
                "1 when the shared store may drop live counts. Set maxmemory-policy noeviction.",
                (("max(extauthz_store_may_evict{@})", ""),),
                kind="stat",
                width=4,
                steps=_BAD_FROM_ONE,
            ),
            Panel(
                "Commits by outcome",
                "reqps",
                "`refused`: a count was spent. `unavailable`: denied with 503.",
                (("sum by (outcome) (rate(extauthz_spends_total{@}[$__rate_interval]))", "{{outcome}}"),),
                stacked=True,
            ),
            Panel(
                "Failures of the store",
                "reqps",
                "Commits that the shared store could not make, by what was wrong.",
                (("sum by (kind) (rate(extauthz_store_failures_total{@}[$__rate_interval]))", "{{kind}}"),),
            ),
            Panel(
                "Store began anew",
                "none",
                "Restarts and failovers of the shared store within an hour, and how often it was seen to have lost what it held.",
                (
                    ("max(increase(extauthz_store_restarts_total{@}[1h]))", "began anew"),
                    ("max(increase(extauthz_store_emptied_total{@}[1h]))", "lost all"),
                ),
            ),
            Panel(
                "Commits a round trip",
                "none",
                "How many commits travel together; grows with the load.",
                (
                    (
                        (
                            "sum(rate(extauthz_store_commits_total{@}[$__rate_interval]))"
                            " / sum(rate(extauthz_store_batches_total{@}[$__rate_interval]))"
                        ),
                        "commits",
                    ),
                ),
            ),
            Panel(
                "Memory store",
                "percentunit",
                "How much of its capacity is taken. When it is full, new tokens are denied.",
                (("extauthz_store_keys{@} / extauthz_store_capacity{@}", "{{instance}}"),),
            ),
            Panel(
                "Peppers",
                "none",
                "2 while the pepper is exchanged: all is counted under both. 1 otherwise.",
                (("max(extauthz_peppers{@})", "most"), ("min(extauthz_peppers{@})", "fewest")),
            ),
            Panel(
                "Quotas",
                "reqps",
                "Denials because an issuer, or its namespace, has as many keys in the store as it may.",
                (("sum(rate(extauthz_store_quota_refusals_total{@}[$__rate_interval]))", "refused"),),
            ),
            Panel(
                "Families",
                "reqps",
                "Families of refresh tokens that ended because one was used again; failed: the store could not mark it.",
                (("sum by (outcome) (rate(extauthz_family_revocations_total{@}[$__rate_interval]))", "{{outcome}}"),),
            ),
            Panel(
                "Cluster",
                "none",
                "Nodes of a Redis Cluster, by the server that sees fewest up and most down. No data elsewhere.",
                (
                    ('min(extauthz_store_nodes{@, state="up"})', "up"),
                    ('max(extauthz_store_nodes{@, state="down"})', "down"),
                ),
            ),
            Panel(
                "Between slots",
                "reqps",
                "Redirects of a Redis Cluster, and steps that were undone. `lost`: a count may stay for a refused request.",
                (
                    ("sum(rate(extauthz_store_redirects_total{@}[$__rate_interval]))", "redirects"),
                    ("sum by (result) (rate(extauthz_store_given_back_total{@}[$__rate_interval]))", "{{result}}"),
                ),
            ),
            Panel(
                "Token cache",
                "percentunit",
                "Share of tokens that were verified before. Low under steady load: raise token-cache-size.",
                (
                    (
                        (
                            "sum(rate(extauthz_token_cache_hits_total{@}[$__rate_interval])) / (sum(rate(extauthz_token_cache_hits_total{@}[$__rate_interval]))"
                            " + sum(rate(extauthz_token_cache_misses_total{@}[$__rate_interval])))"
                        ),
                        "hits",
                    ),
                ),
            ),
        ),
    ),
    (
        "Keys of issuers",
        (
            Panel(
                "Usable",
                "none",
                "0 where no token of the issuer can be verified by some server.",
                (("min by (issuer) (extauthz_keys_usable{@})", "{{issuer}}"),),
            ),
            Panel(
                "Last fetch failed",
                "none",
                "1 where some server goes on with the last good keys.",
                (("max by (issuer) (extauthz_keys_failing{@})", "{{issuer}}"),),
            ),
            Panel(
                "Age",
                "s",
                "Of the keys of the server that fetched last longest ago.",
                (("max by (issuer) (extauthz_keys_age_seconds{@})", "{{issuer}}"),),
            ),
        ),
    ),
    (
        "Introspection",
        (
            Panel(
                "Endpoints",
                "none",
                "0 where the last answer of an issuer's endpoint was none.",
                (("min by (issuer) (extauthz_introspection_up{@})", "{{issuer}}"),),
            ),
            Panel(
                "Questions",
                "reqps",
                "Opaque tokens by what came of asking about them.",
                (("sum by (outcome) (rate(extauthz_introspections_total{@}[$__rate_interval]))", "{{outcome}}"),),
                stacked=True,
            ),
            Panel(
                "Latency of an endpoint",
                "s",
                "The slowest of a hundred.",
                (
                    (
                        "histogram_quantile(0.99, sum by (issuer, le) (rate(extauthz_introspection_seconds_bucket{@}[$__rate_interval])))",
                        "{{issuer}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Policies",
        (
            Panel(
                "Different sets in force",
                "none",
                "1 when all servers decide by the same policies. Sidecars of different namespaces differ.",
                (("count(count by (version) (extauthz_snapshot_info{@}))", ""),),
                kind="stat",
                width=4,
                steps=((None, "green"), (2.0, "orange")),
            ),
            Panel(
                "Not followed",
                "none",
                "How many servers do not get edits of policies, and how many namespaces have too many TokenRevocations.",
                (
                    ("sum(extauthz_source_trouble{@})", "servers"),
                    ("max(extauthz_crowded_namespaces{@})", "crowded"),
                    ("max(extauthz_controller_crowded_namespaces{@})", "crowded, by the controller"),
                ),
                kind="stat",
                width=4,
                steps=_BAD_FROM_ONE,
            ),
            Panel(
                "Loaded",
                "none",
                "`invalid` ones deny all that they speak for.",
                (("max by (state) (extauthz_policies{@})", "{{state}}"),),
            ),
            Panel(
                "Unconfirmed for",
                "s",
                "Since the API server last confirmed the policies: up to 60 s when all is well.",
                (("max(extauthz_source_silent_seconds{@})", "longest"),),
            ),
            Panel(
                "Last change",
                "s",
                "Since the policies in force last changed.",
                (("min(extauthz_snapshot_age_seconds{@})", "ago"),),
            ),
            Panel(
                "Revocations",
                "none",
                "In force; each takes somewhat more than a kilobyte in every server.",
                (("max(extauthz_revocations{@})", "in force"),),
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "Versions",
                "none",
                "How many processes run which version.",
                (("count by (version) (extauthz_build_info{@})", "{{version}}"),),
            ),
            Panel(
                "CPU",
                "none",
                "Cores. One server uses little more than one, whatever it is given.",
                (
                    (
                        "rate(process_cpu_seconds_total{@}[$__rate_interval]) and on (instance) extauthz_build_info{@}",
                        "{{instance}}",
                    ),
                ),
            ),
            Panel(
                "Memory",
                "bytes",
                "Resident.",
                (("process_resident_memory_bytes{@} and on (instance) extauthz_build_info{@}", "{{instance}}"),),
            ),
            Panel(
                "Lines lost",
                "none",
                "Of the decision log and of the process log, each second. Should be 0.",
                (
                    ("sum(rate(extauthz_decision_log_lost_total{@}[$__rate_interval]))", "decisions"),
                    ("sum(rate(extauthz_process_log_lost_total{@}[$__rate_interval]))", "process"),
                ),
            ),
            Panel(
                "Clocks",
                "s",
                "How far each server's time is from that of Prometheus. Some seconds are the scrape's; more is a wrong clock.",
                (
                    (
                        "extauthz_clock_timestamp_seconds{@} - timestamp(extauthz_clock_timestamp_seconds{@})",
                        "{{instance}}",
                    ),
                ),
            ),
            Panel(
                "Clock set back",
                "s",
                "How far behind the machine's clock is; 0 in a healthy process.",
                (("extauthz_clock_stepped_back_seconds{@} > 0", "{{instance}}"),),
            ),
            Panel(
                "TLS certificates: life left",
                "percentunit",
                "Of the certificate that servers show to Envoy, and controllers to issuers; below 0 it is refused.",
                (
                    (
                        (
                            "(extauthz_tls_certificate_not_after_timestamp_seconds{@} - time())"
                            " / (extauthz_tls_certificate_not_after_timestamp_seconds{@}"
                            " - extauthz_tls_certificate_not_before_timestamp_seconds{@})"
                        ),
                        "{{instance}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Controller",
        (
            Panel(
                "Leaders",
                "none",
                "1 for each controller: nobody else writes status.",
                (("sum by (job) (extauthz_controller_leader{@})", "{{job}}"),),
            ),
            Panel(
                "Writes and failures",
                "reqps",
                "Status written, writes that came too late, calls that failed, Events, revocations pruned.",
                tuple(
                    (f"sum(rate(extauthz_controller_{name}_total{{@}}[$__rate_interval]))", name.replace("_", " "))
                    for name in ("status_writes", "stale_writes", "failures", "events", "pruned")
                ),
            ),
            Panel(
                "Logouts",
                "reqps",
                "Back-channel logouts by what came of them. `failed`: no revocation was written.",
                (("sum by (outcome) (rate(extauthz_controller_logouts_total{@}[$__rate_interval]))", "{{outcome}}"),),
                stacked=True,
            ),
            Panel(
                "Mistakes and replicas",
                "none",
                "Mistakes in all objects; central servers that tell what they serve; how old the leader's news are.",
                (
                    ("max(extauthz_controller_mistakes{@})", "mistakes"),
                    ("max(extauthz_controller_replicas{@})", "replicas"),
                    ("max(extauthz_controller_source_age_seconds{@})", "seconds without news"),
                ),
            ),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as JSON."""
    found = {
        "uid": "extauthz",
        "title": "extauthz",
        "description": "What extauthz answers, counts and knows. Written by docs/dashboard.py.",
        "tags": ["extauthz", "envoy", "security"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }
    return json.dumps(found, indent=2) + "\n"


def _variables() -> list[Json]:
    source = {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus", "refresh": 1}
    return [
        source,
        _variable("namespace", "label_values(extauthz_build_info, namespace)"),
        _variable("job", 'label_values(extauthz_build_info{namespace=~"$namespace"}, job)'),
    ]


def _variable(name: str, query: str) -> Json:
    """All by default; `.*` also takes series without the label, as a plain Prometheus has them."""
    every = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": every,
        "sort": 1,
    }


def _panels() -> Iterator[Json]:
    number, y = 0, 0
    for title, panels in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _at(0, y)}
        y, x = y + 1, 0
        for panel in panels:
            number += 1
            if x + panel.width > _WIDTH:
                x, y = 0, y + _HEIGHT
            yield _panel(panel, number, {"h": _HEIGHT, "w": panel.width, "x": x, "y": y})
            x += panel.width
        y += _HEIGHT


def _at(x: int, y: int) -> dict[str, int]:
    return {"h": 1, "w": _WIDTH, "x": x, "y": y}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0}
    if panel.kind == "stat":
        steps = [{"value": value, "color": colour} for value, colour in panel.steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        options: Json = {"colorMode": "background", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking, "showPoints": "never"}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [_target(*query, name) for query, name in zip(panel.queries, "ABCDE", strict=False)],
    }


def _target(expression: str, legend: str, name: str) -> Json:
    shown = {"legendFormat": legend} if legend else {}
    return {"refId": name, "datasource": _SOURCE, "expr": expression.replace("@", _WHO), "range": True, **shown}
