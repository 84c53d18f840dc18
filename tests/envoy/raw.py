"""Requests written byte by byte, as an attacker writes them."""

from __future__ import annotations

import re
import socket


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send bytes to a loopback port and read one answer: its status (0 when there is none) and everything."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return (int(found[1]) if found else 0), answer


def get(target: bytes, *lines: bytes, host: bytes = b"guarded.example") -> bytes:
    """A GET request with raw header lines, for one answer."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"host: " + host, *lines, b"connection: close", b"", b""])
