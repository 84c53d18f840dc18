"""Minutes of steady load through a real Envoy, while a policy and two issuers' keys change every second."""

from __future__ import annotations

import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from bench.memory import resident
from bench.soak.growth import LONG_RUN, SHORT_RUN, WARM_UP, Growth
from bench.soak.outcome import Outcome
from bench.soak.rotation import Rotation
from bench.soak.traffic import Probe, Request, Sender, Spent, Tally
from extauthz.cli.asking import ask_admin
from extauthz.cli.demo.issuer import Issuer
from extauthz.cli.demo.stage import Stage
from extauthz.model.time import MAX_CLOCK_SKEW, SystemClock

_SENDERS: Final = 4
_PATIENCE: Final = 10.0
_OPTIONS: Final = ("--token-cache-size", "1000", "--log-level", "warning")
_UNSURE_SHARE: Final = 0.01
"""Of all requests may be denied for being in doubt, or get no answer: the machine has others to serve."""
_LONGEST_TOKEN: Final = 3600
_SINGLE_USE_LIFETIME: Final = 20
_FULL: Final = _SINGLE_USE_LIFETIME + MAX_CLOCK_SKEW + 1
"""Seconds after which as many uses are forgotten as are counted: until then the store fills."""
_LONG: Final = 1.5 * _FULL
"""Seconds from which a run is a long one."""
_ALLOWED: Final = frozenset({200})
_UNAUTHORIZED: Final = frozenset({401})
_FORBIDDEN: Final = frozenset({403})

_ISSUER: Final = """\
apiVersion: extauthz.dev/v1alpha1
kind: TokenIssuer
metadata: {name: NAME, namespace: shop}
spec:
  issuer: URL
  keys: KEYS
  audiences: [orders-api]
  clockSkew: 1s
"""
_POLICY: Final = """\
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: NAME, namespace: shop}
spec:
  hosts: [NAME.example]
  rules:
    - name: all
      token: {issuers: [{name: WHOSE}]}
      require: {scopes: [SCOPE]}
      upstream: {claimHeaders: {x-auth-sub: sub}}
"""
_ONCE: Final = _POLICY.rstrip() + "\n      reuse: {maxUses: 1}\n"


def _policy(name: str, whose: str, scope: str, text: str = _POLICY) -> str:
    return text.replace("NAME", name).replace("WHOSE", whose).replace("SCOPE", scope)


def _issuer(name: str, url: str, keys: dict[str, Any]) -> str:
    return _ISSUER.replace("NAME", name).replace("URL", url).replace("KEYS", json.dumps(keys))


class Changing:
    """What changes every second: keys in an object, keys in a file, and the scope that one policy asks for."""

    def __init__(self) -> None:
        claims = _claims("rotating")
        self.in_object = Rotation("https://in-object.example", claims)
        self.in_file = Rotation("https://in-file.example", claims)
        self._beats = 0

    def beat(self) -> None:
        """Let a second pass."""
        self._beats += 1
        self.in_object.beat()
        self.in_file.beat()

    def files(self) -> dict[str, str]:
        """The files as they are now, by name."""
        in_object = {"inline": self.in_object.jwks()}
        return {
            "in-file.json": json.dumps(self.in_file.jwks()),
            "in-file.yaml": _issuer("in-file", self.in_file.issuer, {"file": "in-file.json"}),
            "in-object.yaml": _issuer("in-object", self.in_object.issuer, in_object),
            "alternating.yaml": _policy("alternating", "steady", ("orders.read", "orders.admin")[self._beats % 2]),
        }


def _claims(subject: str) -> dict[str, Any]:
    now = int(time.time())
    said = {"iat": now, "exp": now + _LONGEST_TOKEN, "aud": "orders-api", "client_id": "web"}
    return {**said, "sub": subject, "scope": "orders.read"}


def _fixed_files() -> dict[str, str]:
    """What stands all the time."""
    return {
        "steady-issuer.yaml": _issuer("steady", "ISSUER", {"discovery": {}}),
        "steady.yaml": _policy("steady", "steady", "orders.read"),
        "strict.yaml": _policy("strict", "steady", "orders.admin"),
        "object.yaml": _policy("object", "in-object", "orders.read"),
        "file.yaml": _policy("file", "in-file", "orders.read"),
        "once.yaml": _policy("once", "steady", "orders.read", _ONCE),
    }


def probes(issuer: Issuer, changing: Changing) -> list[Probe]:
    """Every kind of request, with its share of the load and its right answers."""
    steady = {
        f"user-{number}": issuer.token(sub=f"user-{number}", scope="orders.read", lifetime=_LONGEST_TOKEN)
        for number in range(50)
    }
    spent = Spent()

    def with_good_token(host: str, right: frozenset[int]) -> Request:
        subject, bearer = random.choice(list(steady.items()))
        return Request(f"{host}.example", bearer, right, subject)

    def once() -> Request:
        bearer = issuer.token(curve=True, scope="orders.read", lifetime=_SINGLE_USE_LIFETIME, sub="once")
        return Request("once.example", bearer, _ALLOWED, "once", on_answer=spent.take(bearer))

    def refused(host: str, bearer: str | None) -> Request | None:
        return None if bearer is None else Request(f"{host}.example", bearer, _UNAUTHORIZED)

    def rotating(host: str, keys: Rotation) -> Request:
        return Request(f"{host}.example", keys.good(), _ALLOWED, "rotating")

    forged = issuer.token(forged=True, lifetime=_LONGEST_TOKEN)
    return [
        Probe("steady", 30, lambda: with_good_token("steady", _ALLOWED)),
        Probe("keys in an object", 12, lambda: rotating("object", changing.in_object)),
        Probe("keys in a file", 12, lambda: rotating("file", changing.in_file)),
        Probe("alternating policy", 14, lambda: with_good_token("alternating", _ALLOWED | _FORBIDDEN)),
        Probe("first use", 8, once),
        Probe("second use", 6, lambda: refused("once", spent.give())),
        Probe("retired key in an object", 3, lambda: refused("object", changing.in_object.retired())),
        Probe("retired key in a file", 3, lambda: refused("file", changing.in_file.retired())),
        Probe("forged", 3, lambda: refused("steady", forged)),
        Probe("scope missing", 3, lambda: with_good_token("strict", _FORBIDDEN)),
        Probe("no token", 3, lambda: Request("steady.example", None, _UNAUTHORIZED)),
        Probe("no policy", 3, lambda: with_good_token("nowhere", _FORBIDDEN)),
    ]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked at while it ran."""

    ours: Growth
    envoys: Growth
    keys: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """How long, and how much."""

    seconds: int
    per_second: int

    def __call__(self) -> Outcome:
        """Run, and judge."""
        changing = Changing()
        with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
            stage = Stage(Path(folder), {**_fixed_files(), **changing.files()}, SystemClock(), *_OPTIONS)
            try:
                kinds = probes(stage.issuer, changing)
                share = self.per_second / _SENDERS
                senders = [Sender(stage.client(), kinds, share, seed) for seed in range(_SENDERS)]
                seen = self._drive(stage, changing, senders)
                checks = _check_times(stage)
            finally:
                stage.stop()
        tally = Tally()
        for sender in senders:
            tally.add(sender.tally)
        return Outcome(
            "envoy",
            f"{self.seconds} s of {self.per_second} requests a second through Envoy, all changing every second",
            self._figures(tally, checks, seen),
            seen.ours,
            tuple(_wrong(tally, kinds, seen.ours)),
        )

    def _drive(self, stage: Stage, changing: Changing, senders: list[Sender]) -> _Seen:
        bounds = (LONG_RUN, _FULL / self.seconds) if self.seconds >= _LONG else (SHORT_RUN, WARM_UP)
        seen = _Seen(Growth(*bounds), Growth(*bounds))
        quarters = {self.seconds * each // 4: f"{25 * each} %" for each in range(1, 5)}
        for sender in senders:
            sender.start()
        started = time.monotonic()
        for second in range(self.seconds):
            time.sleep(max(0.0, started + second + 1.0 - time.monotonic()))
            changing.beat()
            for name, text in changing.files().items():
                stage.write_policy(name, text)
            seen.ours.add(second / self.seconds, resident(stage.sidecar.process.pid))
            seen.envoys.add(second / self.seconds, resident(stage.envoy.process.pid))
            if second + 1 in quarters:
                seen.keys[quarters[second + 1]] = _keys(stage)
        for sender in senders:
            sender.stop()
        for sender in senders:
            sender.join()
        return seen

    def _figures(self, tally: Tally, checks: dict[str, float], seen: _Seen) -> dict[str, Any]:
        answers: dict[str, dict[str, int]] = {}
        for (name, status), count in sorted(tally.answers.items()):
            answers.setdefault(name, {})[str(status)] = count
        return {
            "requests": tally.asked,
            "requests a second": round(tally.asked / self.seconds, 1),
            "wrong answers": sum(tally.wrong.values()),
            "denied for being in doubt": tally.unsure,
            "no answer": tally.lost,
            "sent late by the client": tally.late,
            "whole request, ms": _percentiles(tally.seconds),
            "Check as Envoy sees it, ms": checks,
            "keys in the store, by part of the run": seen.keys,
            "Envoy's memory": str(seen.envoys),
            **answers,
        }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=1000, method="inclusive")
    return {"p50": round(cuts[499] * 1e3, 2), "p99": round(cuts[989] * 1e3, 2), "p99.9": round(cuts[998] * 1e3, 2)}


def _keys(stage: Stage) -> int:
    """How many keys our store holds, by our own metrics."""
    admin = stage.sidecar.said().partition("admin on ")[2].split(maxsplit=1)[0]
    lines = ask_admin(admin, "/metrics", _PATIENCE).body.decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("extauthz_store_keys "))


def _check_times(stage: Stage) -> dict[str, float]:
    """Envoy's own histogram of the calls to us, over the whole run."""
    with urllib.request.urlopen(
        f"{stage.envoy.admin}/stats?format=json&filter=cluster.sidecar.upstream_rq_time"
    ) as page:
        stats = json.load(page)["stats"]
    histograms = next(each["histograms"] for each in stats if "histograms" in each)
    values = histograms["computed_quantiles"][0]["values"]
    named = zip(histograms["supported_quantiles"], values, strict=True)
    return {f"p{name:g}": round(value["cumulative"], 2) for name, value in named if name in {50, 99, 99.9}}


def _wrong(tally: Tally, kinds: list[Probe], memory: Growth) -> Iterator[str]:
    yield from (f"{count:,} x {name}" for name, count in tally.wrong.items())
    asked = {name for name, _ in tally.answers}
    yield from (f"`{probe.name}` was never asked: the run was too short" for probe in kinds if probe.name not in asked)
    if not tally.answers["alternating policy", 200] or not tally.answers["alternating policy", 403]:
        yield "the alternating policy gave only one of its two answers"
    if tally.unsure + tally.lost > _UNSURE_SHARE * tally.asked:
        yield f"{tally.unsure:,} denied for being in doubt and {tally.lost:,} without an answer, of {tally.asked:,}"
    if not memory.flat:
        yield f"memory grows: {memory}"
