"""Running until somebody says stop."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Final

from extauthz.app.root import App
from extauthz.config import Settings

_LOG: Final = logging.getLogger(__name__)
_LOOK: Final = 0.05
"""Seconds between two looks at whether we are ready, while starting and after."""
_LOOKS: Final = 20
"""One of so many looks is also at files that change."""


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. Says one line when it listens and one when it is ready. Raises StartError."""
    stop, hurry = threading.Event(), threading.Event()
    with signals(stop, hurry):
        app = App(settings)
        bound = app.start()
        admin = app.admin_address()
        say(f"listening on {', '.join(bound)}" + (f", admin on http://{admin}" if admin is not None else ""))
        try:
            _watch(app, stop, say)
        finally:
            app.stop(hurry)
    say("stopped")


def _watch(app: App, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Keep health in step with readiness; tell of the first time."""
    told = ready = False
    looks = itertools.cycle(range(_LOOKS))
    while not stop.wait(_LOOK):
        if next(looks) == 0:
            app.look()
        now_ready = not app.missing()
        if now_ready != ready:
            ready = now_ready
            app.say_ready(ready=ready)
        if ready and not told:
            told = True
            say(f"ready: {app.summary()}")


@contextlib.contextmanager
def signals(stop: threading.Event, hurry: threading.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT drains, a second one hurries. So does SIGHUP where there is a terminal to hang up;
    elsewhere it is meant for a server that has to be told what changed."""

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    def on_hangup(_number: int, _frame: object) -> None:
        _LOG.warning(
            "SIGHUP changes nothing: files are looked at as they change, and a log that was moved is opened anew"
        )

    handlers = {signal.SIGTERM: on_signal, signal.SIGINT: on_signal}
    # `nohup` has it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = on_signal if any(map(os.isatty, range(3))) else on_hangup
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
