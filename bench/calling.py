"""Checks through grpcio: `extauthz serve` beside an empty handler, with 32 calls in flight.

Each server is a process of its own, on a core of its own where there are two, and the one client of both is this
process. The client is cheap (`bench.http2`), so what is compared is what the servers do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.answering import bare
from bench.http2 import Connection
from bench.measure import CPU, Effort, Figure, Reading, Report, Row, Target, Variant, interleave, ratio
from bench.peers import DECODE_MICROSECONDS, EMPTY_PER_SECOND, PEERS
from bench.requests import check, policies, token
from extauthz.model.reason import Reason
from extauthz.server.grpcio import METHOD
from tests.checks import read_response
from tests.redis.servers import running

IN_FLIGHT: Final = 32
RATE: Final = "calls/s"
BUSY: Final = "server cpu µs"
LOAD: Final = "server busy %"
SHARE: Final = 0.65
"""Of the rate of an empty handler, at least."""
_THREADS: Final = 4
_CALLS: Final = 10_000
_NEW: Final = 1500
_WARM: Final = 200
_BUSY_ENOUGH: Final = 85.0
"""Percent of a core. A server that has less waits for something else, and its rate tells of that."""
_OF_EMPTY: Final = "of an empty handler"
_NEW_OF_EMPTY: Final = "with new tokens"
_BY_CPU: Final = "by server cpu"
_OF_DECODE: Final = "cpu / RS256 decode"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on loopback."""

    process: subprocess.Popen[str]
    port: int

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have had (clock_getres(2), on the clock of another process)."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def ask(self, warm: Sequence[bytes], messages: Sequence[bytes], judge: Callable[[bytes], None]) -> Reading:
        """Send the messages over a new connection; every answer is looked at once the clock has stopped."""
        connection = Connection(self.port, METHOD)
        try:
            connection.call(warm, IN_FLIGHT)
            cpu, wall = self.cpu(), time.perf_counter()
            answers = connection.call(messages, IN_FLIGHT)
            wall, cpu = time.perf_counter() - wall, self.cpu() - cpu
        finally:
            connection.close()
        for answer in answers:
            judge(answer)
        return {RATE: len(messages) / wall, BUSY: cpu / len(messages) * 1e6, LOAD: cpu / wall * 100}


def run(effort: Effort) -> Report:
    """The benchmark `call`."""
    with ExitStack() as stack:
        server_core, client_core = cores()
        with on_core(server_core):
            empty = stack.enter_context(empty_server())
            bare_calls = stack.enter_context(empty_server("calls"))
            ours = stack.enter_context(extauthz_server())
        stack.enter_context(on_core(client_core))
        store = stack.enter_context(running("valkey"))
        with on_core(server_core):
            counting = stack.enter_context(extauthz_server(f"redis://127.0.0.1:{store.port}"))
        one = [check(token()) for _ in range(2)][:1]
        variants = [
            Variant("empty handler", lambda: empty.ask(one * _WARM, one * effort.of(_CALLS), _empty)),
            Variant("empty handler, our calls", lambda: bare_calls.ask(one * _WARM, one * effort.of(_CALLS), _empty)),
            Variant("extauthz, one token", partial(_ask_with_one, ours, effort)),
            Variant("extauthz, new RS256", partial(_ask_with_new, ours, effort)),
            Variant("extauthz, one token, counted", partial(_ask_with_one, counting, effort, "/api/often/7")),
            Variant(
                "extauthz, new EdDSA, single use", partial(_ask_with_new, counting, effort, "/api/once/7", "EdDSA")
            ),
            Variant("PyJWT's decode, RS256", partial(bare, "RS256", effort)),
        ]
        rows = interleave(variants, effort.rounds)
    by_name = {row.name: row for row in rows}
    share = ratio(_values(by_name, "extauthz, one token", RATE), _values(by_name, "empty handler", RATE))
    return Report(
        "call",
        f"through grpcio, {IN_FLIGHT} in flight",
        rows,
        (Target("one token / an empty handler's rate", SHARE, share, at_least=True),),
        standing=(_our_standing(by_name), *_peers()),
        notes=(
            f"the empty handler is a plain grpcio server with {_THREADS} threads; `our calls`: taken as extauthz does",
            "the other servers were measured elsewhere, beside that machine's own yardsticks",
            "counted in a Valkey, which has the client's core",
            *_doubts(rows),
        ),
    )


def _ask_with_one(server: Server, effort: Effort, *path: str) -> Reading:
    bearer = token()
    messages = [check(bearer, *path) for _ in range(effort.of(_CALLS))]
    return server.ask([check(bearer, *path) for _ in range(_WARM)], messages, _admitted)


def _ask_with_new(server: Server, effort: Effort, path: str = "/api/orders/7", algorithm: str = "RS256") -> Reading:
    bearer = token()
    messages = [check(token(algorithm), path) for _ in range(effort.of(_NEW))]
    return server.ask([check(bearer) for _ in range(_WARM)], messages, _admitted)


def _admitted(answer: bytes) -> None:
    response = read_response(answer)
    if response.code != 0:
        raise RuntimeError(f"a good token was refused: {response.metadata['reason']}")


def _empty(answer: bytes) -> None:
    if read_response(answer).metadata["reason"] != Reason.NO_POLICY.label:
        raise RuntimeError("the empty handler answered something else")


@contextmanager
def empty_server(kind: str = "grpcio") -> Iterator[Server]:
    """A yardstick of this kind (`bench.empty`)."""
    command = [sys.executable, "-m", "bench.empty", kind, str(_THREADS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.terminate()


@contextmanager
def extauthz_server(store: str = "memory") -> Iterator[Server]:
    """`extauthz serve` over the policies of `bench.requests`, with a decision log of every answer."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        (Path(folder) / "all.yaml").write_text("\n---\n".join(json.dumps(each) for each in policies()))
        pepper = Path(folder) / "pepper"
        pepper.write_bytes(b"p" * 32)
        command = [
            sys.executable, "-m", "extauthz.cli", "serve",
            "--policies", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
            "--decision-log", "stdout", "--log-level", "warning", "--store", store, "--pepper-file", str(pepper),
            # A machine that others use may hold a call up; that is noise, and no reason to deny.
            "--check-budget", "10s", "--store-deadline", "5s",
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTHZ_")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                listening, ready = process.stdout.readline(), process.stdout.readline()
                if not ready.startswith("ready: "):
                    raise RuntimeError(f"`extauthz serve` did not become ready: {listening}{ready}")
                port = listening.removeprefix("listening on ").partition(",")[0].rpartition(":")[2]
                # As a container's runtime reads its log; it ends with the server.
                with subprocess.Popen(["/bin/cat"], stdin=process.stdout, stdout=subprocess.DEVNULL):
                    yield Server(process, int(port))
                    process.terminate()
            finally:
                process.terminate()


def cores() -> tuple[int, int]:
    """A core for the servers and one for the client: two where there are two."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process, and those that it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _values(rows: Mapping[str, Row], name: str, column: str) -> tuple[float, ...]:
    return rows[name].figures[column].values


def _doubts(rows: Sequence[Row]) -> Iterator[str]:
    """What a reader should know before believing the rates."""
    for row in rows:
        if LOAD in row.figures and row.figures[LOAD].median < _BUSY_ENOUGH:
            yield f"`{row.name}` had {row.figures[LOAD].median:.0f} % of a core: believe `{_BY_CPU}`, not the rates"


def _our_standing(rows: Mapping[str, Row]) -> Row:
    empty = _values(rows, "empty handler", RATE)
    decode = _values(rows, "PyJWT's decode, RS256", CPU)
    return Row(
        "extauthz",
        {
            _OF_EMPTY: ratio(_values(rows, "extauthz, one token", RATE), empty),
            _NEW_OF_EMPTY: ratio(_values(rows, "extauthz, new RS256", RATE), empty),
            _BY_CPU: ratio(_values(rows, "empty handler", BUSY), _values(rows, "extauthz, one token", BUSY)),
            _OF_DECODE: ratio(_values(rows, "extauthz, one token", BUSY), decode),
        },
    )


def _peers() -> Iterator[Row]:
    for peer in PEERS:
        figures = {
            _OF_EMPTY: peer.per_second / EMPTY_PER_SECOND,
            _NEW_OF_EMPTY: peer.new_per_second / EMPTY_PER_SECOND,
            _OF_DECODE: peer.microseconds / DECODE_MICROSECONDS,
        }
        yield Row(peer.name, {column: Figure((value,)) for column, value in figures.items()})
