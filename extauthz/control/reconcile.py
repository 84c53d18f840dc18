"""Keeps what is published in step with the folder: one complete snapshot after the other, and only when it changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from extauthz.config import INSTALL_NAMESPACE
from extauthz.control.changes import in_force
from extauthz.control.files import Listing, Loader, watch_folder
from extauthz.control.located import LocatedProblem
from extauthz.model.time import Clock
from extauthz.policy.snapshot import Snapshot
from extauthz.telemetry.log import frames_of

_LOG: Final = logging.getLogger(__name__)


class FolderReconciler:
    """Reads a folder in a thread of its own and publishes what it holds.

    INVARIANT: a folder with a file whose hosts cannot be told is not published. What was published before serves on;
    before the first good reading nothing does, and requests are denied as `not_ready`.
    """

    def __init__(
        self,
        folder: Path,
        publish: Callable[[Snapshot], None],
        install_namespace: str = INSTALL_NAMESPACE,
        clock: Clock | None = None,
    ) -> None:
        """With a clock, revocations that are over are left out, and noted in the log, as are fields left empty."""
        self._folder = folder
        self._loader = Loader(install_namespace)
        self._clock = clock
        self._publish = publish
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policies", daemon=True)
        self._published: Snapshot | None = None
        self._problems: tuple[LocatedProblem, ...] = ()
        self._faults: tuple[LocatedProblem, ...] = ()
        self._noted: tuple[LocatedProblem, ...] = ()

    @property
    def problems(self) -> tuple[LocatedProblem, ...]:
        """Every mistake that was found at the last look."""
        return self._problems

    @property
    def faults(self) -> tuple[LocatedProblem, ...]:
        """Those that keep the folder as it is now from being published."""
        return self._faults

    @property
    def crowded(self) -> frozenset[str]:
        """Whoever writes the folder bounds what is in it."""
        return frozenset()

    def silent_for(self) -> float:
        """A folder is at hand: it is never out of reach for longer than a look takes."""
        return 0.0

    def start(self) -> None:
        """Begin to read and watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5.0)

    def take(self, listing: Listing) -> None:
        """Publish what a listing holds, when that can be and is something new."""
        now = None if self._clock is None else self._clock.now()
        snapshot, problems = self._loader.load(listing, now)
        if problems != self._problems:
            for problem in problems:
                _LOG.warning("policy mistake: %s", problem)
        self._problems, self._faults = problems, listing.blind
        if now is not None:
            loader = self._loader
            notes = {*loader.expired(listing, now), *loader.unsaid(listing), *loader.literal(listing)}
            self._note(tuple(sorted(notes)))
        before = self._published
        if listing.blind or (before is not None and snapshot.version == before.version):
            return
        self._publish(snapshot)
        self._published = snapshot
        _LOG.info("%s", in_force(before, snapshot))

    def _note(self, notes: tuple[LocatedProblem, ...]) -> None:
        if notes != self._noted:
            for each in notes:
                _LOG.info("policy note: %s", each)
        self._noted = notes

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for listing in watch_folder(self._folder, self._stop):
                    self.take(listing)
            except Exception as error:  # noqa: BLE001  # a bug in one reading must not end the watch
                _LOG.error("reading the policy folder failed: %s at %s", type(error).__name__, frames_of(error))
                words = f"cannot be read: {type(error).__name__} within this program, see its log"
                self._faults = (LocatedProblem(str(self._folder), 1, "", "", words),)
                self._stop.wait(1.0)
