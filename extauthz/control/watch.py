"""Follows one kind of object for as long as the program runs: list, then watch ("Efficient detection of changes").

A watch that the server ends in good order is taken up where it ended. After anything else (a lost connection, a version
that is too old, a refusal) everything is listed anew: a version means something to the store that gave it out only,
and the store may have been replaced by its backup.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from extauthz.control.events import Applied, Deleted, Event, Listed, Resource
from extauthz.control.reading import Expired, Listing, NotServed, Refused, Watched, open_watch, status_error
from extauthz.control.unreached import unreached
from extauthz.model.time import Clock, Seconds
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)
_SHORT: Final = 1.0
"""Seconds; a watch that ends sooner without an event was not served, whatever the status said."""
_DRY: Final = 3
"""After so many watches in a row without a line the version is no longer trusted."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for what."""

    connect: Seconds = Seconds(5.0)
    answer: Seconds = Seconds(30.0)
    """For a list, and for a watch to begin."""
    watch: Seconds = Seconds(300.0)
    """After so long, and up to half as long again, the server ends a watch."""
    silence: Seconds = Seconds(90.0)
    """The longest time between two lines of a watch; an API server sends a bookmark about each minute."""
    first_pause: Seconds = Seconds(0.5)
    longest_pause: Seconds = Seconds(30.0)
    """Between two attempts that an API server refuses: it may have too much to do."""
    unreached_pause: Seconds = Seconds(3.0)
    """Between two attempts while nobody answers, which cost nobody anything: so soon is its return noticed."""


@dataclass(frozen=True, slots=True)
class WatchState:
    """How far what was told is in step with the API server."""

    listed: bool = False
    """Whether everything was told once."""
    contact: float | None = None
    """When the API server last confirmed it, by the clock's `monotonic`."""
    trouble: str = ""
    """What keeps us from following, and how to mend it; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What went wrong with an attempt."""

    words: str
    unreached: bool = False
    """Whether nobody answered."""


class KindWatch:
    """Tells every object of a kind to `emit`, from a thread of its own, and what becomes of them.

    While the API server cannot be reached, or refuses, nothing is told: what is known stays in force, and `state` says
    since when. That holds for a kind it does not know, too, unless the kind is `optional`: then there is none of it,
    until the API server knows it.
    """

    def __init__(  # noqa: PLR0913 - by name, and each has its default
        self,
        api: ApiClient,
        resource: Resource,
        emit: Callable[[Event], None],
        clock: Clock,
        pace: Pace | None = None,
        *,
        optional: bool = False,
        relist_after: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`relist_after` is asked after each line: seconds after the last list, at which everything is wanted anew."""
        self._relist_after = relist_after
        self._listed_at = -math.inf
        self._api = api
        self._resource = resource
        self._emit = emit
        self._clock = clock
        self._pace = pace or Pace()
        self._optional = optional
        self._random = random.SystemRandom()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: Watched | None = None
        self._state = WatchState()
        self._version: str | None = None
        self._failures = self._dry = 0
        self._unreached = False
        self._thread = threading.Thread(target=self._run, name=f"watch {resource.plural}", daemon=True)

    @property
    def state(self) -> WatchState:
        """How it stands now."""
        return self._state

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, also while it waits for the API server's next line."""
        self._stop.set()
        with self._lock:
            if self._open is not None:
                self._open.interrupt()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            trouble = self._attempt()
            if trouble is None:
                self._failures = 0
            elif not self._stop.is_set():
                self._version = None
                # Whoever was out of reach for long and now refuses is asked again soon, and then less and less.
                self._failures = self._failures + 1 if trouble.unreached == self._unreached else 1
                self._unreached = trouble.unreached
                self._tell(trouble.words)
                self._stop.wait(self._wait())

    def _attempt(self) -> _Trouble | None:
        """One list or one watch. Returns what went wrong."""
        try:
            if self._version is None:
                self._version = self._list()
            else:
                self._watch(self._version)
        except Expired:
            return _Trouble("the version to watch from is too old for the API server; listing anew")
        except Refused as refusal:
            return _Trouble(str(refusal))
        except (HTTPError, OSError, ApiException) as error:  # the last one stands for TLS that fails
            return _Trouble(unreached(error), unreached=True)
        except Exception as error:  # noqa: BLE001  # neither an odd answer nor a bug may end the watch
            return _Trouble(f"reading {self._resource} failed: {type(error).__name__} at {frames_of(error)}")
        return None

    def _list(self) -> str | None:
        """List everything. Returns the version to watch from, None when there is nothing to watch."""
        listing = Listing(self._api, self._resource, self._pace.connect, self._pace.answer)
        try:
            self._emit(Listed(self._resource, listing))
        except NotServed:
            if not self._optional:
                raise
            self._emit(Listed(self._resource, ()))
            self._state = WatchState(listed=True, contact=self._clock.monotonic())
            self._stop.wait(self._pace.longest_pause * (0.5 + 0.5 * self._random.random()))
            return None
        if listing.version is None:
            raise ValueError("the list was not gone through")
        self._dry = 0
        self._listed_at = self._clock.monotonic()
        self._state = replace(self._state, listed=True, contact=self._listed_at)
        return listing.version

    def _watch(self, version: str) -> None:
        pace, began = self._pace, self._clock.monotonic()
        length = Seconds(pace.watch * (1 + 0.5 * self._random.random()))
        answer = open_watch(self._api, self._resource, version, length, pace.connect, pace.answer)
        self._well()
        watched = Watched(answer, pace.silence)
        with self._lock:
            self._open = watched
        self._dry += 1
        try:
            if not self._stop.is_set():
                self._follow(watched)
        except ReadTimeoutError:
            pass  # Silence. The next watch shows whether the API server is still there.
        else:
            if self._dry and self._clock.monotonic() - began < _SHORT:
                raise Refused("the API server ends each watch at once; look at what stands between")
        finally:
            with self._lock:
                self._open = None
            watched.close()
        if self._dry >= _DRY:
            self._version = None

    def _follow(self, watched: Watched) -> None:
        for event in watched.events():
            told = self._take(event["type"], event["object"])
            if told is not None:
                self._emit(told)
            self._dry = 0
            now = self._clock.monotonic()
            self._state = replace(self._state, contact=now)
            if now >= self._listed_at + self._relist_after():
                self._version = None
                return

    def _take(self, kind: str, found: dict[str, Any]) -> Event | None:
        """The event to tell of one line; remembers how far we are. Raises Expired, Refused, ValueError."""
        match kind:
            case "ERROR":
                raise status_error(found, self._resource)
            case "ADDED" | "MODIFIED":
                told: Event | None = Applied(self._resource, found)
            case "DELETED":
                told = Deleted(self._resource, found)
            case "BOOKMARK":
                told = None
            case _:
                raise ValueError("a line of the watch is of an unknown type")
        self._version = found["metadata"]["resourceVersion"]
        return told

    def _well(self) -> None:
        if self._state.trouble:
            _LOG.info("%s: followed again", self._resource)
        self._state = replace(self._state, contact=self._clock.monotonic(), trouble="")

    def _tell(self, trouble: str) -> None:
        if trouble != self._state.trouble:
            _LOG.warning("%s: %s", self._resource, trouble)
        self._state = replace(self._state, trouble=trouble)

    def _wait(self) -> float:
        """Seconds until the next attempt: doubled each time, and jittered, so that replicas do not come together."""
        most = self._pace.unreached_pause if self._unreached else self._pace.longest_pause
        longest = min(self._pace.first_pause * 2.0 ** min(self._failures - 1, 16), most)
        return longest * (0.5 + 0.5 * self._random.random())
