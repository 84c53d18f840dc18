"""What the author of an unknown field may have meant.

In this order: the same name in another spelling; what other products call it (`jwksUri` beside a rule, `hostnames`);
the same name at another place of the object; a name of which it is a part, or that is a part of it; a misspelling. A
wrong hint costs more than none, so where nothing is near, all names that are known there are told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

_Path: TypeAlias = tuple[str | int, ...]
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NEAR: Final = 0.75
"""Of difflib's ratio: a letter or two. At its default of 0.6, `auth` is near `match`, and `cache` too."""
_SECTION: Final = 3
"""The length of a path to a section of a rule: `rules`, 0 and its name."""
_MOST: Final = 2
"""Names, and places, that one hint tells."""
_AGAINST: Final = frozenset({"not", "no", "non", "none", "deny", "denied", "exclude", "excluded", "except", "remove"})
"""Words that turn the meaning round: `notMethods` is no misspelt `methods`."""

_ISSUERS: Final = "issuers and their keys are objects of kind TokenIssuer, which `spec.rules[].token.issuers` names"
_KEYS: Final = "keys stand in a TokenIssuer, at `spec.keys`, and `spec.rules[].token.issuers` names it"
_RULES: Final = "rules say what is let in, and all else is denied"
_POLICY: Final = "that is asked in an AccessPolicy, at"
_ATTACHED: Final = "a policy names hosts, or routes by `targetRefs`; where requests go is not its to say"
_NOT: Final = "what must not be is said in `spec.rules[].require.cel`"
_MODE: Final = "write `mode: Shadow` to let pass, and `mode: Enforce` to deny"
_HOME: Final = "it is read from the namespace of the object itself"
_SECRET: Final = "the secret stands in a Secret, at `secretRef`, or in a folder in a `file`"
_WAYS: Final = "we show who we are by `clientSecretBasic`, `clientSecretPost` or `bearer`"
_CREDENTIALS: Final = "write `clientSecretBasic`, with `clientId` and `secretRef` in it"

_CALLED: Final[Mapping[str, Mapping[str, str]]] = {
    "AccessPolicy": {
        "jwtRules jwt provider authentication identity issuer": _ISSUERS,
        "jwksUri jwks": _KEYS,
        "parentRefs selector": "`targetRefs`",
        "backendRefs gateways routes": _ATTACHED,
        "action allow deny authorization authorizer": _RULES,
        "enforce dryRun shadow validationFailureAction": _MODE,
        "hostnames": "`hosts`",
    },
    "rules": {
        "auth authentication authenticator jwt": "`token`",
        "authorization authorizer condition when": "`require`",
        "to operation": "`match`",
        "public": "`anonymous`",
        "rateLimit": "`limits`",
        "issuer jwksUri": _ISSUERS,
    },
    "match": {"uri url": "`path`", "host hostname": "hosts stand at `spec.hosts`, for all rules"},
    "path": {
        "type value": "write `exact: /a` or `prefix: /a` in place of both",
        "glob wildcard": "`template`",
        "regularExpression safeRegex": "`regex`",
        "startsWith": "`prefix`",
    },
    "headers": {"value": "`exact`", "exists": "`present`"},
    "token": {
        "jwksUri jwks": _KEYS,
        "algorithms": "algorithms stand in a TokenIssuer, at `spec.algorithms`",
        "fromHeaders location header headers": "write `from: {header: …}`",
        "fromParams": "write `from: {query: …}`",
        "fromCookies cookies": "write `from: {cookie: …}`",
        "ttl maxTtl": "`maxLifetime`",
        "forward forwardOriginalToken": "its place is `spec.rules[].upstream.forwardToken`",
        "outputPayloadToHeader outputClaimToHeaders": "its place is `spec.rules[].upstream.claimHeaders`",
        "requiredScopes": "its place is `spec.rules[].require.scopes`",
    },
    "from": {"param": "`query`", "body": "`form`"},
    "require": {
        "groups": "write `claims`, with the claim that has them",
        "permissions": "`scopes` or `claims`",
        "condition expression expr when": "`cel`",
        "acr": "its place is `spec.rules[].require.authentication.acrValues`",
    },
    "claims": {
        "name key": "`claim`",
        "value exact equal eq in anyOf": "`oneOf`",
        "exists": "`present`",
        "not notIn notEqual notOneOf noneOf notValue": _NOT,
    },
    "reuse": {
        "limit count times": "`maxUses`",
        "period interval duration ttl": "`window`",
        "header": "`bindHeader`",
        "singleUse once": "write `maxUses: 1`",
    },
    "limits": {
        "limit rate max count maxUses requestsPerUnit": "`requests`",
        "period interval duration unit": "`window`",
        "key selector counter": "`by`",
        "onError failOpen": "`onStoreError`",
    },
    "upstream": {"headers addHeaders setHeaders outputClaimToHeaders": "`claimHeaders`"},
    "TokenIssuer": {
        "jwksUrl": "its place is `spec.keys.jwksUri`",
        "jwks localJwks": "its place is `spec.keys.inline`",
        "oidc": "write `keys: {discovery: {}}`",
        "clientId clientSecret": "they belong into `introspection`, in `clientSecretBasic`",
        "subjectClaim usernameClaim": "its place is `spec.mapping.subject`",
        "rolesClaim groupsClaim groups": "its place is `spec.mapping.roles`",
        "scopeClaim": "its place is `spec.mapping.scope`",
        "leeway": "`clockSkew`",
        "alg": "`algorithms`",
        "typ": "`tokenTypes`",
        "ca caCert certificateAuthority tls": "`caBundle`",
        "cacheDuration cacheTtl jwksCacheDuration refreshInterval": "its place is `spec.refresh.interval`",
        "fromHeaders fromParams from": f"{_POLICY} `spec.rules[].token.from`",
        "forward forwardOriginalToken": f"{_POLICY} `spec.rules[].upstream.forwardToken`",
        "scopes": f"{_POLICY} `spec.rules[].require.scopes`",
        "claims": f"{_POLICY} `spec.rules[].require.claims`, or here `claimEquals` and `claimPresent`",
        "hosts rules": "that belongs to an AccessPolicy",
    },
    "keys": {
        "jwks localJwks keys": "`inline`",
        "uri url remoteJwks": "`jwksUri`",
        "oidc wellKnown metadataUrl openid issuer": "`discovery`",
        "pem publicKey": "keys are written as a JSON Web Key Set, at `inline`",
        "path": "`file`",
    },
    "secretRef": {"namespace": _HOME, "keyName": "`key`"},
    "configMapRef": {"namespace": _HOME, "keyName": "`key`"},
    "introspection": {
        "endpoint introspectionUrl": "`url`",
        "clientId clientSecret clientSecretRef credentials credentialsRef basic": _CREDENTIALS,
        "authentication auth clientAuthentication clientSecretJwt privateKeyJwt": _WAYS,
        "ttl": "`cacheFor`",
    },
    "clientSecretBasic": {
        "clientSecret clientSecretRef secret password credentials": _SECRET,
        "username id": "`clientId`",
    },
    "bearer": {"token secret": _SECRET},
    "mapping": {
        "sub username": "`subject`",
        "aud": "`audience`",
        "scp": "`scope`",
        "jti": "`tokenId`",
        "azp": "`client`",
        "groups": "`roles`",
    },
    "refresh": {"ttl period every cacheDuration": "`interval`"},
    "TokenRevocation": {
        "sub user": "`subject`",
        "sid": "`session`",
        "tokenId": "`jti`",
        "token": "write its digest, `tokenHash`",
        "exp": "`expires`",
        "iat issuedAt before": "`issuedBefore`",
        "clientId": "`client`",
    },
}
"""By the level, and the names that others have for it: what to write. A name alone is asked for, all else is said."""
_ALIKE: Final = {"ClusterTokenIssuer": "TokenIssuer", "clientSecretPost": "clientSecretBasic"}


def closest(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest known names, or all of them when none is close."""
    names = sorted(known)
    near = _same(name, names) or _part(name, names) or _misspelt(name, names)
    if near:
        return _did_you_mean(near)
    return "; known here are " + ", ".join(f"`{each}`" for each in names) if names else ""


def of_field(kind: str, path: _Path, known: Mapping[_Path, Iterable[str]]) -> str:
    """The hint for an unknown field of a spec of this kind: `path` ends with it, and `known` are the names by level."""
    *above, last = path
    name = str(last)
    level = tuple(0 if isinstance(step, int) else step for step in above)
    names = sorted(known.get(level, ()))
    if same := _same(name, names):
        return _did_you_mean(same)
    if called := _called(kind, level, name):
        return f"; did you mean {called}?" if called[0] == called[-1] == "`" else f"; {called}"
    places = [dotted_level((*where, name)) for where in known if name in known[where] and _related(level, where)]
    if 0 < len(places) <= _MOST:
        return "; its place is " + " or ".join(f"`{each}`" for each in places)
    return closest(name, names)


def dotted_level(path: _Path) -> str:
    """A place in a spec as authors read it: `spec.rules[].token`."""
    return "".join("[]" if isinstance(step, int) else f".{step}" for step in ("spec", *path)).removeprefix(".")


def called() -> Iterator[tuple[str, str, str]]:
    """Level, another's name and what to write, of all that are known; for the test that they are true."""
    for level, table in _CALLED.items():
        for names, words in table.items():
            for name in names.split():
                yield level, name, words


def _called(kind: str, level: _Path, name: str) -> str:
    step = next((each for each in reversed(level) if isinstance(each, str)), kind)
    table = _CALLED.get(_ALIKE.get(step, step), {})
    return next((told for names, told in table.items() if any(_words(name) == _words(n) for n in names.split())), "")


def _related(one: _Path, other: _Path) -> bool:
    """Whether the other level is within this one, or at the top, or both are sections of a rule.

    Elsewhere the same name means something else.
    """
    within = not other or other[: len(one)] == one
    section, its = (len(each) - (each[-1:] == (0,)) for each in (one, other))
    return within or (one[:2] == other[:2] == ("rules", 0) and section == its == _SECTION)


def _did_you_mean(names: Iterable[str]) -> str:
    return "; did you mean " + " or ".join(f"`{each}`" for each in names) + "?"


def _words(name: str) -> frozenset[str]:
    """The words of a name, small and without the `s` at their ends."""
    return frozenset(word.lower().removesuffix("s") for word in _WORD.findall(name))


def _same(name: str, names: list[str]) -> list[str]:
    """The known name that differs by capitals, by `_` and `-`, or by an `s`."""
    return [each for each in names if _words(each) == _words(name)][:1]


def _part(name: str, names: list[str]) -> list[str]:
    """Known names that have all words of it, or all but one. None where they are many."""
    words = _words(name)
    if not words or words & _AGAINST:
        return []
    found = [n for n in names if words < _words(n) or (_words(n) < words and len(words) == len(_words(n)) + 1)]
    return found if len(found) <= _MOST else []


def _misspelt(name: str, names: list[str]) -> list[str]:
    small = {each.lower(): each for each in names}
    if _words(name) & _AGAINST:
        return []
    return [small[each] for each in difflib.get_close_matches(name.lower(), small, n=1, cutoff=_NEAR)]
