"""Back-channel logout (OpenID Connect Back-Channel Logout 1.0): an issuer posts a logout token, and a TokenRevocation
ends the access tokens of that session.

The same object that people write, so it takes the same way to every replica, and shows in `kubectl get`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from extauthz.control.moments import exact
from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.time import Clock, Instant
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Refusal
from extauthz.policy.parse import API_VERSION
from extauthz.tokens.cache import GenerationalCache
from extauthz.tokens.jws import parse_jws
from extauthz.tokens.logout import Logout, Party, read_logout
from extauthz.tokens.quoting import quote
from extauthz.tokens.verify import read_payload

PATH: Final = "/backchannel-logout"
MAX_BODY: Final = 32 * 1024
"""Bytes of a request; a logout token has about one thousand."""

_LOG: Final = logging.getLogger(__name__)
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 16
_TIMEOUT: Final = 5.0
"""Seconds that an issuer may take to send or read."""


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
_NOT_VALID: Final = Reply(HTTPStatus.BAD_REQUEST, "invalid_request", "the logout token is not valid")
_FAILED: Final = Reply(HTTPStatus.BAD_REQUEST, "temporarily_unavailable", "the logout could not be done; try again")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutReceiver:
    """Takes logout tokens, from any number of threads."""

    parties: Callable[[], Sequence[Party]]
    """The issuers whose logouts count, as they are now."""
    keys: Callable[[], Mapping[IssuerRef, KeyState]]
    want_keys: Callable[[IssuerRef], None]
    """Is told when a token names a key that its issuer's set lacks."""
    write: Callable[[dict[str, Any]], None]
    """Creates a TokenRevocation; one of that name that is there already is as good. Raises when it cannot be done."""
    clock: Clock
    install_namespace: str
    _written: GenerationalCache[str, Instant] = field(
        default_factory=lambda: GenerationalCache(10_000), init=False, repr=False
    )
    """Names of objects that were written. Only spares work: a name that was dropped is written once more."""

    def receive(self, content_type: str, body: bytes) -> Reply:
        """Answer one logout request (sections 2.5 and 2.8). Never raises."""
        token = _token_of(content_type, body)
        if token is None:
            return Reply(HTTPStatus.BAD_REQUEST, "invalid_request", "a form with exactly one `logout_token` is needed")
        now = self.clock.now()
        found = self._verify(token, now)
        logouts = [each for each in found if isinstance(each, Logout)]
        refusals = [each for each in found if isinstance(each, Refusal)]
        for refusal in refusals:
            _LOG.info("a logout token was refused: %s: %s", refusal.reason.label, refusal.detail)
            if refusal.reason is Reason.KEY_UNKNOWN and refusal.issuer is not None:
                self.want_keys(refusal.issuer)
        # Each is tried: one that cannot be written must not keep another from it.
        failed = [each for each in logouts if not self._revoke(each, now)]
        reasons = {refusal.reason for refusal in refusals}
        if failed or Reason.KEYS_UNAVAILABLE in reasons:
            return _FAILED
        if logouts:
            return DONE
        return _FAILED if Reason.KEY_UNKNOWN in reasons else _NOT_VALID

    def _verify(self, token: str, now: Instant) -> list[Logout | Refusal]:
        """What each issuer object that the token's `iss` names makes of it; several may share one `iss`."""
        jws = parse_jws(token)
        if isinstance(jws, Refusal):
            return [jws]
        claims = read_payload(jws)
        if isinstance(claims, Refusal):
            return [claims]
        named = [party for party in self.parties() if party.trust.speaks_for(claims)]
        if not named:
            return [Refusal(Reason.ISSUER_UNTRUSTED, f"no issuer with `iss` {quote(claims.get('iss'))} logs out here")]
        keys = self.keys()
        return [read_logout(jws, claims, party, keys, now) for party in named]

    def _revoke(self, logout: Logout, now: Instant) -> bool:
        """Write the revocation, unless it was. Whether it is there now."""
        revocation = revocation_of(logout, now, self.install_namespace)
        metadata = revocation["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        if self._written.get(name) is not None:
            return True
        try:
            self.write(revocation)
        except Exception as error:  # noqa: BLE001  # whatever keeps it from being written, the issuer must hear of it
            _LOG.error("the TokenRevocation %s of a logout could not be written: %s", name, type(error).__name__)
            return False
        self._written.put(name, now)
        _LOG.info("a logout at %s is TokenRevocation %s", logout.trust.ref, name)
        return True


def revocation_of(logout: Logout, now: Instant, install_namespace: str) -> dict[str, Any]:
    """The TokenRevocation that a logout comes to, in the namespace where it counts for all who trust the issuer.

    It names what was issued before the logout, and lasts until the last such token has expired by itself. One logout
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
            "issuedBefore": exact(logout.issued_at),
            "expires": exact(expires),
            "reason": "back-channel logout",
        },
    }


def logout_handler(receiver: LogoutReceiver) -> type[BaseHTTPRequestHandler]:
    """A handler for an HTTP server. The base makes one for each request, so the receiver stands on the class."""
    return type("Handler", (_Handler,), {"receiver": receiver})


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


class _Handler(BaseHTTPRequestHandler):
    receiver: ClassVar[LogoutReceiver]
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT

    def do_POST(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or "transfer-encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            self._send(self.receiver.receive(self.headers.get("content-type", ""), body))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        if reply.body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply.body)))
        self.send_header("cache-control", "no-store")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what the status means, and nothing of the request, which the base would quote."""
        self.close_connection = True
        self._send(Reply(HTTPStatus(code), "invalid_request", HTTPStatus(code).phrase.lower()))

    def version_string(self) -> str:
        return "extauthz"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
        """Say nothing: what came of a request is told where it is decided."""
