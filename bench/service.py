"""An Answerer put together as `extauthz serve` does it, in this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from extauthz.app.collector import leave_alone_what_stays
from extauthz.decide import Grants, World
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Clock, Seconds, SystemClock
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Pepper
from extauthz.server.answer import Answerer
from extauthz.telemetry.audit import AuditLog
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.observation import to_all
from extauthz.telemetry.output import Stream
from extauthz.telemetry.readings import Readings
from extauthz.tokens.verify import Verifier

BUDGET: Final = Seconds(1.0)
_PATIENCE: Final = Seconds(30.0)


@cache
def _read_pipe() -> tuple[Stream, subprocess.Popen[bytes]]:
    """A pipe, and another process that reads it, as a container's standard output is read; it ends with this one."""
    reads, writes = os.pipe()
    # Kept with the pipe: one that is let go of while it runs is warned about.
    reader = subprocess.Popen(["/bin/cat"], stdin=reads, stdout=subprocess.DEVNULL)
    os.close(reads)
    return Stream(writes), reader


class Service:
    """Answers Checks; metrics are on, and another process reads the decision log."""

    def __init__(
        self,
        objects: Iterable[dict[str, Any]],
        *,
        clock: Clock | None = None,
        cache_size: int = 10_000,
        capacity: int = 1_000_000,
        log: bool = True,
    ) -> None:
        clock = clock or SystemClock()
        keys, grants = KeyRing(clock), Grants(Pepper(b"p" * 32), cache_size)
        snapshot = compile_snapshot([parse(each) for each in objects])
        keys.reconcile(snapshot.issuer_keys)
        self.verifier = Verifier(cache_size)
        self.store = MemoryStore(clock, capacity)
        self._audit = AuditLog(_read_pipe()[0])
        metrics = Metrics(lambda: Readings(now=clock.now()), version="0")
        self._answerer = Answerer(
            world=lambda: World(snapshot, keys.states(), self.verifier, grants),
            store=self.store,
            clock=clock,
            observe=to_all(metrics.observe, self._audit.observe) if log else metrics.observe,
            want_keys=keys.want,
        )
        self._audit.start()
        leave_alone_what_stays()

    def answer(self, data: bytes) -> bytes:
        """Answer one serialised CheckRequest."""
        return self._answerer.answer(data, BUDGET)

    def finish(self) -> None:
        """Write what the decision log still holds. Raises RuntimeError when a line was lost."""
        self._audit.stop(_PATIENCE)
        if self._audit.lost:
            raise RuntimeError(f"the decision log lost {self._audit.lost} lines, whose cost is not measured")
