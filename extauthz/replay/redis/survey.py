"""Which nodes a cluster has, and which slots they hold: asked in the background, followed when it changes.

The way of a client (Redis cluster specification, "Clients first connection and handling of redirections"): keep the map
of slots, go where a redirection says, and fetch the map anew when one came. One thread fetches it, so a storm of
redirections is one question at a time.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from functools import reduce
from typing import Final

import redis.exceptions

from extauthz.model.time import Clock
from extauthz.replay.redis.connect import CannotConnect, Target
from extauthz.replay.redis.keeper import Options
from extauthz.replay.redis.node import Node, Tally
from extauthz.replay.redis.slots import Address, SlotMap, read_slots
from extauthz.replay.redis.trouble import Trouble, of_error
from extauthz.replay.redis.wire import Codec
from extauthz.replay.redis.witness import Witness

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_MOST_SPARE: Final = 16
_KEPT: Final = 60.0
"""Seconds for which a node is kept that holds no slot and is named no more."""
_RANDOM: Final = secrets.SystemRandom()


class Survey:
    """The map of slots and the nodes in it. Safe for threads."""

    def __init__(self, target: Target, options: Options, clock: Clock, codec: Codec) -> None:
        self._target = target
        self._options = options
        self._clock = clock
        self._codec = codec
        self._lock = threading.Lock()
        self._map = SlotMap()
        self._nodes: dict[Address, Node] = {}
        self._spare: dict[Address, Node] = {}
        """Nodes that hold no slot by the map: a redirection named them."""
        self._named: dict[Address, float] = {}
        """When each was named last: one that is given its first slot is named again and again, and is kept."""
        self._gone = Tally()
        """Of nodes that are asked no more."""
        self._witness = Witness(codec)
        self._trouble: Trouble | None = Trouble("connecting", "the store is not connected yet")
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-survey", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and all nodes."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        with self._lock:
            nodes = [*self._nodes.values(), *self._spare.values()]
            self._trouble = Trouble("stopped", "the store is closed")
            self._map, self._nodes, self._spare = SlotMap(), {}, {}
        for node in nodes:
            node.stop()

    def notice(self) -> None:
        """Ask now, not at the next turn: something has changed."""
        self._wake.set()

    def at(self, slot: int) -> Node | Trouble:
        """The node that holds a slot."""
        with self._lock:
            address = self._map.at(slot)
            if address is not None:
                return self._nodes[address]
            return self._trouble or Trouble(
                "cluster", f"nobody in the store {self._target} holds a slot that was asked for"
            )

    def node(self, address: Address) -> Node | Trouble:
        """The node at an address that a redirection named."""
        with self._lock:
            self._named[address] = self._clock.monotonic()
            found = self._nodes.get(address) or self._spare.get(address)
            if found is not None:
                return found
            if self._stopping.is_set() or len(self._spare) >= _MOST_SPARE:
                return Trouble("cluster", f"the store {self._target} names too many nodes that hold no slot")
            self._spare[address] = node = self._made(address)
            return node

    def trouble(self) -> Trouble | None:
        """Why nothing can be counted: there is no map, or no node in it takes commits."""
        with self._lock:
            if self._trouble is not None:
                return self._trouble
            troubles = [node.trouble() for node in self._nodes.values()]
        return None if None in troubles else next(iter(troubles), None)

    def down(self) -> tuple[Trouble, ...]:
        """What is wrong with each node that holds slots and takes no commits."""
        return tuple(each for node in self.nodes if (each := node.trouble()) is not None)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that hold slots."""
        with self._lock:
            return tuple(self._nodes.values())

    @property
    def tally(self) -> Tally:
        """What happened at all nodes so far."""
        with self._lock:
            return reduce(
                Tally.plus, (node.tally for node in (*self._nodes.values(), *self._spare.values())), self._gone
            )

    def _run(self) -> None:
        pause, told = _FIRST_PAUSE, ""
        while not self._stopping.is_set():
            self._wake.clear()
            trouble = self._attempt()
            if trouble is None:
                told = ""
                self._wake.wait(self._options.check_every)
            elif trouble.detail != told:
                _LOG.error("%s", trouble.detail)
                told = trouble.detail
            # Not to be woken: requests that are redirected must not drive us round in a circle.
            self._stopping.wait(pause * _RANDOM.uniform(0.5, 1.0))
            pause = min(_LONGEST_PAUSE, pause * 2) if self._wake.is_set() or trouble else _FIRST_PAUSE

    def _attempt(self) -> Trouble | None:
        try:
            self._publish(self._ask_any())
        except CannotConnect as no:
            with self._lock:
                # The last map serves on: its nodes say themselves when they cannot be asked.
                self._trouble = self._trouble and no.trouble
            return no.trouble
        except Exception as error:  # noqa: BLE001  # INVARIANT: the survey outlives a bug; the last map serves on
            return Trouble("other", f"a bug keeps us from the store {self._target} ({type(error).__name__})")
        return None

    def _ask_any(self) -> SlotMap:
        """The map of the first node that answers. Another one first each time: one that is cut off tells old things."""
        with self._lock:
            known = list(self._nodes)
        _RANDOM.shuffle(known)
        last = Trouble("connection", f"the store {self._target} has no node that answers")
        for address in [*known, *(each for each in self._target.nodes if each not in known)]:
            try:
                found = ask_slots(self._target, address)
            except CannotConnect as no:
                last = no.trouble
                continue
            if found.addresses:
                return found
            last = Trouble("cluster", f"no slots of the store {self._target} are held by anybody")
        raise CannotConnect(last)

    def _publish(self, found: SlotMap) -> None:
        with self._lock:
            before, self._trouble = self._map, None
            if found == before and not self._spare:
                return
            known = self._nodes | self._spare
            nodes = {address: known.get(address) or self._made(address) for address in sorted(found.addresses)}
            late = self._clock.monotonic() - _KEPT
            spare = {at: node for at, node in self._spare.items() if at not in nodes and self._named[at] > late}
            left = [node for address, node in known.items() if address not in nodes and address not in spare]
            self._map, self._nodes, self._spare = found, nodes, spare
            self._named = {at: self._named[at] for at in spare}
            for node in left:
                self._gone = self._gone.plus(node.tally)
        self._tell(before, found)
        for node in left:
            node.stop()

    def _tell(self, before: SlotMap, found: SlotMap) -> None:
        if found == before:
            return
        names = ", ".join(f"{host}:{port}" for host, port in sorted(found.addresses))
        _LOG.log(
            logging.WARNING if before.addresses or found.unheld else logging.INFO,
            "the slots of the store %s are at %s%s",
            self._target,
            names,
            f"; {found.unheld} are nowhere" if found.unheld else "",
        )

    def _made(self, address: Address) -> Node:
        target, tags = self._target.node(*address), self._tags(address)
        node = Node(target, self._clock, self._options, self._codec, self._witness, tags)
        node.start()
        return node

    def _tags(self, address: Address) -> Callable[[], bytes | None]:
        return lambda: self._map.tag_at(address)


def ask_slots(target: Target, address: Address) -> SlotMap:
    """Which slots are where, by this node's word. Raises CannotConnect."""
    node = target.node(*address)
    connection = node.open()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        reply = connection.read_response(disable_decoding=True)
    except (redis.exceptions.RedisError, OSError) as error:
        trouble = of_error(error, str(node))
        if isinstance(error, redis.exceptions.ResponseError) and trouble.kind == "other":
            trouble = Trouble("cluster", f"the store {node} is no cluster node; name it by `redis://`")
        raise CannotConnect(trouble) from None
    finally:
        connection.disconnect()
    found = read_slots(reply, address)
    if found is None:
        raise CannotConnect(Trouble("other", f"the store {node} gave an answer that is none"))
    return found
