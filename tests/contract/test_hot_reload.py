"""Policies that change under traffic: every answer is the one of the old or of the new policy, none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.building import anonymous, policy
from tests.checks import Response, check_request, read_response
from tests.contract.running import PATIENCE, Serve, serving, write
from tests.unit.server.serving import channel, check

THREADS = 4
EDITS = 100
PATHS = ("/a", "/b", "/c")


def numbered(number: int) -> dict[str, Any]:
    """The policy after so many edits: each path has a rule whose name tells the number."""
    rules = [anonymous(f"v{number}-{path[1:]}", path={"exact": path}) for path in PATHS]
    return policy("orders", *rules)


class Traffic:
    """Asks for one path after the other, and keeps which edit each answer knew of."""

    def __init__(self, connection: grpc.Channel, stop: threading.Event, answered: Callable[[], object]) -> None:
        self.numbers: list[int] = []
        self.wrong: list[str] = []
        self._check = check(connection)
        self._stop = stop
        self._answered = answered
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last answer."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            for path in PATHS:
                self._ask(path)
            self._answered()

    def _ask(self, path: str) -> None:
        try:
            answer = read_response(self._check(check_request(path=path), timeout=PATIENCE))
        except grpc.RpcError as error:
            self.wrong.append(f"{path}: {error}")
            return
        number, _, named = str(answer.metadata.get("rule", "")).removeprefix("v").partition("-")
        if answer.code != 0 or f"/{named}" != path:
            self.wrong.append(f"{path}: {answer}")
        else:
            self.numbers.append(int(number))


@contextmanager
def traffic(served: Serve, answered: Callable[[], object]) -> Iterator[list[Traffic]]:
    """Several threads that ask while the block runs, each over a connection of its own."""
    stop = threading.Event()
    with ExitStack() as connections:
        asking = [Traffic(connections.enter_context(channel(served.address)), stop, answered) for _ in range(THREADS)]
        try:
            yield asking
        finally:
            stop.set()
            for each in asking:
                each.join()


def test_a_folder_edited_100_times_under_traffic_loses_and_mixes_no_answer(tmp_path: Path) -> None:
    write(tmp_path, "orders.yaml", numbered(0))
    rounds = threading.Semaphore(0)
    # The server's own time for a Check is not what is tested here: a busy machine must not be taken for a lost answer.
    with serving(tmp_path, "--check-budget", "10s") as served, traffic(served, rounds.release) as asking:
        for number in range(1, EDITS + 1):
            write(tmp_path, "orders.yaml", numbered(number))
            for _ in range(THREADS * 4):
                assert rounds.acquire(timeout=PATIENCE)
        while any(each.numbers[-1:] != [EDITS] for each in asking):
            assert rounds.acquire(timeout=PATIENCE)
            assert [each.wrong for each in asking] == [[]] * THREADS
    for each in asking:
        assert each.wrong == []
        assert each.numbers == sorted(each.numbers), "an older policy answered after a newer one"
    assert len({number for each in asking for number in each.numbers}) > 3, "the policies never changed under traffic"


# Broken edits


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serve]:
    """Two hosts, each in a file of its own."""
    for name in ("a", "b"):
        write(tmp_path, f"{name}.yaml", one(name))
    with serving(tmp_path, "--check-budget", "10s") as started:
        yield started


def one(name: str, **more: Any) -> dict[str, Any]:
    """A policy that admits every request to one host."""
    return policy(name, anonymous("open") | more, hosts=(f"{name}.example",))


def until(served: Serve, host: str, wanted: Callable[[Response], bool]) -> Response:
    """Ask about a host until the answer is the one that is waited for. All the while, `b.example` admits."""
    with channel(served.address) as connection:
        ask = check(connection)
        while True:
            answer = read_response(ask(check_request(host=host), timeout=PATIENCE))
            other = read_response(ask(check_request(host="b.example"), timeout=PATIENCE))
            assert (other.code, other.metadata["policy"]) == (0, "shop/b")
            if wanted(answer):
                return answer


def is_admitted(answer: Response) -> bool:
    return answer.code == 0


def is_invalid(answer: Response) -> bool:
    return answer.metadata.get("reason") == "policy_invalid"


def test_a_broken_edit_denies_its_own_host_only_until_it_is_mended(served: Serve, tmp_path: Path) -> None:
    assert is_admitted(until(served, "a.example", is_admitted))
    write(tmp_path, "a.yaml", one("a", anonymus=True))
    assert until(served, "a.example", is_invalid).http_status == 503
    write(tmp_path, "a.yaml", one("a"))
    until(served, "a.example", is_admitted)


def test_a_file_that_is_no_yaml_denies_the_host_it_speaks_of_only(served: Serve, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    good = path.read_text()
    (tmp_path / ".a").write_text(good[:-2])
    (tmp_path / ".a").rename(path)
    assert until(served, "a.example", is_invalid).http_status == 503
    write(tmp_path, "a.yaml", one("a"))
    until(served, "a.example", is_admitted)


def test_a_policy_that_is_taken_away_is_gone_and_comes_back(served: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").unlink()
    assert until(served, "a.example", lambda answer: not is_admitted(answer)).metadata["reason"] == "no_policy"
    write(tmp_path, "a.yaml", one("a"))
    until(served, "a.example", is_admitted)


def test_a_new_policy_is_in_force_without_a_restart(served: Serve, tmp_path: Path) -> None:
    write(tmp_path, "c.yaml", one("c"))
    assert until(served, "c.example", is_admitted).metadata["policy"] == "shop/c"
