"""An introspection endpoint on loopback that answers as a test says, and issuers that ask it."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from tests.building import NOW, obj
from tests.loopback import Handler, listening

ISSUER = "https://opaque.example"
OPAQUE = "ory_at_l0ng3nough.s3gm3nt"
"""A token as no JWT looks."""
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "client", "namespace": "shop"},
    "stringData": {"secret": "s3cr:t/+ value"},
}
BASIC = {"clientSecretBasic": {"clientId": "orders client", "secretRef": {"name": "client", "key": "secret"}}}


def active(**said: Any) -> dict[str, Any]:
    """What an endpoint says of a good token; `...` leaves a member out."""
    whole = {
        "active": True,
        "iss": ISSUER,
        "sub": "alice",
        "client_id": "web",
        "scope": "orders.read orders.write",
        "aud": "orders-api",
        "exp": int(NOW) + 300,
        "iat": int(NOW) - 60,
        "token_type": "Bearer",
        **said,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def issuer(url: str, name: str = "opaque", *, spec: Mapping[str, Any] | None = None, **introspection: Any) -> Any:
    """A TokenIssuer whose endpoint is asked. Keywords go to `introspection`."""
    asked = {"url": url, **BASIC, **introspection}
    return obj("TokenIssuer", name, {"issuer": ISSUER, "introspection": asked, **(spec or {})})


class Endpoint:
    """What the endpoint answers, token by token, and what it was asked. An answer is what becomes JSON, or a status
    with headers and bytes, or a function that gets the handler."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.otherwise: Any = {"active": False}
        self.forms: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.url = ""

    @property
    def asked(self) -> list[str]:
        """The tokens that it was asked about."""
        return [form["token"][0] for form in self.forms]


class _Handler(Handler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def setup(self) -> None:
        self.endpoint.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        self.endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.endpoint.forms.append(form)
        answer = self.endpoint.answers.get(form["token"][0], self.endpoint.otherwise)
        if callable(answer):
            answer = answer(self)
        if answer is not None:
            self.reply(answer)

    def reply(self, answer: Any) -> None:
        """Write a whole answer."""
        json_type = {"Content-Type": "application/json"}
        self.write(*(answer if isinstance(answer, tuple) else (200, json_type, json.dumps(answer).encode())))


@contextmanager
def endpoint(*, tls: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """An endpoint while the block runs."""
    made = Endpoint()
    with listening(type("Endpoint", (_Handler,), {"endpoint": made}), tls=tls) as url:
        made.url = f"{url}/introspect"
        yield made


def until(held: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    for _ in range(2000):
        if held():
            return
        time.sleep(0.005)
    raise AssertionError("it never came about")


def as_json(said: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """An answer in octets of one's own, as JSON."""
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    return 200, {"Content-Type": "application/json", **headers}, data
