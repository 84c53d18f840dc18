"""Asking a running server, by its admin port, for the story of a request."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from typing import Final

from pydantic import ValidationError

from extauthz.explain.story import SCHEMA, Story
from extauthz.server.explaining import BINARY

_LONGEST: Final = 8 << 20
_MOST_WORDS: Final = 200


class NoStory(Exception):
    """The server told none. The message is for the operator."""


def explain_by_server(data: bytes, address: str, timeout: float) -> Story:
    """The story of a CheckRequest as a running server tells it. Raises NoStory."""
    host, colon, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    if not colon or not port.isdecimal():
        raise NoStory("the address of an admin port is HOST:PORT")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("POST", "/explain", data, {"content-type": BINARY})
        response = connection.getresponse()
        body = response.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoStory(f"no answer: {getattr(error, 'strerror', None) or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status == HTTPStatus.NOT_IMPLEMENTED:
        raise NoStory("it tells no stories: it decides no requests, or is of an older version")
    if response.status != HTTPStatus.OK:
        words = body[:_MOST_WORDS].decode("ascii", "replace").strip()
        raise NoStory(f"it answered {response.status}: {words}")
    try:
        return SCHEMA.validate_json(body)
    except ValidationError as error:
        raise NoStory("its story is of another version than this program") from error
