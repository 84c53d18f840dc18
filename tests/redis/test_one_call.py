"""Requests that share a call of the script are answered as if each came alone."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis.connect import Lane, Target
from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import Codec, Request, commit_script
from extauthz.replay.spend import Bind, Grace, Mark, Rate, Room, Spend, Unmarked, Use
from tests.redis.servers import Server

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
    for before in (9, 6):
        with server.client() as client:
            client.script_flush()
        assert [each[1] for each in run(lane, request, request, request) if isinstance(each, list)] == [
            before - 1, before - 2, before - 3
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
