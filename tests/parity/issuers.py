"""TokenIssuer and ClusterTokenIssuer objects."""

from __future__ import annotations

from typing import Any

from tests.issuing import jwks
from tests.parity.row import Row, Rows, Spec

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEYS: Spec = {"inline": jwks()}
ISSUER: Spec = {"issuer": "https://login.corp.example", "keys": KEYS}
TEMPLATE: Spec = {"issuer": None, "issuerTemplate": "https://login.example/{tid}/v2.0", "tenants": ["red", "blue"]}
HELD: Spec = {"name": "held", "key": "keys.json"}
HELD_SECRET: Spec = {"name": "held", "key": "secret.json"}
HELD_TOKEN: Spec = {"name": "held", "key": "token"}


def issuers() -> list[Row]:
    """Good ones and bad ones."""
    rows = Rows("TokenIssuer", ISSUER)
    rows.holds("the smallest issuer")
    rows.holds(
        "every setting", algorithms=["RS256", "ES256"], audiences=["https://api.corp.example"], maxLifetime="1h",
        clockSkew="0s", tokenTypes=["at+jwt", "JWT", "Absent"], requiredClaims=["sub", "/act/sub"],
        claimEquals={"token_use": "access", "ver": 2, "/a/b": ""}, claimFlags={"email_verified": True, "guest": False},
        claimPresent=["azp"], rolesShape="ObjectKeys", subjectPattern="spiffe://a/*", reuseKeyFallback="Token",
        ignoredHeaderParameters=["jku", "x5c", "zip"],
        mapping={
            "scope": ["scp", "scope"], "client": ["azp"], "audience": ["aud"], "subject": ["oid", "sub"],
            "roles": ["/realm_access/roles"], "tokenId": [],
        },
        issuerAliases=["https://sts.corp.example/"], keyAlgAbsent="FromAlgorithms", keyUse=["sig", "Absent"],
        refresh={"interval": "30s", "maxStale": "168h"}, caBundle={"inline": CERTIFICATE},
        backChannelLogout={"clients": ["web"], "tokenTypes": ["JWT", "Absent"], "ends": "Subject"},
    )  # fmt: skip
    rows.holds("null for what may be left out", mapping=None, tokenTypes=None, caBundle=None, maxLifetime=None)
    rows.holds("no claims at all required", requiredClaims=[])
    rows.breaks(
        "a header parameter that brings a key", "spec.ignoredHeaderParameters[0]", "jku",
        ignoredHeaderParameters=["jwk"],
    )  # fmt: skip
    rows.holds("several tenants", **TEMPLATE, tenantClaim="tid")
    rows.holds("SPIFFE", issuer="Absent", trustDomain="acme.example")
    rows.breaks("an issuer with a space", "spec.issuer", "without spaces", issuer="https://a b")
    rows.breaks("an issuer outside ASCII", "spec.issuer", "printable ASCII", issuer="https://é.example")
    rows.breaks("nobody's tokens", "spec", "exactly one of `issuer`", issuer=None)
    rows.breaks("nobody's tokens, said", "spec", "exactly one of `issuer`", issuer="Absent")
    rows.breaks("two names", "spec", "exactly one of `issuer`", trustDomain="acme.example")
    rows.breaks("the published sample", "spec", "is a sample", issuer="testing@secure.istio.io")
    rows.breaks("a name in braces", "spec", "name in braces", issuer="https://login.example/{tenantid}/v2.0")
    rows.breaks("a template without tenants", "spec", "need each other", **TEMPLATE | {"tenants": []})
    rows.breaks("tenants without a template", "spec", "need each other", tenants=["red"])
    rows.breaks(
        "a template of two places", "spec.issuerTemplate", "one `{name}`", **TEMPLATE | {"issuerTemplate": "{a}{b}"}
    )
    rows.breaks("a tenant with a slash", "spec.tenants[0]", "letters, digits", **TEMPLATE | {"tenants": ["a/b"]})
    rows.breaks("a tenant claim for nobody", "spec", "`tenantClaim` is for `issuerTemplate`", tenantClaim="tid")
    rows.breaks("aliases of nobody", "spec", "`issuerAliases` are other forms", **TEMPLATE, issuerAliases=["a"])
    rows.breaks("a trust domain in upper case", "spec.trustDomain", "lower-case", issuer=None, trustDomain="A.example")
    rows.holds("logouts", backChannelLogout={"clients": ["web", "spa"]})
    rows.breaks("logouts for no client", "spec.backChannelLogout.clients", "", backChannelLogout={"clients": []})
    rows.breaks(
        "logouts that end nothing known",
        "spec.backChannelLogout.ends",
        backChannelLogout={"clients": ["a"], "ends": "All"},
    )
    rows.breaks(
        "logouts of a type less",
        "spec.backChannelLogout.tokenTypes",
        backChannelLogout={"clients": ["a"], "tokenTypes": []},
    )
    rows.breaks(
        "logouts of an issuer without a name", "spec", "with an `iss`",
        issuer=None, trustDomain="acme.example", backChannelLogout={"clients": ["web"]},
    )  # fmt: skip
    rows.breaks("an unknown field", "spec.jwks_uri", jwks_uri="https://a.example")
    rows.breaks("namespaces of a namespaced issuer", "spec.allowedNamespaces", allowedNamespaces=["shop"])
    return [*rows.rows, *_keys(), *_algorithms(), *_tokens(), *_introspected(), *_clustered()]


def _introspected() -> list[Row]:
    rows = Rows("TokenIssuer", {"issuer": "https://login.corp.example"})
    basic: Spec = {"clientSecretBasic": {"clientId": "orders", "secretRef": HELD}}
    good: Spec = {"url": "https://login.corp.example/introspect", **basic}
    rows.holds("the smallest introspection", introspection=good)
    rows.holds(
        "every setting of introspection",
        introspection=good | {
            "tokens": "Any", "prefixes": ["ory_at_"], "cacheFor": "0s", "timeout": "50ms", "maxConcurrent": 32,
            "maxPerSecond": 10_000,
        },
        caBundle={"inline": CERTIFICATE}, audiences=["orders"], claimEquals={"token_type": "Bearer"},
    )  # fmt: skip
    rows.holds(
        "a client that sends its secret in the body", introspection=_client(clientSecretPost=basic["clientSecretBasic"])
    )
    rows.holds("a bearer token for the endpoint", introspection=_client(bearer={"secretRef": HELD_TOKEN}))
    both = "exactly one of `keys` and `introspection`"
    rows.breaks("keys and introspection", "spec", both, introspection=good, keys=KEYS)
    rows.breaks(
        "algorithms without signatures", "spec", "`algorithms` are for", introspection=good, algorithms=["RS256"]
    )
    rows.breaks("the endpoint of nobody", "spec", "needs one `issuer`", **TEMPLATE, introspection=good)
    rows.breaks("the endpoint of a trust domain", "spec", "needs one `issuer`", issuer=None, trustDomain="a.example",
                introspection=good)  # fmt: skip
    rows.breaks("logouts that nobody can verify", "spec", "needs `keys`", introspection=good,
                backChannelLogout={"clients": ["orders"]})  # fmt: skip
    where = "spec.introspection"
    one = "exactly one of `clientSecretBasic`, `clientSecretPost`, `bearer`"
    rows.breaks("an endpoint that is told nothing", where, one, introspection={"url": good["url"]})
    rows.breaks("two ways to say who we are", where, one, introspection=good | {"bearer": {"secretRef": HELD}})
    rows.breaks("no endpoint", f"{where}.url", introspection=basic)
    rows.breaks("an endpoint over http", f"{where}.url", "https://", introspection=good | {"url": "http://a.example/"})
    rows.breaks("an endpoint with a query", where, "has a query", introspection=good | {"url": good["url"] + "?k=v"})
    rows.breaks("an endpoint with a user", f"{where}.url", introspection=good | {"url": "https://a:b@a.example/"})
    rows.breaks("no client id", f"{where}.clientSecretBasic.clientId",
                introspection=_client(clientSecretBasic={"secretRef": HELD}))  # fmt: skip
    rows.breaks("a client id with a line end", f"{where}.clientSecretBasic.clientId", "printable ASCII",
                introspection=_client(clientSecretBasic={"clientId": "a\nb", "secretRef": HELD}))  # fmt: skip
    rows.breaks("no secret", f"{where}.clientSecretBasic", "exactly one of `secretRef`",
                introspection=_client(clientSecretBasic={"clientId": "a"}))  # fmt: skip
    rows.breaks("a secret of another namespace", f"{where}.bearer.secretRef.namespace",
                introspection=_client(bearer={"secretRef": HELD | {"namespace": "other"}}))  # fmt: skip
    rows.breaks("a secret written down", f"{where}.bearer.value", introspection=_client(bearer={"value": "s3cret"}))
    for name, value in {
        "tokens": "Every", "prefixes": ["a b"], "cacheFor": "301s", "timeout": "49ms", "maxConcurrent": 0,
        "maxPerSecond": 10_001, "cache": "1s",
    }.items():  # fmt: skip
        rows.breaks(f"introspection with {name} {value}", f"{where}.{name}", introspection=good | {name: value})
    rows.breaks("nine prefixes", f"{where}.prefixes", introspection=good | {"prefixes": [f"p{at}_" for at in range(9)]})
    return rows.rows


def _client(**said: Any) -> Spec:
    return {"url": "https://login.corp.example/introspect", **said}


def _keys() -> list[Row]:
    rows = Rows("TokenIssuer", ISSUER)
    signing = jwks()["keys"][0] | {"issuer": "https://a/{tid}", "key_ops": ["verify"]}
    certified = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "x5c": ["MIIB"], "x5t": "a", "x5t#S256": "b", "kid": None}
    own = {"jwksUri": "https://kubernetes.default.svc/openid/v1/jwks", "authentication": "OwnServiceAccountToken"}
    for title, keys in {
        "discovery": {"discovery": {}},
        "discovery elsewhere": {"discovery": {"url": "https://login.example:8443/.well-known/x?a=b"}},
        "a URL": {"jwksUri": "https://login.example"},
        "loopback": {"jwksUri": "http://127.0.0.1:8080/keys"},
        "an address": {"jwksUri": "https://[fd00::1]:8443/keys/@/~a%20b"},
        "a Secret": {"secretRef": HELD},
        "a ConfigMap": {"configMapRef": HELD},
        "our own account": own,
        "keys with issuers": {"inline": {"keys": [signing]}, "keyIssuerMember": "Match"},
        "a key with certificates": {"inline": {"keys": [jwks()["keys"][0], certified]}},
    }.items():
        rows.holds(f"keys from {title}", keys=keys)
    for url in (
        "http://login.example/keys", "ftp://login.example", "https:///keys", "https://u:p@login.example/",
        "https://a b",
        "https://login.example/#a", "https://login.example/é", "HTTPS://login.example", "login.example/keys",
        "http://localhost.example/", "http://127.0.0.1.example/keys",
    ):  # fmt: skip
        rows.breaks(f"keys from {url}", "spec.keys.jwksUri", "begins with `https://`", keys={"jwksUri": url})
    rows.breaks("a URL of 8 characters", "spec.keys.jwksUri", keys={"jwksUri": "https://"})
    rows.breaks("a URL of 2049", "spec.keys.jwksUri", keys={"jwksUri": "https://login.example/" + "a" * 2027})
    return [*rows.rows, *_key_sets()]


def _key_sets() -> list[Row]:
    rows = Rows("TokenIssuer", ISSUER)
    one = "exactly one of `discovery`"
    rows.breaks("no keys", "spec", "exactly one of `keys` and `introspection`", keys=None)
    rows.breaks("keys from nowhere", "spec.keys", one, keys={})
    rows.breaks("keys from two places", "spec.keys", one, keys={**KEYS, "discovery": {}})
    rows.breaks("keys from a file", "spec.keys.file", keys={**KEYS, "file": "keys.json"})
    rows.breaks("discovery for no issuer", "spec", "`discovery` needs one `issuer`", **TEMPLATE, keys={"discovery": {}})
    rows.breaks(
        "an account shown to nobody",
        "spec.keys",
        "`authentication` is for",
        keys={**KEYS, "authentication": "OwnServiceAccountToken"},
    )
    rows.breaks(
        "an account and an authority of one's own", "spec", "the cluster's own authority counts",
        keys={"discovery": {}, "authentication": "OwnServiceAccountToken"}, caBundle={"inline": CERTIFICATE},
    )  # fmt: skip
    rows.breaks("a key set that is a list", "spec.keys.inline", keys={"inline": jwks()["keys"]})
    rows.breaks("an empty key set", "spec.keys.inline.keys", keys={"inline": {"keys": []}})
    rows.breaks("a key without type", "spec.keys.inline.keys[0].kty", keys={"inline": {"keys": [{"kid": "a"}]}})
    rows.breaks("a private key", "spec.keys.inline.keys[0].d", keys={"inline": {"keys": [{"kty": "EC", "d": "AQAB"}]}})
    rows.breaks(
        "a key id that is a number",
        "spec.keys.inline.keys[0].kid",
        keys={"inline": {"keys": [{"kty": "EC", "kid": 1}]}},
    )
    rows.breaks("a Secret without an entry", "spec.keys.secretRef.key", keys={"secretRef": {"name": "held"}})
    odd = {"name": "held", "key": "a/b"}
    rows.breaks("a Secret's entry with a slash", "spec.keys.secretRef.key", "letters", keys={"secretRef": odd})
    rows.breaks(
        "a Secret elsewhere", "spec.keys.secretRef.namespace", keys={"secretRef": {**HELD, "namespace": "other"}}
    )
    rows.holds("authorities from a ConfigMap", caBundle={"configMapRef": {"name": "held", "key": "ca.pem"}})
    rows.breaks("authorities that are no certificates", "spec.caBundle.inline", "PEM", caBundle={"inline": "MIIB"})
    rows.breaks("authorities from a file", "spec.caBundle.file", caBundle={"inline": CERTIFICATE, "file": "ca.pem"})
    rows.breaks("no authorities", "spec.caBundle", "exactly one of `inline`", caBundle={})
    return rows.rows


def _algorithms() -> list[Row]:
    rows = Rows("TokenIssuer", ISSUER)
    rows.holds("symmetric, from a Secret", algorithms=["HS256", "HS512"], keys={"secretRef": HELD_SECRET})
    rows.holds("no algorithm named", algorithms=[])
    rows.breaks("an unknown algorithm", "spec.algorithms[0]", algorithms=["none"])
    rows.breaks("an algorithm in lower case", "spec.algorithms[0]", algorithms=["rs256"])
    rows.breaks(
        "symmetric and asymmetric", "spec", "mixes symmetric and asymmetric",
        algorithms=["RS256", "HS256"], keys={"secretRef": HELD},
    )  # fmt: skip
    for title, keys in (("the policy", KEYS), ("a URL", {"discovery": {}}), ("a ConfigMap", {"configMapRef": HELD})):
        rows.breaks(
            f"symmetric, from {title}", "spec", "symmetric algorithms need their key", algorithms=["HS256"], keys=keys
        )
    return rows.rows


def _tokens() -> list[Row]:
    rows = Rows("TokenIssuer", ISSUER)
    rows.breaks("a skew of six minutes", "spec.clockSkew", "allowed is 0s to 5m", clockSkew="6m")
    rows.breaks("a negative skew", "spec.clockSkew", clockSkew="-1s")
    rows.breaks("refreshed all the time", "spec.refresh.interval", "allowed is 30s to 24h", refresh={"interval": "29s"})
    rows.breaks("stale for ever", "spec.refresh.maxStale", "allowed is 30s to 168h", refresh={"maxStale": "169h"})
    rows.breaks("no token type", "spec.tokenTypes", tokenTypes=[])
    rows.breaks("an unknown shape of roles", "spec.rolesShape", rolesShape="Words")
    rows.breaks("a fallback that is none", "spec.reuseKeyFallback", reuseKeyFallback="Jti")
    rows.breaks("nine claims tried", "spec.mapping.scope", mapping={"scope": [f"c{number}" for number in range(9)]})
    rows.breaks("a name for a list", "spec.mapping.scope", mapping={"scope": "scp"})
    rows.breaks("an unknown mapping", "spec.mapping.groups", mapping={"groups": ["groups"]})
    for title, value in (
        ("a truth value", True),
        ("a fraction", 1.5),
        ("a list", ["a"]),
        ("null", None),
        ("too long", "a" * 1025),
    ):
        rows.breaks(f"equal to {title}", "spec.claimEquals", claimEquals={"token_use": value})
    rows.breaks("a number out of range", "spec.claimEquals", claimEquals={"ver": 2**53})
    rows.breaks("an empty claim", "spec.claimEquals", claimEquals={"": "a"})
    rows.breaks("a claim of 257 characters", "spec.claimEquals", claimEquals={"a" * 257: "a"})
    rows.breaks("a claim outside ASCII", "spec.claimEquals", claimEquals={"é": "a"})
    rows.breaks("33 claims", "spec.claimEquals", claimEquals={f"c{number}": "a" for number in range(33)})
    rows.breaks("a flag that is a text", "spec.claimFlags", claimFlags={"a": "true"})
    rows.breaks("a flag that is null", "spec.claimFlags", claimFlags={"a": None})
    rows.breaks("a claim in two fields", "spec", "name one claim", claimFlags={"a": True}, claimEquals={"a": "b"})
    return rows.rows


def _clustered() -> list[Row]:
    rows = Rows("ClusterTokenIssuer", ISSUER)
    rows.holds("for everyone")
    rows.holds("for two namespaces", allowedNamespaces=["shop", "bank"])
    rows.holds(
        "for selected namespaces",
        allowedNamespaceSelector={
            "matchLabels": {"team.example/tier": "gold", "empty": ""},
            "matchExpressions": [
                {"key": "env", "operator": "In", "values": ["prod", "stage"]},
                {"key": "env", "operator": "NotIn", "values": ["test"]},
                {"key": "a/b", "operator": "Exists"},
                {"key": "c", "operator": "DoesNotExist"},
            ],
        },
    )
    at = "spec.allowedNamespaceSelector"
    for title, field, words, selector in (
        ("a selector of nothing", at, "demands nothing", {}),
        ("a selector of empty parts", at, "demands nothing", {"matchLabels": {}, "matchExpressions": []}),
        ("a label with a space", f"{at}.matchLabels", "", {"matchLabels": {"a b": "c"}}),
        ("a label that says too much", f"{at}.matchLabels", "", {"matchLabels": {"a": "b" * 64}}),
        ("a label that ends oddly", f"{at}.matchLabels", "", {"matchLabels": {"a": "b-"}}),
        ("an unknown operator", f"{at}.matchExpressions[0].operator", "",
         {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}),
        ("In without values", f"{at}.matchExpressions[0]", "need `values`",
         {"matchExpressions": [{"key": "a", "operator": "In"}]}),
        ("Exists with values", f"{at}.matchExpressions[0]", "need `values`",
         {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
        ("an expression of no label", f"{at}.matchExpressions[0].key", "",
         {"matchExpressions": [{"operator": "Exists"}]}),
        ("an expression of an odd label", f"{at}.matchExpressions[0].key", "letters, digits",
         {"matchExpressions": [{"key": "a b", "operator": "Exists"}]}),
        ("an unknown part of a selector", f"{at}.matchLabel", "", {"matchLabel": {"a": "b"}}),
    ):  # fmt: skip
        rows.breaks(title, field, words, allowedNamespaceSelector=selector)
    both = {"matchLabels": {"a": "b"}}
    rows.breaks(
        "names and a selector",
        "spec",
        "leave one of the two",
        allowedNamespaces=["shop"],
        allowedNamespaceSelector=both,
    )
    rows.breaks("a selector among the names", "spec.allowedNamespaces", allowedNamespaces={"selector": both})
    rows.holds("for nobody", allowedNamespaces=[])
    rows.holds("keys from a Secret of the installation", keys={"secretRef": HELD})
    rows.breaks("a namespace in upper case", "spec.allowedNamespaces[0]", "lower-case", allowedNamespaces=["Shop"])
    rows.breaks("257 namespaces", "spec.allowedNamespaces", allowedNamespaces=[f"n{number}" for number in range(257)])
    return rows.rows
