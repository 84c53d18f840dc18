"""`python -m tests.fuzz.make_seeds`: writes the seeds that hold signatures or protobuf. The others are kept by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.model.encoding import base64url_encode
from tests.checks import check_request
from tests.fuzz.issuer import ALGS, NOW, claims, header, jwk, key_set, token
from tests.fuzz.key_sets import SECRET
from tests.fuzz.kinds import shapes
from tests.fuzz.target import SEEDS

_GOOD: Final = {name: token(claims(jti=f"id-{name}"), name) for name in ALGS}


def tokens() -> Iterator[tuple[str, bytes]]:
    """Good tokens of each key, and good or nearly good ones of other shapes."""
    for name, text in _GOOD.items():
        yield f"good-{name}", text.encode()
    shapes: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
        "several-audiences": (claims(aud=["orders-api", "billing"]), header()),
        "no-kid": (claims(), header(kid=...)),
        "long-type": (claims(), header(typ="application/at+jwt")),
        "no-iat": (claims(iat=...), header()),
        "nbf": (claims(nbf=NOW - 5), header()),
        "expired": (claims(exp=NOW - 40), header()),
        "within-skew": (claims(exp=NOW - 10), header()),
        "too-long": (claims(exp=NOW + 7200), header()),
        "nested": (claims(act={"sub": "bob", "act": {"sub": "carol"}}, roles=["a", "b"]), header()),
        "bound": (claims(cnf={"jkt": "x"}), header()),
        "id-token": (claims(), header(typ="JWT")),
    }
    for name, (said, head) in shapes.items():
        yield name, token(said, head=head).encode()
    yield "encrypted", b".".join([b"eyJhbGciOiJkaXIifQ", b"", b"YQ", b"Yg", b"Yw"])
    yield "opaque", b"2YotnFZFEjr1zCsicMWpAA"


def check_bytes() -> Iterator[tuple[str, bytes]]:
    """Requests that are admitted by each rule, in both header forms, and some that are not."""
    bearer = {"authorization": f"Bearer {_GOOD['ed']}", "x-request-id": "8e6e1b4e"}
    shapes: Mapping[str, Mapping[str, Any]] = {
        "public": {"path": "/public/a"},
        "card": {"path": "/users/7/card"},
        "report": {"path": "/reports/12?format=pdf", "host": "a.api.example:8443"},
        "orders": {"path": "/orders/7", "headers": {**bearer, "x-auth-sub": "forged", "x_auth_sub": "forged"}},
        "place": {"path": "/orders/new", "method": "POST", "headers": bearer},
        "key": {"path": "/key", "headers": {"x-key": _GOOD["ec"]}},
        "cookie": {"path": "/cookie/a", "headers": {"cookie": f"a=b; sid={_GOOD['ed']}; c=d"}},
        "query": {"path": f"/query?a=b&token={_GOOD['ed']}"},
        "open": {"path": "/orders", "host": "open.example", "source": "2001:db8::1"},
        "odd": {"path": "/a//b%2Fc;d", "host": "odd.example"},
        "admin": {"path": "/", "host": "admin.example", "headers": bearer},
        "pinned": {"path": "/x", "extensions": {"extauthz.dev/policy": "shop/open"}},
    }
    principal = "spiffe://corp.example/ns/shop"
    for name, shape in shapes.items():
        yield name, _settled(check_request(**shape))
        yield f"{name}-bare", _settled(check_request(**shape, pseudo=False))
        yield f"{name}-raw", _settled(check_request(**shape, raw=True, principal=principal))


def builds() -> Iterator[tuple[str, bytes]]:
    """The same requests, and some for the policies of every kind."""
    yield from check_bytes()
    for name, shape in shapes():
        yield name, _settled(check_request(**shape, pseudo=False))


def _settled(data: bytes) -> bytes:
    """The same message with its maps in order."""
    return CheckRequest.FromString(data).SerializeToString(deterministic=True)


def key_sets() -> Iterator[tuple[str, bytes]]:
    """Sets of public keys, whole and curious, and one of a shared secret."""
    secret = {"kty": "oct", "kid": "secret", "alg": "HS256", "use": "sig", "k": base64url_encode(SECRET)}
    shapes: Mapping[str, Any] = {
        "all": key_set(),
        "bare": {"keys": [{k: v for k, v in jwk(name).items() if k not in {"alg", "use"}} for name in ALGS]},
        "no-kid": {"keys": [{k: v for k, v in jwk(name).items() if k != "kid"} for name in ALGS]},
        "twice": {"keys": [jwk("ed"), {**jwk("ec"), "kid": "ed"}, {**jwk("ed"), "kid": "other"}, jwk("ed")]},
        "operations": {"keys": [{**jwk("rsa"), "key_ops": ["verify"], "x5t": "x", "issuer": "https://corp.example"}]},
        "encryption": {"keys": [{**jwk("rsa"), "use": "enc"}, jwk("ec")]},
        "secret": {"keys": [secret]},
        "mixed": {"keys": [secret, jwk("ed")]},
    }
    for name, shape in shapes.items():
        yield name, json.dumps(shape).encode()


def made() -> Iterator[tuple[str, str, bytes]]:
    """Folder, name and octets of every seed that is made here."""
    for folder, make in (("tokens", tokens), ("check_bytes", check_bytes), ("key_sets", key_sets), ("builds", builds)):
        for name, data in make():
            yield folder, name, data


if __name__ == "__main__":
    for folder, name, data in made():
        (SEEDS / folder).mkdir(parents=True, exist_ok=True)
        (SEEDS / folder / name).write_bytes(data)
