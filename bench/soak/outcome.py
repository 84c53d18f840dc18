"""What a long run found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.soak.growth import Growth


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, its figures, and what was wrong."""

    name: str
    about: str
    figures: Mapping[str, Any]
    memory: Growth
    wrong: tuple[str, ...]
    """In words; empty when all was well."""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "about": self.about,
            "figures": dict(self.figures),
            "memory": self.memory.as_dict(),
            "wrong": list(self.wrong),
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.about}"]
        lines += [f"  {name}: {_shown(value)}" for name, value in self.figures.items()]
        lines += [f"  memory: {self.memory}"]
        lines += [f"  WRONG: {each}" for each in self.wrong] or ["  nothing was wrong"]
        return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
