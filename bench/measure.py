"""How everything here is measured: variants in turn, round after round, and medians of what the rounds gave.

A machine that others use too is slow for a second and fast for the next. So a round runs every variant once, each
round begins with another one, and a ratio is the median of the rounds' own ratios: what hits one variant hits all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

Reading = Mapping[str, float]
"""What a variant gave in one round, by column."""

CPU: Final = "cpu µs"
WALL: Final = "wall µs"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int = 7
    share: float = 1.0
    """Of the usual number of calls or objects in a round; a test takes little."""

    def of(self, count: int) -> int:
        """So many in place of `count`, at least 1."""
        return max(1, round(count * self.share))


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several things that are compared."""

    name: str
    run: Callable[[], Reading]
    """Runs one round."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of one variant, or one ratio, over all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What stands in the table."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """The middle half of the rounds' values, as a share of the median: how much to believe."""
        if len(self.values) < 2 or not self.median:
            return 0.0
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return (high - low) / self.median


@dataclass(frozen=True, slots=True)
class Row:
    """One variant with its columns."""

    name: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: a ratio of figures of one run, and its bound."""

    name: str
    bound: float
    figure: Figure
    at_least: bool = False
    """The figure must be at least the bound, not at most."""

    @property
    def reached(self) -> bool:
        """Whether the median keeps the promise."""
        return self.figure.median >= self.bound if self.at_least else self.figure.median <= self.bound


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found."""

    name: str
    about: str
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    standing: tuple[Row, ...] = ()
    """Ratios of ours beside those of others."""
    notes: tuple[str, ...] = ()


def interleave(variants: Sequence[Variant], rounds: int, *, warm_up: int = 1) -> tuple[Row, ...]:
    """Run every variant once in each round. The rounds that warm up are thrown away."""
    readings: dict[str, list[Reading]] = {variant.name: [] for variant in variants}
    for number in range(warm_up + rounds):
        first = number % len(variants)
        for variant in (*variants[first:], *variants[:first]):
            reading = variant.run()
            if number >= warm_up:
                readings[variant.name].append(reading)
    return tuple(row_of(name, found) for name, found in readings.items())


def row_of(name: str, readings: Sequence[Reading]) -> Row:
    """The readings of all rounds, column by column."""
    return Row(name, {column: Figure(tuple(each[column] for each in readings)) for column in readings[0]})


def ratio(over: Iterable[float], under: Iterable[float]) -> Figure:
    """The rounds' own ratios."""
    return Figure(tuple(a / b for a, b in zip(over, under, strict=True)))


def timed(work: Callable[[], object], calls: int) -> Reading:
    """The cost of one of the `calls` that `work` makes: CPU of all threads of this process, and time on the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {CPU: cpu / calls * 1e6, WALL: wall / calls * 1e6}


def milliseconds(reading: Reading) -> Reading:
    """The same in thousandths of a second, for what takes long."""
    return {column.replace("µs", "ms"): value / 1000 for column, value in reading.items()}
