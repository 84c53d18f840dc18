"""Gives way to whoever else writes a status: the controller of another release that looks after the same namespace.

Two that disagree would write in turns for ever, each with Events, as fast as the watch tells them of each other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from extauthz.control.objects import Written
from extauthz.model.time import Clock
from extauthz.policy.problem import ObjectRef

_LOG: Final = logging.getLogger(__name__)
_FIRST: Final = 2.0
"""Seconds; doubled with each time that ours was written over again."""
_LONGEST: Final = 300.0
_FORGET: Final = 600.0
"""Seconds after which one that writes over ours is a new one."""
_SURE: Final = 3
"""So often in a row is more than somebody's hand."""


@dataclass(frozen=True, slots=True)
class _Last:
    said: int
    at: float
    times: int
    """How often in a row it was written over."""


class Rivals:
    """What was written last about each object, and how often somebody else wrote over it. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[ObjectRef, _Last] = {}
        self._due = math.inf

    @property
    def note(self) -> str:
        """What is wrong, and how to mend it; empty when nothing is."""
        since = self._clock.monotonic() - _FORGET
        found = sorted(ref for ref, last in self._last.copy().items() if last.times >= _SURE and last.at > since)
        if not found:
            return ""
        mend = "let one controller alone look after each namespace (is there another release?)"
        return f"somebody else writes over the status of {len(found)} objects, the first is {found[0]}; {mend}"

    def due(self) -> bool:
        """Whether something that was held back may be written now. Asked once, it is for the caller to do."""
        if self._clock.monotonic() < self._due:
            return False
        self._due = math.inf
        return True

    def keep(self, refs: Collection[ObjectRef]) -> None:
        """Forget all other objects."""
        self._last = {ref: last for ref, last in self._last.items() if ref in refs}

    def hold(self, ref: ObjectRef, written: Written, status: Mapping[str, Any]) -> bool:
        """Whether to wait with writing this status over the one that was `written`."""
        last = self._over(ref, written, status)
        if last is None or last.times == 0:
            return False
        due = last.at + min(_FIRST * 2.0 ** min(last.times - 1, 16), _LONGEST)
        if self._clock.monotonic() >= due:
            return False
        self._due = min(self._due, due)
        return True

    def wrote(self, ref: ObjectRef, written: Written, status: Mapping[str, Any]) -> None:
        """This status was put in the place of the one that was `written`."""
        now = self._clock.monotonic()
        last = self._over(ref, written, status)
        times = 0 if last is None or now - last.at > _FORGET else last.times + 1
        if times == _SURE and not self.note:
            _LOG.warning("somebody else writes over the status of %s; is there a controller of another release?", ref)
        self._last[ref] = _Last(_said(written.uid, status), now, times)

    def _over(self, ref: ObjectRef, written: Written, status: Mapping[str, Any]) -> _Last | None:
        """What we wrote last, if that was the same and is no longer there."""
        last, said = self._last.get(ref), _said(written.uid, status)
        if last is None or last.said != said or _said(written.uid, written.status) == said:
            return None
        return last


def _said(uid: str, status: Mapping[str, Any]) -> int:
    """Tells what two statuses say apart; when a condition turned, and when keys were fetched, is left out."""
    told = ("type", "status", "reason", "message", "observedGeneration")
    conditions = status.get("conditions")
    found = [each for each in conditions if isinstance(each, dict)] if isinstance(conditions, list) else []
    return hash((uid, str(status.get("active")), *sorted(str([each.get(name) for name in told]) for each in found)))
