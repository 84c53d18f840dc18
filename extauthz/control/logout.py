"""Back-channel logout (OpenID Connect Back-Channel Logout 1.0): an issuer posts a logout token, and a TokenRevocation
ends the access tokens of that session.

The same object that people write, so it takes the same way to every replica, and shows in `kubectl get`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from kubernetes.client import ApiClient

from extauthz.control.allowance import Allowance
from extauthz.control.moments import exact
from extauthz.control.resources import path_of
from extauthz.control.writing import Unreached, call
from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.time import Clock, Instant
from extauthz.model.token import IssuerRef, Trust
from extauthz.model.verdict import Refusal
from extauthz.policy.parse import API_VERSION
from extauthz.policy.problem import ObjectRef
from extauthz.tokens.cache import GenerationalCache
from extauthz.tokens.jws import parse_jws, read_payload
from extauthz.tokens.logout import Logout, read_logout
from extauthz.tokens.quoting import quote

EACH_SECOND: Final = 10.0
"""Revocations that are written for the logouts of one namespace, for as long as it goes on."""
AT_ONCE: Final = 200
"""Revocations that are written in a burst, for example when an administrator ends many sessions."""

_LOG: Final = logging.getLogger(__name__)
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `error` of RFC 6749, section 5.2, and its words; empty when the logout is done."""

    status: HTTPStatus
    error: str = ""
    description: str = ""

    @property
    def body(self) -> bytes:
        """As JSON; nothing when there is nothing to say."""
        if not self.error:
            return b""
        return json.dumps({"error": self.error, "error_description": self.description}).encode()


DONE: Final = Reply(HTTPStatus.OK)
_NO_FORM: Final = Reply(HTTPStatus.BAD_REQUEST, "invalid_request", "a form with exactly one `logout_token` is needed")
_NOT_VALID: Final = Reply(HTTPStatus.BAD_REQUEST, "invalid_request", "the logout token is not valid")
_FAILED: Final = Reply(HTTPStatus.BAD_REQUEST, "temporarily_unavailable", "the logout could not be done; try again")


class Came(Enum):
    """What came of a logout request, as metrics say it."""

    DONE = "done"
    """A revocation was written, or is there already."""
    REFUSED = "refused"
    """It is no logout token that counts here."""
    LIMITED = "limited"
    """Its namespace had too many written lately."""
    FAILED = "failed"
    """It could not be verified, or not be written."""


class Unwritten(Exception):
    """The API server does not take the revocation. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutReceiver:
    """Takes logout tokens, from any number of threads.

    INVARIANT: nothing is written before a signature holds. What a stranger posts costs the API server no call.
    """

    issuers: Callable[[], Iterable[Trust] | None]
    """The issuers whose logouts are ours to take, as they are now; None while they are not known."""
    keys: Callable[[], Mapping[IssuerRef, KeyState]]
    want_keys: Callable[[IssuerRef], None]
    """Is told when a token names a key that its issuer's set lacks."""
    write: Callable[[dict[str, Any]], None]
    """Creates a TokenRevocation; one of that name that is there already is as good. Raises when it cannot be done."""
    clock: Clock
    install_namespace: str
    allowance: Allowance
    """By namespace: what one tenant's issuer signs must not be at the cost of another's."""
    counts: Counter[Came] = field(default_factory=Counter, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _written: GenerationalCache[str, Instant] = field(
        default_factory=lambda: GenerationalCache(10_000), init=False, repr=False
    )
    """Names of objects that were written. Only spares work: a name that was dropped is written once more."""

    def receive(self, content_type: str, body: bytes) -> Reply:
        """Answer one logout request (sections 2.5 and 2.8). Never raises."""
        came, reply = self._answer(content_type, body)
        with self._lock:
            self.counts[came] += 1
        return reply

    def _answer(self, content_type: str, body: bytes) -> tuple[Came, Reply]:
        token = _token_of(content_type, body)
        if token is None:
            return Came.REFUSED, _NO_FORM
        issuers = self.issuers()
        if issuers is None:
            return Came.FAILED, _FAILED
        now = self.clock.now()
        found = self._verify(token, issuers, now)
        logouts = [each for each in found if isinstance(each, Logout)]
        refusals = [each for each in found if isinstance(each, Refusal)]
        for refusal in refusals:
            _LOG.info("a logout token was refused: %s: %s", refusal.reason.label, refusal.detail)
            if refusal.reason is Reason.KEY_UNKNOWN and refusal.issuer is not None:
                self.want_keys(refusal.issuer)
        # Each is tried: one that cannot be written must not keep another from it.
        outcomes = {self._revoke(each, now) for each in logouts}
        reasons = {refusal.reason for refusal in refusals}
        if Came.FAILED in outcomes or Reason.KEYS_UNAVAILABLE in reasons:
            return Came.FAILED, _FAILED
        if outcomes:
            return (Came.LIMITED, _FAILED) if Came.LIMITED in outcomes else (Came.DONE, DONE)
        return (Came.FAILED, _FAILED) if Reason.KEY_UNKNOWN in reasons else (Came.REFUSED, _NOT_VALID)

    def _verify(self, token: str, issuers: Iterable[Trust], now: Instant) -> list[Logout | Refusal]:
        """What each issuer object that the token's `iss` names makes of it; several may share one `iss`."""
        told = [trust for trust in issuers if trust.back_channel is not None]
        jws = parse_jws(token, frozenset(name for trust in told for name in trust.ignored_header_parameters))
        if isinstance(jws, Refusal):
            return [jws]
        claims = read_payload(jws)
        if isinstance(claims, Refusal):
            return [claims]
        named = [trust for trust in told if trust.speaks_for(claims)]
        if not named:
            return [Refusal(Reason.ISSUER_UNTRUSTED, f"no issuer with `iss` {quote(claims.get('iss'))} logs out here")]
        keys = self.keys()
        return [read_logout(jws, claims, trust, keys, now) for trust in named]

    def _revoke(self, logout: Logout, now: Instant) -> Came:
        """Write the revocation, unless it was."""
        revocation = revocation_of(logout, now, self.install_namespace)
        metadata = revocation["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        if self._written.get(name) is not None:
            return Came.DONE
        if not self.allowance.take(metadata["namespace"]):
            _LOG.warning("a logout at %s was put off: its namespace has too many", logout.trust.ref)
            return Came.LIMITED
        try:
            self.write(revocation)
        except Exception as error:  # noqa: BLE001  # whatever keeps it from being written, the issuer must hear of it
            words = str(error) if isinstance(error, Unwritten | Unreached) else type(error).__name__
            _LOG.error("the TokenRevocation %s of a logout could not be written: %s", name, words)
            return Came.FAILED
        self._written.put(name, now)
        _LOG.info("a logout at %s is TokenRevocation %s", logout.trust.ref, name)
        return Came.DONE


def create(api: ApiClient, revocation: Mapping[str, Any]) -> None:
    """Write it, unless it is there. Raises Unreached, Unwritten."""
    metadata = revocation["metadata"]
    path = path_of(ObjectRef("TokenRevocation", metadata["namespace"], metadata["name"])).rpartition("/")[0]
    answer = call(api, "POST", path, revocation)
    there = answer.status == HTTPStatus.CONFLICT and answer.body.get("reason") == "AlreadyExists"
    if not answer.good and not there:
        raise Unwritten(str(answer))


def revocation_of(logout: Logout, now: Instant, install_namespace: str) -> dict[str, Any]:
    """The TokenRevocation that a logout comes to, in the namespace where it counts for all who trust the issuer.

    It names what was issued up to the logout, and lasts until the last such token has expired by itself. One logout
    token makes one name, so that a repetition, at whichever replica, writes nothing new.
    """
    trust = logout.trust
    said = {"session": logout.session, "subject": logout.subject}
    parts = [*map(str, trust.ref), logout.token_id, repr(logout.issued_at), repr(said)]
    digest = hashlib.sha256(b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts))
    expires = Instant(math.ceil(now + trust.max_lifetime + 2 * trust.clock_skew))
    return {
        "apiVersion": API_VERSION,
        "kind": "TokenRevocation",
        "metadata": {
            "name": f"logout-{digest.hexdigest()[:40]}",
            "namespace": trust.ref.namespace or install_namespace,
            "labels": {"app.kubernetes.io/managed-by": "extauthz"},
        },
        "spec": {
            "issuer": {"kind": trust.ref.kind, "name": trust.ref.name},
            **{name: value for name, value in said.items() if value is not None},
            "issuedBefore": exact(_first_good(logout.issued_at)),
            "expires": exact(expires),
            "reason": "back-channel logout",
        },
    }


def _first_good(logout: Instant) -> Instant:
    """The first `iat` of a token that must have come after the logout.

    Issuers cut `iat` off to whole seconds. Of two that fell into one second nobody can tell which came first, so a
    token of that second is taken for an older one.
    """
    return Instant(logout + 1) if float(logout).is_integer() else logout


def _token_of(content_type: str, body: bytes) -> str | None:
    """The `logout_token` of a form; other fields may stand beside it (section 2.5)."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return None
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        return None
    tokens = [value for name, value in fields if name == "logout_token"]
    return tokens[0] if len(tokens) == 1 else None
