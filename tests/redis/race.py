"""The race: 200 Checks of one token over three replicas, round after round, while everything breaks that may.

`python -m tests.redis.race --rounds 1000` races longer than a test may; `--seed` says what comes.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import click

from tests.redis.blows import Blow, Blows, Kind, draw
from tests.redis.fleet import DURABLE, GONE, REPLICAS, UNSURE, Asked, Fleet, answer, fleet, fresh_token, judge
from tests.redis.saturating import LIMIT, rate_race
from tests.redis.servers import KINDS, running

_UNDISTURBED: Final = 5
"""Rounds in a hand in which nothing comes; there is one for each kind besides."""
HAND: Final = _UNDISTURBED + len(Kind)
"""Rounds in which each kind comes once."""
ATTEMPTS: Final = 10
"""Checks within which each replica must admit a new token, once it says that it is ready."""
_REPEATED_FOR: Final = 3.0
"""Seconds for which the repetition of a Check is known (`Codec.attempt_ttl`)."""
_FOLLOWED: Final = 20
"""Tokens of so many rounds are asked again later."""

Answers = Sequence[tuple[Asked, str]]


@dataclass
class Round:
    """One token: what its Checks were answered, and which of them were admitted."""

    number: int
    token: str
    blows: tuple[Blow, ...]
    began: float = field(default_factory=time.monotonic)
    admitted: set[str] = field(default_factory=set)
    """Stream ids. A Check and its repetitions are one."""

    def take(self, asked: Sequence[Asked]) -> list[tuple[Asked, str]]:
        """Wait for the answers. INVARIANT: of all Checks of a token, ever, at most one is admitted."""
        answers = [(each, answer(each.call)) for each in asked]
        self.admitted |= {each.stream for each, found in answers if found == "allow"}
        assert len(self.admitted) <= 1, f"{len(self.admitted)} admissions of one token, {self}: {counted(answers)}"
        return answers

    def judge(self, answers: Answers) -> None:
        """Whether the answers of the race itself are such as may be."""
        told = counted(answers)
        if not self.blows:
            assert told == {"allow": 1, "token_reused": len(answers) - 1}, f"nothing was broken in {self}: {told}"
        judge(told, str(self))
        silent = [each for each, found in answers if found == GONE and not each.replica.killed]
        assert not silent, f"{len(silent)} Checks were left without an answer by a replica that lives, {self}"

    def judge_repeated(self, answers: Answers) -> None:
        """Whether Envoy's repetition of what was lost was answered as the first would have been, in time."""
        if time.monotonic() - self.began < _REPEATED_FOR and not UNSURE & counted(answers).keys():
            assert self.admitted, f"the admission was lost for good, {self}: {counted(answers)}"
            mine = {found for each, found in answers if each.stream in self.admitted}
            assert mine <= {"allow"}, f"the one that was admitted is refused, {self}: {counted(answers)}"

    def __str__(self) -> str:
        return f"round {self.number} ({' and '.join(each.kind.value for each in self.blows) or 'undisturbed'})"


def counted(answers: Answers) -> Counter[str]:
    """How often each answer was given."""
    return Counter(found for _, found in answers)


@dataclass
class Race:
    """Rounds before one fleet, and what came of them."""

    fleet: Fleet
    chance: random.Random
    told: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    most_attempts: int = 0
    """The most Checks that a replica took to admit a new token, after a round that was disturbed."""
    _rounds: deque[Round] = field(default_factory=lambda: deque(maxlen=_FOLLOWED))

    def run(self, rounds: int) -> None:
        """So many rounds, and one more where nothing comes."""
        for blows in islice(self._hands(), rounds):
            self.run_round(blows)
        self.run_round(())

    def run_round(self, blows: tuple[Blow, ...]) -> None:
        """A race, repetitions, recovery; then neither this token nor an earlier one is admitted again."""
        round_ = Round(self.told["rounds"] + 1, fresh_token(), blows)
        with Blows(self.fleet, blows) as struck:
            answers = round_.take(self.fleet.begin_race(round_.token))
        round_.judge(answers)
        self._count(round_, answers, struck.told)
        at_first = bool(round_.admitted)
        self.fleet.wait()
        round_.judge_repeated(round_.take(list(self._repeat(answers))))
        self.told["admitted at a repetition"] += bool(round_.admitted) and not at_first
        if blows:
            self._recover()
        round_.take(self.ask_again(round_.token))
        self._rounds.append(round_)
        earlier = self.chance.choice(self._rounds)
        earlier.take(self.fleet.begin_race(earlier.token, 1))

    def ask_again(self, token: str) -> list[Asked]:
        """Once a race is over: a few Checks more of its token."""
        return self.fleet.begin_race(token, REPLICAS)

    def _repeat(self, answers: Answers) -> Iterator[Asked]:
        """As Envoy would, at another replica: what was lost, and what was admitted."""
        living = [each for each in self.fleet.replicas if not each.killed]
        for asked, found in answers:
            if found == "allow" or found in UNSURE:
                others = [each for each in living if each is not asked.replica]
                yield self.fleet.begin(self.chance.choice(others), asked.token, asked.stream)

    def _recover(self) -> None:
        """Each replica admits a new token within a few Checks, without a restart of those that live."""
        self.fleet.replace_killed()
        self.fleet.wait()
        for replica in self.fleet.replicas:
            found = [""]
            while found[-1] != "allow":
                assert len(found) <= ATTEMPTS, f"a replica does not recover: {found}"
                found.append(answer(self.fleet.ask(replica, fresh_token())))
            self.most_attempts = max(self.most_attempts, len(found) - 1)

    def _hands(self) -> Iterator[tuple[Blow, ...]]:
        """Every kind once, in any order, then again; now and then with another at the same time."""
        while True:
            hand = [*([()] * _UNDISTURBED), *map(self._drawn, Kind)]
            self.chance.shuffle(hand)
            yield from hand

    def _drawn(self, kind: Kind) -> tuple[Blow, ...]:
        kinds = [kind]
        if self.chance.random() < 0.25:
            kinds.append(self.chance.choice([each for each in Kind if each is not kind]))
        return tuple(draw(each, self.chance, REPLICAS) for each in kinds)

    def _count(self, round_: Round, answers: Answers, struck: Counter[str]) -> None:
        self.answers += counted(answers)
        self.told += struck
        self.told["rounds"] += 1
        self.told["undisturbed" if not round_.blows else "disturbed"] += 1
        self.told["disturbed twice"] += len(round_.blows) > 1
        self.told["admitted in the race"] += bool(round_.admitted)


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=1000, show_default=True, envvar="RACE_ROUNDS",
              help="Also the variable RACE_ROUNDS.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1, 200), default=120, show_default=True, help="How long for a rate.")
@click.option("--seed", type=int, default=1, show_default=True, envvar="RACE_SEED", help="Where chance begins.")
@click.option("--kind", type=click.Choice(KINDS), default="valkey", show_default=True, help="The server.")
def main(rounds: int, seconds: int, seed: int, kind: str) -> None:
    """Race for a single use and then for a rate, and tell what was answered."""
    click.echo(f"RACE_SEED={seed}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running(kind, *DURABLE) as server:
        with fleet(server, Path(folder), maxUses=1) as ours:
            race = Race(ours, random.Random(seed))
            race.run(rounds)
        told = {"answers": dict(race.answers), "most attempts to recover": race.most_attempts}
        click.echo(json.dumps(told | dict(race.told) | {"seconds": round(time.monotonic() - started)}, indent=1))
        with fleet(server, Path(folder, "rate"), **LIMIT) as ours:
            click.echo(json.dumps(rate_race(ours, random.Random(seed), seconds), indent=1))


if __name__ == "__main__":
    main()
