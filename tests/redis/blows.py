"""What befalls a fleet while it is asked: networks that cut, lose and hold, a server and a replica that die.

A blow is planned by chance, so a seed tells which came; in which moment of which commit it strikes is the machine's.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from tests.redis.fleet import DEADLINE, Fleet, Replica
from tests.redis.proxy import Fault

_RACE: Final = 0.25
"""Seconds that a race takes, about."""
_HELD: Final = 0.3
"""The longest for which something stands still, unless it is to be past the deadline."""
_WON: Final = re.compile(rb"\*4\r\n:0\r\n:\d")
"""How the script's reply begins that tells a count. A probe counts nothing, and -1 is left of it."""
_LOST: Final = re.compile(rb"\*4\r\n:1\r\n")
"""And one that refuses."""


class Kind(Enum):
    """What may come."""

    CUT = "connections cut"
    REPLY_CUT = "replies cut"
    REPLY_LOST = "replies lost"
    HOLD = "replies held"
    HOLD_AND_CUT = "replies held, then connections cut"
    HANG = "replies held past the deadline"
    PAUSE = "server paused past the deadline"
    RESTART = "server killed and restarted"
    KILL = "replica killed in mid-commit"


@dataclass
class Blow:
    """One of them: where, when, and for how long."""

    kind: Kind
    victims: tuple[int, ...]
    """Numbers of replicas, or of servers where there are several; what befalls one befalls the first."""
    after: float
    """Seconds after the race has begun; 0 for before its first Check."""
    lasting: float
    """Seconds for which something stands still or is gone."""
    replies: int
    """How many replies are cut or lost, at each victim."""

    def strike(self, fleet: Fleet, begun: threading.Event, over: threading.Event) -> str:
        """Let it come. Tells when it has `begun`, and waits for nothing once the race is `over`. What else to count."""
        over.wait(self.after)
        victims = [fleet.replicas[number] for number in self.victims]
        server = fleet.servers[self.victims[0] % len(fleet.servers)]
        match self.kind:
            case Kind.CUT:
                _cut(victims)
            case Kind.REPLY_CUT:
                _befall(victims, Fault.CUT, self.replies)
            case Kind.REPLY_LOST:
                _befall(victims, Fault.LOSE, self.replies)
            case Kind.HOLD | Kind.HOLD_AND_CUT | Kind.HANG:
                _befall(victims, Fault.HOLD)
                begun.set()
                over.wait(self.lasting)
                if self.kind is Kind.HOLD_AND_CUT:
                    _cut(victims)
                _befall(victims, Fault.NONE)
            case Kind.PAUSE:
                with server.paused():
                    begun.set()
                    over.wait(self.lasting)
            case Kind.RESTART:
                server.kill()
                begun.set()
                over.wait(self.lasting)
                server.start()
            case Kind.KILL:
                return self._kill(victims[0], begun, over)
        begun.set()
        return ""

    def _kill(self, victim: Replica, begun: threading.Event, over: threading.Event) -> str:
        """Kill it while the reply to a commit of its is on the way."""
        victim.proxy.befall(Fault.HOLD)
        begun.set()
        held = b""
        while not (_WON.search(held) or _LOST.search(held) or over.wait(0.002)):
            held = b"".join(victim.proxy.held)
        over.wait(self.lasting / 10)
        victim.kill()
        victim.proxy.befall(Fault.NONE)
        if _WON.search(held):
            return "killed with an admission in hand"
        return "killed with a refusal in hand" if _LOST.search(held) else "killed with nothing in hand"


def _cut(victims: list[Replica]) -> None:
    for each in victims:
        each.proxy.reset_all()


def _befall(victims: list[Replica], fault: Fault, times: int = 1 << 30) -> None:
    for each in victims:
        each.proxy.befall(fault, times)


def draw(kind: Kind, chance: random.Random, replicas: int) -> Blow:
    """A blow of this kind. Half of them come before the first Check, the rest early rather than late."""
    victims = chance.sample(range(replicas), chance.choice((1, 1, replicas)))
    after = 0.0 if chance.random() < 0.5 else _RACE * chance.random() ** 2
    lasting = _HELD * chance.random() + (DEADLINE if kind in {Kind.HANG, Kind.PAUSE} else 0.0)
    return Blow(kind, tuple(victims), after, lasting, chance.randint(1, 5))


@dataclass
class Blows:
    """Several at the same time, each in a thread of its own, beside what the block does."""

    fleet: Fleet
    blows: tuple[Blow, ...]
    told: Counter[str] = field(default_factory=Counter)
    """What came, and how it met us."""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _failed: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Returns when all have begun that come before the first Check."""
        for blow in self.blows:
            begun = threading.Event()
            thread = threading.Thread(target=self._strike, args=(blow, begun))
            self._threads.append(thread)
            thread.start()
            if not blow.after:
                begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """What waits for the race waits no longer; ends when the last has struck and what it broke is mended."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        for each in self.fleet.replicas:
            each.proxy.befall(Fault.NONE)
        if self._failed:
            raise self._failed[0]

    def _strike(self, blow: Blow, begun: threading.Event) -> None:
        try:
            how = blow.strike(self.fleet, begun, self._over)
        except BaseException as error:  # noqa: BLE001 (told by the thread that waits)
            self._failed.append(error)
        else:
            self.told.update({blow.kind.value: 1} | ({how: 1} if how else {}))
        finally:
            begun.set()
