"""The composition root of `extauthz controller`: what is built, in which order it starts, and how it stops."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from extauthz import __version__
from extauthz.app.parts import admin_of, api_of
from extauthz.app.run import signals
from extauthz.config import ControllerSettings
from extauthz.control.controller import Controller, Post
from extauthz.keys.account import ServiceAccount
from extauthz.model.time import Seconds, SystemClock
from extauthz.server.admin import Pages
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.log import ProcessLog

_LOOK: Final = 0.1
"""Seconds between two looks at whether we lead."""
_FLUSH: Final = Seconds(2.0)


class ControllerApp:
    """Everything that runs, wired together."""

    def __init__(self, settings: ControllerSettings) -> None:
        """Build all parts; nothing runs yet. Raises StartError."""
        self._settings = settings
        account = ServiceAccount.mounted(os.environ, settings.service_account)
        post = Post(
            # Another for each run: after a restart, what the last run held must not be taken for ours.
            identity=f"{os.environ.get('POD_NAME') or 'extauthz'}-{secrets.token_hex(4)}",
            namespace=settings.namespace,
            install_namespace=settings.install_namespace,
            lease_name=settings.lease_name,
            lease_namespace=settings.lease_namespace,
            account=account,
            allow_http_loopback=settings.allow_http_loopback,
        )
        self._log = ProcessLog(settings.log_level.value)
        self.controller = Controller(api_of(account), SystemClock(), post)
        self._metrics = ControllerMetrics(self._read, version=__version__)
        pages = Pages(missing=self.missing, metrics=self._metrics.render, snapshot=self._page)
        self._admin = admin_of(settings.admin, pages)

    def start(self) -> str:
        """Start all parts. Returns where the admin port listens, empty for nowhere."""
        self._log.start()
        self.controller.start()
        if self._admin is None:
            return ""
        self._admin.start()
        return str(self._admin.address)

    def missing(self) -> Mapping[str, str]:
        """What keeps us from being ready to lead."""
        return self.controller.missing(self._settings.max_source_age)

    def stop(self) -> None:
        """Stop all parts; another takes the lead at once."""
        self.controller.stop()
        if self._admin is not None:
            self._admin.stop()
        self._log.stop(_FLUSH)

    def _read(self) -> ControllerReadings:
        controller, counts = self.controller, self.controller.counts
        return ControllerReadings(
            leading=controller.leading,
            writes=counts.writes,
            stale=counts.stale,
            failures=counts.failures,
            events=counts.events,
            pruned=counts.pruned,
            mistakes=len(controller.problems),
            replicas=controller.replicas,
            source_age=controller.silent_for(),
        )

    def _page(self) -> Mapping[str, Any]:
        return {
            "leading": self.controller.leading,
            "version": self.controller.version,
            "mistakes": [problem.as_dict() for problem in self.controller.problems],
        }


def control(settings: ControllerSettings, say: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. Says a line when it starts, and when it leads or no longer does."""
    stop = threading.Event()
    with signals(stop, threading.Event()):
        app = ControllerApp(settings)
        admin = app.start()
        say("waiting to be elected" + (f", admin on http://{admin}" if admin else ""))
        try:
            led = False
            while not stop.wait(_LOOK):
                if app.controller.leading != led:
                    led = not led
                    say("leading" if led else "no longer leading")
        finally:
            app.stop()
    say("stopped")
