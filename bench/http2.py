"""A client for one unary gRPC method that costs little, so that the server is what is measured.

It speaks just enough HTTP/2 (RFC 9113) for that: every request has the same header block, in HPACK literals that need
no table (RFC 7541, section 6.2.2), and of a response only the message is kept. gRPC over HTTP/2: one DATA frame with a
five-octet prefix, END_STREAM on the trailers.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_INITIAL_WINDOW: Final = 0x4
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535
_MAX_FRAME: Final = 16_384
_MOST_CALLS: Final = 2**30 - 1
_FRAME_HEAD: Final = 9
_PREFIX: Final = 5
_CHUNK: Final = 1 << 16
_PATIENCE: Final = 30.0


class Refused(Exception):
    """The server ended a call or the connection without an answer. Says how."""


class Connection:
    """One HTTP/2 connection to a server on loopback, for one method."""

    def __init__(self, port: int, method: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = _header_block(method, f"127.0.0.1:{port}")
        self._stream = 1
        self._window = _DEFAULT_WINDOW
        """How many octets of DATA the server takes on the connection now."""
        self._rest = b""
        largest = _INITIAL_WINDOW.to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
        grown = (_LARGEST_WINDOW - _DEFAULT_WINDOW).to_bytes(4, "big")
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, largest) + _frame(_WINDOW_UPDATE, 0, 0, grown))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, messages: Sequence[bytes], in_flight: int) -> list[bytes]:
        """Send all messages, so many at a time, and return the answers in the order of the messages. Raises Refused."""
        first = self._stream
        waiting = deque(messages)
        answers: dict[int, bytes] = {}
        flying = done = 0
        while done < len(messages):
            out = []
            while waiting and flying < in_flight and self._window >= len(waiting[0]) + _PREFIX:
                out.append(self._request(waiting.popleft()))
                flying += 1
            ended = self._receive(b"".join(out), answers)
            flying -= ended
            done += ended
        try:
            return [answers[first + 2 * number] for number in range(len(messages))]
        except KeyError:
            raise Refused("a call ended without an answer") from None

    def _request(self, message: bytes) -> bytes:
        stream, length = self._stream, len(message) + _PREFIX
        if length > _MAX_FRAME or stream > _MOST_CALLS:
            raise Refused(f"a message of {length} octets, or stream {stream}, is more than this client can send")
        self._stream += 2
        self._window -= length
        data = b"\0" + len(message).to_bytes(4, "big") + message
        return _frame(_HEADERS, _END_HEADERS, stream, self._head) + _frame(_DATA, _END_STREAM, stream, data)

    def _receive(self, out: bytes, answers: dict[int, bytes]) -> int:
        """Send what is due, read once, and return how many calls ended."""
        if out:
            self._socket.sendall(out)
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise Refused("the server closed the connection")
        buffer = self._rest + chunk if self._rest else chunk
        at = ended = 0
        while len(buffer) - at >= _FRAME_HEAD:
            end = at + _FRAME_HEAD + int.from_bytes(buffer[at : at + 3], "big")
            if end > len(buffer):
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            payload = buffer[at + _FRAME_HEAD : end]
            at = end
            if kind == _DATA:
                answers[stream] = answers.get(stream, b"") + payload if stream in answers else payload[_PREFIX:]
            elif kind == _HEADERS:
                ended += flags & _END_STREAM
            else:
                self._mind(kind, flags, stream, payload)
        self._rest = buffer[at:]
        return ended

    def _mind(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame that is no part of an answer."""
        if kind == _SETTINGS and not flags & _ACK:
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind in {_RST_STREAM, _GOAWAY}:
            raise Refused(f"the server sent a frame of type {kind} for stream {stream}")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header_block(method: str, authority: str) -> bytes:
    """HPACK: `:method: POST` and `:scheme: http` by their number, all else as literals that are not indexed."""
    literals = (
        (b":path", method),
        (b":authority", authority),
        (b"content-type", "application/grpc"),
        (b"te", "trailers"),
    )
    return b"\x83\x86" + b"".join(b"\0" + _text(name) + _text(value.encode()) for name, value in literals)


def _text(octets: bytes) -> bytes:
    if len(octets) > 126:
        raise ValueError("a text of more than 126 octets needs another form of length")
    return bytes((len(octets),)) + octets
