"""Metrics in the Prometheus text format.

Decisions are counted in one dictionary under one lock; all else is read when it is asked for. Labels come from loaded
policies and our own tables, never from a request, and the number of series is bounded besides.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from extauthz.model.reason import Reason
from extauthz.telemetry.observation import FamilyOutcome, Observation, SpendOutcome, judged
from extauthz.telemetry.readings import Readings, families

BUCKETS: Final[tuple[float, ...]] = (
    *(50e-6, 100e-6, 200e-6, 500e-6),
    *(1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 150e-3, 200e-3, 500e-3),
    1.0,
)
"""Upper bounds of the latency histogram, in seconds; 0.2 is how long Envoy waits unless told otherwise."""

MAX_SERIES: Final = 10_000
"""How many label sets `extauthz_checks_total` may have. Policies that come and go leave theirs behind."""

OTHER: Final = "other"
"""The policy under which decisions beyond MAX_SERIES are counted. Policies are named `namespace/name`, never so."""

_Key: TypeAlias = tuple[str, str, str, str, str]
"""Decision, reason, namespace, policy and rule: plain texts, whose hashes are kept by the interpreter."""


@dataclass(frozen=True, slots=True)
class _Counts:
    """All counts at one moment."""

    checks: dict[_Key, int]
    latencies: tuple[int, ...]
    seconds: float
    waits: tuple[int, ...]
    waited: float
    spends: dict[SpendOutcome, int]
    quota: dict[str, int]
    families: dict[FamilyOutcome, int]


class Metrics:
    """Counts decisions, from any number of threads, and renders all metrics."""

    def __init__(self, read: Callable[[], Readings], *, version: str, max_series: int = MAX_SERIES) -> None:
        self._lock = threading.Lock()
        self._max_series = max_series
        self._checks: dict[_Key, int] = {}
        self._latencies = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._waits = [0] * (len(BUCKETS) + 1)
        self._waited = 0.0
        self._spends: dict[SpendOutcome, int] = {
            outcome: 0 for outcome in SpendOutcome if outcome is not SpendOutcome.NONE
        }
        self._quota: dict[str, int] = {}
        self._families: dict[FamilyOutcome, int] = {
            outcome: 0 for outcome in FamilyOutcome if outcome is not FamilyOutcome.NONE
        }
        self._registry = CollectorRegistry()
        self._registry.register(_Rendering(self.counts, read, version))
        ProcessCollector(registry=self._registry)

    def observe(self, observation: Observation) -> None:
        """Count one answered Check."""
        key = _key(observation)
        seconds = max(0.0, observation.seconds)
        bucket = bisect_left(BUCKETS, seconds)
        spends = observation.spends
        with self._lock:
            checks = self._checks
            if key not in checks and len(checks) >= self._max_series:
                key = (*key[:2], "", OTHER, "")
            checks[key] = checks.get(key, 0) + 1
            self._latencies[bucket] += 1
            self._seconds += seconds
            if spends is not SpendOutcome.NONE:
                self._spends[spends] += 1
                self._waits[bisect_left(BUCKETS, observation.waited)] += 1
                self._waited += observation.waited
            if observation.family is not FamilyOutcome.NONE:
                self._families[observation.family] += 1
            if key[1] == Reason.STORE_QUOTA.label:
                payer = _payer(observation)
                self._quota[payer] = self._quota.get(payer, 0) + 1

    def counts(self) -> _Counts:
        """What was counted so far, all of one moment."""
        with self._lock:
            return _Counts(
                self._checks.copy(),
                tuple(self._latencies),
                self._seconds,
                tuple(self._waits),
                self._waited,
                self._spends.copy(),
                self._quota.copy(),
                self._families.copy(),
            )

    def render(self) -> tuple[bytes, str]:
        """All metrics in the text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Rendering(Collector):
    """Turns counts and readings into metric families when a scrape asks for them."""

    def __init__(self, counts: Callable[[], _Counts], read: Callable[[], Readings], version: str) -> None:
        self._counts = counts
        self._read = read
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not read what is not built yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        counts = self._counts()
        yield InfoMetricFamily("extauthz_build", "The version that runs.", {"version": self._version})
        yield _checks(counts)
        yield _histogram(
            "extauthz_check_seconds",
            "How long an answer took, reading and writing included; buckets from 50 µs to 1 s.",
            counts.latencies,
            counts.seconds,
        )
        yield _histogram(
            "extauthz_store_seconds",
            "How much of that was waiting for the store, for answers to requests that count.",
            counts.waits,
            counts.waited,
        )
        yield _spends(counts)
        yield _quota(counts)
        yield _families(counts)
        yield from families(self._read())


def _key(observation: Observation) -> _Key:
    verdict = observation.verdict
    decision, denial = judged(verdict)
    if denial is None:
        reason, ground = "", verdict.ground
    else:
        reason, ground = denial.refusal.reason.label, denial.ground
    policy = ground.policy
    if policy is None:
        return decision._value_, reason, "", "", ""
    return decision._value_, reason, policy.namespace, policy.name, ground.rule or ""


def _payer(observation: Observation) -> str:
    denial = judged(observation.verdict)[1]
    issuer = None if denial is None else denial.ground.issuer
    return "" if issuer is None else str(issuer)


def _quota(counts: _Counts) -> Metric:
    family = CounterMetricFamily(
        "extauthz_store_quota_refusals",
        "Denials because an issuer, or the namespace of its TokenIssuers, has as many keys in the store as it may.",
        labels=("issuer",),
    )
    for issuer, count in sorted(counts.quota.items()):
        family.add_metric((issuer,), count)
    return family


def _families(counts: _Counts) -> Metric:
    family = CounterMetricFamily(
        "extauthz_family_revocations",
        "Families of tokens (`reuse.family`) of which one was used again: `revoked`; `failed`, where the store could"
        " not mark it and the other tokens are still taken.",
        labels=("outcome",),
    )
    for outcome, count in counts.families.items():
        family.add_metric((outcome.value,), count)
    return family


def _checks(counts: _Counts) -> Metric:
    family = CounterMetricFamily("extauthz_checks", "Answered Checks.", labels=("decision", "reason", "policy", "rule"))
    for (decision, reason, namespace, name, rule), count in sorted(counts.checks.items()):
        family.add_metric((decision, reason, f"{namespace}/{name}" if namespace else name, rule), count)
    return family


def _histogram(name: str, says: str, found: Iterable[int], seconds: float) -> Metric:
    bounds = (*map(str, BUCKETS), "+Inf")
    return HistogramMetricFamily(name, says, list(zip(bounds, accumulate(found), strict=True)), seconds)


def _spends(counts: _Counts) -> Metric:
    family = CounterMetricFamily(
        "extauthz_spends",
        "Commits of counts to the store: `committed`, `refused` (a count was spent), `unavailable`.",
        labels=("outcome",),
    )
    for outcome, count in counts.spends.items():
        family.add_metric((outcome.value,), count)
    return family
