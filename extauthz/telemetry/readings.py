"""What is read when metrics are asked for, instead of being counted at each decision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from extauthz.introspection.desk import LineReadings
from extauthz.introspection.line import BUCKETS, Told
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStoreReadings:
    """How the store that replicas share does."""

    up: bool
    may_evict: bool | None
    """None before it is known."""
    commits: int
    batches: int
    restarts: int
    emptied: int
    failures: Mapping[str, int]
    """Commits that could not be made, by what was wrong."""
    nodes: Mapping[str, int] | None = None
    """Of a cluster: how many nodes are `up` and `down`."""
    redirects: int = 0
    given_back: Mapping[str, int] | None = None
    """Of a cluster: what was counted for a refused request and given back (`made`), or not (`lost`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The state of the other rooms at one instant, as they hand it over."""

    now: Instant
    token_cache_hits: int = 0
    token_cache_misses: int = 0
    snapshot_version: str | None = None
    """None while no policies are loaded."""
    snapshot_published: Instant | None = None
    policies: Mapping[str, int] = field(default_factory=dict)
    """How many policies are in which state: `accepted` or `invalid`."""
    revocations: int = 0
    """How many TokenRevocations are in the index."""
    keys: Mapping[IssuerRef, KeyState] = field(default_factory=dict)
    endpoints: Mapping[IssuerRef, LineReadings] = field(default_factory=dict)
    """How the introspection endpoints do."""
    decision_log_lost: int = 0
    process_log_lost: int = 0
    store_keys: int | None = None
    """None where the store does not count its keys."""
    store_capacity: int | None = None
    """How many it may hold; None where it has no bound of its own."""
    shared_store: SharedStoreReadings | None = None
    """None where the store is none that replicas share."""
    peppers: int = 1
    """How many peppers counts go under."""
    clock_stepped_back: Seconds = Seconds(0.0)
    certificate: tuple[Instant, Instant] | None = None
    """From when to when the certificate that clients are shown is good; None without TLS."""
    source_silent: Seconds = Seconds(math.inf)
    """Since the source of policies last confirmed what is known; infinite before the first time."""
    source_trouble: bool = False
    """Whether something keeps us from being in step with it."""
    crowded: int = 0
    """Namespaces with too many TokenRevocations."""


def families(readings: Readings) -> Iterator[Metric]:
    """The readings as Prometheus metric families."""
    yield from _counters(readings)
    yield from _snapshot(readings)
    yield from _source(readings)
    yield from _keys(readings)
    yield from _endpoints(readings)
    if readings.store_keys is not None:
        yield GaugeMetricFamily(
            "extauthz_store_keys",
            "Keys that the store holds now; absent for a store that does not count them.",
            readings.store_keys,
        )
    if readings.store_capacity is not None:
        yield GaugeMetricFamily(
            "extauthz_store_capacity",
            "Keys that the memory store may hold; when they are reached, new tokens are denied.",
            readings.store_capacity,
        )
    if readings.shared_store is not None:
        yield from _shared_store(readings.shared_store)
    yield GaugeMetricFamily(
        "extauthz_peppers",
        "Peppers that counts go under: 2 while one takes the place of another, else 1.",
        readings.peppers,
    )
    yield GaugeMetricFamily(
        "extauthz_clock_timestamp_seconds",
        "Unix time that decisions go by: what differs from the time of the scrape is this machine's error.",
        readings.now,
    )
    yield GaugeMetricFamily(
        "extauthz_clock_stepped_back_seconds",
        "How far the machine's clock was set back behind the time that decisions go by; 0 in a healthy process.",
        readings.clock_stepped_back,
    )
    yield from certificate_families(readings.certificate)


def certificate_families(certificate: tuple[Instant, Instant] | None) -> Iterator[Metric]:
    """From when to when a listener's certificate is good; servers and controllers tell it alike."""
    if certificate is None:
        return
    begins, ends = certificate
    name = "extauthz_tls_certificate"
    yield GaugeMetricFamily(
        f"{name}_not_before_timestamp_seconds",
        "Unix time from which the certificate that callers are shown is good; absent without TLS.",
        begins,
    )
    yield GaugeMetricFamily(
        f"{name}_not_after_timestamp_seconds",
        "Unix time after which callers refuse that certificate, unless its file is renewed; absent without TLS.",
        ends,
    )


def _counters(readings: Readings) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "extauthz_token_cache_hits",
        "Verifications answered from memory.",
        readings.token_cache_hits,
    )
    yield CounterMetricFamily(
        "extauthz_token_cache_misses",
        "Verifications that had to check a signature.",
        readings.token_cache_misses,
    )
    yield CounterMetricFamily(
        "extauthz_decision_log_lost",
        "Lines of the decision log that were lost, because nobody read them or the disk was full.",
        readings.decision_log_lost,
    )
    yield CounterMetricFamily(
        "extauthz_process_log_lost",
        "Lines of the process log that could not be written.",
        readings.process_log_lost,
    )


def _snapshot(readings: Readings) -> Iterator[Metric]:
    if readings.snapshot_version is not None:
        yield InfoMetricFamily(
            "extauthz_snapshot",
            "The policies in force: equal content has an equal version, so replicas can be compared.",
            {"version": readings.snapshot_version},
        )
    if readings.snapshot_published is not None:
        age = max(0.0, readings.now - readings.snapshot_published)
        yield GaugeMetricFamily("extauthz_snapshot_age_seconds", "Time since the policies last changed.", age)
    policies = GaugeMetricFamily(
        "extauthz_policies",
        "Loaded policies by state: `accepted`, or `invalid`, which deny what they speak for, or leave it to an older"
        " policy that says the same.",
        labels=("state",),
    )
    for state, count in sorted(readings.policies.items()):
        policies.add_metric((state,), count)
    yield policies
    yield GaugeMetricFamily(
        "extauthz_revocations",
        "TokenRevocations in force; each takes somewhat more than a kilobyte. "
        "One that is over counts until the policies next change.",
        readings.revocations,
    )


def _source(readings: Readings) -> Iterator[Metric]:
    if math.isfinite(readings.source_silent):
        yield GaugeMetricFamily(
            "extauthz_source_silent_seconds",
            "Time since the API server last confirmed the policies; up to about 60 when all is well, 0 for a folder, "
            "absent before the first time.",
            readings.source_silent,
        )
    yield GaugeMetricFamily(
        "extauthz_source_trouble",
        "1 when something keeps the policies from being followed: the last ones serve on, and `/readyz` says why.",
        readings.source_trouble,
    )
    yield GaugeMetricFamily(
        "extauthz_crowded_namespaces",
        "Namespaces with more TokenRevocations than there is room for: every token they could mean is refused.",
        readings.crowded,
    )


def _keys(readings: Readings) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "extauthz_keys_age_seconds",
        "Time since an issuer's keys were last fetched; absent before the first time, and for keys that cannot age.",
        labels=("issuer",),
    )
    failing = GaugeMetricFamily(
        "extauthz_keys_failing",
        "1 when the last attempt to fetch an issuer's keys failed; the last good ones serve until they are too old.",
        labels=("issuer",),
    )
    usable = GaugeMetricFamily(
        "extauthz_keys_usable",
        "1 when tokens of an issuer can be verified: there are keys, and they are not too old.",
        labels=("issuer",),
    )
    for ref, state in sorted(readings.keys.items()):
        issuer = (str(ref),)
        usable.add_metric(issuer, 0 if state.usable(readings.now) is None else 1)
        failing.add_metric(issuer, 0 if state.problem is None else 1)
        if state.fetched_at is not None and math.isfinite(state.good_until):
            age.add_metric(issuer, max(0.0, readings.now - state.fetched_at))
    yield age
    yield failing
    yield usable


def _endpoints(readings: Readings) -> Iterator[Metric]:
    questions = CounterMetricFamily(
        "extauthz_introspections",
        "Tokens that were asked about: `active`, `inactive`, `failed` (no usable answer came); and requests that were "
        "answered from memory (`remembered`), waited in vain (`late`) or were not to ask (`refused`).",
        labels=("issuer", "outcome"),
    )
    latency = HistogramMetricFamily(
        "extauthz_introspection_seconds", "How long an introspection endpoint took to answer.", labels=("issuer",)
    )
    up = GaugeMetricFamily(
        "extauthz_introspection_up",
        "1 when the last answer of an issuer's endpoint was one, and before the first question.",
        labels=("issuer",),
    )
    for ref, endpoint in sorted(readings.endpoints.items(), key=itemgetter(0)):
        for outcome in Told:
            questions.add_metric((str(ref), outcome.value), endpoint.told.get(outcome, 0))
        bounds = (*map(str, BUCKETS), "+Inf")
        latency.add_metric(
            (str(ref),), list(zip(bounds, accumulate(endpoint.latencies), strict=True)), endpoint.seconds
        )
        up.add_metric((str(ref),), endpoint.problem is None)
    yield questions
    yield latency
    yield up


def _shared_store(store: SharedStoreReadings) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "extauthz_store_up",
        "1 when the shared store can be asked; this and the next are absent for the memory store.",
        store.up,
    )
    if store.may_evict is not None:
        yield GaugeMetricFamily(
            "extauthz_store_may_evict", "1 when the shared store may drop live counts to make room.", store.may_evict
        )
    yield CounterMetricFamily("extauthz_store_commits", "Commits sent to the shared store.", store.commits)
    yield CounterMetricFamily(
        "extauthz_store_batches",
        "Round trips that they took: commits that wait together travel together.",
        store.batches,
    )
    yield CounterMetricFamily(
        "extauthz_store_restarts",
        "How often the shared store, or a node of it, was seen to have begun anew, or another server in its place: what"
        " it had not saved, or not sent to the one that took over, is forgotten.",
        store.restarts,
    )
    yield CounterMetricFamily(
        "extauthz_store_emptied",
        "How often the shared store, or a node of it, was seen to have lost what it held: emptied (`FLUSHALL`),"
        " restarted without its data, or replaced by a server that lacks it. Every count of before is forgotten.",
        store.emptied,
    )
    failures = CounterMetricFamily(
        "extauthz_store_failures",
        "Commits that the shared store could not make, by what was wrong: `timeout`, `refused`, `oom` and so on.",
        labels=("kind",),
    )
    for kind, count in sorted(store.failures.items()):
        failures.add_metric((kind,), count)
    yield failures
    if store.nodes is not None:
        yield from _cluster(store, store.nodes)


def _cluster(store: SharedStoreReadings, nodes: Mapping[str, int]) -> Iterator[Metric]:
    found = GaugeMetricFamily(
        "extauthz_store_nodes",
        "Nodes of the cluster that hold slots, by whether they take commits: `up` or `down`; this and the next two are"
        " absent elsewhere.",
        labels=("state",),
    )
    for state, count in sorted(nodes.items()):
        found.add_metric((state,), count)
    yield found
    yield CounterMetricFamily(
        "extauthz_store_redirects", "How often a node named another for a slot (MOVED, ASK).", store.redirects
    )
    returned = CounterMetricFamily(
        "extauthz_store_given_back",
        "Steps of a commit over several slots that were undone because a later step refused or failed: `made`, or"
        " `lost` where the count may stay.",
        labels=("result",),
    )
    for result, count in sorted((store.given_back or {}).items()):
        returned.add_metric((result,), count)
    yield returned
