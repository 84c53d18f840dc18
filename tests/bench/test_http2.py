"""The cheap client gets what a real one would, from a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.http2 import Connection, Refused
from extauthz.model.time import Seconds
from extauthz.server.grpcio import METHOD
from tests.unit.server.serving import Running, running


@contextmanager
def connected(server: Running, method: str = METHOD) -> Iterator[Connection]:
    connection = Connection(int(server.target.rpartition(":")[2]), method)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("in_flight", [1, 7, 32])
def test_each_message_gets_its_own_answer(in_flight: int) -> None:
    messages = [f"message {number} ".encode() * 60 for number in range(200)]
    with running(max_concurrent=64) as server, connected(server) as connection:
        assert connection.call(messages, in_flight) == messages
        assert connection.call(messages[:3], in_flight) == messages[:3]


def test_more_is_in_flight_than_the_server_has_room_for_at_first() -> None:
    messages = [bytes([number]) * 4000 for number in range(60)]
    with running(max_concurrent=64) as server, connected(server) as connection:
        assert connection.call(messages, 60) == messages


def test_a_call_without_an_answer_is_told() -> None:
    with (
        running() as server,
        connected(server, "/no.such.Service/Method") as connection,
        pytest.raises(Refused, match="without an answer"),
    ):
        connection.call([b"data"], 1)


def test_a_server_that_goes_away_is_told() -> None:
    with running() as server, connected(server) as connection:
        connection.call([b"data"], 1)
        server.server.drain(Seconds(0.0), Seconds(0.0))
        with pytest.raises((Refused, OSError)):
            connection.call([b"data"], 1)


def test_a_message_that_needs_two_frames_is_not_sent() -> None:
    with running() as server, connected(server) as connection, pytest.raises(Refused, match="more than this client"):
        connection.call([b"x" * 20_000], 1)
