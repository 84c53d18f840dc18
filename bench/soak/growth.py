"""Whether memory stays flat: samples of a process's resident memory, and a straight line through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import linear_regression, median
from typing import Any, Final

WARM_UP: Final = 0.25
"""Of the run; until then caches and counts fill up."""
_SHARE: Final = 0.02
_MB: Final = 1e6
LONG_RUN: Final = 2.0
"""What a long run may grow by in MB, whatever its size."""
SHORT_RUN: Final = 8.0
"""The same for one in which caches still fill up and the allocator finds its ways."""


@dataclass(slots=True)
class Growth:
    """Samples over a run, from 0.0 at its start to 1.0 at its end."""

    least: float = LONG_RUN
    """The smallest bound, in MB."""
    warm_up: float = WARM_UP
    """The part of the run after which nothing fills up any more."""
    samples: list[tuple[float, float]] = field(default_factory=list)
    """When, and how many MB."""

    def add(self, at: float, octets: int) -> None:
        """Take a sample."""
        self.samples.append((at, octets / _MB))

    @property
    def resident(self) -> float:
        """The usual size in MB, once warm."""
        return median(size for _, size in self._warm())

    @property
    def grown(self) -> float:
        """How many MB the line rises from the end of the warm-up to the end of the run."""
        warm = self._warm()
        if len(warm) < 2:
            return 0.0
        return linear_regression(*zip(*warm, strict=True)).slope * (1.0 - self.warm_up)

    @property
    def bound(self) -> float:
        """How many MB it may rise."""
        return max(self.least, _SHARE * self.resident)

    @property
    def flat(self) -> bool:
        """Whether it rises no more than that."""
        return self.grown <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "resident_mb": round(self.resident, 1),
            "grown_mb": round(self.grown, 2),
            "bound_mb": round(self.bound, 1),
            "warm_up": round(self.warm_up, 3),
            "samples_mb": [round(size, 1) for _, size in self.samples],
        }

    def __str__(self) -> str:
        return (
            f"{self.resident:.1f} MB resident, {self.grown:+.2f} MB from the end of the warm-up to the end"
            f" (bound {self.bound:.1f})"
        )

    def _warm(self) -> list[tuple[float, float]]:
        return [sample for sample in self.samples if sample[0] >= self.warm_up] or self.samples
