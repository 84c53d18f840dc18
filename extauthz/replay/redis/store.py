"""The shared store: counts on one Redis or Valkey server, for any number of replicas."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from extauthz.model.time import Clock
from extauthz.replay.redis.connect import Target
from extauthz.replay.redis.keeper import Options
from extauthz.replay.redis.node import Node
from extauthz.replay.redis.relay import go_on
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.waiting import BLOCKING, Waiting, at_once
from extauthz.replay.redis.ways import Ways
from extauthz.replay.redis.wire import Codec
from extauthz.replay.redis.witness import Witness
from extauthz.replay.spend import Spend
from extauthz.replay.store import Left, Outcome, Then, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How the shared store does, for metrics."""

    up: bool
    may_evict: bool | None
    """None before the server has said so."""
    commits: int
    """Commits that were sent."""
    batches: int
    """Round trips that they took."""
    restarts: int
    """How often a server was seen to have begun anew, or another one in its place."""
    emptied: int
    """How often a server was seen to have lost what it held."""
    failures: Mapping[str, int]
    """Commits that ended in Unavailable, by what was wrong."""
    nodes: Mapping[str, int] | None = None
    """Of a cluster: how many nodes that hold slots take commits (`up`) and do not (`down`)."""
    redirects: int = 0
    """How often a node of a cluster named another for a slot."""
    given_back: Mapping[str, int] | None = None
    """Steps of a commit over several slots that were counted for a request that was refused: `made` and `lost`."""


class RedisStore:
    """Counts on a server that replicas share. `start` it first; until it is connected, commits are Unavailable."""

    def __init__(self, target: Target, clock: Clock, options: Options | None = None) -> None:
        options = options or Options()
        self._clock = clock
        self._deadline = options.deadline
        self._codec = Codec(options.namespace, options.attempt_ttl)
        self._node = Node(target, clock, options, self._codec, Witness(self._codec))
        self._ways = Ways(options.connections)
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._node.start()

    def stop(self) -> None:
        """Close all connections."""
        self._node.stop()
        self._ways.close()

    def ready(self) -> bool:
        """Whether commits may try."""
        return self._node.trouble() is None

    def trouble(self) -> str | None:
        """What is wrong, in words; None when nothing is known to be."""
        trouble = self._node.trouble()
        return None if trouble is None else trouble.detail

    def about(self) -> str:
        """What the server is, in words: version, persistence, replicas, memory; empty before it has said so."""
        facts = self._node.facts
        return "" if facts is None else str(facts)

    def note(self) -> str | None:
        """What is wrong with a part of the store while the rest is asked: there is one part."""
        return None

    def state(self) -> StoreState:
        """Numbers for metrics."""
        facts = self._node.facts
        tally = self._node.tally
        with self._lock:
            return StoreState(
                up=self.ready(),
                may_evict=None if facts is None else facts.may_evict,
                commits=tally.commits,
                batches=tally.batches,
                restarts=tally.restarts,
                emptied=tally.emptied,
                failures=dict(self._failures),
            )

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Count all spends, or none; Unavailable when the server does not say within the deadline.

        What a lost answer counted stays counted. With an attempt, the repetition is answered as the first would have
        been; where the connection broke, we repeat it ourselves while there is time.
        """
        return at_once(self._commit(spends, attempt, BLOCKING))

    async def commit_async(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """The same for a task of an event loop. What a cancelled task had sent may be counted."""
        return await self._commit(spends, attempt, self._ways.loops.here())

    def commit_later(self, spends: tuple[Spend, ...], attempt: bytes | None, then: Then) -> None:
        """The same without waiting: `then` is called with its end."""
        go_on(self._commit(spends, attempt, self._ways.relay), then)

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """What is left for each spend. Counts nothing."""
        request = self._codec.write_look(spends, self._clock.now())
        left = at_once(self._node.look(request, self._clock.monotonic() + self._deadline, BLOCKING))
        # Not among the failures: no request was denied for it.
        return Unavailable(left.detail) if isinstance(left, Trouble) else left

    async def _commit(self, spends: tuple[Spend, ...], attempt: bytes | None, waiting: Waiting) -> Outcome:
        request = self._codec.write(spends, attempt, self._clock.now())
        outcome = await self._node.commit(request, self._clock.monotonic() + self._deadline, waiting)
        return self._unavailable(outcome) if isinstance(outcome, Trouble) else outcome

    def _unavailable(self, trouble: Trouble) -> Unavailable:
        with self._lock:
            self._failures[trouble.kind] += 1
        return Unavailable(trouble.detail)
