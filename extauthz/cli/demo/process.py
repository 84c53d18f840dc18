"""Child processes that always end with us, and waiting for what they bring about."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_STEP: Final = 0.02
_PATIENCE: Final = 30.0
_GRACE: Final = 10.0


class Process:
    """A child process that writes into a file. Only this pid is ever signalled."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def terminate(self) -> None:
        """Ask it to end."""
        if self.running():
            self._child.terminate()

    def stop(self) -> int:
        """End it, by force if it does not end itself. Returns its exit code."""
        self.terminate()
        try:
            return self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait(_GRACE)


def poll_until(done: Callable[[], bool], process: Process | None, what: str, patience: float = _PATIENCE) -> None:
    """Wait until something holds. Raises TimeoutError when it does not, or when the process has ended."""
    pause = threading.Event()
    for _ in range(round(patience / _STEP)):
        if done():
            return
        if process is not None and not process.running():
            last = process.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise TimeoutError(f"{process.name} ended before {what} was there: {' | '.join(last)}")
        pause.wait(_STEP)
    raise TimeoutError(f"{what} did not come within {patience:g} s")
