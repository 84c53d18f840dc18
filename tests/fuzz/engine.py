"""The engine: mutate what is known, judge it, and keep what the program answered in a way not seen before.

No instrumentation is needed. The program says in its refusals exactly what it found, so a new word from it means that a
new branch was taken; an input that got one joins the corpus and is built upon. All chance comes from one seed: the same
seed and the same code judge the same inputs, on every machine.
"""

from __future__ import annotations

import random
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.target import LawBroken, Target

SLOWEST: Final = 2.0
"""Seconds for one input. One that takes longer does an attacker's work."""
_CORPUS: Final = 4000
_STACKED: Final = (1, 1, 1, 2, 2, 3, 5)
_LONGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Finding:
    """One way to break a law, and the first input that did."""

    what: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.what} ({len(self.data)} octets)"


@dataclass(slots=True)
class Campaign:
    """What came of one target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    """How often the program gave each answer."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """By what is wrong."""

    def __str__(self) -> str:
        rate = self.inputs / max(self.seconds, 1e-9)
        return (
            f"{self.target:<12} {self.inputs:>9,} inputs {rate:>8,.0f}/s  slowest {self.slowest * 1000:>6.1f} ms"
            f"  {len(self.answers):>5} answers  {len(self.findings)} findings"
        )


def fuzz(target: Target, inputs: int, seed: int, slowest: float = SLOWEST, enough: int = 20) -> Campaign:
    """Judge the seeds and then so many mutated inputs, or fewer once there are `enough` findings.

    An input that takes more than `slowest` seconds of processor time is a finding, too.
    """
    chance = random.Random(f"{seed} {target.name}")
    campaign = Campaign(target.name)
    started = time.perf_counter()
    corpus = list(target.seeds())
    for data in corpus:
        _judge(target, data, campaign, slowest)
    for _ in range(inputs):
        if len(campaign.findings) >= enough:
            break
        data = _mutated(target, corpus, chance)
        if _judge(target, data, campaign, slowest) and len(corpus) < _CORPUS:
            corpus.append(data)
    campaign.seconds = time.perf_counter() - started
    return campaign


def _mutated(target: Target, corpus: list[bytes], chance: random.Random) -> bytes:
    data = chance.choice(corpus)
    for _ in range(chance.choice(_STACKED)):
        data = target.mutate(data, chance.choice(corpus), chance)
    return data[:_LONGEST]


def _judge(target: Target, data: bytes, campaign: Campaign, slowest: float) -> bool:
    """Judge one input; whether the answer to it is new."""
    started = time.thread_time()
    answer, problem = judged(target, data)
    took = time.thread_time() - started
    campaign.inputs += 1
    campaign.slowest = max(campaign.slowest, took)
    if took > slowest and problem is None:
        problem = f"an input takes longer than {slowest} seconds"
    if problem is not None:
        campaign.findings.setdefault(problem, Finding(problem, data))
        return False
    new = answer not in campaign.answers
    campaign.answers[answer] = campaign.answers.get(answer, 0) + 1
    return new


def shrunk(target: Target, finding: Finding) -> Finding:
    """The finding with an input that is as short as leaving pieces out makes it."""
    data, size = finding.data, max(1, len(finding.data) // 2)
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if judged(target, shorter)[1] == finding.what:
                data = shorter
            else:
                at += size
        size //= 2
    return Finding(finding.what, data)


def judged(target: Target, data: bytes) -> tuple[str, str | None]:
    """The program's answer to one input, and what is wrong with it."""
    try:
        return target.judge(data), None
    except LawBroken as broken:
        return "", str(broken)
    except Exception as error:  # noqa: BLE001 # whatever comes out is a finding
        return "", f"{type(error).__name__} at {_place(error)}"


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))
