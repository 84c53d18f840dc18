"""Every recipe of the how-to page: a real API server takes it as it is printed, and requests get what the page says."""

from __future__ import annotations

import datetime as dt
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extauthz.cli.demo.process import poll_until
from extauthz.control.cluster import ClusterReconciler
from extauthz.control.watch import Pace
from extauthz.decide import Grants, World
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Seconds, SystemClock
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Pepper
from extauthz.server.answer import Answerer
from extauthz.tokens.verify import Verifier
from tests import issuing
from tests.checks import Response, check_request, read_response
from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import Binaries
from tests.cluster.test_source import install

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "recipes.md"
NOW_ON_THE_PAGE: Final = dt.datetime(2026, 11, 25, 16, 0, 0, tzinfo=dt.UTC)
CLOCK: Final = SystemClock()
QUICK: Final = Pace(connect=Seconds(2.0), answer=Seconds(5.0), first_pause=Seconds(0.05), longest_pause=Seconds(0.3))
_TIME: Final = re.compile(r"2026-11-25T(\d\d:\d\d:\d\d)Z")
_CLAIM_HEADER: Final = re.compile(r"claimHeaders: \{([\w-]+):")
"""A header that a recipe sets from a claim."""


@dataclass(frozen=True)
class Row:
    """A line of a table: so many requests, and what each of them gets."""

    line: str
    times: int
    method: str
    host: str
    path: str
    principal: str
    headers: dict[str, str]
    claims: str | None
    status: int
    reason: str


def recipes() -> dict[str, list[str | list[Row]]]:
    """By title what to apply and what to ask, in the order of the page."""
    parts = re.split(r"^## (\d+\..+)$", PAGE.read_text(), flags=re.MULTILINE)
    return {title: list(_steps(text)) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def _steps(text: str) -> Iterator[str | list[Row]]:
    for found in re.finditer(r"```yaml\n([\s\S]*?)```|((?:^\|.*\|\n)+)", text, re.MULTILINE):
        yield found[1] or [_row(line) for line in found[2].splitlines()[2:]]


def _row(line: str) -> Row:
    request, token, answer = (cell.strip() for cell in line.strip("|").split(" | "))
    asked = re.fullmatch(
        r"(?:(\d+) \u00d7 )?`([A-Z]+) ([^/`]+)(/[^`]*)`(?: from `([^`]+)`)?(?: with `([^:`]+): ([^`]+)`)?", request
    )
    said = re.fullmatch(r"(\d{3})(?: `(\w+)`)?", answer)
    assert asked is not None, f"no request is told by: {line}"
    assert said is not None, f"no answer is told by: {line}"
    claims = None if token == "none" else token.strip("`")
    return Row(
        line, int(asked[1] or 1), asked[2], asked[3], asked[4], asked[5] or "",
        {asked[6]: asked[7]} if asked[6] else {}, claims, int(said[1]), said[2] or "",
    )  # fmt: skip


RECIPES: Final = recipes()


class Gate:
    """A central service over an API server of its own."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.began = CLOCK.now()
        self.snapshot: Snapshot | None = None
        self._keys = KeyRing(CLOCK)
        self._count = 0
        self._tokens: dict[str, str] = {}
        verifier, grants = Verifier(), Grants(Pepper(b"p" * 32))
        self._answerer = Answerer(
            world=lambda: World(self.snapshot, self._keys.states(), verifier, grants),
            store=MemoryStore(CLOCK),
            clock=CLOCK,
            observe=lambda _: None,
            want_keys=self._keys.want,
        )
        self._reconciler = ClusterReconciler(
            access.client(), self._publish, CLOCK, namespace=None, install_namespace="extauthz-system", pace=QUICK
        )
        self._reconciler.start()

    def stop(self) -> None:
        self._reconciler.stop()

    def _publish(self, snapshot: Snapshot) -> None:
        self._keys.reconcile(snapshot.issuer_keys)
        self.snapshot = snapshot

    def apply(self, block: str) -> None:
        """Show it to the API server as it is printed; then apply it with times and keys that are good here."""
        shown = self.access.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=block)
        missing = "not found" in shown.stderr and "namespaces" in shown.stderr
        assert shown.returncode == 0 or missing, shown.stderr
        before = self.snapshot
        objects = [_with_keys(each) for each in yaml.safe_load_all(_TIME.sub(self._moved, block))]
        done = self.access.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
        assert done.returncode == 0, done.stderr
        poll_until(lambda: self.snapshot is not before, None, "a new snapshot")
        self.settle()

    def settle(self) -> None:
        """Wait until everything that was applied is known: a policy of the test's own, applied last, is in force."""
        self._count += 1
        name = f"settled-{self._count}"
        spec = {"hosts": ["settled.shop.example"], "rules": [{"name": name, "anonymous": True}]}
        found = {"apiVersion": "extauthz.dev/v1alpha1", "kind": "AccessPolicy", "spec": spec}
        text = json.dumps({**found, "metadata": {"name": "settled", "namespace": "shop"}})
        done = self.access.kubectl("apply", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
        asked = Row("", 1, "GET", "settled.shop.example", "/", "", {}, None, 200, "")
        poll_until(lambda: self.ask(asked).metadata.get("rule") == name, None, "what was applied last")

    def ask(self, row: Row) -> Response:
        self._count += 1
        headers = dict(row.headers)
        if row.claims is not None:
            headers["authorization"] = f"Bearer {self._token(row.claims)}"
        asked = check_request(
            row.method, row.path, row.host, headers, principal=row.principal, stream_id=f"{self.began}-{self._count}"
        )
        return read_response(self._answerer.answer(asked, Seconds(10.0)))

    def _token(self, said: str) -> str:
        if said not in self._tokens:
            self._tokens[said] = self._made(dict(each.split("=", 1) for each in said.split(", ")))
        return self._tokens[said]

    def _made(self, said: dict[str, str]) -> str:
        typ = said.pop("typ", "at+jwt")
        more = {name: self._value(text) for name, text in said.items()}
        iat = more.get("iat", int(self.began))
        base = {"iss": "https://login.corp.example", "aud": "shop-api", "iat": iat, "exp": iat + 600, "jti": str(more)}
        return issuing.token(issuing.claims(**{**base, **more}), issuing.header(typ=typ))

    def _value(self, text: str) -> Any:
        if re.fullmatch(r"\d\d:\d\d:\d\d", text):
            return int(dt.datetime.fromisoformat(self._moment(text)).timestamp())
        return json.loads(text) if text.startswith('"') else text

    def _moved(self, found: re.Match[str]) -> str:
        return self._moment(found[1]).replace("+00:00", "Z")

    def _moment(self, clock: str) -> str:
        """A time of the page's day, as far from now as it is from the page's now."""
        told = dt.datetime.combine(NOW_ON_THE_PAGE.date(), dt.time.fromisoformat(clock), tzinfo=dt.UTC)
        moved = dt.datetime.fromtimestamp(int(self.began), dt.UTC) + (told - NOW_ON_THE_PAGE)
        return moved.isoformat(timespec="seconds")


def _with_keys(found: dict[str, Any]) -> dict[str, Any]:
    """Nothing answers here under the names of the page, so the keys stand in the object."""
    if found["kind"] == "TokenIssuer":
        found["spec"]["keys"] = {"inline": issuing.jwks("rsa")}
    return found


@pytest.fixture(scope="module")
def gate(binaries: Binaries) -> Iterator[Gate]:
    """One service for all recipes, as for all teams of a cluster."""
    with tempfile.TemporaryDirectory(prefix="extauthz-cluster-") as folder:
        server = ApiServer(Path(folder), binaries)
        try:
            install(server.access)
            for name, hosts in (("shop", "*.shop.example"), ("loans", "")):
                server.access.kubectl("create", "namespace", name)
                server.access.kubectl("annotate", "namespace", name, f"extauthz.dev/hosts={hosts}")
            gate = Gate(server.access)
            try:
                poll_until(lambda: gate.snapshot is not None, None, "the first snapshot")
                (preamble,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text().partition("\n## ")[0], re.DOTALL)
                gate.apply(preamble)
                yield gate
            finally:
                gate.stop()
        finally:
            server.stop()


def test_there_are_ten_and_each_says_what_follows_and_how_to_see_it() -> None:
    assert len(RECIPES) >= 10
    parts = PAGE.read_text().split("\n## ")[1:]
    for text, steps in zip(parts, RECIPES.values(), strict=True):
        assert "**See it:**" in text
        assert any(isinstance(each, str) for each in steps)
        rows = [row for each in steps if not isinstance(each, str) for row in each]
        assert {row.status for row in rows} - {200}, "a recipe that denies nothing shows nothing"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_does_what_the_page_says(gate: Gate, title: str) -> None:
    set_by_us: set[str] = set()
    for step in RECIPES[title]:
        if isinstance(step, str):
            gate.apply(step)
            set_by_us |= set(_CLAIM_HEADER.findall(step))
            continue
        for row in step:
            answers = [gate.ask(row) for _ in range(row.times)]
            found = {(each.http_status or 200, str(each.metadata.get("reason", ""))) for each in answers}
            assert {status for status, _ in found} == {row.status}, (row.line, found)
            if row.reason:
                assert {reason for _, reason in found} == {row.reason}, (row.line, found)
            for name in set_by_us & set(row.headers):
                assert {each.headers.get(name) for each in answers} == {"acme"}, "the token's own value goes upstream"
