"""What stands in for a store where counts would have to be shared and are not.

Counts of one replica alone would multiply every limit by the number of replicas, and nobody would see it. So where that
may be, nothing is counted, and every rule that counts refuses.
"""

from __future__ import annotations

from typing import Final

from extauthz.replay.spend import Spend
from extauthz.replay.store import Unavailable

WORDS: Final = (
    "the memory store counts for this replica alone; name a store that replicas share (`--store`), or say"
    " `--single-replica` where there is no other"
)


class UnsharedStore:
    """Counts nothing, and says how to mend it."""

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Unavailable:
        """Refuse."""
        return Unavailable(WORDS)

    async def commit_async(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Unavailable:
        """The same."""
        return self.commit(spends, attempt)

    def look(self, spends: tuple[Spend, ...]) -> Unavailable:
        """Refuse."""
        return Unavailable(WORDS)

    def ready(self) -> bool:
        """Ready: rules that count nothing are served."""
        return True

    def __len__(self) -> int:
        return 0
