"""The decision log: one line of JSON for each decision, for people who must answer why a request was refused.

Denials are always written, allows by sample. A decision never waits for its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final, NamedTuple

from extauthz.model.time import Instant, Seconds
from extauthz.model.verdict import Allow
from extauthz.telemetry.line import Form, timestamp
from extauthz.telemetry.observation import Decision, Observation, judged
from extauthz.telemetry.output import Output
from extauthz.telemetry.writer import CAPACITY, LineWriter

BOUNDS: Final = {
    "time": 32,
    "decision": 16,
    "reason": 32,
    "step": 16,
    "detail": 512,
    "mode": 16,
    "policy": 320,
    "rule": 256,
    "issuer": 384,
    "subject": 256,
    "client": 256,
    "token": 16,
    "method": 32,
    "host": 255,
    "path": 512,
    "source": 64,
    "request_id": 128,
    "stream_id": 64,
    "trace_id": 32,
    "snapshot": 64,
}
"""The most bytes that each text may take in a line, escaped. Their sum, with all names, stays below MAX_LINE."""

_FORM: Final = Form(BOUNDS)

_DETAIL, _SUBJECT, _HOST, _PATH, _ID = (
    BOUNDS[name] + 1 for name in ("detail", "subject", "host", "path", "request_id")
)
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
# Multiples of the golden ratio fall evenly into 0..1 and in step with no pattern of the traffic.
_GOLDEN: Final = 0.6180339887498949


class Entry(NamedTuple):
    """What waits to become a line: the time, the texts of BOUNDS in their order and already cut, so that memory is
    bounded, and the numbers."""

    at: Instant
    decision: str
    reason: str
    step: str
    detail: str
    mode: str
    policy: str
    rule: str
    issuer: str
    subject: str
    client: str
    token: str
    method: str
    host: str
    path: str
    source: str
    request_id: str
    stream_id: str
    trace_id: str
    snapshot: str
    remaining: int | None
    seconds: float


class AuditLog:
    """The decision log, written by a thread of its own."""

    def __init__(
        self,
        output: Output,
        *,
        allows: float = 1.0,
        redact: Callable[[Entry], Entry] = lambda entry: entry,
        capacity: int = CAPACITY,
    ) -> None:
        """Write to `output`; of the allowed requests the share `allows` (0 to 1). `redact` goes over each entry."""
        self._writer: LineWriter[Entry] = LineWriter(
            "decision-log", output, lambda entry: line_of(redact(entry)), capacity=capacity
        )
        self._allows = allows
        self._counter = count(1)

    @property
    def lost(self) -> int:
        """How many lines were lost."""
        return self._writer.lost

    def observe(self, observation: Observation) -> None:
        """Write one decision, if it is to be written. Returns at once."""
        decision, _ = judged(observation.verdict)
        if decision is not Decision.ALLOW or self._sampled():
            self._writer.offer(entry_of(observation))

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def stop(self, timeout: Seconds) -> None:
        """Write what waits, for at most `timeout`; the rest is lost and counted."""
        self._writer.stop(timeout)

    def _sampled(self) -> bool:
        return self._allows >= 1.0 or next(self._counter) * _GOLDEN % 1.0 < self._allows


def redaction(fields: Iterable[str], pseudonym: Callable[[str, str], str]) -> Callable[[Entry], Entry]:
    """Puts a pseudonym in the place of each of these fields, one for the field's name and its text: the same text has
    the same one, so lines can still be told to speak of one person."""
    names = tuple(fields)

    def redact(entry: Entry) -> Entry:
        changed: dict[str, Any] = {name: pseudonym(name, text) for name in names if (text := getattr(entry, name))}
        return entry._replace(**changed)

    return redact


def entry_of(observation: Observation) -> Entry:
    """What the log keeps of a decision."""
    verdict = observation.verdict
    decision, denial = judged(verdict)
    refusal = None if denial is None else denial.refusal
    ground = verdict.ground if denial is None else denial.ground
    issuer = ground.issuer if refusal is None or ground.issuer is not None else refusal.issuer
    traceparent = observation.traceparent
    return Entry(
        observation.at,
        decision.word,
        "" if refusal is None else refusal.reason.label,
        "" if refusal is None else refusal.step.value,
        "" if refusal is None else refusal.detail[:_DETAIL],
        ground.mode.word,
        "" if ground.policy is None else str(ground.policy),
        ground.rule or "",
        "" if issuer is None else str(issuer),
        (ground.subject or "")[:_SUBJECT],
        (ground.client or "")[:_SUBJECT],
        ground.token_hash or "",
        observation.method[:_ID],
        observation.host[:_HOST],
        observation.path[:_PATH],
        observation.source_address[:_ID],
        observation.request_id[:_ID],
        observation.stream_id[:_ID],
        trace_id(traceparent[:_ID]) if traceparent else "",
        observation.snapshot_version,
        verdict.remaining if isinstance(verdict, Allow) else None,
        observation.seconds,
    )


def line_of(entry: Entry) -> bytes:
    """The line of one decision. What is not known is left out."""
    at, *texts, remaining, seconds = entry
    numbers = {"latency_us": round(seconds * 1e6)}
    return _FORM.line((timestamp(at), *texts), numbers if remaining is None else {"remaining": remaining, **numbers})


def trace_id(traceparent: str) -> str:
    """The trace id of a `traceparent` header (W3C Trace Context, section 3.2.2.3); empty when it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    valid = found is not None and not traceparent.startswith("ff") and found[1].strip("0") != ""
    return found[1] if found is not None and valid else ""
