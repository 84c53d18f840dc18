"""One careful GET: https, no redirect, no proxy, no compression, bounded in size and in time."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import Final

from urllib3 import HTTPResponse

from extauthz import __version__
from extauthz.keys.account import NoAccount, ServiceAccount
from extauthz.keys.address import Address, AddressRefused, parse_address, shown
from extauthz.keys.dialling import TROUBLE, FetchFailed, Watchdog, body_of, connection_to, refuse_redirect, why
from extauthz.keys.jwk import MAX_DOCUMENT
from extauthz.model.time import Seconds, format_duration

__all__ = ["DEADLINE", "FetchFailed", "Fetched", "Fetcher"]

DEADLINE: Final = Seconds(3.0)
"""For one exchange, from connecting to the last octet. Only looking up the name may add to it."""

_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})", re.ASCII | re.IGNORECASE)
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"extauthz/{__version__}",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server answered."""

    body: bytes
    max_age: Seconds | None
    """For how long the server calls it fresh (RFC 9111, section 5.2.2.1); None when it does not say."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches documents. Safe to share between threads."""

    allow_loopback: bool = False
    """Whether a server on this machine may be asked, over plain http too. For development only."""
    deadline: Seconds = DEADLINE
    account: ServiceAccount | None = None
    """Our own ServiceAccount, if we have one."""
    present: bool = False
    """Whether to present it."""

    def presenting(self, present: bool) -> Fetcher:  # noqa: FBT001 - a setting of the source
        """The same fetcher, presenting our ServiceAccount or not."""
        return replace(self, present=present)

    def get(self, url: str, ca_pem: str | None = None) -> Fetched:
        """Fetch `url`, trusting the system's authorities or those in `ca_pem` instead. Raises FetchFailed."""
        try:
            address = parse_address(url, allow_loopback=self.allow_loopback)
        except AddressRefused as error:
            raise FetchFailed(f"`{shown(url)}` is not fetched: {error}") from error
        with Watchdog(self.deadline) as watchdog:
            try:
                return self._exchange(address, ca_pem, watchdog)
            except FetchFailed as error:
                raise FetchFailed(f"`{shown(url)}` {error}", error.status) from error
            except NoAccount as error:
                raise FetchFailed(f"`{shown(url)}` is not fetched: {error}") from error
            except TROUBLE as error:
                reason = f"it took longer than {format_duration(self.deadline)}" if watchdog.expired else why(error)
                raise FetchFailed(f"`{shown(url)}` cannot be fetched: {reason}") from error

    def _exchange(self, address: Address, ca_pem: str | None, watchdog: Watchdog) -> Fetched:
        headers, ca_pem = self._introduction(address, ca_pem)
        connection = connection_to(address, ca_pem, watchdog, self.deadline, allow_loopback=self.allow_loopback)
        with contextlib.closing(connection):
            connection.request("GET", address.target, headers=headers, preload_content=False, decode_content=False)
            with contextlib.closing(connection.getresponse()) as response:
                fetched = Fetched(_body(response), _max_age(response.headers.get("Cache-Control", "")))
        # A connection that was cut off can look like an answer without length that has ended.
        watchdog.check()
        return fetched

    def _introduction(self, address: Address, ca_pem: str | None) -> tuple[dict[str, str], str | None]:
        """The headers to send, and the authorities to trust: the cluster's, where we present our account."""
        if not self.present:
            return _HEADERS, ca_pem
        if self.account is None or not address.secure:
            raise NoAccount("a service account is presented to the cluster's API server over https only")
        headers = {**_HEADERS, "Authorization": self.account.authorization(address.host)}
        return headers, self.account.ca_pem()


def _body(response: HTTPResponse) -> bytes:
    refuse_redirect(response)
    if response.status != 200:
        raise FetchFailed(f"answers with HTTP status {response.status}", response.status)
    return body_of(response, MAX_DOCUMENT)


def _max_age(cache_control: str) -> Seconds | None:
    found = _MAX_AGE.search(cache_control)
    return Seconds(float(found[1])) if found is not None else None
