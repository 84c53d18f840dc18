"""Requests that share a call of the script are answered as if each came alone."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import Options
from extauthz.replay.redis.connect import Lane, Target
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import Codec, Request, commit_script
from extauthz.replay.spend import Bind, Grace, Mark, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Outcome
from tests.redis.proxy import Fault, before
from tests.redis.servers import Server, connected, wait_for

CLOCK = SystemClock()
UNTIL = Instant(CLOCK.now() + 3600)
PATIENCE = 10.0
_NAMESPACES = itertools.count()


@pytest.fixture
def lane(server: Server) -> Iterator[Lane]:
    """A connection to each kind of server."""
    lane = Lane(server.target, commit_script(), CLOCK.monotonic)
    yield lane
    lane.close()


def run(lane: Lane, *requests: Request) -> list[object]:
    """The answers of one call."""
    return lane.run(requests, CLOCK.monotonic() + PATIENCE)


_KEYS = st.sampled_from([bytes([letter]) * 16 for letter in b"abc"])
_VALUES = st.sampled_from([b"v" * 16, b"w" * 16])
_GRACES = st.none() | st.builds(Grace, _VALUES, st.just(Seconds(600.0)), st.booleans())
_COUNTS = st.one_of(
    st.builds(Use, key=_KEYS, max_uses=st.integers(1, 3), until=st.just(UNTIL), grace=_GRACES),
    st.builds(Bind, key=_KEYS, value=_VALUES, until=st.just(UNTIL)),
    st.builds(Rate, key=_KEYS, amount=st.integers(1, 4), window=st.just(Seconds(600.0)), label=st.just("l")),
    st.builds(Mark, key=_KEYS, until=st.just(UNTIL), label=st.just("m")),
    st.builds(Unmarked, key=_KEYS, until=st.just(UNTIL), label=st.just("m")),
)
_ROOMS = st.lists(st.builds(Room, key=_KEYS, most=st.integers(1, 4), label=st.just("q")), max_size=2)


def _paid(counts: list[Spend], rooms: list[Room]) -> tuple[Spend, ...]:
    """Rooms stand behind what they pay for."""
    return (*counts, *rooms) if any(not isinstance(each, Unmarked) for each in counts) else tuple(counts)


_SPENDS = st.builds(_paid, st.lists(_COUNTS, max_size=4), _ROOMS)
_ATTEMPTS = st.none() | st.sampled_from([b"1" * 16, b"2" * 16])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[tuple[Spend, ...], bytes | None, bool]]:
    """What is spent, by which attempt, and whether it is only looked at."""
    return draw(st.lists(st.tuples(_SPENDS, _ATTEMPTS, st.booleans()), min_size=2, max_size=12))


def written(codec: Codec, history: list[tuple[tuple[Spend, ...], bytes | None, bool]]) -> list[Request]:
    """The requests of a history, under the namespace of the codec."""
    now = CLOCK.now()
    return [
        codec.write_look(spends, now) if is_look else codec.write(spends, attempt, now)
        for spends, attempt, is_look in history
    ]


def timeless(answer: object) -> object:
    """An answer without what is of its moment."""
    assert isinstance(answer, list), answer
    if answer[0] == 3:
        return [3, *(number for at, number in enumerate(answer[2:]) if at % 4 != 1)]
    return answer[:2]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
def test_requests_of_one_call_know_nothing_of_each_other(
    lane: Lane, history: list[tuple[tuple[Spend, ...], bytes | None, bool]]
) -> None:
    alone, together = (written(Codec(b"%d:" % next(_NAMESPACES)), history) for _ in range(2))
    one_by_one = [run(lane, each)[0] for each in alone]
    assert [timeless(each) for each in run(lane, *together)] == [timeless(each) for each in one_by_one]


def test_what_is_wrong_with_one_request_is_its_own_error(server: Server, lane: Lane) -> None:
    codec, now = Codec(), CLOCK.now()
    uses = [Use(key=bytes([letter]) * 16, max_uses=1, until=UNTIL) for letter in b"abc"]
    with server.client() as client:
        client.rpush(codec.keys((uses[1],))[0], "foreign")
    requests = [codec.write((each,), None, now) for each in uses]
    first, foreign, last = run(lane, *requests)
    assert (first, last) == ([0, 0, 0, pytest.approx(now * 1e6, abs=60e6)], first)
    assert isinstance(foreign, Trouble)
    assert "WRONGTYPE" in foreign.detail
    assert lane.alive
    # The others are counted.
    assert [each[0] for each in run(lane, requests[0], requests[2]) if isinstance(each, list)] == [1, 1]


def test_a_call_that_the_server_refuses_is_the_trouble_of_all_its_requests(server: Server, lane: Lane) -> None:
    requests = [Codec().write((Use(key=b"k" * 16, max_uses=9, until=UNTIL),), None, CLOCK.now())] * 3
    with server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            refused = run(lane, *requests)
        finally:
            client.config_set("maxmemory", "0")
    assert ["OOM" in each.detail for each in refused if isinstance(each, Trouble)] == [True] * 3
    # None of them was counted.
    assert [each[1] for each in run(lane, *requests) if isinstance(each, list)] == [8, 7, 6]


def test_a_server_that_lost_the_script_is_given_it_and_counts_each_once(server: Server, lane: Lane) -> None:
    request = Codec().write((Use(key=b"k" * 16, max_uses=9, until=UNTIL),), None, CLOCK.now())
    for left in (9, 6):
        with server.client() as client:
            client.script_flush()
        assert [each[1] for each in run(lane, request, request, request) if isinstance(each, list)] == [
            left - 1, left - 2, left - 3
        ]  # fmt: skip


@pytest.mark.parametrize("octets", [b"-MOVED 1\r\n", b"*3\r\n-ASK 1 here\r\n:0\r\n:0\r\n", b"hello\r\n"])
def test_an_answer_that_cannot_be_read_is_the_trouble_of_all_its_requests(octets: bytes) -> None:
    requests = [Codec().write((Use(key=b"k" * 16, max_uses=9, until=UNTIL),), None, CLOCK.now())] * 3
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer = server.accept()[0]
            with peer:
                peer.recv(1 << 20)
                peer.sendall(octets)
                peer.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        lane = Lane(Target(host="127.0.0.1", port=server.getsockname()[1]), commit_script(), CLOCK.monotonic)
        try:
            found = run(lane, *requests)
        finally:
            lane.close()
            thread.join()
    assert ["could not be asked (InvalidResponse)" in each.detail for each in found if isinstance(each, Trouble)] == [
        True
    ] * 3


def test_what_was_sent_is_with_the_server_before_anybody_reads(server: Server, lane: Lane) -> None:
    use = Use(key=b"s" * 16, max_uses=1, until=UNTIL)
    with server.client() as client:
        lane.send([Codec().write((use,), None, CLOCK.now())])
        wait_for(lambda: client.exists(b"x1:" + b"s" * 16 + b"u") == 1, "the count")
    assert lane.receive(CLOCK.monotonic() + PATIENCE) == [[0, 0, 0, ANY]]


def test_a_batch_too_large_for_the_buffer_is_sent_by_who_reads(lane: Lane) -> None:
    uses = [Use(key=b"%04d" % number * 100, max_uses=1, until=UNTIL) for number in range(64)]
    lane.send([Codec().write((use,), None, CLOCK.now()) for use in uses])
    assert lane.receive(CLOCK.monotonic() + PATIENCE) == [[0, 0, 0, ANY]] * 64


def test_what_could_not_be_sent_is_told_to_who_reads(lane: Lane) -> None:
    lane.close()
    lane.send([Codec().write((), None, CLOCK.now())])
    (found,) = lane.receive(CLOCK.monotonic() + PATIENCE)
    assert isinstance(found, Trouble)
    assert found.kind == "connection"


def test_the_next_batch_leaves_before_the_checks_of_the_last_are_finished(server: Server) -> None:
    sent, held, told = threading.Event(), list[bool](), SimpleQueue[Outcome]()
    uses = [Use(key=b"%016d" % number, max_uses=1, until=UNTIL) for number in range(40)]

    def then(outcome: Callable[[], Outcome]) -> None:
        # Whoever finishes first waits until some of those that waited are with the server.
        if not held:
            held.append(sent.wait(PATIENCE))
        told.put(outcome())

    options = Options(deadline=Seconds(PATIENCE), connections=1, check_every=Seconds(3600.0))
    with before(server.port) as proxy, connected(Target(host="127.0.0.1", port=proxy.port), CLOCK, options) as store:
        proxy.befall(Fault.HOLD)
        store.commit_later((uses[0],), None, then)
        wait_for(lambda: bool(proxy.held), "its reply")
        for use in uses[1:]:
            store.commit_later((use,), None, then)
        proxy.befall(Fault.NONE)
        with server.client() as client:
            wait_for(lambda: len(client.keys(b"x1:*u")) > 1, "the next batch")
        sent.set()
        assert [isinstance(told.get(timeout=PATIENCE), Committed) for _ in uses] == [True] * 40
    assert held == [True]
