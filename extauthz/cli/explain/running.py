"""Asking a running server, by its admin port, for the story of a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic import ValidationError

from extauthz.cli.asking import NoAnswer, ask_admin
from extauthz.explain.story import SCHEMA, Story
from extauthz.server.explaining import BINARY

_MOST_WORDS: Final = 200


class NoStory(Exception):
    """The server told none. The message is for the operator."""


def explain_by_server(data: bytes, address: str, timeout: float) -> Story:
    """The story of a CheckRequest as a running server tells it. Raises NoStory."""
    try:
        answer = ask_admin(address, "/explain", timeout, body=data, content_type=BINARY)
    except NoAnswer as no:
        raise NoStory(str(no)) from no
    if answer.status == HTTPStatus.NOT_IMPLEMENTED:
        raise NoStory(f"{address} tells no stories: it decides no requests, or is of an older version")
    if answer.status != HTTPStatus.OK:
        words = answer.body[:_MOST_WORDS].decode("ascii", "replace").strip()
        raise NoStory(f"{address} answered {answer.status}: {words}")
    try:
        return SCHEMA.validate_json(answer.body)
    except ValidationError as error:
        raise NoStory(f"the story of {address} is of another version than this program") from error
