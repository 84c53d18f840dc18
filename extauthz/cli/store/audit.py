"""The line that a forgetting leaves in the decision log."""

from __future__ import annotations

import os
from typing import Final

from extauthz.cli.store.counts import Counts, CountsUnknown, Forgotten
from extauthz.config import Settings
from extauthz.decide import Admission
from extauthz.model.time import Instant, Seconds
from extauthz.telemetry.audit import Entries, redaction
from extauthz.telemetry.observation import Observation, SpendOutcome
from extauthz.telemetry.output import Stream, output_of

_STDERR: Final = Stream(2)


class Trail:
    """Where the line goes. Opened before anything is forgotten: what leaves no line is not done."""

    def __init__(self, settings: Settings) -> None:
        """Open the decision log; with `off`, standard error. Raises CountsUnknown."""
        self._settings = settings
        self._output = output_of(settings.decision_log) or _STDERR
        try:
            self._output.check()
            self._output.channel()
        except OSError as error:
            raise CountsUnknown(
                f"the decision log `{settings.decision_log}` cannot be written: {error.strerror}"
            ) from None

    def write(self, counts: Counts, done: Forgotten, why: str, at: Instant) -> None:
        """Write it; to standard error where the log takes it no more."""
        line = forgotten(counts, done, why, at, self._settings)
        try:
            write_whole(self._output.channel().number, line)
        except OSError:
            write_whole(_STDERR.number, line)
        self._output.close()


def write_whole(descriptor: int, line: bytes) -> None:
    """Write all of it: a disk that fills up takes the beginning of a line. Raises OSError for what is not taken."""
    while line:
        line = line[os.write(descriptor, line) :]


def forgotten(counts: Counts, done: Forgotten, why: str, at: Instant, settings: Settings) -> bytes:
    """The line: that of an admission, with `forget` for its decision."""
    decided, draft = counts.draft.decided, counts.draft
    assert isinstance(decided, Admission)  # noqa: S101 (else there is nothing to forget)
    labels = ", ".join(spend.label for spend in counts.of_token)
    detail = f"{done.deleted} of {len(counts.of_token)} counts forgotten ({labels})"
    if done.trouble:
        # A deletion whose answer was lost may be done.
        detail += f", perhaps one more: {done.trouble}"
    version = "" if draft.snapshot is None else draft.snapshot.version
    seen = Observation.of(
        decided.allow, draft.view, spends=SpendOutcome.NONE, seconds=Seconds(0.0), at=at, snapshot_version=version
    )
    redacted = redaction((field.value for field in settings.decision_log_redact), counts.pepper.pseudonym)
    return Entries(redacted).forgotten(seen, f"{detail}; {why}" if why else detail)
