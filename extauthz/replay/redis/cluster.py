"""The shared store on a cluster: each commit goes to the node that holds its slot, or step by step to several."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from extauthz.model.time import Clock
from extauthz.replay.redis.connect import Target
from extauthz.replay.redis.keeper import Options
from extauthz.replay.redis.node import Node
from extauthz.replay.redis.relay import go_on
from extauthz.replay.redis.slots import slot_of
from extauthz.replay.redis.steps import Group, Steps, groups_of
from extauthz.replay.redis.store import StoreState
from extauthz.replay.redis.survey import Survey
from extauthz.replay.redis.trouble import Redirect, Trouble
from extauthz.replay.redis.waiting import BLOCKING, Waiting, at_once
from extauthz.replay.redis.ways import Ways
from extauthz.replay.redis.wire import Codec, Request
from extauthz.replay.spend import Spend
from extauthz.replay.store import Left, Outcome, Then, Unavailable

_FOR_GIVING_BACK: Final = 0.35
"""The part of a commit's time that is left for giving steps back."""
_LEAST_TO_ASK: Final = 0.25
"""And what must be left to ask a node: one that is asked too late would seem to be slow."""
_NODES: Final = 16
"""Nodes that are asked at the same time for callers that must not block; more take turns."""
_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.02
_MOST_HOPS: Final = 5
"""Redirections that one request follows: nodes that name each other must not keep it until its deadline."""

_Answer = TypeVar("_Answer")
_Ask: TypeAlias = "Callable[[Node, Request, float, Waiting], Awaitable[_Answer | Trouble]]"


class ClusterStore:
    """Counts on a cluster that replicas share. `start` it first; until it is connected, commits are Unavailable."""

    def __init__(self, target: Target, clock: Clock, options: Options | None = None) -> None:
        options = options or Options()
        self._target = target
        self._clock = clock
        self._deadline = options.deadline
        self._codec = Codec(options.namespace, options.attempt_ttl, tagged=True)
        self._survey = Survey(target, options, clock, self._codec)
        self._ways = Ways(options.connections * _NODES)
        self._under_way: set[asyncio.Future[Outcome]] = set()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self._given_back = {"made": 0, "lost": 0}
        self._redirects = 0

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._survey.start()

    def stop(self) -> None:
        """Close all connections."""
        self._stopping.set()
        self._survey.stop()
        self._ways.close()

    def ready(self) -> bool:
        """Whether commits may try: one node that takes them is enough, for the requests that it counts."""
        return self._survey.trouble() is None

    def trouble(self) -> str | None:
        """What keeps every commit from trying, in words; None when nothing does."""
        trouble = self._survey.trouble()
        return None if trouble is None else trouble.detail

    def note(self) -> str | None:
        """What is wrong with some nodes, in words, while others are asked."""
        return "; ".join(each.detail for each in self._survey.down()) or None

    def about(self) -> str:
        """What the nodes are, in words, each kind once; empty before one has said so."""
        return "; ".join(sorted({str(node.facts) for node in self._survey.nodes if node.facts is not None}))

    def state(self) -> StoreState:
        """Numbers for metrics."""
        nodes = self._survey.nodes
        down = len(self._survey.down())
        told = [node.facts.may_evict for node in nodes if node.facts is not None]
        tally = self._survey.tally
        with self._lock:
            return StoreState(
                up=self.ready(),
                may_evict=any(told) if told else None,
                commits=tally.commits,
                batches=tally.batches,
                restarts=tally.restarts,
                emptied=tally.emptied,
                failures=dict(self._failures),
                nodes={"up": len(nodes) - down, "down": down},
                redirects=self._redirects,
                given_back=dict(self._given_back),
            )

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Count all spends, or none; Unavailable when a node does not say within the deadline.

        What lies in one slot is counted by one call. What lies in several is counted step by step, see `steps`.
        """
        return at_once(self._commit(spends, attempt, BLOCKING))

    async def commit_async(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """The same for a task of an event loop. A task that is cancelled leaves the commit to end by itself."""
        # INVARIANT: steps are given back also for a caller that has gone away. A loop does not hold its tasks.
        commit = asyncio.ensure_future(self._commit(spends, attempt, self._ways.loops.here()))
        self._under_way.add(commit)
        commit.add_done_callback(self._under_way.discard)
        return await asyncio.shield(commit)

    def commit_later(self, spends: tuple[Spend, ...], attempt: bytes | None, then: Then) -> None:
        """The same without waiting: `then` is called with its end."""
        go_on(self._commit(spends, attempt, self._ways.relay), then)

    async def _commit(self, spends: tuple[Spend, ...], attempt: bytes | None, waiting: Waiting) -> Outcome:
        until, now = self._clock.monotonic() + self._deadline, self._clock.now()
        groups = groups_of(spends)
        if len(groups) > 1:
            way = _Way(self, waiting, until - self._deadline * _FOR_GIVING_BACK, until)
            return await self._in_steps(groups, attempt, way)
        tag = groups[0].tag if groups else b""
        way = _Way(self, waiting, until, until)
        outcome = await way.commit(self._codec.write(spends, attempt, now, tag), tag)
        return self._unavailable(outcome) if isinstance(outcome, Trouble) else outcome

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """What is left for each spend. Counts nothing."""
        return at_once(self._look(spends))

    async def _look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        until = self._clock.monotonic() + self._deadline
        way, found = _Way(self, BLOCKING, until, until), dict[int, Left]()
        for group in groups_of(spends):
            request = self._codec.write_look(group.spends, self._clock.now(), group.paid)
            left = await way.look(request, group.tag)
            if isinstance(left, Trouble):
                # Not among the failures: no request was denied for it.
                return Unavailable(left.detail)
            found |= zip(group.at, left, strict=True)
        return tuple(found[at] for at in sorted(found))

    async def send(
        self, request: Request, tag: bytes, until: float, waiting: Waiting, ask: _Ask[_Answer]
    ) -> _Answer | Trouble:
        """Bring a request to the node that holds its slot, wherever that is by now."""
        slot, pause, hops, sent = slot_of(tag), _PAUSE, 0, False
        node = self._survey.at(slot)
        if self._is_late(until):
            return Trouble("timeout", f"the store {self._target} left no time for a step", sent=False)
        while True:
            found = node if isinstance(node, Trouble) else await ask(node, request, until, waiting)
            if not isinstance(found, Trouble):
                return found
            # A node that was left may have counted it, and the slot have moved with the count.
            sent = sent or found.sent
            found = replace(found, sent=sent)
            self._survey.notice()
            if self._is_late(until) or hops == _MOST_HOPS or self._stopping.is_set():
                return found
            match found:
                case Redirect(to=(host, port), asking=asking):
                    hops += 1
                    node, request = self._survey.node((host, port)), request._replace(asking=asking)
                    self._redirected()
                case Redirect() | Trouble(kind="connecting"):
                    # The slot is between two nodes, or its new node is not connected yet: both are soon over.
                    await waiting.pause(pause)
                    if self._is_late(until):
                        return found
                    hops = 0
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    if isinstance(found, Redirect):
                        node, request = self._survey.at(slot), request._replace(asking=False)
                case _:
                    return found

    def _is_late(self, until: float) -> bool:
        return until - self._clock.monotonic() < self._deadline * _LEAST_TO_ASK

    async def _in_steps(self, groups: tuple[Group, ...], attempt: bytes | None, way: _Way) -> Outcome:
        steps = Steps(groups, attempt, self._clock.now(), self._codec, way)
        outcome = await steps.commit()
        with self._lock:
            self._given_back["made"] += steps.given_back
            self._given_back["lost"] += steps.lost
        return self._unavailable(outcome) if isinstance(outcome, Trouble) else outcome

    def _redirected(self) -> None:
        with self._lock:
            self._redirects += 1

    def _unavailable(self, trouble: Trouble) -> Unavailable:
        with self._lock:
            self._failures[trouble.kind] += 1
        return Unavailable(trouble.detail)


@dataclass(frozen=True, slots=True)
class _Way:
    """To the nodes, for one commit or look."""

    store: ClusterStore
    waiting: Waiting
    forward: float
    """Until when steps are taken."""
    until: float
    """And until when they are given back."""

    async def commit(self, request: Request, tag: bytes) -> Outcome | Trouble:
        return await self._go(request, tag, self.forward, Node.commit)

    async def look(self, request: Request, tag: bytes) -> tuple[Left, ...] | Trouble:
        return await self._go(request, tag, self.forward, Node.look)

    async def foresee(self, request: Request, tag: bytes) -> tuple[Left, ...] | Outcome | Trouble:
        return await self._go(request, tag, self.forward, Node.foresee)

    async def give_back(self, request: Request, tag: bytes) -> Trouble | None:
        return await self._go(request, tag, self.until, Node.give_back)

    async def _go(self, request: Request, tag: bytes, until: float, ask: _Ask[_Answer]) -> _Answer | Trouble:
        return await self.store.send(request, tag, until, self.waiting, ask)
