"""HTTP/2 requests written field by field (RFC 9113), as an attacker writes them, and what matters of their answers.

Fields are never-indexed literals without Huffman coding (RFC 7541, section 6.2.3), so that any octets can be sent.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _PADDED, _ACK = 1, 4, 8, 1
_STATUS: Final = dict(zip(range(8, 15), (200, 204, 206, 304, 400, 404, 500), strict=True))
"""Of the static table (RFC 7541, appendix A)."""
_DIGITS: Final = {f"{digit:05b}": str(digit) for digit in range(3)} | {
    f"{digit + 22:06b}": str(digit) for digit in range(3, 10)
}
"""Their Huffman codes (RFC 7541, appendix B)."""

Field = tuple[bytes, bytes]


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    """0 when the stream or the connection was reset."""
    body: bytes = b""

    @cached_property
    def said(self) -> dict[str, Any]:
        """The body, where it is an object: of the upstream, or of a denial of ours."""
        value = json.loads(self.body) if self.body.startswith(b"{") else {}
        assert isinstance(value, dict)
        return value

    @cached_property
    def upstream_headers(self) -> dict[str, list[str]]:
        """The headers that the upstream saw, each with all its values."""
        seen: dict[str, list[str]] = {}
        for name, value in self.said.get("headers", ()):
            seen.setdefault(name.lower(), []).append(value)
        return seen


def ask(port: int, fields: Iterable[Field], body: bytes = b"", trailers: Iterable[Field] = ()) -> Answer:
    """Send one request to a loopback port, as its first stream, and read what comes back on it."""
    after = list(trailers)
    frames = [(_HEADERS, _block(fields))]
    frames += [(_DATA, body)] if body else []
    frames += [(_HEADERS, _block(after))] if after else []
    last = len(frames) - 1
    message = _PREFACE + _frame(_SETTINGS, 0, 0, b"")
    for index, (kind, payload) in enumerate(frames):
        flags = (_END_HEADERS if kind == _HEADERS else 0) | (_END_STREAM if index == last else 0)
        message += _frame(kind, flags, 1, payload)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(message)
        return _read(connection)


def _read(connection: socket.socket) -> Answer:
    status, body = 0, b""
    for kind, flags, payload in _frames(connection):
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _HEADERS and not status:
            status = _status(payload)
        elif kind == _DATA:
            body += payload
        if kind in {_RESET, _GOAWAY} or (kind in {_HEADERS, _DATA} and flags & _END_STREAM):
            break
    return Answer(status, body)


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Each frame's type, flags and payload, until the connection ends."""
    buffered = b""
    while True:
        while len(buffered) < 9 or len(buffered) < 9 + int.from_bytes(buffered[:3]):
            try:
                part = connection.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                return
            buffered += part
        end = 9 + int.from_bytes(buffered[:3])
        yield buffered[3], buffered[4], buffered[9:end]
        buffered = buffered[end:]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _block(fields: Iterable[Field]) -> bytes:
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)


def _text(octets: bytes) -> bytes:
    """A string literal (RFC 7541, section 5.2)."""
    length, prefix = len(octets), b""
    if length >= 127:
        prefix, length = b"\x7f", length - 127
        while length >= 128:
            prefix, length = prefix + bytes((length % 128 + 128,)), length // 128
    return prefix + bytes((length,)) + octets


def _status(block: bytes) -> int:
    """The status, which comes first, behind changes of the table's size."""
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return _STATUS[block[0] & 0x7F]
    length, text = block[1] & 0x7F, block[2:]
    if not block[1] & 0x80:
        return int(text[:length])
    bits, digits = "".join(f"{octet:08b}" for octet in text[:length]), ""
    while len(digits) < 3:
        size = next(size for size in (5, 6) if bits[:size] in _DIGITS)
        digits, bits = digits + _DIGITS[bits[:size]], bits[size:]
    return int(digits)
