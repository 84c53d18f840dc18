"""What is fuzzed: one part of the program that reads what strangers send, and the law that it must keep.

INVARIANT: a law judges the octets alone. It knows nothing of how they came about, so an input that broke it can be kept
in a file and judged again, and any engine can drive it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

SEEDS: Final = Path(__file__).parent / "seeds"

Mutate: TypeAlias = Callable[[bytes, bytes, random.Random], bytes]
"""A changed copy of the first input; the second is another one, to take pieces from."""


class LawBroken(Exception):
    """What was done with an input breaks the target's law. The message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One part of the program under its law."""

    name: str
    mutate: Mutate
    judge: Callable[[bytes], str]
    """Hands an input to the program. Tells in a word what came of it; raises LawBroken when that must not be. Whatever
    else it raises is a finding as well: nothing that is fuzzed may raise."""
    share: int = 10
    """Its part of a campaign's inputs, beside those of the other targets."""

    def seeds(self) -> Sequence[bytes]:
        """The inputs that everything begins with, in order of their names."""
        return [path.read_bytes() for path in sorted((SEEDS / self.name).iterdir())]


def insist(holds: object, law: str) -> None:
    """Raise LawBroken unless something holds."""
    if not holds:
        raise LawBroken(law)
