"""Requests written byte by byte, as an attacker writes them, and their answers, read as a client reads them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer, taken apart."""

    status: int
    """0 when there is none."""
    headers: Mapping[str, str]
    body: str

    @cached_property
    def upstream(self) -> Mapping[str, Any]:
        """What the upstream saw of the request."""
        seen = json.loads(self.body)
        assert isinstance(seen, dict)
        return seen

    @cached_property
    def upstream_headers(self) -> Mapping[str, list[str]]:
        """The headers that the upstream saw, each with all its values."""
        seen: dict[str, list[str]] = {}
        for name, value in self.upstream["headers"]:
            seen.setdefault(name.lower(), []).append(value)
        return seen

    @property
    def ours(self) -> bool:
        """Whether the words are ours; else Envoy itself refused."""
        return self.headers.get("content-type") == "application/problem+json"


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send bytes to a loopback port and read one answer: its status (0 when there is none) and everything."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return (int(found[1]) if found else 0), answer


def ask(port: int, request: bytes) -> Answer:
    """Send bytes to a loopback port and take the one answer apart."""
    status, answer = exchange(port, request)
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
    headers = {name.lower(): value for name, _, value in lines}
    assert len(headers) == len(lines), "a header is answered twice"
    return Answer(status, headers, body.decode("utf-8", "replace"))


def get(target: bytes, *lines: bytes, host: bytes = b"guarded.example") -> bytes:
    """A GET request with raw header lines, for one answer."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"host: " + host, *lines, b"connection: close", b"", b""])
