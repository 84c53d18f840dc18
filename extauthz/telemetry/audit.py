"""The decision log: one line of JSON for each decision, for people who must answer why a request was refused.

Denials are always written, allows by sample. A decision never waits for its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Ground
from extauthz.telemetry.line import Form, joined, timestamp
from extauthz.telemetry.observation import Decision, Observation, SpendOutcome, judged
from extauthz.telemetry.output import Output
from extauthz.telemetry.writer import CAPACITY, LineWriter

_REFUSAL: Final = Form({"reason": 32, "step": 16, "detail": 512})
_GROUND: Final = Form(
    {"mode": 16, "policy": 320, "rule": 256, "issuer": 384, "subject": 256, "client": 256, "token": 16}
)
_REQUEST: Final = Form(
    {
        "method": 32,
        "host": 255,
        "path": 512,
        "source": 64,
        "request_id": 128,
        "stream_id": 64,
        "trace_id": 32,
        "snapshot": 64,
    }
)
BOUNDS: Final = {"time": 32, "decision": 16, **_REFUSAL.limits, **_GROUND.limits, **_REQUEST.limits}
"""The most bytes that each text may take in a line, escaped. Their sum, with all names, stays below MAX_LINE."""

_MOST_GROUNDS: Final = 4096

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
# Multiples of the golden ratio fall evenly into 0..1 and in step with no pattern of the traffic.
_GOLDEN: Final = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Redaction:
    """Which fields are written as pseudonyms: the same text of a field has the same one, so lines can still be told to
    speak of one person."""

    fields: frozenset[str]
    pseudonym: Callable[[str, str], str]
    """Makes the pseudonym of a field's name and its text."""

    def over(self, names: Iterable[str], texts: tuple[str, ...]) -> tuple[str, ...]:
        """The texts of these fields as they are written."""
        pairs = zip(names, texts, strict=True)
        return tuple(self.pseudonym(name, text) if text and name in self.fields else text for name, text in pairs)


def redaction(fields: Iterable[str], pseudonym: Callable[[str, str], str]) -> Redaction | None:
    """The redaction of these fields; None for none."""
    chosen = frozenset(fields)
    return Redaction(chosen, pseudonym) if chosen else None


class Entries:
    """Forms the lines of decisions, from any number of threads."""

    def __init__(self, redacted: Redaction | None = None) -> None:
        self._redacted = redacted
        self._grounds: dict[int, tuple[Ground, str]] = {}
        """What was formed of the grounds of admissions: those of one token under one rule share theirs."""

    def line(self, observation: Observation) -> bytes:
        """The line of one decision. What is not known is left out."""
        verdict = observation.verdict
        decision, denial = judged(verdict)
        remaining = verdict.remaining if isinstance(verdict, Allow) else None
        if denial is None:
            return self._joined(observation, decision, "", self._known(verdict.ground), remaining)
        refusal, ground = denial.refusal, denial.ground
        why = self._members(_REFUSAL, (refusal.reason.label, refusal.step.value, refusal.detail))
        return self._joined(
            observation, decision, why, self._ground(ground, ground.issuer or refusal.issuer), remaining
        )

    def forgotten(self, observation: Observation, detail: str) -> bytes:
        """The line of an operator who let a token be used as if it had not been; `observation` is of its admission."""
        ground, why = observation.verdict.ground, self._members(_REFUSAL, ("", "", detail))
        return self._joined(observation, Decision.FORGET, why, self._ground(ground, ground.issuer), None)

    def __len__(self) -> int:
        """How many grounds are remembered."""
        return len(self._grounds)

    def _joined(
        self, observation: Observation, decision: Decision, why: str, ground: str, remaining: int | None
    ) -> bytes:
        latency = f'"latency_us":{observation.seconds * 1e6:.0f}'
        if observation.spends is not SpendOutcome.NONE:
            latency += f',"store_us":{observation.waited * 1e6:.0f}'
        return joined(
            f'"time":"{timestamp(observation.at)}","decision":"{decision._value_}"',
            why,
            ground,
            self._members(_REQUEST, _request(observation)),
            latency if remaining is None else f'"remaining":{remaining:d},{latency}',
        )

    def _known(self, ground: Ground) -> str:
        known = self._grounds.get(id(ground))
        # INVARIANT: a ground lives as long as what was formed of it is kept, so no other can have its number.
        if known is None:
            known = (ground, self._ground(ground, ground.issuer))
            if len(self._grounds) >= _MOST_GROUNDS:
                self._grounds.clear()
            self._grounds[id(ground)] = known
        return known[1]

    def _ground(self, ground: Ground, issuer: IssuerRef | None) -> str:
        return self._members(
            _GROUND,
            (
                ground.mode._value_,
                "" if ground.policy is None else str(ground.policy),
                ground.rule or "",
                "" if issuer is None else str(issuer),
                ground.subject or "",
                ground.client or "",
                ground.token_hash or "",
            ),
        )

    def _members(self, form: Form, texts: tuple[str, ...]) -> str:
        return form.members(texts if self._redacted is None else self._redacted.over(form.names, texts))


def _request(observation: Observation) -> tuple[str, ...]:
    traceparent = observation.traceparent
    return (
        observation.method,
        observation.host,
        observation.path,
        observation.source_address,
        observation.request_id,
        observation.stream_id,
        trace_id(traceparent) if traceparent else "",
        observation.snapshot_version,
    )


class AuditLog:
    """The decision log, written by a thread of its own."""

    def __init__(
        self,
        output: Output,
        *,
        allows: float = 1.0,
        redacted: Redaction | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        """Write to `output`; of the allowed requests the share `allows` (0 to 1)."""
        self._writer: LineWriter[Observation] = LineWriter(
            "decision-log", output, Entries(redacted).line, capacity=capacity
        )
        self._allows = allows
        self._counter = count(1)

    @property
    def lost(self) -> int:
        """How many lines were lost."""
        return self._writer.lost

    @property
    def problem(self) -> str:
        """Why lines are being lost; empty when none is."""
        return "" if self._writer.problem is None else f"it loses lines: {self._writer.problem}"

    def observe(self, observation: Observation) -> None:
        """Write one decision, if it is to be written. Returns at once."""
        decision, _ = judged(observation.verdict)
        if decision is not Decision.ALLOW or self._sampled():
            self._writer.offer(observation)

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def stop(self, timeout: Seconds) -> None:
        """Write what waits, for at most `timeout`; the rest is lost and counted."""
        self._writer.stop(timeout)

    def _sampled(self) -> bool:
        return self._allows >= 1.0 or next(self._counter) * _GOLDEN % 1.0 < self._allows


def trace_id(traceparent: str) -> str:
    """The trace id of a `traceparent` header (W3C Trace Context, section 3.2.2.3); empty when it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    valid = found is not None and not traceparent.startswith("ff") and found[1].strip("0") != ""
    return found[1] if found is not None and valid else ""
