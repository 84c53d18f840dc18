"""A TCP proxy on loopback that does to a connection what networks do: refuse, hang, hold, cut in mid-reply, reset."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

_CHUNK: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST."""


class Fault(Enum):
    """What becomes of bytes from the server."""

    NONE = auto()
    HANG = auto()
    """Requests go through; replies are kept for good."""
    HOLD = auto()
    """Requests go through; replies wait until something else is to become of them."""
    CUT = auto()
    """A few bytes of the next reply go through, then the connection is reset."""
    LOSE = auto()
    """Requests go through; instead of the reply comes a reset."""


class Proxy:
    """Stands before a server. What it does is changed while it runs."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.fault = Fault.NONE
        self.faults_left = 1 << 30
        """How many replies the fault still befalls."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self.held: list[bytes] = []
        """What waits, since replies are held."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._go(self._accept)

    def befall(self, fault: Fault, times: int = 1 << 30) -> None:
        """From now on, do this to so many replies."""
        with self._lock:
            self.fault, self.faults_left = fault, times
            self.held = []
            self._changed.notify_all()

    def reset_all(self) -> None:
        """Reset every connection."""
        with self._lock:
            held, self._open = self._open, set()
        for each in held:
            reset(each)

    def close(self) -> None:
        """Stop for good, once; whoever connects is refused."""
        if self._closing:
            return
        with self._lock:
            self._closing = True
            self._changed.notify_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset_all()
        for thread in self._threads:
            thread.join()

    def _go(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                reset(client)
                continue
            with self._lock:
                self._open |= {client, server}
            self._go(self._forward, client, server)
            self._go(self._back, server, client)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                server.sendall(data)
        self._end(client, server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                match self._next(data):
                    case Fault.NONE | Fault.HOLD:
                        client.sendall(data)
                    case Fault.HANG:
                        continue
                    case Fault.CUT:
                        client.sendall(data[: len(data) // 2])
                        break
                    case Fault.LOSE:
                        break
        self._end(client, server)

    def _next(self, data: bytes) -> Fault:
        with self._lock:
            if self.fault is Fault.HOLD:
                self.held.append(data)
                self._changed.wait_for(lambda: self._closing or self.fault is not Fault.HOLD)
            if self.fault in {Fault.NONE, Fault.HOLD} or self.faults_left == 0:
                return Fault.NONE
            self.faults_left -= 1
            return self.fault

    def _end(self, *both: socket.socket) -> None:
        with self._lock:
            mine = self._open & set(both)
            self._open -= mine
        for each in mine:
            reset(each)


def reset(connection: socket.socket) -> None:
    """Close it so that the other end sees a reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def before(port: int) -> Iterator[Proxy]:
    """A proxy before the server on this port."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
