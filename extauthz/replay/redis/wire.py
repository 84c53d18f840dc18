"""What crosses the wire: one script, the arguments of a commit, and its reply. Pure.

Durations cross, never instants: the server counts on its own clock, so it may differ from those of the replicas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from math import ceil
from typing import Final, NamedTuple

from extauthz.model.time import Instant, Seconds
from extauthz.replay.redis.fields import FIELDS, MICROSECONDS, Argument, Paid, fields_of, holding, letter
from extauthz.replay.redis.slots import tag_of
from extauthz.replay.room import grouped
from extauthz.replay.spend import Bind, Mark, Spend, Unmarked
from extauthz.replay.store import ATTEMPT_TTL, Committed, Left, Outcome, Refused, Unavailable

FORMAT: Final = b"x1:"
"""Begins every key, after the namespace; a change of what keys or values mean gets another number."""

_RETURNED: Final = "what was counted was given back before this answer came"
_LATE: Final = "the token's time ran out before its use could be counted"
_MARK_BYTES: Final = 16
_ONLY_LOOK: Final = 0
_LOOK_FIELDS: Final = 4
_REPLY_FIELDS: Final = 4
"""Of each reply but that to a look; the last of them is the server's time."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name by which the server finds it once it has it."""

    text: bytes
    sha: bytes


class Request(NamedTuple):
    """One commit, ready to be sent."""

    spends: tuple[Spend, ...]
    asked: Instant
    """When it was asked for: wall time."""
    keys: tuple[bytes, ...]
    arguments: tuple[Argument, ...]
    repeatable: bool
    """Whether sending it twice counts it once: it carries an attempt."""
    asking: bool = False
    """Whether a cluster node is told that another node sent us, while the slot is on its way."""


def command(verb: bytes, script: bytes, requests: Sequence[Request]) -> tuple[Argument, ...]:
    """The arguments of EVALSHA or EVAL for requests that are answered in one call."""
    keys, arguments = list[bytes](), list[Argument]()
    for each in requests:
        keys += each.keys
        arguments += (len(each.keys), len(each.arguments), *each.arguments)
    return (verb, script, len(keys), *keys, *arguments)


def answers(reply: object, number: int) -> list[object]:
    """What a call answered to each of its so many requests; where it failed, that to each; None where it is no answer.

    One request may have failed alone: its answer is an error.
    """
    if isinstance(reply, Exception):
        return [reply] * number
    return list(reply) if isinstance(reply, list) and len(reply) == number else [None] * number


def is_commit(reply: object) -> bool:
    """Whether a reply of the script says that all is counted."""
    return isinstance(reply, list) and reply[:1] == [0]


def told_at(replies: Iterable[object]) -> Instant | None:
    """When the script gave the last of these replies, by the server's clock; None where none of them says."""
    times = [reply[3] for reply in replies if isinstance(reply, list) and len(reply) == _REPLY_FIELDS]
    last = max((time for time in times if isinstance(time, int)), default=None)
    return None if last is None else Instant(last / MICROSECONDS)


def commit_script() -> Script:
    """The script that commits all spends of a request, or none."""
    text = files("extauthz.replay").joinpath("commit.lua").read_bytes()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode("ascii"))


@dataclass(frozen=True, slots=True)
class Codec:
    """Writes commits and reads replies."""

    namespace: bytes = b""
    """Begins every key, so that one server may hold several installations."""
    attempt_ttl: Seconds = ATTEMPT_TTL
    tagged: bool = False
    """Whether keys carry a hash tag, which says where they lie in a cluster."""

    def write(
        self, spends: tuple[Spend, ...], attempt: bytes | None, now: Instant, tag: bytes = b"", paid: Paid = ()
    ) -> Request:
        """The request for a commit that is asked for `now`. With tags, all of it lies where `tag` does.

        `paid` are the counts that lie elsewhere, for each spend, where all of these are rooms.
        """
        keys = [*self.keys(spends)]
        if attempt is not None:
            keys.append(self._key(tag, _mark((*spends, *chain(*paid)), attempt), b"a"))
        arguments: list[Argument] = [ceil(self.attempt_ttl * 1000)]
        if paid:
            for spend, counts in zip(spends, paid, strict=True):
                arguments += holding(spend, counts, now, self.attempt_ttl)
            return Request(spends, now, tuple(keys), tuple(arguments), attempt is not None)
        for group in grouped(spends):
            first = len(arguments) // FIELDS + 1
            for count in group.asked:
                arguments += fields_of(count, now)
            for room in group.rooms:
                arguments += (b"q", room.most, 1, first, first + len(group.asked) - 1)
        return Request(spends, now, tuple(keys), tuple(arguments), attempt is not None)

    def write_step(
        self, spends: tuple[Spend, ...], attempt: bytes, now: Instant, tag: bytes, name: bytes, paid: Paid = ()
    ) -> Request:
        """The request for one step of a commit over several slots. `name` tells this try of the attempt."""
        whole = self.write(spends, attempt, now, tag, paid)
        return whole._replace(arguments=(*whole.arguments, name))

    def write_foresight(self, step: Request) -> Request:
        """The request for a look at what a step would be answered, its attempt included."""
        return step._replace(arguments=(_ONLY_LOOK, *step.arguments[1:]))

    def write_giving_back(self, step: Request) -> Request:
        """The request that gives back what a step counted, or has it count nothing should it arrive later."""
        return step._replace(arguments=(-ceil(self.attempt_ttl * 1000), *step.arguments[1:]))

    def write_look(self, spends: tuple[Spend, ...], now: Instant, paid: Paid = ()) -> Request:
        """The request for a look, which counts nothing."""
        commit = self.write(spends, None, now, paid=paid)
        return commit._replace(arguments=(_ONLY_LOOK, *commit.arguments[1:]), repeatable=True)

    def keys(self, spends: tuple[Spend, ...]) -> tuple[bytes, ...]:
        """Where the spends are counted, in their order."""
        if self.tagged:
            return tuple([self._key(tag_of(each), each.key, letter(each)) for each in spends])
        begin = self.namespace + FORMAT
        return tuple([begin + each.key + letter(each) for each in spends])

    def witness(self, tag: bytes) -> bytes:
        """The key that bears witness for the counts beside it. With tags, it lies where `tag` does."""
        return self._key(tag, b"", b"witness")

    def read(self, reply: object, spends: tuple[Spend, ...]) -> Outcome | None:
        """The outcome that a reply tells; None for a reply that is none of ours."""
        match reply:
            case [0, int(remaining), 0, int()]:
                return Committed(remaining if remaining >= 0 else None)
            case [1, int(at), int(wait), int()] if 0 <= at < len(spends):
                return Refused(spends[at], _wait(wait))
            case [2, int(), 0, int()]:
                return Unavailable(_LATE)
            case [4, 0, 0, int()]:
                return Unavailable(_RETURNED)
            case _:
                return None

    def is_given_back(self, reply: object) -> bool:
        """Whether a reply says that nothing of a step is counted for its try any more."""
        match reply:
            case [5, int(), 0, int()]:
                return True
            case _:
                return False

    def read_look(self, reply: object, spends: tuple[Spend, ...]) -> tuple[Left, ...] | None:
        """What a look saw; None for a reply that is none of ours."""
        match reply:
            case [3, int(), *rest] if len(rest) == _LOOK_FIELDS * len(spends):
                rows = zip(*(rest[at::_LOOK_FIELDS] for at in range(_LOOK_FIELDS)), strict=True)
                return tuple(_left(spend, *row) for spend, row in zip(spends, rows, strict=True))
            case _:
                return None

    def _key(self, tag: bytes, key: bytes, kind: bytes) -> bytes:
        begin = self.namespace + FORMAT
        return begin + b"{" + tag + b"}" + key + kind if self.tagged else begin + key + kind


def _wait(microseconds: int) -> Seconds | None:
    return Seconds(microseconds / MICROSECONDS) if microseconds >= 0 else None


def _left(spend: Spend, no: int, wait: int, before: int, after: int) -> Left:
    whys: dict[int, Refused | Unavailable] = {1: Refused(spend, _wait(wait)), 2: Unavailable(_LATE)}
    uncounted = isinstance(spend, (Bind, Mark, Unmarked))
    return Left(spend=spend, before=None if uncounted else before, after=None if uncounted else after, no=whys.get(no))


def _mark(spends: tuple[Spend, ...], attempt: bytes) -> bytes:
    """Names an attempt and what must be the same in its repetition: what is counted, and whom it is tied to."""
    parts = [attempt, *map(_marked, spends)]
    framed = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hashlib.sha256(framed).digest()[:_MARK_BYTES]


def _marked(spend: Spend) -> bytes:
    # The key of what asks for a mark is that of the mark, and to ask is not to mark.
    more = spend.value if isinstance(spend, Bind) else b"?" if isinstance(spend, Unmarked) else b""
    return letter(spend) + spend.key + more
