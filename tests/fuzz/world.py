"""What is loaded while the program is fuzzed, and which rule each reading of a request leads to.

The policies hold one rule of every kind. `rule_for` says in plain conditions what they mean, without the program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from extauthz.decide import Grants, World
from extauthz.keys.jwks import KeyRing
from extauthz.model.time import Seconds
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import Parsed, parse
from extauthz.replay.memory import MemoryStore
from extauthz.replay.spend import Pepper
from extauthz.server.answer import NOBODY, Answerer, Asking
from extauthz.telemetry.audit import Entries
from extauthz.telemetry.observation import Observation
from extauthz.tokens.verify import Verifier
from tests.building import anonymous, obj, policy
from tests.clock import FakeClock
from tests.fuzz.issuer import AUDIENCE, ISSUER, NOW, key_set

ASSERTED: Final = "x-auth-sub"
"""The header that a policy sets from a claim."""
SLOTS: Final = {
    "orders": {"header": "authorization"},
    "key": {"header": "x-key"},
    "cookie": {"cookie": "sid"},
    "query": {"query": "token"},
}
"""Where each rule of `api` that wants a token reads it."""

_ODDITIES: Final = ["EmptySegment", "EncodedSlash", "Backslash", "PathParameter", "DoubleEncoding"]


def _wants(name: str, match: dict[str, Any], scope: str = "orders.read", **more: Any) -> dict[str, Any]:
    token = {"issuers": [{"name": "corp"}], "audiences": [AUDIENCE], "from": SLOTS.get(name, SLOTS["orders"])}
    return {"name": name, "match": [match], "token": token, "require": {"scopes": [scope]}, **more}


OBJECTS: Final = (
    obj("TokenIssuer", "corp", {"issuer": ISSUER, "keys": {"inline": key_set()}}),
    policy(
        "api",
        anonymous("public", path={"prefix": "/public"}),
        anonymous("health", path={"exact": "/healthz"}),
        anonymous("card", path={"template": "/users/{id}/card"}),
        anonymous("report", path={"regex": "/reports/[0-9]+"}),
        _wants("place", {"path": {"exact": "/orders/new"}, "methods": ["POST"]}, "orders.write"),
        _wants(
            "orders",
            {"path": {"prefix": "/orders"}},
            reuse={"maxUses": 1_000_000, "key": "Jti"},
            limits=[{"name": "each", "by": ["Subject"], "requests": 1_000_000_000, "window": "1m"}],
            upstream={"claimHeaders": {ASSERTED: "sub"}},
        ),
        *(_wants(name, {"path": {"prefix": f"/{name}"}}) for name in ("key", "cookie", "query")),
        anonymous("rest", path={"regex": "/.*"}),
        hosts=("api.example", "*.api.example"),
    ),
    policy("admin", _wants("all", {}, "admin"), hosts=("admin.example", "admin.api.example")),
    policy("open", anonymous("all"), hosts=("open.example", "*.shop.example")),
    policy("odd", anonymous("a", path={"prefix": "/a"}), hosts=("odd.example",), allowOddPaths=_ODDITIES),
)


class Loaded:
    """The program with those policies, and its last line of the decision log."""

    def __init__(
        self,
        objects: Sequence[dict[str, Any]] = OBJECTS,
        *,
        broken: frozenset[str] = frozenset(),
        grants: Grants | None = None,
        desk: Asking = NOBODY,
        entries: Entries | None = None,
    ) -> None:
        """Load everything, or these objects, of which those named in `broken` have a mistake. Grants are without quotas
        and entries without redaction unless given."""
        self.clock = FakeClock(float(NOW))
        parsed = [parse(each) for each in objects]
        if {each.ref.name for each in parsed if not isinstance(each, Parsed)} != broken:
            raise AssertionError(f"the policies to fuzz with are broken: {parsed}")
        snapshot = compile_snapshot(parsed)
        keys = KeyRing(self.clock)
        keys.reconcile(snapshot.issuer_keys)
        self.world = World(snapshot, keys.states(), Verifier(), grants or Grants(Pepper(b"p" * 32)))
        self.line = b""
        self._entries = entries
        self._answerer = Answerer(
            world=lambda: self.world,
            store=MemoryStore(self.clock),
            clock=self.clock,
            observe=self._observe,
            want_keys=keys.want,
            desk=desk,
        )

    def _observe(self, observation: Observation) -> None:
        self.line = (self._entries or Entries()).line(observation)

    def answer(self, data: bytes) -> bytes:
        """Answer one CheckRequest; its line in the decision log is in `line` then, empty when writing it failed."""
        self.line = b""
        return self._answerer.answer(data, Seconds(1.0))


def policy_for(host: str) -> str | None:
    """The policy that a host leads to."""
    if host in {"admin.example", "admin.api.example"}:
        return "shop/admin"
    if host == "api.example" or host.endswith(".api.example"):
        return "shop/api"
    if host == "open.example" or host.endswith(".shop.example"):
        return "shop/open"
    return "shop/odd" if host == "odd.example" else None


def rule_for(policy_name: str | None, path: bytes, method: str) -> str | None:
    """The rule that a decoded path leads to."""
    text = path.decode("utf-8", "replace")
    first = text[1:].split("/")[0] if text.startswith("/") else ""
    match policy_name:
        case "shop/admin" | "shop/open":
            return "all"
        case "shop/odd":
            return "a" if first == "a" else None
        case "shop/api":
            if text == "/orders/new" and method == "POST":
                return "place"
            if text == "/healthz":
                return "health"
            if first in {"public", *SLOTS}:
                return first
            if re.fullmatch("/users/[^/]+/card", text, re.DOTALL):
                return "card"
            return "report" if re.fullmatch("/reports/[0-9]+", text, re.ASCII) else "rest"
        case _:
            return None
