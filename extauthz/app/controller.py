"""The composition root of `extauthz controller`: what is built, in which order it starts, and how it stops."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from extauthz import __version__
from extauthz.app.parts import admin_of, api_of, crowd_note, events_of, events_tls_of, noted
from extauthz.app.run import signals
from extauthz.config import ControllerSettings
from extauthz.control.controller import Controller, Post
from extauthz.control.logout import Came
from extauthz.keys.account import ServiceAccount
from extauthz.model.time import Seconds, SystemClock
from extauthz.server.admin import Pages
from extauthz.server.tls import TlsWatch
from extauthz.telemetry.controlling import ControllerMetrics, ControllerReadings
from extauthz.telemetry.log import ProcessLog

_LOOK: Final = 0.1
"""Seconds between two looks at whether we lead."""
_LOOKS: Final = 10
"""One of so many looks is also at files that change."""
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
            max_revocations=settings.max_revocations,
        )
        self._log = ProcessLog(settings.log_level.value)
        clock = SystemClock()
        self.controller = Controller(api_of(account), clock, post)
        self._metrics = ControllerMetrics(self._read, version=__version__)
        pages = Pages(missing=self.missing, notes=self.notes, metrics=self._metrics.render, snapshot=self._page)
        self._receiver = self.controller.receiver()
        self._events = events_of(settings, self._receive)
        tls = events_tls_of(settings)
        self._tls = None if tls is None else TlsWatch(tls, clock)
        self._admin = admin_of(settings.admin, pages)

    def start(self) -> Mapping[str, str]:
        """Start all parts. Returns the URL of each listener by what it is for."""
        self._log.start()
        self.look()
        self.controller.start()
        found = {}
        if self._events is not None:
            self._events.start()
            scheme = "https" if self._settings.events_tls_cert is not None else "http"
            found["events"] = f"{scheme}://{self._events.address}"
        if self._admin is not None:
            self._admin.start()
            found["admin"] = f"http://{self._admin.address}"
        return found

    def missing(self) -> Mapping[str, str]:
        """What keeps us from being ready to lead."""
        return self.controller.missing(self._settings.max_source_age)

    def notes(self) -> Mapping[str, str]:
        """What is wrong and keeps us from nothing."""
        faults = () if self.controller.version is None else self.controller.faults
        wrong = {
            "source": "; ".join(faults),
            "status": self.controller.rivals,
            "tls": "" if self._tls is None else self._tls.problem,
            "revocations": crowd_note(self.controller.crowded),
        }
        return noted(wrong, self.missing())

    def look(self) -> None:
        """Look after what changes without being told: the files of TLS. For one thread."""
        if self._tls is not None:
            self._tls.look()

    def stop(self) -> None:
        """Stop all parts; another takes the lead at once."""
        if self._events is not None:
            self._events.stop()
        self.controller.stop()
        if self._admin is not None:
            self._admin.stop()
        self._log.stop(_FLUSH)

    def _receive(self, content_type: str, body: bytes) -> tuple[HTTPStatus, bytes]:
        reply = self._receiver.receive(content_type, body)
        return reply.status, reply.body

    def _read(self) -> ControllerReadings:
        controller, counts = self.controller, self.controller.counts
        return ControllerReadings(
            leading=controller.leading,
            writes=counts.writes,
            stale=counts.stale,
            failures=counts.failures,
            events=counts.events,
            pruned=counts.pruned,
            logouts=None if self._events is None else {came.value: self._receiver.counts[came] for came in Came},
            crowded=len(self.controller.crowded),
            mistakes=len(controller.problems),
            replicas=controller.replicas,
            source_age=controller.silent_for(),
            certificate=None if self._tls is None else self._tls.certificate,
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
        listening = app.start()
        say(", ".join(["waiting to be elected", *(f"{name} on {url}" for name, url in listening.items())]))
        try:
            led = False
            looks = itertools.cycle(range(_LOOKS))
            while not stop.wait(_LOOK):
                if next(looks) == 0:
                    app.look()
                if app.controller.leading != led:
                    led = not led
                    say("leading" if led else "no longer leading")
        finally:
            app.stop()
    say("stopped")
