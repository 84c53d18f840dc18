"""Steady load through Envoy while policies change: every answer is told, and held against what may be in force."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from extauthz.cli.demo.process import poll_until
from extauthz.cli.demo.stage import Client, Reply
from extauthz.model.time import Clock

NAMED: Final = "x-edit-"
"""Each edit of the policy names an identity header of its own, which the upstream sees."""


def label_of(reply: Reply) -> str:
    """What an answer says of the policy that was in force: the edit that admitted it, or the status of a denial."""
    if reply.status != 200:
        return str(reply.status)
    edits = [name.removeprefix(NAMED) for name in reply.upstream_headers if name.startswith(NAMED)]
    return f"edit {','.join(edits)}"


@dataclass
class Timeline:
    """What was written, in order, each with what a request says once it is in force."""

    clock: Clock
    labels: list[str] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    """When each write began, by the clock's `monotonic`."""
    in_force: int = 0
    """The newest state that an answer told of, to whomever: no request that begins after it may be of an older one."""

    def write(self, label: str, act: Callable[[], object]) -> None:
        """Write something; from now on requests may say `label`."""
        self.written.append(self.clock.monotonic())
        self.labels.append(label)
        act()


class Steady:
    """One client that asks in a loop; no answer may be lost, and none may be of a state that is over.

    INVARIANT: what is written next is written only once every client has seen what was written last; so an answer is
    of the last state or of the one that is being written.
    """

    def __init__(self, client: Client, timeline: Timeline, token: str) -> None:
        self._client = client
        self.timeline = timeline
        self._token = token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen = 0
        """The newest state that an answer told this one of."""
        self.wrong: list[str] = []
        self.answers = 0
        self.delays: list[float] = []
        """Seconds from the beginning of each write to the end of the first request that obeyed it."""

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the last answer."""
        self._stop.set()
        self._thread.join(20.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            oldest = self.timeline.in_force
            try:
                reply = self._client.send("/orders", self._token)
            except OSError as error:
                self.wrong.append(f"no answer: {error}")
                continue
            self.answers += 1
            self._judge(label_of(reply), oldest)

    def _judge(self, label: str, oldest: int) -> None:
        timeline = self.timeline
        possible = timeline.labels[oldest:]
        if label not in possible:
            self.wrong.append(f"`{label}` while the state was {' or '.join(possible)}")
            return
        told = oldest + possible.index(label)
        if told > self.seen:
            self.delays.append(timeline.clock.monotonic() - timeline.written[told])
            self.seen = timeline.in_force = told


class Intruder(Steady):
    """Asks with a token that no state of the policy admits."""

    def __init__(self, client: Client, timeline: Timeline, token: str) -> None:
        super().__init__(client, timeline, token)
        self.statuses: set[str] = set()

    def _judge(self, label: str, oldest: int) -> None:
        self.statuses.add(label)
        if label not in ("401", "403", "503"):
            self.wrong.append(f"admitted: {label}")


@contextmanager
def load(good: Sequence[Steady], *others: Steady) -> Iterator[Callable[[], None]]:
    """All clients ask while the block runs. What is handed out waits until each of the first sees the last write."""
    everybody = (*good, *others)
    for each in everybody:
        each.start()

    def settle() -> None:
        wanted = len(good[0].timeline.labels) - 1
        wrong = [each.wrong for each in everybody if each.wrong]
        assert not wrong, wrong
        poll_until(lambda: all(each.seen == wanted or each.wrong for each in good), None, "the last write in force")

    try:
        yield settle
    finally:
        for each in everybody:
            each.stop()
    assert [each.wrong for each in everybody] == [[]] * len(everybody)
    assert all(each.answers for each in everybody)
