"""Observations to tell telemetry of, and pipes that nobody reads."""

from __future__ import annotations

import json
import logging
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from extauthz.introspection.desk import LineReadings
from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Deny, Ground, Mode, PolicyRef, Refusal, Verdict
from extauthz.telemetry.observation import Observation, SpendOutcome
from extauthz.telemetry.readings import Readings, SharedStoreReadings

AT = Instant(1_790_000_000.123)
ISSUER = IssuerRef("ClusterTokenIssuer", "", "corp")
GROUND = Ground(
    policy=PolicyRef("shop", "orders"),
    rule="place-order",
    issuer=ISSUER,
    subject="alice",
    client="web",
    token_hash="0123456789abcdef",
)
SHADOW = Ground(policy=PolicyRef("shop", "orders"), rule="place-order", mode=Mode.SHADOW)
REUSED = Refusal(Reason.TOKEN_REUSED, "the one use is taken (`reuse`)")
ALLOW = Allow(ground=GROUND, remaining=3)
DENY = Deny(refusal=REUSED, ground=GROUND)
SHADOWED = Allow(ground=SHADOW, shadowed=Deny(refusal=REUSED, ground=SHADOW))
STORE = SharedStoreReadings(
    up=True,
    may_evict=False,
    commits=1,
    batches=1,
    restarts=1,
    emptied=1,
    failures={"timeout": 1},
    nodes={"up": 3},
    given_back={"made": 1},
)
READINGS = Readings(
    now=Instant(9.0),
    snapshot_version="v",
    snapshot_published=Instant(1.0),
    policies={"accepted": 1},
    keys={ISSUER: KeyState(fetched_at=Instant(1.0))},
    endpoints={ISSUER: LineReadings("https://corp.example/introspect", {}, (0,) * 11, 0.0, None)},
    store_keys=1,
    store_capacity=2,
    certificate=(Instant(1.0), Instant(9.0)),
    source_silent=Seconds(1.0),
    shared_store=STORE,
)
"""Of each kind that there is, one."""


def seen(verdict: Verdict = DENY, **changes: Any) -> Observation:
    """An observation of a verdict; `changes` replace its other fields."""
    fields: dict[str, Any] = {
        "method": "POST",
        "host": "orders.shop.example",
        "path": "/api/orders",
        "request_id": "6a7b",
        "stream_id": "4711",
        "source_address": "192.0.2.7",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "spends": SpendOutcome.COMMITTED,
        "seconds": Seconds(0.0003),
        "waited": Seconds(0.00018),
        "at": AT,
        "snapshot_version": "v1",
    }
    return Observation(verdict=verdict, **(fields | changes))


def fill(number: int) -> int:
    """Fill a pipe to the brim, and say how many bytes that took."""
    os.set_blocking(number, False)
    filled = 0
    try:
        while True:
            filled += os.write(number, b"x" * 4096)
    except BlockingIOError:
        return filled
    finally:
        os.set_blocking(number, True)


def read_exactly(number: int, count: int) -> bytes:
    """So many bytes of a pipe."""
    data = b""
    while len(data) < count:
        data += os.read(number, count - len(data))
    return data


def lines_of(data: bytes) -> list[dict[str, Any]]:
    """The objects of a log."""
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.decode("ascii").split("\n")[:-1]]


@contextmanager
def messages(logger: str) -> Iterator[queue.SimpleQueue[str]]:
    """What a logger says, to be waited for."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.put(record.getMessage())

    listener = Listener()
    logging.getLogger(logger).addHandler(listener)
    try:
        yield said
    finally:
        logging.getLogger(logger).removeHandler(listener)
