"""Reading from the Kubernetes API: lists, the lines of watches, and refusals in words ("API concepts").

It goes through the official client's transport and credentials, and reads the lines itself: the client's own `Watch`
resumes by rules of its own, which repeat old objects and hide how a watch came to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import urllib3
from kubernetes.client import ApiClient

from extauthz.control.events import RawObject, Resource
from extauthz.model.time import Seconds

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of one event; the API server's own bound for an object is far below."""

CHUNK: Final = 500
"""Objects that are asked for at once in a list; what kubectl asks for."""

_SHOWN: Final = 200


class Refused(Exception):
    """The API server answered, and not with what was asked for. The message says what to mend."""


class NotServed(Refused):
    """The API server knows no such kind."""


class Expired(Exception):
    """The version is too old for the API server, or comes from another store: list anew (410 Gone)."""


class Listing:
    """All objects of a kind at one moment, as the store has them: read in chunks, while somebody goes through them.

    All chunks are of one moment ("Retrieving large results sets in chunks"), so that thousands of objects need little
    memory on the way.
    """

    def __init__(self, api: ApiClient, resource: Resource, connect: Seconds, silence: Seconds) -> None:
        self._api = api
        self._resource = resource
        self._connect = connect
        self._silence = silence
        self.version: str | None = None
        """The moment, for a watch to begin at; None before the last object. It means something to its store only."""

    def __iter__(self) -> Iterator[RawObject]:
        """Once. Raises Refused, Expired, urllib3's HTTPError, ValueError on the way."""
        chunk: list[tuple[str, str]] = []
        while True:
            items, about, metadata = self._chunk(chunk)
            yield from ({**about, **_lean(item)} for item in items)
            if not metadata.get("continue"):
                self.version = metadata["resourceVersion"]
                return
            chunk = [("continue", metadata["continue"])]

    def _chunk(self, chunk: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
        query = [("limit", str(CHUNK)), *chunk]
        answer = _get(self._api, self._resource, query, self._connect, self._silence)
        try:
            listing = json.loads(answer.data)
        finally:
            answer.close()
        items, metadata = listing.get("items"), listing.get("metadata")
        if not isinstance(items, list) or not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
            raise ValueError("the answer is no list of objects")
        # The items of a list of a built-in kind do not say what they are; the list does.
        kind = str(listing.get("kind", "")).removesuffix("List")
        return items, {"apiVersion": listing.get("apiVersion"), "kind": kind}, metadata


class Watched:
    """An open watch: its lines, until the server ends it or somebody closes it."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, silence: Seconds) -> None:
        self._answer = answer
        connection: Any = getattr(answer, "connection", None)
        if connection is not None and connection.sock is not None:
            # The headers had to come sooner than events have to.
            connection.sock.settimeout(silence)

    def events(self) -> Iterator[dict[str, Any]]:
        """Events as they come, `type` and `object`; ends when the server ends the watch in good order.

        Raises urllib3's HTTPError when the connection is lost or silent, ValueError for what is no event.
        """
        rest = bytearray()
        for chunk in self._answer.stream(decode_content=False):
            rest += chunk
            *lines, last = rest.split(b"\n")
            rest = bytearray(last)
            if len(rest) > MAX_LINE:
                raise ValueError(f"an event of more than {MAX_LINE} bytes")
            for line in lines:
                event = json.loads(line)
                if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
                    raise ValueError("a line of the watch is no event")
                yield event

    def interrupt(self) -> None:
        """Make the thread that reads come to an end; for other threads."""
        with suppress(OSError, ValueError, RuntimeError):
            self._answer.shutdown()

    def close(self) -> None:
        """Give up the connection."""
        self._answer.close()
        self._answer.release_conn()


def _lean(item: dict[str, Any]) -> dict[str, Any]:
    """The object without the notes of who wrote what, which are often longer than itself."""
    metadata = item.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return item


def open_watch(
    api: ApiClient, resource: Resource, version: str, length: Seconds, connect: Seconds, answer: Seconds
) -> urllib3.BaseHTTPResponse:
    """The answer to a watch from a version on, which the server ends after `length`. Raises like a Listing."""
    query = [
        ("watch", "true"),
        ("resourceVersion", version),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(round(length))),
    ]
    return _get(api, resource, query, connect, answer)


def status_error(status: object, resource: Resource) -> Refused | Expired:
    """What a `Status` object, sent as an event or as an answer, comes to."""
    fields = status if isinstance(status, dict) else {}
    code, reason = fields.get("code"), str(fields.get("reason", ""))
    if code == HTTPStatus.GONE or reason in {"Expired", "Gone"}:
        return Expired()
    words = _words(code, fields, resource)
    return NotServed(words) if code == HTTPStatus.NOT_FOUND else Refused(words)


def _get(
    api: ApiClient, resource: Resource, query: list[tuple[str, str]], connect: Seconds, silence: Seconds
) -> urllib3.BaseHTTPResponse:
    selector = [] if resource.name is None else [("fieldSelector", f"metadata.name={resource.name}")]
    method, url, headers, *_ = api.param_serialize(
        "GET",
        resource.path,
        query_params=[*query, *selector],
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    answer: urllib3.BaseHTTPResponse = api.call_api(method, url, headers, _request_timeout=(connect, silence)).response
    if answer.status == HTTPStatus.OK:
        return answer
    try:
        raise status_error(_status(answer), resource)
    finally:
        answer.close()


def _status(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """The `Status` of a refusal. A proxy in between may answer with something else."""
    with suppress(ValueError):
        found = json.loads(answer.data)
        if isinstance(found, dict):
            return {**found, "code": answer.status}
    return {"code": answer.status}


def _words(code: object, fields: dict[str, Any], resource: Resource) -> str:
    match code:
        case HTTPStatus.UNAUTHORIZED:
            return "the API server does not take our token (401); mount a ServiceAccount's token that it knows"
        case HTTPStatus.FORBIDDEN:
            return f"we may not read {resource} (403); grant `list` and `watch` to our ServiceAccount"
        case HTTPStatus.NOT_FOUND:
            return f"the API server knows no {resource} (404); apply what `extauthz crds` prints"
        case _:
            said = str(fields.get("message") or fields.get("reason") or "no reason given")
            return f"the API server answered {code} for {resource}: {said[:_SHOWN]}"
