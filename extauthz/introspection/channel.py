"""One connection to an endpoint, kept open between questions: https, no redirect, no proxy, bounded in size and time.

One thread uses it. What it returns is an answer whatever happens: a failure is an `Unanswered` with the reason.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Final

from urllib3 import HTTPResponse

from extauthz import __version__
from extauthz.introspection.endpoint import Endpoint, NoSecret, introduce
from extauthz.introspection.response import MAX_ANSWER, read_answer
from extauthz.keys.address import Address, AddressRefused, parse_address, shown
from extauthz.keys.dialling import (
    TROUBLE,
    Connection,
    FetchFailed,
    Watchdog,
    body_of,
    connection_to,
    refuse_redirect,
    why,
)
from extauthz.model.question import Answer, Unanswered
from extauthz.model.time import Clock, format_duration
from extauthz.model.token import ACCESS_TOKEN

IDLE: Final = 30.0
"""Seconds of silence after which a connection is not used again: servers and what lies between drop it unasked."""
OLDEST: Final = 300.0
"""Seconds after which a connection is made anew, so that a name that leads elsewhere is followed."""

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": f"extauthz/{__version__}",
}


class Channel:
    """Asks one endpoint, one question after the other. Not safe to share."""

    def __init__(self, endpoint: Endpoint, clock: Clock, *, allow_loopback: bool = False) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._allow_loopback = allow_loopback
        self._connection: Connection | None = None
        self._made = self._used = 0.0

    def ask(self, token: str, hint: str = ACCESS_TOKEN) -> Answer:
        """What the endpoint says of a token, which it first looks for among those of the kind that `hint` names.

        Blocks for the endpoint's `timeout` at most; never raises.
        """
        where = shown(self._endpoint.url)
        try:
            address = parse_address(self._endpoint.url, allow_loopback=self._allow_loopback)
            headers, body = introduce(self._endpoint.client, {"token": token, "token_type_hint": hint})
        except (AddressRefused, NoSecret) as error:
            return Unanswered(f"`{where}` is not asked: {error}")
        with Watchdog(self._endpoint.timeout) as watchdog:
            try:
                answer = self._exchange(address, headers, body, watchdog)
            except FetchFailed as error:
                return self._failed(f"`{where}` {error}")
            except TROUBLE as error:
                slow = f"it took longer than {format_duration(self._endpoint.timeout)}"
                return self._failed(f"`{where}` cannot be asked: {slow if watchdog.expired else why(error)}")
        if isinstance(answer, Unanswered):
            return replace(answer, detail=f"`{where}` {answer.detail}")
        return answer

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, detail: str) -> Unanswered:
        self.close()
        return Unanswered(detail)

    def _exchange(self, address: Address, headers: dict[str, str], body: bytes, watchdog: Watchdog) -> Answer:
        kept = self._kept()
        if kept is not None:
            try:
                return self._send(kept, address, headers, body, watchdog)
            except TROUBLE:
                # The server may have closed it meanwhile. To ask twice changes nothing there.
                self.close()
                watchdog.check()
        connection = connection_to(
            address, self._endpoint.ca_pem, watchdog, self._endpoint.timeout, allow_loopback=self._allow_loopback
        )
        self._connection, self._made = connection, self._clock.monotonic()
        return self._send(connection, address, headers, body, watchdog)

    def _kept(self) -> Connection | None:
        """The open connection, when it is still to be used."""
        now = self._clock.monotonic()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            # INVARIANT: what a server sent unasked, or once too often, is not taken for the next question's answer.
            if now - self._used < IDLE and now - self._made < OLDEST and connection.is_connected:
                return connection
            self.close()
        return None

    def _send(
        self, connection: Connection, address: Address, headers: dict[str, str], body: bytes, watchdog: Watchdog
    ) -> Answer:
        if connection.sock is not None:
            watchdog.watch(connection.sock)
        connection.request(
            "POST",
            address.target,
            body=body,
            headers={**_HEADERS, **headers},
            preload_content=False,
            decode_content=False,
        )
        with contextlib.closing(connection.getresponse()) as response:
            answer = _read(response)
        # A connection that was cut off can look like an answer without length that has ended.
        watchdog.check()
        self._used = self._clock.monotonic()
        return answer


def _read(response: HTTPResponse) -> Answer:
    refuse_redirect(response)
    return read_answer(response.status, response.headers, body_of(response, MAX_ANSWER))
