"""Writing to the Kubernetes API: one call, one answer, no second try ("API concepts").

A write that may have been lost is not repeated here: whoever asked knows whether it still wants it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from extauthz.control.unreached import unreached
from extauthz.model.time import Instant, Seconds

WITHIN: Final = Seconds(4.0)
"""The longest that a call may take. A leader that stops in time counts on it."""

_MERGE: Final = "application/merge-patch+json"
_SHOWN: Final = 200


class Unreached(Exception):
    """The API server gave no answer; whether it did what was asked is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: Mapping[str, Any]
    date: Instant | None
    """The server's own clock, to the second."""

    @property
    def good(self) -> bool:
        """Whether it did what was asked."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def __str__(self) -> str:
        said = str(self.body.get("message") or self.body.get("reason") or "no reason given")
        return f"the API server answered {self.status}: {said[:_SHOWN]}"


def call(
    api: ApiClient, method: str, path: str, body: Mapping[str, Any] | None = None, *, within: Seconds = WITHIN
) -> Answer:
    """Ask for one thing; a PATCH is a merge patch (RFC 7396). Raises Unreached."""
    kind = _MERGE if method == "PATCH" else "application/json"
    method, url, headers, sent, *_ = api.param_serialize(
        method,
        path,
        header_params={"Accept": "application/json", "Content-Type": kind},
        body=body,
        auth_settings=["BearerToken"],
    )
    try:
        answer: Any = api.call_api(method, url, headers, sent, _request_timeout=within).response
        try:
            return Answer(answer.status, _object(answer.data), _date(answer.headers.get("date", "")))
        finally:
            answer.release_conn()
    except (HTTPError, OSError, ApiException) as error:
        raise Unreached(unreached(error)) from error


def _object(data: bytes) -> Mapping[str, Any]:
    with suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


def _date(text: str) -> Instant | None:
    try:
        return Instant(parsedate_to_datetime(text).timestamp())
    except ValueError:
        return None
