"""A key that bears witness that a server still holds what it held.

`FLUSHALL` leaves nothing behind that INFO would tell to whoever asks later, and a failover to a server that was empty
looks like any other. So one key without an end lies beside the counts, written by whoever finds none, with a value of
its own. Where it is gone, or has another value, the counts of before are gone with it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from extauthz.replay.redis.wire import Codec

Ask: TypeAlias = Callable[..., object]
"""Runs one command, given in its parts. The reply, or Trouble."""

_VALUE_BYTES: Final = 16


class Witness:
    """What the witnesses of a store said last. Safe for threads.

    There is one on a single server, and one for each node of a cluster. Those are told apart by their tags, not by the
    nodes: when a replica takes over, the same slots have another address.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._lock = threading.Lock()
        self._values: dict[bytes, bytes] = {}

    def lost(self, ask: Ask, tag: bytes) -> bool:
        """Whether the server lost what it held since it was looked at last. Not where it does not say."""
        key = self._codec.witness(tag)
        found = ask(b"GET", key)
        if found is None:
            # Of several replicas that find none, all go by the value of the first.
            value = secrets.token_bytes(_VALUE_BYTES)
            found = ask(b"SET", key, value, b"NX", b"GET")
            found = value if found is None else found
        if not isinstance(found, bytes):
            return False
        with self._lock:
            before, self._values[key] = self._values.get(key), found
        return before is not None and before != found
