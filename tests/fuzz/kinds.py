"""Policies with a rule of every kind that counts, ties, maps, asks or revokes, and good requests for each.

What the other targets are fuzzed with is here too. Nothing holds these against a reading of their meaning: they are
there so that two programs that should answer alike have something to differ in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from extauthz.model.question import Active, Inactive, Question, Unanswered
from extauthz.model.time import Seconds
from tests.building import anonymous, moment, obj, policy, revocation
from tests.fuzz.issuer import AUDIENCE, ISSUER, NOW, claims, header, key_set, token
from tests.fuzz.world import OBJECTS

_KEYS: Final = {"inline": key_set()}
_SECRET: Final = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "client", "namespace": "shop"},
    "stringData": {"secret": "s3cret"},
}
_ASKED: Final = {
    "url": "https://opaque.example/introspect",
    "clientSecretBasic": {"clientId": "orders", "secretRef": {"name": "client", "key": "secret"}},
}


def _at(name: str, issuer: str = "corp", slot: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"issuers": [{"name": issuer}], "audiences": [AUDIENCE], **more.pop("token", {})}
    return {
        "name": name,
        "match": [{"path": {"prefix": f"/{name}"}}],
        "token": asked if slot is None else {**asked, "from": dict(slot)},
        **more,
    }


_RULES: Final[tuple[dict[str, Any], ...]] = (
    _at("once", reuse={"maxUses": 1}),
    _at("thrice", reuse={"maxUses": 3, "window": "2s", "key": "Jti"}),
    _at("tied", reuse={"maxUses": 50, "bindTo": ["SourcePrincipal", "SourceAddress"], "retry": {"within": "2s"}}),
    _at("family", reuse={"maxUses": 1, "key": "Jti", "family": {"claim": "grant"}}),
    _at("by-claim", reuse={"maxUses": 9, "key": "Claim", "claim": "/act/sub", "scope": "Global"}),
    _at(
        "limited",
        limits=[
            {"name": "subject", "by": ["Subject", "Client"], "requests": 5, "window": "1s"},
            {"name": "address", "by": ["SourceAddress"], "requests": 7, "window": "1s"},
            {"name": "claim", "by": ["Claim"], "claim": "tenant", "requests": 6, "window": "1s", "scope": "Rule"},
            {"name": "token", "by": ["Token", "Issuer"], "requests": 8, "window": "1h", "onStoreError": "Allow"},
        ],
    ),
    _at("role", "mapped", require={"roles": ["admin"]}),
    _at("named", "mapped", require={"claims": [{"claim": "tenant", "oneOf": ["acme", "globex"]},
                                               {"claim": "groups", "contains": "staff"},
                                               {"claim": "/act/sub", "present": True}]}),
    _at("strong", require={"authentication": {"acrValues": ["mfa"], "maxAge": "5m"}}),
    _at("fresh", require={"authentication": {"maxAge": "0s"}}),
    _at("asked", require={"cel": "claims.sub != 'bob' && request.headers['x-tier'] == 'gold'"}),
    _at("divided", require={"cel": "claims.exp / claims.level > 1 || claims.groups[1] == 'staff'"}),
    _at("told", token={"audienceMode": "Exact", "maxLifetime": "10m"},
        upstream={"claimHeaders": {"x-auth-sub": "sub", "x-auth-groups": "groups", "x-auth-exp": "exp",
                                   "x-auth-level": "level", "x-auth-flag": "flag"}, "forwardToken": True}),
    _at("equal", "equal"),
    _at("tenant", "many"),
    _at("spiffe", "workload"),
    _at("session", slot={"cookie": "session"}, upstream={"claimHeaders": {"x-auth-name": "name"}}),
    _at("refresh", slot={"form": "refresh_token", "otherGrants": ["client_credentials"]},
        reuse={"maxUses": 1, "family": {"claim": "grant"}, "bindTo": ["SourcePrincipal"],
               "retry": {"within": "10s"}}),
    _at("opaque", "opaque", reuse={"maxUses": 4}),
    {"name": "open", "match": [{"path": {"prefix": "/open"}, "headers": [{"name": "x-tier", "exact": "gold"}]}],
     "anonymous": True, "limits": [{"name": "open", "by": ["SourceAddress"], "requests": 5, "window": "1s"}]},
)  # fmt: skip

KINDS: Final = (
    *OBJECTS,
    _SECRET,
    obj("TokenIssuer", "mapped", {
        "issuer": ISSUER, "keys": _KEYS, "requiredClaims": [], "clockSkew": "0s", "maxLifetime": "9600h",
        "tokenTypes": ["at+jwt", "JWT", "Absent"], "reuseKeyFallback": "Token", "rolesShape": "ObjectKeys",
        "mapping": {"roles": ["/realm/roles"], "subject": ["sub", "client_id"], "scope": [], "client": ["azp"]}}),
    obj("TokenIssuer", "equal", {
        "issuer": ISSUER, "keys": _KEYS, "claimPresent": ["azp"], "claimFlags": {"flag": True}, "subjectPattern": "a*e",
        "claimEquals": {"level": 3, "token_use": "access", "/act": {"sub": "bob", "n": [1, None, 2.5]}, "ratio": 0.1}}),
    obj("TokenIssuer", "many", {
        "issuerTemplate": "https://{tid}.example/v2", "tenants": ["corp", "acme"], "keys": _KEYS}),
    obj("TokenIssuer", "workload", {"trustDomain": "corp.example", "keys": _KEYS, "tokenTypes": ["JWT", "Absent"]}),
    obj("TokenIssuer", "opaque", {"issuer": ISSUER, "introspection": _ASKED}),
    policy("kinds", *_RULES, hosts=("kinds.example",),
           challenge={"realm": "kinds", "resourceMetadata": "https://kinds.example/.well-known/x"}),
    policy("trial", *_RULES[:6], hosts=("trial.example",), mode="Shadow"),
    policy("broken", anonymous("all"), {"name": "bad", "anonymous": True, "require": {"cel": "1 +"}},
           hosts=("broken.example",)),
    revocation("by-id", jti="revoked", expires=moment(NOW + 3600)),
    revocation("by-both", subject="mallory", client="web", expires=moment(NOW + 60)),
    revocation("by-session", session="s-9", issuedBefore=moment(NOW - 30), expires=moment(NOW + 3600)),
    revocation("later", subject="carol", issuedBefore=moment(NOW - 60), expires=moment(NOW + 3600)),
    revocation("late", subject="dave", issuedBefore=moment(NOW + 60), expires=moment(NOW + 30)),
)  # fmt: skip


BROKEN: Final = frozenset({"broken", "late"})
"""Those that have a mistake."""


class Told:
    """An endpoint's answers (RFC 7662), made from the token itself: the same for the same token, with no network."""

    def recall(self, question: Question) -> Active | Inactive | None:
        """Some tokens are remembered."""
        if question.token.startswith("known"):
            return Active(claims(exp=NOW + len(question.token)))
        return Inactive() if question.token.startswith("ended") else None

    def ask(self, question: Question, until: float) -> Active | Inactive | Unanswered:
        """The others are told of, or not."""
        match len(question.token) % 4:
            case 0:
                return Unanswered("the endpoint is away", Seconds(1.5), of_this_token=until > NOW)
            case 1:
                return Inactive()
            case _:
                return Active(claims(iat=..., sub=question.token[:9]) if "=" in question.token else claims())


_SAID: Final = claims(
    jti="k-1", exp=NOW + 600, grant=7, tenant="acme", groups=["staff", "a,b"], act={"sub": "bob", "n": [1, None, 2.5]},
    level=3, ratio=0.1, token_use="access", azp="web", flag=True, realm={"roles": {"admin": {}}}, acr="mfa",
    auth_time=NOW - 5, sid="s-1", name="Zoë",
)  # fmt: skip
_TOKENS: Final[Mapping[str, str]] = {
    "": token(_SAID),
    "ec": token(_SAID, "ec"),
    "rsa": token(_SAID, "rsa"),
    "tenant": token({**_SAID, "iss": "https://acme.example/v2", "tid": "acme"}),
    "spiffe": token({**claims(sub="spiffe://corp.example/ns/shop", iss=...)}, head=header(typ="JWT")),
    "revoked": token({**_SAID, "jti": "revoked"}),
    "session": token({**_SAID, "sid": "s-9"}),
    "carol": token({**_SAID, "sub": "carol", "iat": NOW - 70}),
    "many": token({**_SAID, "aud": [AUDIENCE, "billing"], "exp": NOW + 599.75, "groups": [], "sub": "mallory"}),
}


def shapes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Requests that the rules take, as the arguments of `check_request`."""
    peer = {"host": "kinds.example", "principal": "spiffe://corp.example/ns/shop"}
    for rule in _RULES:
        name = rule["name"]
        text = _TOKENS.get(name, _TOKENS[""])
        sent = {"authorization": f"Bearer {text}", "x-tier": "gold", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        yield f"kinds-{name}", {**peer, "path": f"/{name}/a", "headers": sent}
    for name, text in _TOKENS.items():
        if name:
            yield f"told-{name}", {**peer, "path": "/told", "headers": {"authorization": f"Bearer {text}"}}
    form = f"grant_type=refresh_token&refresh_token={_TOKENS['']}"
    typed = {"content-type": "application/x-www-form-urlencoded"}
    yield "form", {**peer, "path": "/refresh", "method": "POST", "headers": typed, "body": form}
    other = "grant_type=client_credentials"
    yield "form-other", {**peer, "path": "/refresh", "method": "POST", "headers": typed, "body": other}
    cookie = {"cookie": f"a=b; session={_TOKENS['']}; c=d"}
    yield "session-cookie", {**peer, "path": "/session/a", "headers": cookie}
    for text in ("known-2YotnFZFEjr1zCsicMWpAA", "ended-2YotnF", "2YotnFZFEjr1zCsicMW", "2YotnFZFEjr1zCsicM=="):
        yield f"opaque-{text[:5]}-{len(text)}", {
            **peer, "path": "/opaque", "headers": {"authorization": f"Bearer {text}"},
        }  # fmt: skip
    for name in ("once", "limited", "family"):
        sent = {"authorization": f"Bearer {_TOKENS['']}"}
        yield f"trial-{name}", {"host": "trial.example", "path": f"/{name}", "headers": sent}
    yield "broken", {"host": "broken.example", "path": "/"}
    yield "preflight", {**peer, "path": "/told", "method": "OPTIONS",
                        "headers": {"origin": "https://a.example", "access-control-request-method": "GET"}}  # fmt: skip
