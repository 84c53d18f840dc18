"""The request whose counts are asked for: a URL on the command line, the token on standard input."""

from __future__ import annotations

import sys
from typing import Final
from urllib.parse import urlencode

from extauthz.cli.explain.request import NotUnderstood, read_request
from extauthz.model.token import REFRESH_TOKEN

_LONGEST: Final = 16384
"""Bytes of a token; a server takes no longer one."""


class NotAsked(Exception):
    """The request is not told. The message is for the operator, and quotes nothing of the token."""


def read_token() -> str:
    """The token on standard input, without `Bearer`. Raises NotAsked."""
    data = sys.stdin.buffer.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise NotAsked(f"standard input holds more than a token: over {_LONGEST} bytes")
    words = data.decode("latin-1").split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) != 1:
        raise NotAsked("standard input must hold one token, and nothing else")
    return words[0]


def asked(  # noqa: PLR0913 - one parameter for each option
    token: str,
    *,
    url: str,
    method: str,
    headers: tuple[str, ...],
    token_header: str | None,
    token_form: bool,
    source_address: str,
    source_principal: str,
    policy: str,
) -> bytes:
    """The serialised CheckRequest of a request to `url` with this token. Raises NotAsked."""
    credential = f"{token_header}: {token}" if token_header else f"authorization: Bearer {token}"
    body = ""
    if token_form:
        method, credential = "POST", "content-type: application/x-www-form-urlencoded"
        body = urlencode({"grant_type": REFRESH_TOKEN, REFRESH_TOKEN: token})
    text = "\r\n".join([f"{method} {url} HTTP/1.1", *headers, credential, "", body])
    try:
        return read_request(
            text.encode("latin-1"),
            "http",
            source_address=source_address,
            source_principal=source_principal,
            policy=policy,
        )
    except (NotUnderstood, UnicodeEncodeError) as error:
        words = str(error) if isinstance(error, NotUnderstood) else "it holds characters outside ISO 8859-1"
        raise NotAsked(f"the request cannot be used: {words}") from None
