"""What every store of counts promises: one commit for all spends of a request, exact under any race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from extauthz.model.time import Seconds
from extauthz.model.verdict import NoTruth
from extauthz.replay.spend import Spend

ATTEMPT_TTL: Final = Seconds(3.0)
"""How long Envoy's repetition of a Check is known, unless a commit may take as long."""


@dataclass(frozen=True, slots=True)
class Committed(NoTruth):
    """All spends are counted."""

    remaining: int | None
    """What is left of the scarcest `Use` or `Rate` after this commit; None when there was none."""


@dataclass(frozen=True, slots=True)
class Refused(NoTruth):
    """One spend is not possible, and none was counted."""

    spend: Spend
    """The first, in the order given, that refuses."""
    retry_after: Seconds | None
    """Until this spend is possible again: more than 0, at most its window. None when waiting does not help."""


@dataclass(frozen=True, slots=True)
class Unavailable(NoTruth):
    """The store cannot tell, and a caller that does not know must refuse.

    Nothing was counted, unless the answer was lost on its way from a shared store: then the attempt tells it again.
    """

    detail: str


Outcome: TypeAlias = Committed | Refused | Unavailable

Then: TypeAlias = Callable[[Callable[[], Outcome]], None]
"""Is told of the end of a commit, once: by what returns its outcome, or raises what a bug raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(NoTruth):
    """What a store would say to one spend now, as if it came alone."""

    spend: Spend
    before: int | None
    """How many `Use`s or `Rate`s of the key are left now; None where nothing is counted."""
    after: int | None
    """And once this one is counted: the same number when it would not be, because it repeats or is refused."""
    no: Refused | Unavailable | None
    """Why this spend is not possible; None when it is."""


def foreseen(looked: tuple[Left, ...] | Unavailable) -> Outcome:
    """What a commit would have answered at the moment of the look."""
    if isinstance(looked, Unavailable):
        return looked
    refused = next((each.no for each in looked if each.no is not None), None)
    if refused is not None:
        return refused
    return Committed(min((each.after for each in looked if each.after is not None), default=None))


class Store(Protocol):
    """Where counts live. Safe to call from many threads.

    - All spends of a commit are counted, or none; nothing that is refused is counted or prolongs a refusal.
    - Of any number of racing commits of a `Use`, exactly `max_uses` are Committed before its `until`.
    - In no interval of length `window` are more than `amount` commits of a `Rate` Committed. One is refused at most a
      sixtieth of the window before the exact count would have room.
    - A `Use` or `Bind` that arrives at or after its `until` is Unavailable: its count may be forgotten by now.
    - A commit with the same attempt and the same spends as one that was Committed moments ago gets that answer again
      and is not counted. Forgetting an attempt early is allowed: the repeat is then counted, or refused.
    - An `Unmarked` is Refused from the commit of a `Mark` of its key until that one's `until`. It counts nothing, makes
      no key, and takes no room. A `Mark` is as often possible as it comes.
    - A look changes no later answer: it counts, ties, prolongs and forgets nothing. What it tells may be old at once.
    """

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Count all spends, or none. Never raises for what a store can foresee: it answers Unavailable."""

    def ready(self) -> bool:
        """Whether the store can be asked now."""

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """What is left for each spend, in their order, without counting any: for people who ask why.

        `foreseen` of it is what `commit` would answer at the same moment without an attempt, for spends of different
        keys. Unavailable where the store cannot tell, or has no room for keys that are new. A store that is asked over
        a network may take several round trips: no request waits for a look.
        """


class AsyncStore(Store, Protocol):
    """A store that the tasks of an event loop can ask as well, and threads at the same time."""

    async def commit_async(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """`commit`, without blocking the loop. What a cancelled task asked for may be counted."""


class PatientStore(Store, Protocol):
    """A store that is asked over a network, and can be asked without waiting for it."""

    def commit_later(self, spends: tuple[Spend, ...], attempt: bytes | None, then: Then) -> None:
        """`commit` without waiting: `then` is called with its end, by another thread or at once. It must not wait."""
