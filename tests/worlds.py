"""A whole decision in one process: objects in, CheckRequests asked, with real signatures and the memory store."""

from __future__ import annotations

from typing import Any

from extauthz.decide import Grants, World
from extauthz.introspection.desk import Desk
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Seconds
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import NO_QUOTAS
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Pepper
from extauthz.replay.store import Store
from extauthz.server.answer import Answerer
from extauthz.telemetry.observation import Observation
from extauthz.tokens.verify import Verifier
from tests import issuing
from tests.building import obj
from tests.checks import Response, check_request, read_response
from tests.clock import FakeClock

CORP = obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}})


class Asked:
    """What is loaded, and an Answerer over it."""

    def __init__(
        self,
        *objects: dict[str, Any],
        clock: FakeClock | None = None,
        store: Store | None = None,
        keys: KeyRing | None = None,
        desk: Desk | None = None,
        quotas: Quotas = NO_QUOTAS,
    ) -> None:
        """Load objects, the issuer `corp` among them."""
        self.clock = clock or FakeClock()
        self.snapshot: Snapshot | None = None
        self.keys = keys or KeyRing(self.clock)
        self.desk = desk or Desk(self.clock, allow_http_loopback=True)
        # A store that holds nothing yet is false.
        self.store = store if store is not None else MemoryStore(self.clock)
        self.seen: list[Observation] = []
        self._verifier = Verifier()
        self._grants = Grants(Pepper(b"p" * 32), quotas=quotas)
        self._count = 0
        self.answerer = Answerer(
            world=lambda: World(self.snapshot, self.keys.states(), self._verifier, self._grants),
            store=self.store,
            clock=self.clock,
            observe=self.seen.append,
            want_keys=self.keys.want,
            desk=self.desk,
        )
        self.load(*objects)

    def load(self, *objects: dict[str, Any]) -> None:
        """Publish these objects in place of the last ones."""
        snapshot = compile_snapshot([parse(each) for each in (CORP, *objects)])
        self.keys.reconcile(snapshot.issuer_keys)
        self.desk.reconcile(snapshot.endpoints)
        self.snapshot = snapshot

    def ask(self, path: str = "/", token: str | None = None, **more: Any) -> Response:
        """Ask about one request; each has a stream id of its own unless one is given."""
        self._count += 1
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        more.setdefault("stream_id", str(self._count))
        return read_response(self.answerer.answer(check_request(path=path, headers=headers, **more), Seconds(1.0)))

    def reason(self, path: str = "/", token: str | None = None, **more: Any) -> str:
        """Why a request is refused, `allow` when it is not."""
        response = self.ask(path, token, **more)
        return "allow" if response.code == 0 else str(response.metadata["reason"])
