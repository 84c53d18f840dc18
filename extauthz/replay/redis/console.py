"""What a person asks of the server itself: whether it answers, how it does, what it holds, and to forget.

One connection, no breaker, no background: each question is answered now, or it is said why not.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from extauthz.model.time import Clock, Seconds
from extauthz.replay.redis.connect import CannotConnect, Lane, Target
from extauthz.replay.redis.facts import Facts, Usage, read_facts, read_usage
from extauthz.replay.redis.sentinel import find_primary
from extauthz.replay.redis.slots import Address, SlotMap, slot_of, tag_of
from extauthz.replay.redis.survey import ask_slots
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import FORMAT, Codec, commit_script
from extauthz.replay.spend import Spend

_WAIT: Final = 2.0
"""Seconds for each answer: nobody's request waits here."""
_KEY_BYTES: Final = 17
"""Of a key behind what all begin with: 16 of the digest, and the letter of its kind."""
_KINDS: Final = {"u": "uses", "b": "ties", "l": "rates", "a": "attempts", "q": "accounts", "m": "marks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many keys are ours, by kind."""

    keys: Mapping[str, int]
    complete: bool
    """False when the time was over before all were counted: then there are at least so many."""

    @property
    def total(self) -> int:
        """Of all kinds."""
        return sum(self.keys.values())


class Console:
    """One connection to the server, for one person at a time. Each method connects first where there is none yet, and
    raises CannotConnect; one that was not `sent` did nothing."""

    def __init__(
        self, target: Target, namespace: bytes, clock: Clock, replicas: int = 0, slots: SlotMap | None = None
    ) -> None:
        """`replicas` must have a commit; `slots` of a cluster, where it is a node."""
        self._target = target
        self._slots = slots
        self._prefix = namespace + FORMAT
        self._codec = Codec(namespace, tagged=slots is not None)
        self._clock = clock
        self._replicas = replicas
        self._connected: Lane | None = None

    def __str__(self) -> str:
        return str(self._target)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connected is not None:
            self._connected.close()

    def ping(self) -> Seconds:
        """How long an empty commit takes, as a serving replica probes with: it is written, and soon forgotten."""
        tag = b"" if self._slots is None else self._slots.tag_at(self._address) or b""
        request = self._codec.write((), secrets.token_bytes(16), self._clock.now(), tag)
        lane = self._lane()
        sent = self._clock.monotonic()
        entry = lane.run([request], sent + _WAIT)[0]
        took = Seconds(self._clock.monotonic() - sent)
        if isinstance(entry, Trouble):
            raise CannotConnect(entry)
        if self._codec.read(entry, ()) is None:
            raise self._odd()
        return took

    def learn(self) -> tuple[Facts, Usage]:
        """What the server says of itself."""
        info = self._ask(b"INFO")
        try:
            found = info if isinstance(info, bytes) else b""
            return read_facts(found), read_usage(found)
        except ValueError as error:
            detail = f"the store {self._target} does not tell what it is: {error}"
            raise CannotConnect(Trouble("other", detail)) from None

    def count(self, within: Seconds) -> Census:
        """Count our keys, by SCAN, for so long at most. The server goes on answering others meanwhile."""
        found: Counter[str] = Counter(dict.fromkeys(_KINDS.values(), 0))
        until = self._clock.monotonic() + within
        for keys in self._scan():
            found.update(_KINDS[kind] for key in keys if (kind := self._kind(key)) in _KINDS)
            if self._clock.monotonic() >= until:
                return Census(keys=found, complete=False)
        return Census(keys=found, complete=True)

    def forget(self, spends: tuple[Spend, ...]) -> Iterator[int]:
        """Delete what is counted here for these spends, one after the other: 1 for each that had a count, else 0."""
        for key in self._codec.keys(tuple(spend for spend in spends if self._holds(spend))):
            deleted = self._ask(b"DEL", key)
            if not isinstance(deleted, int):
                raise self._odd()
            yield deleted

    def _lane(self) -> Lane:
        if self._connected is None:
            try:
                found = find_primary(self._target)
                self._connected = Lane(found, commit_script(), self._clock.monotonic, self._replicas)
            except CannotConnect as no:
                raise CannotConnect(replace(no.trouble, sent=False)) from None
        return self._connected

    @property
    def _address(self) -> Address:
        return self._target.host, self._target.port

    def _holds(self, spend: Spend) -> bool:
        return self._slots is None or self._slots.at(slot_of(tag_of(spend))) == self._address

    def _scan(self) -> Iterator[list[bytes]]:
        """All keys that begin as ours do, some of them perhaps twice (SCAN promises no more)."""
        cursor = b"0"
        while True:
            match self._ask(b"SCAN", cursor, b"MATCH", self._prefix + b"*", b"COUNT", b"1000"):
                case [bytes(cursor), list(keys)]:
                    yield keys
                case _:
                    raise self._odd()
            if cursor == b"0":
                return

    def _kind(self, key: bytes) -> str:
        rest = key.removeprefix(self._prefix)
        if self._slots is not None:
            rest = rest.partition(b"}")[2]
        return chr(rest[-1]) if len(rest) == _KEY_BYTES else ""

    def _ask(self, *command: bytes) -> object:
        lane = self._lane()
        reply = lane.ask(*command, deadline=self._clock.monotonic() + _WAIT)
        if isinstance(reply, Trouble):
            raise CannotConnect(reply)
        return reply

    def _odd(self) -> CannotConnect:
        return CannotConnect(Trouble("other", f"the store {self._target} gave an answer that is none"))


def open_consoles(target: Target, namespace: bytes, clock: Clock, replicas: int = 0) -> tuple[Console, ...]:
    """One for each server that holds counts, not connected yet; so many `replicas` must have a commit.

    Raises CannotConnect where no node of a cluster tells which there are.
    """
    if not target.nodes:
        return (Console(target, namespace, clock, replicas),)
    slots = _slots(target)
    return tuple(
        Console(target.node(*address), namespace, clock, replicas, slots) for address in sorted(slots.addresses)
    )


def _slots(target: Target) -> SlotMap:
    last = Trouble("cluster", f"no slots of the store {target} are held by anybody")
    for address in target.nodes:
        try:
            found = ask_slots(target, address)
        except CannotConnect as no:
            last = no.trouble
            continue
        if found.addresses:
            return found
    raise CannotConnect(last)
