"""The guarded API with an issuer whose keys are fetched: from a server on loopback, or read from a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from extauthz.keys.fetch import Fetcher
from extauthz.keys.jwks import KeyRing, KeyState
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from tests.catalogue.guarded import Guarded, api, at, issuer
from tests.clock import FakeClock

REF = IssuerRef("TokenIssuer", "shop", "remote")
PATIENCE = 10.0


class Fetched(Guarded):
    """Asks about tokens of the issuer `remote`, whose keys a ring fetches while the block runs."""

    def __init__(
        self, url: str | None = None, *, keys: Any = None, allow: bool = True, deadline: float = 3.0, **spec: Any
    ) -> None:
        """`url` is where the key set stands, or `keys` say it another way; `allow` admits servers on loopback."""
        self._changed = threading.Condition()
        clock = FakeClock()
        ring = KeyRing(clock, on_change=self._note, fetcher=Fetcher(allow_loopback=allow, deadline=Seconds(deadline)))
        source = {"jwksUri": url} if keys is None else keys
        rules = (at("plain", issuer="remote"), at("once", issuer="remote", reuse={"maxUses": 1}))
        super().__init__(api(*rules), issuer("remote", keys=source, **spec), clock=clock, keys=ring)

    def __enter__(self) -> Self:
        assert REF in self.keys.states(), "the issuer itself is refused"
        self.keys.start()
        self.until(lambda state: state.keys is not None or state.problem is not None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keys.stop()

    @property
    def state(self) -> KeyState:
        """What is known of the issuer's keys."""
        return self.keys.states()[REF]

    def later(self, seconds: float) -> None:
        """Turn the clock, and let the ring look at it."""
        self.clock.advance(seconds)
        assert self.snapshot is not None
        self.keys.reconcile(self.snapshot.issuer_keys)

    def until(self, holds: Callable[[KeyState], bool]) -> KeyState:
        """Wait until the issuer's keys are as wanted."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.state), PATIENCE), self.state
        return self.state

    def until_failed(self) -> KeyState:
        """Wait until the last attempt failed."""
        return self.until(lambda state: state.problem is not None)

    def until_has(self, *kids: str) -> KeyState:
        """Wait until these are the usable keys."""
        return self.until(lambda state: state.keys is not None and {key.kid for key in state.keys.keys} == {*kids})

    def skipped(self, kid: str) -> str:
        """Why a key is not used: the operator reads this in the issuer's state."""
        assert self.state.keys is not None
        return "; ".join(each.why for each in self.state.keys.skipped if each.kid == kid)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def fetched_keys(folder: Path, keys: list[Any], **spec: Any) -> Iterator[Fetched]:
    """The API with an issuer whose keys stand in a file: the one place for secrets."""
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": keys}))
    with Fetched(keys={"file": str(file)}, **spec) as fetched:
        yield fetched
