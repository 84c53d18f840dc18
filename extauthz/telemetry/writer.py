"""Writes lines in the background: whoever offers one never waits, and what cannot be written is lost and counted.

An item is formed into its line by whoever offers it: the interpreter's lock lets only one thread work anyway, and what
waits is bounded in bytes so.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from extauthz.model.time import Seconds
from extauthz.telemetry.output import Output

T = TypeVar("T")

CAPACITY: Final = 4096
"""How many lines may wait to be written; more are lost."""

_LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 0.05
"""How long a line waits for more, in seconds: each write, and each wait, makes this thread and those that decide take
turns for the interpreter's lock, which costs more than to form a line."""
_MANY: Final = 512
"""So many lines that wait already are written without a pause."""
_GROUP: Final = 28 * 1024
"""With so many bytes of lines a group is complete: with one more, an empty pipe takes it as a whole."""
_LOOK_UP_MS: Final = 100
"""How often a writer that waits for a reader looks whether it should give up."""


class LineWriter(Generic[T]):
    """Forms items into lines, which one daemon thread writes, whole lines at a time.

    INVARIANT: to all but a file it writes only what a pipe has room for: half of one in which nothing is unread, else
    PIPE_BUF when `poll` says so. So a reader who does not read cannot hold it, unless another process fills the pipe in
    that very instant. Even then only this thread is held.
    """

    def __init__(self, name: str, output: Output, form: Callable[[T], bytes], *, capacity: int = CAPACITY) -> None:
        self._output = output
        self._form = form
        self._capacity = capacity
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._lost = 0
        self._torn = False
        self._problem: str | None = None
        self._closed = False
        self._ending = threading.Event()
        self._given_up = threading.Event()
        self._worker = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def lost(self) -> int:
        """How many items were offered and never written as a whole line."""
        return self._lost

    @property
    def problem(self) -> str | None:
        """Why the last attempt to write failed, None after a success."""
        return self._problem

    def offer(self, item: T) -> None:
        """Have the item written, or lose it when too many wait. Returns at once; safe in every thread."""
        if self._closed or self._queue.qsize() >= self._capacity:
            self._lose(1)
        else:
            self._queue.put(self._line(item))

    def start(self) -> None:
        """Begin to write, also what was offered before."""
        self._worker.start()

    def stop(self, timeout: Seconds) -> None:
        """Write what waits, for at most `timeout`, then count the rest as lost. Offers after this are lost."""
        self._closed = True
        self._ending.set()
        self._queue.put(None)
        if self._worker.ident is not None:
            self._worker.join(timeout)
            self._given_up.set()
            self._worker.join(10 * _LOOK_UP_MS / 1000)
        self._lose(self._left_over())

    def _left_over(self) -> int:
        count = 0
        try:
            while True:
                count += self._queue.get_nowait() is not None
        except Empty:
            return count

    def _lose(self, count: int) -> None:
        with self._lock:
            self._lost += count

    def _run(self) -> None:
        ended = False
        while not ended:
            lines, ended = self._group()
            if lines:
                self._write(lines)
        self._output.close()

    def _group(self) -> tuple[bytes, bool]:
        """Lines to be written at once, and whether they are the last."""
        lines, line = bytearray(), self._queue.get()
        if self._queue.qsize() < _MANY:
            self._ending.wait(_PAUSE)
        while line is not None:
            lines += line
            if len(lines) >= _GROUP or self._queue.empty():
                return bytes(lines), False
            line = self._queue.get()
        return bytes(lines), True

    def _line(self, item: T) -> bytes:
        try:
            return self._form(item)
        except Exception as error:  # noqa: BLE001  # a line that cannot be formed is lost; the log goes on
            self._lose(1)
            self._tell(f"a line cannot be formed ({type(error).__name__})")
            return b""

    def _write(self, lines: bytes) -> None:
        """Write whole lines, or count those that could not be written."""
        # A line that broke off half-way is ended first, so that it spoils no other.
        rest = b"\n" + lines if self._torn else lines
        problem: str | None = None
        try:
            channel = self._output.channel()
            while rest and (most := channel.takes() or self._wait_for_room(channel.number)):
                # INVARIANT: a line break is within reach, for a line and one break before it fit into PIPE_BUF.
                written = os.write(channel.number, rest[: rest.rfind(b"\n", 0, most) + 1])
                self._torn = not rest[:written].endswith(b"\n") if written else self._torn
                rest = rest[written:]
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if rest:
            self._lose(min(rest.count(b"\n"), lines.count(b"\n")))
            problem = problem or "nobody reads it"
        self._tell(problem)

    def _wait_for_room(self, descriptor: int) -> int:
        """Wait until a write cannot block, or will fail at once. How many bytes it takes; 0 to give up."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while not self._given_up.is_set():
            if poll.poll(_LOOK_UP_MS):
                return select.PIPE_BUF
        return select.PIPE_BUF if poll.poll(0) else 0

    def _tell(self, problem: str | None) -> None:
        """Say once that lines are being lost, and once that they are not any more."""
        before, self._problem = self._problem, problem
        if problem is not None and before is None:
            _LOG.warning("%s loses lines: %s", self._worker.name, problem)
        elif problem is None and before is not None:
            _LOG.warning("%s is written again; %d lines were lost", self._worker.name, self._lost)
