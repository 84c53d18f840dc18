"""A connection that breaks in the worst moment: the sidecar has counted and answered, and Envoy never hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

_FRAME_HEADER = 9
_HEADERS = 1
"""The type of the HTTP/2 frame that begins an answer (RFC 9113, section 6.2)."""


class LosingWire:
    """Passes bytes between Envoy and the sidecar; on demand it cuts where the next answer would begin."""

    def __init__(self, path: Path, sidecar: Path) -> None:
        """Listen on `path`, and connect to `sidecar` for each connection that comes."""
        self._sidecar = sidecar
        self._armed = threading.Event()
        self.lost = 0
        """How many answers were cut off."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def lose_next(self) -> None:
        """Cut where the next answer would begin."""
        self._armed.set()

    def close(self) -> None:
        """Take no more connections."""
        # Closing alone does not wake a thread that waits for connections.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                envoy, _ = self._listener.accept()
                sidecar = socket.socket(socket.AF_UNIX)
                sidecar.connect(str(self._sidecar))
                for target in (self._ask, self._answer):
                    threading.Thread(target=target, args=(envoy, sidecar), daemon=True).start()

    def _ask(self, envoy: socket.socket, sidecar: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := envoy.recv(65536):
                sidecar.sendall(data)
        _hang_up(sidecar)

    def _answer(self, envoy: socket.socket, sidecar: socket.socket) -> None:
        waiting = b""
        with contextlib.suppress(OSError), envoy, sidecar:
            while data := sidecar.recv(65536):
                waiting += data
                while (frame := _first_frame(waiting)) is not None:
                    if frame[3] == _HEADERS and self._armed.is_set():
                        self._armed.clear()
                        self.lost += 1
                        _hang_up(envoy)
                        return
                    envoy.sendall(frame)
                    waiting = waiting[len(frame) :]
            _hang_up(envoy)


def _first_frame(data: bytes) -> bytes | None:
    """The first frame, once all of it is there (RFC 9113, section 4.1)."""
    if len(data) < _FRAME_HEADER:
        return None
    size = _FRAME_HEADER + int.from_bytes(data[:3], "big")
    return data[:size] if len(data) >= size else None


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
