"""Fuzzes the compiled program against its sources: the same octets get the same answer and the same line in the log.

This process runs the libraries that `make native` makes, and another one, which is handed each input, the sources.
Both have one pepper and one clock, which stands still but for a step with each input. `python -m tests.fuzz.builds` is
that other process.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import runpy
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.decide import Grants
from extauthz.model.time import Seconds
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Pepper
from extauthz.telemetry.audit import BOUNDS, Entries, Redaction
from tests.checks import read_response
from tests.fuzz.answers import plain
from tests.fuzz.check_bytes import TARGET as CHECK_BYTES
from tests.fuzz.check_bytes import TOKEN
from tests.fuzz.kinds import BROKEN, KINDS, Told
from tests.fuzz.target import Target, insist
from tests.fuzz.tokens import mutate as mutate_token
from tests.fuzz.wire import mutate_message
from tests.fuzz.world import Loaded

ROOT: Final = Path(__file__).parents[2]
_STEP: Final = Seconds(0.0001)
"""How far both clocks go with each input: windows of a second fill and end, and in a long campaign tokens do."""
_SIZE: Final = 4


class Program:
    """The program as it is imported here: once as most run it, once with all that a change of peppers brings."""

    def __init__(self) -> None:
        """Load the policies twice."""
        pepper = Pepper(b"p" * 32, previous=Pepper(b"q" * 32))
        redacted = Redaction(frozenset(BOUNDS) - {"time", "decision"}, pepper.pseudonym)
        grants = Grants(pepper, quotas=Quotas(issuer=40, namespace=30))
        desk = Told()
        self.loaded: Final = (
            Loaded(KINDS, broken=BROKEN, desk=desk, entries=Entries()),
            Loaded(KINDS, broken=BROKEN, desk=desk, entries=Entries(redacted), grants=grants),
        )

    def answer(self, data: bytes) -> tuple[bytes, bytes]:
        """The answer and the line; the octets choose by which of the two."""
        loaded = self.loaded[zlib.crc32(data) % 4 == 0]
        loaded.clock.advance(_STEP)
        return loaded.answer(data), loaded.line


class Sources:
    """The program in another process, from its sources. It ends when its input does, and so with this process."""

    def __init__(self) -> None:
        """Start it."""
        environment = {name: text for name, text in os.environ.items() if name != "NATIVE"}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.builds"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def answer(self, data: bytes) -> tuple[bytes, bytes]:
        """Its answer and line."""
        writes, reads = self._process.stdin, self._process.stdout
        if writes is None or reads is None:
            raise AssertionError("the process was started without pipes")
        _write(writes, data)
        writes.flush()
        return _read(reads), _read(reads)


def _write(to: IO[bytes], data: bytes) -> None:
    to.write(len(data).to_bytes(_SIZE) + data)


def _read(of: IO[bytes]) -> bytes:
    return _whole(of, int.from_bytes(_whole(of, _SIZE)))


def _whole(of: IO[bytes], size: int) -> bytes:
    data = of.read(size)
    if len(data) != size:
        raise EOFError
    return data


def kind() -> str:
    """How what every Check runs through ends where it was imported from here: `.so` or `.py`, never a mixture."""
    modules = runpy.run_path(str(ROOT / "native" / "build.py"))["MODULES"]
    (found,) = {Path(str(importlib.import_module(f"extauthz.{name}").__file__)).suffix for name in modules}
    return found


@cache
def _both() -> tuple[Program, Sources]:
    if kind() != ".so":
        raise AssertionError("the libraries are not what is imported here: use `make fuzz-native`")
    return Program(), Sources()


def judge(data: bytes) -> str:
    """Hand the input to both."""
    compiled, sources = _both()
    (answer, line), (wanted, wanted_line) = compiled.answer(data), sources.answer(data)
    answer, wanted = _settled(answer), _settled(wanted)
    response, told = read_response(wanted), _fields(wanted_line)
    reason = f"{response.metadata.get('reason', 'allow')} {response.metadata.get('rule')}"
    insist(answer == wanted, f"the compiled program answers otherwise: {reason}, {_word(answer)}")
    found = _fields(line)
    differing = sorted(name for name in {*found, *told} if found.get(name) != told.get(name))
    insist(not differing, f"the compiled program logs otherwise: {reason}, {differing}")
    insist(line == wanted_line or _either(told), f"the compiled program writes its line otherwise: {reason}")
    insist(reason.split(maxsplit=1)[0] != "internal", f"a bug is answered: {told.get('detail')}")
    return f"{reason}: {plain(told.get('detail', ''))}"


def _settled(answer: bytes) -> bytes:
    """The same message in an order of its own: protobuf gives the headers of a request, which are a map, another order
    in each process, and what it makes of a map, too."""
    response = CheckResponse.FromString(answer)
    if response.HasField("ok_response"):
        response.ok_response.headers_to_remove.sort()
    return response.SerializeToString(deterministic=True)


def _word(answer: bytes) -> object:
    return read_response(answer).metadata.get("reason", "allow")


def _fields(line: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line) if line else {}
    return {**fields, "detail": plain(fields["detail"])} if _either(fields) else fields


def _either(fields: Mapping[str, object]) -> bool:
    """Whether the line names one of several headers: of two that are both wrong, it may be either."""
    return fields.get("reason") == "request_malformed"


def _serve(reads: IO[bytes], writes: IO[bytes]) -> None:
    program = Program()
    for data in _inputs(reads):
        for each in program.answer(data):
            _write(writes, each)
        writes.flush()


def _inputs(reads: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            yield _read(reads)
        except EOFError:
            return


def _token_alone(data: bytes, other: bytes, chance: random.Random) -> bytes:
    found = TOKEN.search(data)
    return (
        data if found is None else data[: found.start()] + mutate_token(found[0], other, chance) + data[found.end() :]
    )


_TOKEN_ALONE: Final = mutate_message(_token_alone)


@cache
def _good() -> tuple[CheckRequest, ...]:
    return tuple(CheckRequest.FromString(seed) for seed in TARGET.seeds())


def _another(chance: random.Random) -> bytes:
    """A good request, which is no repetition of an earlier one."""
    request = chance.choice(_good())
    request.attributes.request.http.id = str(chance.getrandbits(32))
    return request.SerializeToString(deterministic=True)


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to anything; or to what the token of a good request says and nothing else; or a good request, again."""
    which = chance.random()
    if which < 0.2:
        return _another(chance)
    if which < 0.5:
        return _TOKEN_ALONE(_another(chance), other, chance)
    return CHECK_BYTES.mutate(data, other, chance)


TARGET: Final = Target(name="builds", mutate=mutate, judge=judge, share=30)

if __name__ == "__main__":
    if kind() != ".py":
        raise SystemExit("the sources are not what is imported here")
    _serve(sys.stdin.buffer, sys.stdout.buffer)
