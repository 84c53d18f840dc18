"""What the demo asks, and what must come of it."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from extauthz.cli.demo.policies import REPORTS
from extauthz.cli.demo.stage import Client, Reply, Stage

RACERS: Final = 50
_PATIENCE: Final = 15.0
_SETTLED: Final = 20
"""How many equal answers in a row tell that an edit is in force."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    request: str
    expected: str
    """Status, and the reason where one is wanted, and what else must show."""
    got: str
    """Status, and what else shows."""
    reason: str
    """From the decision log; empty for an admission."""
    seconds: float | None

    @property
    def fits(self) -> bool:
        """Whether it came as expected."""
        return sorted(self.expected.split()) == sorted(f"{self.got} {self.reason}".split())


def play(stage: Stage) -> Iterator[Row]:
    """Send every request of the demo, one after the other."""
    client = stage.client()
    try:
        for scene in (_tokens, _identity, _paths, _single_use, _window, _race, _edit, _shadow):
            yield from scene(stage, client)
    finally:
        client.close()


def _ask(
    stage: Stage,
    name: str,
    expected: str,
    send: Callable[[str], Reply],
    show: Callable[[Reply], str] | None = None,
) -> Row:
    """Send a request under an id of its own, and find the reason of the answer in the decision log by it."""
    request_id = secrets.token_hex(8)
    reply = send(request_id)
    shown = show(reply) if show is not None else ""
    reason = stage.sidecar.decision(request_id).get("reason", "")
    got = " ".join(word for word in (str(reply.status), shown) if word)
    return Row(name, expected, got, reason, reply.seconds)


def _tokens(stage: Stage, client: Client) -> Iterator[Row]:
    issuer = stage.issuer
    cases: list[tuple[str, str, str | None]] = [
        ("a valid token", "200", issuer.token()),
        ("one signed with ES256", "200", issuer.token(curve=True)),
        ("no token", "401 credential_absent", None),
        ("a token for others", "401 audience_mismatch", issuer.token(aud="billing-api")),
        ("an expired token", "401 token_expired", issuer.token(age=600)),
        ("a forged signature", "401 signature_invalid", issuer.token(forged=True)),
        ("a token without the scope", "403 scope_missing", issuer.token(scope="profile")),
        ("a token valid too long", "401 token_too_long_lived", issuer.token(lifetime=86_400)),
        ("garbage for a token", "401 token_malformed", "garbage"),
    ]
    for name, expected, token in cases:
        yield _ask(
            stage, f"GET /orders: {name}", expected,
            lambda rid, token=token: client.send("/orders", token, x_request_id=rid),  # type: ignore[misc]
        )  # fmt: skip


def _identity(stage: Stage, client: Client) -> Iterator[Row]:
    def seen(reply: Reply) -> str:
        headers = reply.upstream_headers
        token = "token" if "authorization" in headers else "no-token"
        return f"{_identity_seen(reply)} {token}"

    yield _ask(
        stage, "GET /orders: what the upstream sees", "200 sub=alice no-token",
        lambda rid: client.send("/orders", stage.issuer.token(), x_request_id=rid), seen,
    )  # fmt: skip
    yield _ask(
        stage, "GET /orders: a forged x-auth-sub", "200 sub=alice no-token",
        lambda rid: client.send("/orders", stage.issuer.token(), x_request_id=rid, x_auth_sub="admin"), seen,
    )  # fmt: skip
    yield _ask(
        stage, "GET /healthz: no token, forged header", "200 sub=- no-token",
        lambda rid: client.send("/healthz", x_request_id=rid, x_auth_sub="admin"), seen,
    )  # fmt: skip


def _paths(stage: Stage, client: Client) -> Iterator[Row]:
    yield _ask(
        stage, "GET /admin: no rule takes it", "403 no_policy",
        lambda rid: client.send("/admin", stage.issuer.token(), x_request_id=rid),
    )  # fmt: skip
    yield _ask(
        stage, "GET /orders/../admin: is /admin", "403 no_policy",
        lambda rid: client.send("/orders/../admin", stage.issuer.token(), x_request_id=rid),
    )  # fmt: skip
    yield _ask(
        stage, "GET /orders/7;v=2: an odd path", "400 request_malformed",
        lambda rid: client.send("/orders/7;v=2", stage.issuer.token(), x_request_id=rid),
    )  # fmt: skip


def _single_use(stage: Stage, client: Client) -> Iterator[Row]:
    token = stage.issuer.token()
    for name, expected in (
        ("first time", "200"),
        ("second time", "401 token_reused"),
        ("third time", "401 token_reused"),
    ):
        yield _ask(
            stage, f"POST /orders: single use, {name}", expected,
            lambda rid: client.send("/orders", token, method="POST", x_request_id=rid),
        )  # fmt: skip


def _window(stage: Stage, client: Client) -> Iterator[Row]:
    token = stage.issuer.token()

    def wait(reply: Reply) -> str:
        seconds = reply.headers.get("retry-after", "")
        return "" if not seconds else "Retry-After" if 0 < int(seconds) <= 60 else f"Retry-After: {seconds}"

    for number in range(1, 9):
        yield _ask(
            stage, f"GET /quotes: 5 per minute, request {number}",
            "200" if number <= 5 else "429 Retry-After rate_exceeded",
            lambda rid: client.send("/quotes", token, x_request_id=rid), wait,
        )  # fmt: skip


def _race(stage: Stage, _client: Client) -> Iterator[Row]:
    token, statuses = stage.issuer.token(), Counter[int]()
    barrier, lock = threading.Barrier(RACERS), threading.Lock()

    def run() -> None:
        racer = stage.client()
        try:
            barrier.wait(_PATIENCE)
            status = racer.send("/orders", token, method="POST").status
        except (OSError, threading.BrokenBarrierError):
            status = 0
        finally:
            racer.close()
        with lock:
            statuses[status] += 1

    threads = [threading.Thread(target=run, daemon=True) for _ in range(RACERS)]
    started = stage.clock.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
    seconds = stage.clock.monotonic() - started
    got = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    yield Row(f"POST /orders: {RACERS} uses race", f"1 x 200, {RACERS - 1} x 401", got, "", seconds)


class _Traffic:
    """A steady stream of requests to the policy that is edited, and what came of each."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self.statuses: Counter[str] = Counter()
        self._streak: tuple[str, int, float] = ("", 0, 0.0)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def until(self, status: str) -> float:
        """Seconds until the traffic gets `status` and nothing else any more."""
        started = self._stage.clock.monotonic()
        with self._changed:
            settled = self._changed.wait_for(
                lambda: self._streak[0] == status and self._streak[1] >= _SETTLED, _PATIENCE
            )
            return max(0.0, self._streak[2] - started) if settled else _PATIENCE

    def stop(self) -> None:
        """End the stream."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _run(self) -> None:
        client = self._stage.client()
        token = self._stage.issuer.token()
        while not self._stop.is_set():
            try:
                status = str(client.send("/", token, host="reports.example").status)
            except OSError:
                status = "lost"
            with self._changed:
                self.statuses[status] += 1
                same, count, since = self._streak
                self._streak = (
                    (status, count + 1, since) if same == status else (status, 1, self._stage.clock.monotonic())
                )
                self._changed.notify_all()
        client.close()


def _edit(stage: Stage, _client: Client) -> Iterator[Row]:
    traffic = _Traffic(stage)
    try:
        traffic.until("200")
        for name, scope, status in (
            ("another scope", "reports.read", "403"),
            ("as before", "orders.read", "200"),
        ):
            stage.write_policy("reports.yaml", REPORTS.replace("SCOPE", scope))
            seconds = traffic.until(status)
            got = status if seconds < _PATIENCE else "not enforced"
            yield Row(f"reports.example edited: {name}", status, got, "", seconds)
    finally:
        traffic.stop()
    strange = {status: count for status, count in traffic.statuses.items() if status not in {"200", "403"}}
    sent = sum(traffic.statuses.values())
    got = "none lost" if not strange else f"lost or strange: {strange}"
    yield Row(f"reports.example: {sent} requests", "none lost", got, "", None)


def _shadow(stage: Stage, client: Client) -> Iterator[Row]:
    request_id = secrets.token_hex(8)
    reply = client.send("/", host="trial.example", x_request_id=request_id, x_auth_sub="admin")
    line = stage.sidecar.decision(request_id)
    decision, reason = str(line.get("decision", "")), str(line.get("reason", ""))
    yield Row(
        "trial.example: shadow mode, no token", "200 shadow credential_absent",
        f"{reply.status} {decision.removesuffix('_deny')}", reason, reply.seconds,
    )  # fmt: skip
    yield _ask(
        stage, "trial.example: a forged x-auth-sub", "200 sub=- credential_absent",
        lambda rid: client.send("/", host="trial.example", x_request_id=rid, x_auth_sub="admin"), _identity_seen,
    )  # fmt: skip
    yield _ask(
        stage, "trial.example: a valid token", "200 sub=alice",
        lambda rid: client.send("/", stage.issuer.token(), host="trial.example", x_request_id=rid), _identity_seen,
    )  # fmt: skip


def _identity_seen(reply: Reply) -> str:
    return f"sub={','.join(reply.upstream_headers.get('x-auth-sub', ['-']))}"
