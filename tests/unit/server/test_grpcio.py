"""The server on grpcio: every Check gets a CheckResponse, whatever happens; health and reflection beside it."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from extauthz.config import TcpAddress, UnixAddress
from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.verdict import Refusal
from extauthz.server.calls import Later, Ticket
from extauthz.server.codec import INTERNAL_DENIAL
from extauthz.server.grpcio import METHOD, SERVICE, CannotListen, Server
from tests.checks import read_response
from tests.clock import FakeClock
from tests.unit.server.serving import PATIENCE, Echo, Gate, ask, channel, running
from tests.unit.server.serving import SERVING as SERVING_LOOPBACK

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
HEALTH = (health_pb2.HealthCheckRequest.SerializeToString, health_pb2.HealthCheckResponse.FromString)


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> Any:
    return error.value.code()


# Listeners


def test_it_answers_on_tcp_at_the_port_that_the_system_chose() -> None:
    with running() as served:
        assert served.target.startswith("127.0.0.1:")
        assert served.target != "127.0.0.1:0"
        assert ask(served.target, b"\x00\xff") == b"\x00\xff"


def test_an_empty_message_reaches_the_answerer() -> None:
    with running() as served:
        assert ask(served.target, b"") == b""


def test_it_answers_on_a_unix_socket_that_only_owner_and_group_may_use(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with running(listen=(UnixAddress(path),)) as served:
        assert served.bound == (f"unix:{path}",)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert ask(served.target) == b"data"
    assert not path.exists()


def test_it_answers_on_several_listeners(tmp_path: Path) -> None:
    with running(listen=(TcpAddress("127.0.0.1", 0), UnixAddress(tmp_path / "s.sock"))) as served:
        assert [ask(target) for target in served.bound] == [b"data", b"data"]


def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with running(listen=(UnixAddress(path),)) as served:
        assert ask(served.target) == b"data"


def test_a_file_in_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("mine")
    with pytest.raises(CannotListen, match="is no socket; remove it"), running(listen=(UnixAddress(path),)):
        pass
    assert path.read_text() == "mine"


def test_a_link_in_the_place_of_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotListen, match="is no socket"), running(listen=(UnixAddress(path),)):
        pass
    assert path.is_symlink()


def test_a_socket_in_use_is_refused_and_serves_on(tmp_path: Path) -> None:
    listen = (UnixAddress(tmp_path / "s.sock"),)
    with running(listen=listen) as first:
        with pytest.raises(CannotListen, match="in use by another server"), running(listen=listen):
            pass
        assert ask(first.target) == b"data"


def test_a_socket_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotListen, match=r"cannot listen on unix:.*: there is no folder `.*/none`"),
        running(listen=(UnixAddress(tmp_path / "none" / "s.sock"),)),
    ):
        pass


def test_a_port_in_use_is_refused() -> None:
    with running() as first:
        port = int(first.target.rpartition(":")[2])
        with pytest.raises(CannotListen, match="it is in use"), running(listen=(TcpAddress("127.0.0.1", port),)):
            pass
        assert ask(first.target) == b"data"


def test_when_one_listener_cannot_be_opened_none_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with running() as first:
        busy = TcpAddress("127.0.0.1", int(first.target.rpartition(":")[2]))
        with pytest.raises(CannotListen), running(listen=(UnixAddress(path), busy)):
            pass
    assert not path.exists()


# Never an RPC error


class Breaks(Echo):
    """An answerer with bugs everywhere."""

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        raise ValueError("not-to-be-told")

    def refuse(self, refusal: Refusal) -> bytes:
        raise ValueError("not-to-be-told")


@pytest.mark.parametrize("size", [10, 5000])
def test_a_bug_is_an_explicit_denial(size: int, caplog: pytest.LogCaptureFixture) -> None:
    with running(Breaks()) as served:
        assert ask(served.target, b"x" * size) == INTERNAL_DENIAL
    assert "a Check could not be answered: ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text


@pytest.mark.parametrize("size", [4097, 5 * 1024 * 1024, 17 * 1024 * 1024])
def test_an_oversized_message_is_an_explicit_denial(size: int) -> None:
    echo = Echo()
    with running(echo) as served:
        answer = read_response(ask(served.target, b"x" * size))
        assert (answer.http_status, answer.metadata["reason"]) == (400, "request_malformed")
        assert ask(served.target, b"x" * 4096) == b"x" * 4096
    assert [refusal.detail for refusal in echo.refusals] == [f"the CheckRequest has {size} bytes, allowed are 4096"]
    assert len(echo.budgets) == 1


class FailsLater(Echo):
    """An answerer whose bug shows only after it has waited."""

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        return lambda _send, leave: leave(self._fail)

    def _fail(self) -> None:
        raise ValueError("not-to-be-told")


def test_a_bug_on_a_thread_that_waits_is_an_explicit_denial(caplog: pytest.LogCaptureFixture) -> None:
    with running(FailsLater()) as served:
        assert ask(served.target) == INTERNAL_DENIAL
    assert "a Check could not be answered: ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text


class StopsOnce(FakeClock):
    """A clock that fails when it is first read."""

    def monotonic(self) -> float:
        if not self.failed:
            self.failed = True
            raise ValueError("not-to-be-told")
        return super().monotonic()

    failed = False


def test_a_call_that_cannot_be_taken_in_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with running(Echo(), StopsOnce()) as served:
        with pytest.raises(grpc.RpcError):
            ask(served.target, timeout=0.5)
        assert ask(served.target) == b"data"
    assert "a call failed: ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text


def test_a_call_without_a_message_is_no_check() -> None:
    echo = Echo()
    with running(echo) as served, channel(served.target) as connection:
        call = connection.stream_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as error:
            call(iter(()), timeout=PATIENCE)
        assert code_of(error) is grpc.StatusCode.UNIMPLEMENTED
        assert ask(served.target) == b"data"
    assert len(echo.budgets) == 1


def test_an_unknown_method_is_no_check() -> None:
    with running() as served, channel(served.target) as connection:
        call = connection.unary_unary(f"/{SERVICE}/Other", request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=PATIENCE)
    assert code_of(error) is grpc.StatusCode.UNIMPLEMENTED


# Deadlines


def test_without_a_deadline_of_the_caller_the_budget_is_our_own() -> None:
    echo = Echo()
    with running(echo, FakeClock(), check_budget=Seconds(0.125)) as served:
        ask(served.target, timeout=None)
        ask(served.target, timeout=PATIENCE)
    assert echo.budgets == [0.125, 0.125]


def test_a_shorter_deadline_of_the_caller_is_the_budget() -> None:
    echo = Echo()
    with running(echo, FakeClock(), check_budget=Seconds(3600.0)) as served:
        ask(served.target, timeout=PATIENCE)
    (budget,) = echo.budgets
    # A caller may round the timeout up on the wire, to few digits.
    assert 0.0 < budget < PATIENCE * 1.1


@pytest.mark.parametrize(
    ("waited", "left", "budget"), [(0, 60, 10), (4, 60, 6), (4, 5, 5), (9, -1, None), (10, 60, None)]
)
def test_the_time_that_a_check_waited_is_taken_from_its_budget(
    waited: float, left: float, budget: float | None
) -> None:
    echo, clock = Echo(), FakeClock()
    server = Server(echo, replace(SERVING_LOOPBACK, check_budget=Seconds(10.0)), clock)
    now = clock.monotonic()
    server._check(b"data", Ticket(now - waited, now + left, crowded=False))
    assert echo.budgets == ([] if budget is None else [budget])
    assert [refusal.reason for refusal in echo.refusals] == ([Reason.OVERLOADED] if budget is None else [])
    server.drain(Seconds(0.0), Seconds(0.0))


# Too many at once


def test_one_call_too_many_is_denied_at_once_and_the_next_one_after_is_not(callers: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(gate, threads=1, max_concurrent=1) as served:
        held = callers.submit(ask, served.target, b"wait")
        assert gate.entered.acquire(timeout=PATIENCE)
        crowded = [read_response(ask(served.target)) for _ in range(5)]
        assert {(each.http_status, each.metadata["reason"]) for each in crowded} == {(503, "overloaded")}
        assert [refusal.reason for refusal in gate.refusals] == [Reason.OVERLOADED] * 5
        gate.opened.set()
        assert held.result(PATIENCE) == b"wait"
        # The place of an answered call is free a moment after its answer was sent.
        while ask(served.target) != b"data":
            pass
        assert ask(served.target) == b"data"


def test_as_many_as_are_allowed_wait_for_their_turn(callers: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(gate, threads=1, max_concurrent=8) as served:
        held = [callers.submit(ask, served.target, b"wait %d" % number) for number in range(8)]
        assert gate.entered.acquire(timeout=PATIENCE)
        gate.opened.set()
        assert [each.result(PATIENCE) for each in held] == [b"wait %d" % number for number in range(8)]
    assert gate.refusals == []


def test_a_call_that_waits_for_somebody_holds_up_none_that_does_not(callers: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(gate, threads=1) as served:
        held = [callers.submit(ask, served.target, b"wait %d" % number) for number in range(3)]
        assert gate.entered.acquire(timeout=PATIENCE)
        assert [ask(served.target) for _ in range(3)] == [b"data"] * 3
        assert not any(each.done() for each in held)
        gate.opened.set()
        assert [each.result(PATIENCE) for each in held] == [b"wait %d" % number for number in range(3)]


def test_health_is_told_while_every_thread_is_busy(callers: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(gate, threads=1, max_concurrent=1) as served, channel(served.target) as connection:
        held = callers.submit(ask, served.target, b"wait")
        assert gate.entered.acquire(timeout=PATIENCE)
        assert health(connection) == NOT_SERVING
        gate.opened.set()
        held.result(PATIENCE)


# Health, reflection, drain


def health(connection: grpc.Channel, service: str = "") -> int:
    call = connection.unary_unary("/grpc.health.v1.Health/Check", *HEALTH)
    return int(call(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status)


def watch(connection: grpc.Channel) -> Generator[int, None, None]:
    """Health as it turns."""
    call = connection.unary_stream("/grpc.health.v1.Health/Watch", *HEALTH)
    for answer in call(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE):
        yield int(answer.status)


def test_health_turns_for_the_server_and_for_its_service() -> None:
    with running() as served, channel(served.target) as connection:
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            served.server.say_serving(serving=serving)
            assert [health(connection), health(connection, SERVICE)] == [status, status]


def test_before_it_is_told_to_a_server_is_not_serving() -> None:
    with running() as served, channel(served.target) as connection:
        assert [health(connection), health(connection, SERVICE)] == [NOT_SERVING, NOT_SERVING]


def test_health_of_another_service_is_not_known() -> None:
    with running() as served, channel(served.target) as connection:
        with pytest.raises(grpc.RpcError) as error:
            health(connection, "other")
        assert code_of(error) is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_service_and_describes_it() -> None:
    with running() as served, channel(served.target) as connection:
        described = ProtoReflectionDescriptorDatabase(connection)
        assert set(described.get_services()) >= {SERVICE, "grpc.health.v1.Health"}
        (service,) = described.FindFileContainingSymbol(SERVICE).service
        assert [method.name for method in service.method] == ["Check"]


def test_a_drain_lets_the_call_in_flight_finish_and_takes_no_new_ones(callers: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(gate) as served, channel(served.target) as connection:
        served.server.say_serving(serving=True)
        turns = watch(connection)
        assert next(turns) == SERVING
        held = callers.submit(ask, served.target, b"wait")
        assert gate.entered.acquire(timeout=PATIENCE)
        drain = callers.submit(served.server.drain, Seconds(0.0), Seconds(PATIENCE))
        assert next(turns) == NOT_SERVING
        _refused(served.target)
        assert not held.done()
        assert not drain.done()
        gate.opened.set()
        assert held.result(PATIENCE) == b"wait"
        turns.close()
        drain.result(PATIENCE)


def test_a_drain_leaves_the_socket_of_a_successor(tmp_path: Path, callers: ThreadPoolExecutor) -> None:
    path = tmp_path / "x.sock"
    gate = Gate()
    with running(gate, listen=(UnixAddress(path),)) as served:
        held = callers.submit(ask, served.target, b"wait")
        assert gate.entered.acquire(timeout=PATIENCE)
        drain = callers.submit(served.server.drain, Seconds(0.0), Seconds(PATIENCE))
        while path.exists():
            # gRPC removes it when the listener closes.
            threading.Event().wait(0.01)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as successor:
            successor.bind(str(path))
            gate.opened.set()
            held.result(PATIENCE)
            drain.result(PATIENCE)
            assert path.exists()


def test_calls_are_taken_while_the_drain_is_delayed_and_hurry_ends_the_delay(callers: ThreadPoolExecutor) -> None:
    hurry = threading.Event()
    with running() as served, channel(served.target) as connection:
        served.server.say_serving(serving=True)
        turns = watch(connection)
        assert next(turns) == SERVING
        drain = callers.submit(served.server.drain, Seconds(3600.0), Seconds(0.0), hurry)
        assert next(turns) == NOT_SERVING
        assert ask(served.target) == b"data"
        hurry.set()
        drain.result(PATIENCE)
        _refused(served.target)


def test_health_does_not_turn_back_while_it_drains(callers: ThreadPoolExecutor) -> None:
    hurry = threading.Event()
    with running() as served, channel(served.target) as connection:
        served.server.say_serving(serving=True)
        turns = watch(connection)
        assert next(turns) == SERVING
        drain = callers.submit(served.server.drain, Seconds(3600.0), Seconds(0.0), hurry)
        assert next(turns) == NOT_SERVING
        served.server.say_serving(serving=True)
        assert health(connection, SERVICE) == NOT_SERVING
        hurry.set()
        drain.result(PATIENCE)


def _refused(target: str) -> None:
    """Wait until new connections are refused: the listeners close a moment after the drain began."""
    host, _, port = target.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return
