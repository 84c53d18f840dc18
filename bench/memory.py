"""Resident memory of policies and of live keys, each in a fresh process.

`python -m bench.memory WHAT COUNT` is such a process. It first holds a single one, so that all code is loaded, then so
many, and prints how many bytes it has more.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from bench.choosing import write_policies
from bench.measure import Effort, Reading, Report, Variant, interleave
from bench.revoking import MANY, revocation
from extauthz.control.reconcile import FolderReconciler
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.policy.compile import Compiler
from extauthz.policy.parse import parse
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Bind, Pepper, Rate, Spend, Use
from extauthz.replay.store import Committed

_POLICIES: Final = 1000
_KEYS: Final = 100_000
_ROUNDS: Final = 3
"""At most: fresh processes hardly differ."""
_PATIENCE: Final = 300.0
_MB: Final = 1e6


class Holder(Protocol):
    """Makes something and keeps it."""

    def __call__(self, count: int) -> object:
        """Hold so many."""


def resident(pid: int | str = "self") -> int:
    """Resident memory of a process in bytes (proc(5), `statm`)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def hold_policies(count: int) -> object:
    """Policies from a folder, kept as `extauthz serve` keeps them."""
    published: list[Snapshot] = []
    there = threading.Event()

    def publish(snapshot: Snapshot) -> None:
        published.append(snapshot)
        there.set()

    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        write_policies(Path(folder), count)
        reconciler = FolderReconciler(Path(folder), publish)
        reconciler.start()
        if not there.wait(_PATIENCE):
            raise TimeoutError("the policies were not loaded")
        reconciler.stop()
    return published


def hold_keys(kind: str, count: int) -> object:
    """Live keys of one kind in the memory store."""
    clock = SystemClock()
    store, pepper = MemoryStore(clock, _KEYS), Pepper(b"p" * 32)
    until = Instant(clock.now() + 3600.0)
    for number in range(count):
        key = pepper.key(kind, str(number))
        outcome = store.commit((_spend(kind, key, until),), None)
        if not isinstance(outcome, Committed):
            raise RuntimeError(f"the store did not take key {number}: {outcome}")
    return store


def _spend(kind: str, key: bytes, until: Instant) -> Spend:
    match kind:
        case "use":
            return Use(key=key, max_uses=1, until=until)
        case "bind":
            return Bind(key=key, value=key, until=until)
        case _:
            return Rate(key=key, amount=100, window=Seconds(3600.0), label="measured")


def hold_revocations(count: int) -> object:
    """Revocations, parsed and compiled as a source of policies keeps them."""
    objects = [parse(revocation()) for _ in range(count)]
    compiler = Compiler()
    return objects, compiler, compiler.compile(objects)


HOLDERS: Final[Mapping[str, Holder]] = {
    "policies": hold_policies,
    "revocations": hold_revocations,
    **{kind: partial(hold_keys, kind) for kind in ("use", "bind", "rate")},
}


def run(effort: Effort) -> Report:
    """The benchmark `memory`."""
    policies, keys, revoked = effort.of(_POLICIES), effort.of(_KEYS), effort.of(MANY)
    names = {"use": "single uses", "bind": "ties to a caller", "rate": "rates with one request"}
    variants = [
        Variant(f"per {policies:,} policies", partial(_more, "policies", policies)),
        Variant(f"per {revoked:,} revocations", partial(_more, "revocations", revoked)),
        *(Variant(f"per {keys:,} live keys: {name}", partial(_more, kind, keys)) for kind, name in names.items()),
    ]
    rows = interleave(variants, min(effort.rounds, _ROUNDS), warm_up=0)
    return Report("memory", "resident memory, fresh processes", rows)


def _more(what: str, count: int) -> Reading:
    """What holding `count` takes, in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", what, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * _PATIENCE, check=True)
    return {"MB": int(done.stdout) / _MB}


def main(arguments: list[str]) -> None:
    """Hold what the arguments say, and print what it takes."""
    what, count = arguments
    hold = HOLDERS[what]
    held = [hold(1)]
    gc.collect()
    before = resident()
    held.append(hold(int(count)))
    gc.collect()
    print(max(0, resident() - before))
    del held


if __name__ == "__main__":
    main(sys.argv[1:])
