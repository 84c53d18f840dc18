"""Metrics: exact counts, bounded labels, and nothing of a request."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from extauthz.introspection.desk import LineReadings
from extauthz.introspection.line import Told
from extauthz.keys.jwk import KeySet
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Deny, Ground, PolicyRef
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observation import SpendOutcome
from extauthz.telemetry.readings import Readings, SharedStoreReadings
from tests.unit.telemetry.seen import ALLOW, DENY, ISSUER, REUSED, SHADOWED, seen

NOW = Instant(1000.0)
EMPTY = Readings(now=NOW)


def metrics(readings: Readings = EMPTY, max_series: int = 100) -> Metrics:
    return Metrics(lambda: readings, version="1.2.3", max_series=max_series)


def samples(of: Metrics, name: str) -> list[tuple[Mapping[str, str], float]]:
    body, content_type = of.render()
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(body.decode())
    return [(sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name]


def value(of: Metrics, name: str, **labels: str) -> float | None:
    """The value of one sample, None when there is none."""
    return next((value for found, value in samples(of, name) if found == labels), None)


def test_decisions_are_counted_by_what_was_decided_and_why() -> None:
    counted = metrics()
    for verdict in (ALLOW, ALLOW, DENY, SHADOWED, Deny(refusal=REUSED)):
        counted.observe(seen(verdict))
    ours = {"policy": "shop/orders", "rule": "place-order"}
    none = {"policy": "", "rule": ""}
    name = "extauthz_checks_total"
    assert value(counted, name, decision="allow", reason="", **ours) == 2
    assert value(counted, name, decision="deny", reason="token_reused", **ours) == 1
    assert value(counted, name, decision="shadow_deny", reason="token_reused", **ours) == 1
    assert value(counted, name, decision="deny", reason="token_reused", **none) == 1


def test_nothing_that_a_client_chose_becomes_a_label() -> None:
    counted = metrics()
    names = ("method", "host", "path", "request_id", "stream_id", "source_address", "traceparent")
    ground = Ground(policy=PolicyRef("shop", "orders"), subject="evil", client="evil", token_hash="evil")
    counted.observe(seen(Allow(ground=ground), **dict.fromkeys(names, "evil")))
    counted.observe(seen(Deny(refusal=REUSED, ground=ground), **dict.fromkeys(names, "evil")))
    assert b"evil" not in counted.render()[0]


def test_policies_that_come_and_go_cannot_make_labels_without_end() -> None:
    counted = metrics(max_series=3)
    for number in range(50):
        counted.observe(seen(Allow(ground=Ground(policy=PolicyRef("shop", f"policy-{number}"), rule="r"))))
    counted.observe(seen(Allow(ground=Ground(policy=PolicyRef("shop", "policy-0"), rule="r"))))
    found = samples(counted, "extauthz_checks_total")
    assert len(found) == 4
    assert sum(count for _, count in found) == 51
    assert value(counted, "extauthz_checks_total", decision="allow", reason="", policy="other", rule="") == 47
    assert value(counted, "extauthz_checks_total", decision="allow", reason="", policy="shop/policy-0", rule="r") == 2


def test_latencies_fall_into_cumulative_buckets() -> None:
    counted = metrics()
    for seconds in (0.00001, 0.00005, 0.000051, 0.3, 7.0, -1.0):
        counted.observe(seen(seconds=Seconds(seconds)))
    buckets = {labels["le"]: count for labels, count in samples(counted, "extauthz_check_seconds_bucket")}
    assert (buckets["5e-05"], buckets["0.0001"], buckets["0.2"], buckets["0.5"]) == (3, 4, 4, 5)
    assert (buckets["1.0"], buckets["+Inf"]) == (5, 6)
    assert value(counted, "extauthz_check_seconds_count") == 6
    assert value(counted, "extauthz_check_seconds_sum") == pytest.approx(7.300111)


def test_waits_for_the_store_are_those_of_answers_that_count() -> None:
    counted = metrics()
    counted.observe(seen(waited=Seconds(0.06)))
    counted.observe(seen(spends=SpendOutcome.UNAVAILABLE, waited=Seconds(0.1)))
    counted.observe(seen(spends=SpendOutcome.NONE, waited=Seconds(0.0)))
    buckets = {labels["le"]: count for labels, count in samples(counted, "extauthz_store_seconds_bucket")}
    assert (buckets["0.05"], buckets["0.1"], buckets["+Inf"]) == (0, 2, 2)
    assert value(counted, "extauthz_store_seconds_sum") == pytest.approx(0.16)


def test_commits_are_counted_by_their_outcome_and_stand_at_zero_from_the_start() -> None:
    counted = metrics()
    for outcome in (SpendOutcome.COMMITTED, SpendOutcome.COMMITTED, SpendOutcome.UNAVAILABLE, SpendOutcome.NONE):
        counted.observe(seen(spends=outcome))
    found = {labels["outcome"]: count for labels, count in samples(counted, "extauthz_spends_total")}
    assert found == {"committed": 2, "refused": 0, "unavailable": 1}


def test_no_count_is_lost_among_threads() -> None:
    counted = metrics()

    def count() -> None:
        for _ in range(2000):
            counted.observe(seen(DENY))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [count for _, count in samples(counted, "extauthz_checks_total")] == [16_000]
    assert value(counted, "extauthz_check_seconds_count") == 16_000


def test_readings_are_shown_as_they_stand_when_they_are_asked_for() -> None:
    readings = Readings(
        now=NOW,
        token_cache_hits=5,
        token_cache_misses=2,
        snapshot_version="abc",
        snapshot_published=Instant(940.0),
        policies={"accepted": 3, "invalid": 1},
        revocations=9,
        decision_log_lost=7,
        process_log_lost=1,
        store_keys=42,
        peppers=2,
        store_capacity=50,
        clock_stepped_back=Seconds(12.0),
        certificate=(Instant(900.0), Instant(4500.0)),
        source_silent=Seconds(70.0),
        source_trouble=True,
        crowded=2,
    )
    shown = metrics(readings)
    assert value(shown, "extauthz_token_cache_hits_total") == 5
    assert value(shown, "extauthz_token_cache_misses_total") == 2
    assert value(shown, "extauthz_snapshot_info", version="abc") == 1
    assert value(shown, "extauthz_snapshot_age_seconds") == 60
    assert value(shown, "extauthz_policies", state="accepted") == 3
    assert value(shown, "extauthz_policies", state="invalid") == 1
    assert value(shown, "extauthz_revocations") == 9
    assert value(shown, "extauthz_decision_log_lost_total") == 7
    assert value(shown, "extauthz_process_log_lost_total") == 1
    assert value(shown, "extauthz_store_keys") == 42
    assert value(shown, "extauthz_peppers") == 2
    assert value(shown, "extauthz_store_capacity") == 50
    assert value(shown, "extauthz_clock_stepped_back_seconds") == 12
    assert value(shown, "extauthz_tls_certificate_not_before_timestamp_seconds") == 900
    assert value(shown, "extauthz_tls_certificate_not_after_timestamp_seconds") == 4500
    assert value(shown, "extauthz_source_silent_seconds") == 70
    assert value(shown, "extauthz_source_trouble") == 1
    assert value(shown, "extauthz_crowded_namespaces") == 2
    assert value(shown, "extauthz_build_info", version="1.2.3") == 1


def test_a_shared_store_shows_how_it_does() -> None:
    store = SharedStoreReadings(
        up=False, may_evict=True, commits=9, batches=4, restarts=2, emptied=3, failures={"oom": 2, "timeout": 1}
    )
    shown = metrics(Readings(now=NOW, shared_store=store))
    assert value(shown, "extauthz_store_up") == 0
    assert value(shown, "extauthz_store_may_evict") == 1
    assert value(shown, "extauthz_store_commits_total") == 9
    assert value(shown, "extauthz_store_batches_total") == 4
    assert value(shown, "extauthz_store_restarts_total") == 2
    assert value(shown, "extauthz_store_emptied_total") == 3
    assert value(shown, "extauthz_clock_timestamp_seconds") == NOW
    assert value(shown, "extauthz_store_failures_total", kind="oom") == 2
    assert value(shown, "extauthz_store_failures_total", kind="timeout") == 1
    assert value(shown, "extauthz_store_nodes", state="down") is None


def test_a_cluster_tells_its_nodes_its_redirections_and_what_was_given_back() -> None:
    store = SharedStoreReadings(
        up=True,
        may_evict=False,
        commits=9,
        batches=4,
        restarts=0,
        emptied=0,
        failures={},
        nodes={"up": 2, "down": 1},
        redirects=7,
        given_back={"made": 3, "lost": 1},
    )
    shown = metrics(Readings(now=NOW, shared_store=store))
    assert value(shown, "extauthz_store_nodes", state="down") == 1
    assert value(shown, "extauthz_store_redirects_total") == 7
    assert value(shown, "extauthz_store_given_back_total", result="lost") == 1


def test_nothing_is_made_up_before_it_is_known() -> None:
    shown = metrics()
    for name in (
        "snapshot_info",
        "snapshot_age_seconds",
        "store_keys",
        "store_capacity",
        "store_up",
        "store_may_evict",
        "source_silent_seconds",
    ):
        assert samples(shown, f"extauthz_{name}") == []


def test_an_issuer_shows_whether_its_keys_are_usable_and_how_old_they_are() -> None:
    keys = KeySet(keys=(), skipped=(), generation="g")
    old = IssuerRef("TokenIssuer", "shop", "old")
    waiting = IssuerRef("TokenIssuer", "shop", "waiting")
    states = {
        ISSUER: KeyState(keys=keys, good_until=Instant(2000.0), fetched_at=Instant(970.0)),
        old: KeyState(keys=keys, good_until=Instant(999.0), fetched_at=Instant(100.0)),
        waiting: KeyState(),
    }
    shown = metrics(Readings(now=NOW, keys=states))
    usable = {labels["issuer"]: state for labels, state in samples(shown, "extauthz_keys_usable")}
    ages = {labels["issuer"]: age for labels, age in samples(shown, "extauthz_keys_age_seconds")}
    assert usable == {"ClusterTokenIssuer corp": 1, "TokenIssuer shop/old": 0, "TokenIssuer shop/waiting": 0}
    assert ages == {"ClusterTokenIssuer corp": 30, "TokenIssuer shop/old": 900}


def test_keys_that_cannot_age_have_no_age() -> None:
    """Their age would grow for ever, and somebody would be called about it."""
    keys = KeySet(keys=(), skipped=(), generation="g")
    state = KeyState(keys=keys, good_until=Instant(math.inf), fetched_at=Instant(1.0))
    shown = metrics(Readings(now=NOW, keys={ISSUER: state}))
    assert value(shown, "extauthz_keys_usable", issuer="ClusterTokenIssuer corp") == 1
    assert samples(shown, "extauthz_keys_age_seconds") == []


def test_a_failed_fetch_shows_while_the_last_good_keys_still_serve() -> None:
    keys = KeySet(keys=(), skipped=(), generation="g")
    state = KeyState(keys=keys, good_until=Instant(2000.0), fetched_at=Instant(970.0), problem="refused")
    shown = metrics(Readings(now=NOW, keys={ISSUER: state}))
    assert value(shown, "extauthz_keys_usable", issuer="ClusterTokenIssuer corp") == 1
    assert value(shown, "extauthz_keys_failing", issuer="ClusterTokenIssuer corp") == 1
    mended = metrics(Readings(now=NOW, keys={ISSUER: replace(state, problem=None)}))
    assert value(mended, "extauthz_keys_failing", issuer="ClusterTokenIssuer corp") == 0


def test_an_endpoint_shows_what_became_of_questions_and_how_long_they_took() -> None:
    told = {Told.ACTIVE: 3, Told.REMEMBERED: 40}
    endpoint = LineReadings("https://corp.example/introspect", told, (1, 0, 2, *(0,) * 8), 0.04, "it does not answer")
    shown = metrics(Readings(now=NOW, endpoints={ISSUER: endpoint}))
    counts = {labels["outcome"]: count for labels, count in samples(shown, "extauthz_introspections_total")}
    assert counts == {"active": 3, "inactive": 0, "remembered": 40, "failed": 0, "late": 0, "refused": 0}
    buckets = {labels["le"]: count for labels, count in samples(shown, "extauthz_introspection_seconds_bucket")}
    assert (buckets["0.005"], buckets["0.02"], buckets["+Inf"]) == (1, 3, 3)
    assert samples(shown, "extauthz_introspection_up") == [({"issuer": str(ISSUER)}, 0)]


def test_nothing_is_read_before_a_scrape_asks() -> None:
    read: list[None] = []

    def reading() -> Readings:
        read.append(None)
        return EMPTY

    counted = Metrics(reading, version="1")
    counted.observe(seen())
    assert read == []
    counted.render()
    assert len(read) == 1


def test_two_metrics_live_side_by_side() -> None:
    first, second = metrics(), metrics()
    first.observe(seen())
    assert samples(second, "extauthz_checks_total") == []
