"""Fuzzes the whole service, octets to octets: the reference of the other targets in one (ext_authz, CheckRequest)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Final

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from tests.checks import Response, read_response
from tests.fuzz.answers import plain
from tests.fuzz.octets import mutate_text
from tests.fuzz.reading import bearers_read, cookies_read, good_claims, hosts_read, parameters_read, paths_read
from tests.fuzz.target import Target, insist
from tests.fuzz.tokens import mutate as mutate_token
from tests.fuzz.wire import mutate_message
from tests.fuzz.words import CHECK_WORDS
from tests.fuzz.world import ASSERTED, SLOTS, Loaded, policy_for, rule_for

_LOADED: Final = Loaded()
_SCOPES: Final = {"place": "orders.write", "all": "admin"}
_PIN: Final = "extauthz.dev/policy"
_ANONYMOUS: Final = frozenset(
    (policy, rule)
    for policy, rules in (("shop/api", "public health card report rest"), ("shop/open", "all"), ("shop/odd", "a"))
    for rule in rules.split()
)


def judge(data: bytes) -> str:
    """Answer, read the answer as Envoy does, and hold an admission against every other reading of the request."""
    response = read_response(_LOADED.answer(data))
    line = json.loads(_LOADED.line) if _LOADED.line else None
    insist(line is not None and _LOADED.line.count(b"\n") == 1, "a decision has no line of its own in the log")
    reason = str(response.metadata.get("reason", "allow"))
    insist(reason != "internal", f"a bug is answered: {'' if line is None else line.get('detail')}")
    insist(reason == "allow" or response.code != 0, "a denial says OK")
    if response.code == 0:
        _hold(response, CheckRequest.FromString(data).attributes)
    return f"{reason} {response.metadata.get('rule')}: {plain('' if line is None else line.get('detail', ''))}"


def _hold(response: Response, attributes: AttributeContext) -> None:
    http = attributes.request.http
    chosen = (response.metadata.get("policy"), response.metadata.get("rule"))
    for place in _places(attributes):
        insist(place == chosen, f"a request is admitted by {chosen}, and read otherwise leads to {place}")
    headers = _headers(http)
    if chosen not in _ANONYMOUS:
        tokens = set(_tokens(str(chosen[1]), headers, http.path.partition("?")[2]))
        insist(len(tokens) == 1, "a request is admitted in which others find no token, or several")
        claims = good_claims(tokens.pop())
        insist(claims is not None, "a request is admitted whose token is not good")
        insist(_SCOPES.get(str(chosen[1]), "orders.read") in _granted(claims or {}), "a scope is missing")
    ours = {name for name in headers if name.lower().replace("_", "-") == ASSERTED}
    dealt_with = {name.lower() for name in (*response.removed, *response.headers)}
    insist(ours <= dealt_with, "a client's own identity header goes upstream")


def _places(attributes: AttributeContext) -> Iterator[tuple[str | None, str | None]]:
    """Policy and rule, by each reading of host and path."""
    http = attributes.request.http
    pinned = attributes.context_extensions.get(_PIN)
    policies = {pinned} if pinned is not None else {policy_for(host) for host in hosts_read(http.host)}
    paths = list(paths_read(http.path))
    for policy in policies:
        for path in paths[:1] if policy == "shop/odd" else paths:
            yield policy, rule_for(policy, path, http.method)


def _headers(http: AttributeContext.HttpRequest) -> dict[str, list[str]]:
    """Both forms of the headers put together."""
    found: dict[str, list[str]] = {}
    for name, value in http.headers.items():
        found.setdefault(name.lower(), []).append(value)
    for header in http.header_map.headers:
        found.setdefault(header.key.lower(), []).append(header.value or header.raw_value.decode("latin-1"))
    return found


def _tokens(rule: str, headers: Mapping[str, list[str]], query: str) -> Iterator[str]:
    """Every token that a server could find, wherever it may stand."""
    yield from bearers_read(headers.get("authorization", ()))
    yield from parameters_read(query, "access_token")
    match SLOTS.get(rule):
        case {"header": str(name)} if name != "authorization":
            yield from (value.strip() for value in headers.get(name, ()))
        case {"cookie": str(name)}:
            yield from cookies_read(headers.get("cookie", ()), name)
        case {"query": str(name)}:
            yield from parameters_read(query, name)
        case _:
            pass


def _granted(claims: Mapping[str, object]) -> list[str]:
    scope = claims.get("scope")
    return scope.split() if isinstance(scope, str) else [str(item) for item in scope] if isinstance(scope, list) else []


TOKEN: Final = re.compile(rb"ey[\w-]{9,}\.[\w.-]+")
"""What looks like a token in a message."""
_EDIT: Final = mutate_text(CHECK_WORDS)


def _edit(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to a text within: often to what a token in it says, and mostly such that it stays UTF-8."""
    token = TOKEN.search(data)
    if token is not None and chance.random() < 0.5:
        return data[: token.start()] + mutate_token(token[0], other, chance) + data[token.end() :]
    edited = _EDIT(data, other, chance)
    return edited.decode("utf-8", "ignore").encode() if chance.random() < 0.9 else edited


TARGET: Final = Target(
    name="check_bytes",
    mutate=mutate_message(_edit),
    judge=judge,
    share=15,
)
