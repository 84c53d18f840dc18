"""The counts of one request, looked up in the shared store by the policies in a folder."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from extauthz.cli.explain.folder import KeysFrom, asking, world_of
from extauthz.cli.store.reached import address_of, consoles
from extauthz.config import Settings
from extauthz.decide import Admission
from extauthz.explain.story import Story
from extauthz.explain.telling import Draft, begin
from extauthz.model.step import Step
from extauthz.model.time import Clock
from extauthz.replay.choose import quotas_of, shared_store
from extauthz.replay.redis import CannotConnect, SharedStore
from extauthz.replay.rotation import read_pepper
from extauthz.replay.spend import Pepper, Spend
from extauthz.server.codec import read_check
from extauthz.server.explaining import explain_check

# What the store would log is told as the reason why there is no answer.
logging.getLogger("extauthz.replay.redis").addHandler(logging.NullHandler())
_CONNECTING: Final = 5.0
_LOOK: Final = 0.01
_OF_TOKEN: Final = frozenset({Step.BINDING, Step.REUSE})
"""What a rule counts of the token itself; its limits count others' requests, too."""


class CountsUnknown(Exception):
    """The counts cannot be told. The message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a request draws on, and what the store says of it."""

    story: Story
    draft: Draft
    pepper: Pepper

    @property
    def of_token(self) -> tuple[Spend, ...]:
        """The uses, windows and ties of the token under its rule."""
        spends = self.draft.decided.spends if isinstance(self.draft.decided, Admission) else ()
        return tuple(spend for spend in spends if spend.step in _OF_TOKEN)


def look_up(settings: Settings, data: bytes, folder: Path, keys: KeysFrom, clock: Clock) -> Counts:
    """What is left for a CheckRequest. Counts nothing. Raises CountsUnknown and Unreadable."""
    if settings.pepper_file is None:
        raise CountsUnknown("give the secret that turns tokens into keys (`--pepper-file`), the one of the replicas")
    try:
        pepper = read_pepper(settings.pepper_file)
    except ValueError as error:
        raise CountsUnknown(str(error)) from error
    address = address_of(settings)
    world, notes = world_of(data, folder, keys, clock, pepper, quotas_of(settings))
    store = shared_store(settings, address, clock)
    store.start()
    try:
        _wait_for(store, clock)
        now = clock.now()
        with asking(world, keys) as ask:
            story = explain_check(data, world, store, now, notes, ask=ask)
            return Counts(story=story, draft=begin(read_check(data), world, now, ask), pepper=pepper)
    finally:
        store.stop()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a forgetting came to."""

    deleted: int
    """How many counts were there and are deleted for sure."""
    trouble: str
    """Why others may be left; empty when none is."""


def forget_counts(settings: Settings, counts: Counts, clock: Clock) -> Forgotten:
    """Delete the counts of the token, until the store takes no more. Raises CannotConnect before any was to be."""
    deleted = 0
    with consoles(settings, clock) as opened:
        try:
            for found in chain.from_iterable(console.forget(counts.of_token) for console in opened):
                deleted += found
        except CannotConnect as no:
            if not deleted and not no.trouble.sent:
                raise
            return Forgotten(deleted, str(no))
    return Forgotten(deleted, "")


def _wait_for(store: SharedStore, clock: Clock) -> None:
    pause = threading.Event()
    until = clock.monotonic() + _CONNECTING
    while not store.ready() or store.note() is not None:
        if clock.monotonic() >= until:
            if store.ready():
                # Some node is gone; the token's may be there.
                return
            raise CountsUnknown(store.trouble() or "the store is not connected")
        pause.wait(_LOOK)
