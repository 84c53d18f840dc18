"""What revocations cost: a Check with none and with 100,000 loaded, and taking in one more beside what is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final

from bench import requests
from bench.choosing import typical
from bench.measure import CPU, Effort, Reading, Report, Target, Variant, interleave, milliseconds, ratio, timed
from extauthz.decide import Admission, Grants, World, decide
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Instant, SystemClock
from extauthz.policy.compile import Compiler
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.spend import Pepper
from extauthz.tokens.verify import Verifier
from tests.building import obj, verified, view

MANY: Final = 100_000
POLICIES: Final = 2000
_SOME: Final = 10_000
_CALLS: Final = 5000
BOUND: Final = 1.5
"""A Check with many loaded may cost this many times one with none."""
_LATER: Final = "2099-01-31T12:00:00Z"

_NUMBER: Final = count()


def revocation() -> dict[str, Any]:
    """One that never was before: in turn a token's id, a subject and a session, as much of each."""
    number = next(_NUMBER)
    named = ("jti", "subject", "session")[number % 3]
    spec = {"issuer": {"name": "corp"}, named: f"{named}-4f1c9a52-{number:012x}", "expires": _LATER}
    return obj("TokenRevocation", f"gone-{number}", spec)


def run(effort: Effort) -> Report:
    """The benchmark `revocation`."""
    policies = [parse(typical(number)) for number in range(effort.of(POLICIES))]
    some, many = effort.of(_SOME), effort.of(MANY)
    revoked = [parse(revocation()) for _ in range(many)]
    checks = {"none": 0, f"{many:,}": many}
    variants = [
        *(Variant(f"a Check, {name} loaded", _checking(revoked[:held], effort)) for name, held in checks.items()),
        Variant(f"the look-up alone, {many:,} loaded", _looking_up(revoked, effort)),
        *(
            Variant(
                f"one more, beside {len(policies):,} policies and {held:,}", _one_more([*policies, *revoked[:held]])
            )
            for held in (some, many)
        ),
    ]
    rows = interleave(variants, effort.rounds)
    none, full = (row.figures[CPU].values for row in rows[:2])
    target = Target("a Check, many loaded / none", BOUND, ratio(full, none))
    return Report("revocation", "TokenRevocations by id, subject and session", rows, (target,))


def _checking(revoked: list[Parsed | Broken], effort: Effort) -> Callable[[], Reading]:
    """Decides on a remembered token that is not revoked, over and over."""
    clock = SystemClock()
    snapshot = Compiler().compile([*map(parse, requests.policies()), *revoked])
    ring = KeyRing(clock)
    ring.reconcile(snapshot.issuer_keys)
    world = World(snapshot, ring.states(), Verifier(), Grants(Pepper(b"p" * 32)))
    request = view("/api/orders/7", headers={"authorization": f"Bearer {requests.token()}"})
    return partial(_decide, partial(decide, request, world, clock.now()), effort.of(_CALLS))


def _looking_up(revoked: list[Parsed | Broken], effort: Effort) -> Callable[[], Reading]:
    """Asks the index about a token that none of its tables has."""
    index = Compiler().compile([parse(requests.issuer()), *revoked]).revocations
    if index is None:
        raise RuntimeError("nothing is revoked")
    ask, calls = partial(index.refuse, verified({"sid": "good"}), "shop", SystemClock().now()), effort.of(20 * _CALLS)

    def work() -> None:
        for _ in range(calls):
            ask()

    return lambda: timed(work, calls)


def _decide(ask: Callable[[], object], calls: int) -> Reading:
    def work() -> None:
        for _ in range(calls):
            ask()

    reading = timed(work, calls)
    if not isinstance(ask(), Admission):
        raise TypeError("a good token was refused")
    return reading


def _one_more(objects: list[Parsed | Broken]) -> Callable[[], Reading]:
    compiler = Compiler()
    compiler.compile([parse(requests.issuer()), *objects], Instant(0.0))
    held = [parse(requests.issuer()), *objects]

    def edit() -> Reading:
        held.append(parse(revocation()))
        snapshots: list[Snapshot] = []
        reading = timed(lambda: snapshots.append(compiler.compile(held, Instant(0.0))), 1)
        if snapshots[0].revocations is None:
            raise RuntimeError("the revocation is not in force")
        return milliseconds(reading)

    return edit
