"""Metrics of the controller, in the Prometheus text format: read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from extauthz.model.time import Instant
from extauthz.telemetry.readings import certificate_families


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerReadings:
    """The state of the controller at one instant."""

    leading: bool
    writes: int = 0
    stale: int = 0
    failures: int = 0
    events: int = 0
    pruned: int = 0
    logouts: Mapping[str, int] | None = None
    """What came of back-channel logouts, by outcome; None where none are taken."""
    crowded: int = 0
    """Namespaces with too many TokenRevocations."""
    mistakes: int = 0
    """In all objects."""
    replicas: int | None = None
    """None where replicas do not tell."""
    source_age: float = 0.0
    """Seconds."""
    certificate: tuple[Instant, Instant] | None = None
    """From when to when the certificate that issuers are shown is good; None without TLS."""


class ControllerMetrics:
    """Renders the readings."""

    def __init__(self, read: Callable[[], ControllerReadings], *, version: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Rendering(read, version))
        ProcessCollector(registry=self._registry)

    def render(self) -> tuple[bytes, str]:
        """All metrics in the text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Rendering(Collector):
    def __init__(self, read: Callable[[], ControllerReadings], version: str) -> None:
        self._read = read
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not read what is not built yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield InfoMetricFamily("extauthz_build", "The version that runs.", {"version": self._version})
        yield from families(self._read())


def families(found: ControllerReadings) -> Iterator[Metric]:
    """The readings as Prometheus metric families."""
    leader = "1 for the one controller that writes, 0 for those that wait."
    yield GaugeMetricFamily("extauthz_controller_leader", leader, int(found.leading))
    yield CounterMetricFamily("extauthz_controller_status_writes", "Status that was written.", found.writes)
    stale = "Writes that came too late: the object had changed, and is looked at anew."
    yield CounterMetricFamily("extauthz_controller_stale_writes", stale, found.stale)
    failures = "Calls that the API server refused or did not answer."
    yield CounterMetricFamily("extauthz_controller_failures", failures, found.failures)
    yield CounterMetricFamily("extauthz_controller_events", "Events about conditions that turned.", found.events)
    yield CounterMetricFamily(
        "extauthz_controller_pruned", "TokenRevocations deleted after they expired.", found.pruned
    )
    if found.logouts is not None:
        words = "Back-channel logouts: done, refused (none that counts), limited (too many), failed (to be sent again)."
        family = CounterMetricFamily("extauthz_controller_logouts", words, labels=["outcome"])
        for outcome, number in found.logouts.items():
            family.add_metric([outcome], number)
        yield family
    crowded = "Namespaces with more TokenRevocations than there is room for; every token they could mean is refused."
    yield GaugeMetricFamily("extauthz_controller_crowded_namespaces", crowded, found.crowded)
    yield GaugeMetricFamily("extauthz_controller_mistakes", "Mistakes in all objects.", found.mistakes)
    age = "Seconds since the API server last confirmed what is known."
    yield GaugeMetricFamily("extauthz_controller_source_age_seconds", age, found.source_age)
    if found.replicas is not None:
        yield GaugeMetricFamily("extauthz_controller_replicas", "Central replicas that live.", found.replicas)
    yield from certificate_families(found.certificate)
