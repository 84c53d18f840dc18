"""Asking a running server by its admin port."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final

from extauthz.model.time import Seconds, format_duration

_LONGEST: Final = 8 << 20
_PORTS: Final = range(1, 1 << 16)


class NoAnswer(Exception):
    """There is none. The message is for the operator: who was asked, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the admin port said."""

    status: int
    body: bytes


def ask_admin(address: str, path: str, timeout: float, *, body: bytes | None = None, content_type: str = "") -> Answer:
    """The answer to a GET of `path`, or with a `body` to a POST, within `timeout` seconds. Raises NoAnswer."""
    host, port = _host_and_port(address)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, body, {"content-type": content_type})
        response = connection.getresponse()
        return Answer(response.status, response.read(_LONGEST))
    except TimeoutError as error:
        raise NoAnswer(f"{address} did not answer within {format_duration(Seconds(timeout))}") from error
    except (http.client.HTTPException, ConnectionResetError) as error:
        words = "is no admin port: name the one of `--admin`, not of `--listen`"
        raise NoAnswer(f"what answers at {address} {words}") from error
    except OSError as error:
        why = (error.strerror or "no reason given").lower()
        raise NoAnswer(f"{address} cannot be reached: {why}") from error
    finally:
        connection.close()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) not in _PORTS:
        raise NoAnswer(f"`{address}` is no address of an admin port, which is HOST:PORT")
    return host.strip("[]"), int(port)
