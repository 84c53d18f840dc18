"""AccessPolicy objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.building import obj
from tests.parity.row import Row, Rows, Spec

TOKEN: Spec = {"issuers": [{"name": "corp"}], "audiences": ["orders-api"]}
RULE: Spec = {"name": "place-order", "token": TOKEN}
GOOD: Spec = {"hosts": ["orders.shop.example"], "rules": [RULE]}
OPEN: Spec = {"name": "health", "anonymous": True}


def _open(number: int) -> Spec:
    """One of many rules, with a match of its own."""
    return {**OPEN, "name": f"r{number}", "match": [{"path": {"exact": f"/{number}"}}]}


def policies() -> list[Row]:
    rows = Rows("AccessPolicy", GOOD)
    rows.holds("the smallest policy")
    rows.holds("a rule without a token", rules=[OPEN])
    rows.holds("shadow", mode="Shadow")
    rows.holds("every form of host", hosts=["*", "*.shop.example", "a", "10.0.0.1", "[fd00::1]", "_srv.example"])
    rows.holds("64 hosts", hosts=[f"h{number}.example" for number in range(64)])
    rows.holds("64 rules", rules=[_open(number) for number in range(64)])
    rows.holds("a host of 253 characters", hosts=["a" * 253])
    rows.holds("null for what may be left out", mode=None, challenge=None, allowOddPaths=None)
    rows.holds("odd paths", allowOddPaths=["EmptySegment", "EncodedSlash", "Backslash"])
    rows.holds("a challenge", challenge={"realm": "shop", "resourceMetadata": "https://shop.example/.well-known/x"})
    return [
        *rows.rows,
        *_hosts(),
        *_targets(),
        *_rules(),
        *_matches(),
        *_tokens(),
        *_forms(),
        *_requirements(),
        *_counts(),
        *_limits(),
        *_upstreams(),
    ]


def _hosts() -> list[Row]:
    rows = Rows("AccessPolicy", GOOD)
    rows.breaks("no hosts", "spec.hosts", hosts=[])
    rows.breaks("65 hosts", "spec.hosts", hosts=[f"h{number}.example" for number in range(65)])
    rows.breaks("a host with a port", "spec.hosts[0]", "without scheme, port", hosts=["shop.example:443"])
    rows.breaks("a host in upper case", "spec.hosts[0]", "in lower case", hosts=["Shop.example"])
    rows.breaks("a host with a scheme", "spec.hosts[0]", "without scheme", hosts=["https://shop.example"])
    rows.breaks("a star in the middle", "spec.hosts[0]", "`*.example`", hosts=["a.*.example"])
    rows.breaks("a host with a dot at its end", "spec.hosts[0]", "trailing dot", hosts=["shop.example."])
    rows.breaks("an empty host", "spec.hosts[0]", hosts=[""])
    rows.breaks("a host that is null", "spec.hosts[0]", hosts=[None])
    rows.breaks("a host of 254 characters", "spec.hosts[0]", hosts=["a" * 254])
    rows.breaks("a host twice", "spec", "`hosts` has one host twice", hosts=["a.example", "b.example", "a.example"])
    rows.breaks("hosts as a text", "spec.hosts", hosts="shop.example")
    rows.breaks("an unknown mode", "spec.mode", mode="Audit")
    rows.breaks("a mode in lower case", "spec.mode", mode="shadow")
    rows.breaks("no rules", "spec.rules", rules=[])
    rows.breaks("65 rules", "spec.rules", rules=[{**OPEN, "name": f"r{number}"} for number in range(65)])
    rows.breaks("two rules of one name", "spec", "`rules` has one name twice", rules=[RULE, OPEN, RULE])
    rows.breaks("an unknown field", "spec.host", host="shop.example")
    rows.breaks("an odd path that is not known", "spec.allowOddPaths[0]", allowOddPaths=["DotSegment"])
    rows.breaks("a realm with a quote", "spec.challenge.realm", 'without `"`', challenge={"realm": 'a"b'})
    rows.breaks(
        "metadata over http",
        "spec.challenge.resourceMetadata",
        "`https://`",
        challenge={"resourceMetadata": "http://a.example"},
    )
    return rows.rows


def _targets() -> list[Row]:
    """Policies for objects of Gateway API."""
    rows = Rows("AccessPolicy", {"rules": [RULE]})
    route, group = {"kind": "HTTPRoute", "name": "orders"}, "gateway.networking.k8s.io"
    rows.holds("a target", targetRefs=[route])
    rows.holds(
        "targets of every kind",
        targetRefs=[
            {**route, "group": group},
            {"kind": "GRPCRoute", "name": "a.b"},
            {"kind": "Gateway", "name": "edge"},
        ],
    )
    rows.holds("sections", targetRefs=[{**route, "sectionName": name} for name in ("a", "b", "c.d")])
    rows.holds("16 targets", targetRefs=[{**route, "name": f"r{number}"} for number in range(16)])
    rows.holds("null for hosts beside targets", targetRefs=[route], hosts=None)
    rows.breaks("neither hosts nor targets", "spec", "exactly one of `hosts`, `targetRefs`")
    rows.breaks("hosts and targets", "spec", "exactly one of `hosts`, `targetRefs`", targetRefs=[route], hosts=["a"])
    rows.breaks("no targets", "spec.targetRefs", targetRefs=[])
    many = [{**route, "name": f"r{number}"} for number in range(17)]
    rows.breaks("17 targets", "spec.targetRefs", targetRefs=many)
    rows.breaks("a target twice", "spec", "`targetRefs` has one target twice", targetRefs=[route, {**route}])
    rows.breaks(
        "a target twice, once with its group", "spec", "one target twice", targetRefs=[route, {**route, "group": group}]
    )
    odd: dict[str, Spec] = {
        "of another kind": {"kind": "TLSRoute"},
        "of no kind": {"kind": None},
        "of another group": {"group": "gateway.networking.x-k8s.io"},
        "without a name": {"name": None},
        "in upper case": {"name": "Orders"},
        "of another namespace": {"namespace": "other"},
        "with an empty section": {"sectionName": ""},
        "with a section in upper case": {"sectionName": "A"},
    }
    for title, change in odd.items():
        rows.breaks(f"a target {title}", "spec.targetRefs[0]", targetRefs=[{**route, **change}])
    return rows.rows


def _of_rules(changes: Mapping[str, Any], rule: Mapping[str, Any] = RULE) -> Spec:
    return {"hosts": ["orders.shop.example"], "rules": [{**rule, **changes}]}


class _RuleRows:
    """Rows made by changing one part of a good rule."""

    def __init__(self, part: str | None = None, wrap: Any = None) -> None:
        self.rows: list[Row] = []
        self._part = part
        self._wrap = wrap or (lambda value: value)

    def _object(self, change: Any, rule: Mapping[str, Any]) -> Mapping[str, Any]:
        changes = change if self._part is None else {self._part: self._wrap(change)}
        return obj("AccessPolicy", "under-test", _of_rules(changes, rule))

    def holds(self, title: str, change: Any, rule: Mapping[str, Any] = RULE) -> None:
        """A good object."""
        self.rows.append(Row(title, self._object(change, rule)))

    def breaks(self, title: str, field: str, words: str, change: Any, rule: Mapping[str, Any] = RULE) -> None:
        """A bad one; `field` counts from the rule."""
        where = "spec.rules[0]" + (f".{field}" if field else "")
        self.rows.append(Row(title, self._object(change, rule), where, words))


def _rules() -> list[Row]:
    rows = _RuleRows()
    only = "without a token, limits can only count"
    limit = {"name": "l", "by": ["SourceAddress"], "requests": 1, "window": "1m"}
    rows.holds("anonymous with a limit by address", {"limits": [limit]}, OPEN)
    rows.holds("anonymous that forwards", {"upstream": {"forwardToken": True, "claimHeaders": {}}}, OPEN)
    rows.holds("null for parts of a rule", {"reuse": None, "require": None, "anonymous": None, "match": None})
    rows.breaks("neither token nor anonymous", "", "exactly one of `token`", {"token": None})
    rows.breaks("token and anonymous", "", "exactly one of `token`", {"anonymous": True})
    rows.breaks("anonymous as a text", "anonymous", "", {"anonymous": "yes"}, OPEN)
    rows.breaks("a rule without a name", "name", "", {"name": None})
    rows.breaks("a rule's name in upper case", "name", "lower-case letters", {"name": "Place"})
    rows.breaks("a rule's name of 64 characters", "name", "", {"name": "a" * 64})
    rows.breaks("anonymous with require", "", "need a token", {"require": {"scopes": ["a"]}}, OPEN)
    rows.breaks("anonymous with reuse", "", "need a token", {"reuse": {"maxUses": 1}}, OPEN)
    rows.breaks("anonymous with headers", "", "need a token", {"upstream": {"claimHeaders": {"x-a": "sub"}}}, OPEN)
    rows.breaks("anonymous with a limit by subject", "", only, {"limits": [{**limit, "by": ["Subject"]}]}, OPEN)
    rows.breaks("two limits of one name", "", "`limits` has one name twice", {"limits": [limit, limit]}, OPEN)
    rows.breaks("an unknown part", "requires", "", {"requires": {}})
    return rows.rows


def _matches() -> list[Row]:
    paths = _RuleRows("match", lambda path: [{"path": path}])
    for form, text in (
        ("exact", "/"), ("exact", "/api/orders"), ("exact", "/a b/%20/é/%C3%A9/🙂/%F0%9F%99%82"),
        ("exact", "/a;v=1/x...y/.hidden/%2e%2ex"), ("prefix", "/api/"), ("prefix", "/a%2Fb"),
        ("template", "/users/{id}/orders"), ("template", "/{a_b-1}/"), ("template", "/plain"),
        ("regex", "/v[0-9]+/.*"), ("regex", "(?i)/a|/b"), ("regex", r"/\pL{1,100}"),
    ):  # fmt: skip
        paths.holds(f"path {form} {text}", {form: text})
    odd = (
        ("a path with a query", "/a?b=c", "remove `?`"), ("a dot segment", "/a/../b", "dot segment"),
        ("a dot at the end", "/a/.", "dot segment"), ("an encoded dot segment", "/a/%2e%2E/b", "dot segment"),
        ("a dot segment after an encoded slash", "/a%2f..", "dot segment"),
        ("a dot segment after a backslash", "/a\\..\\b", "dot segment"),
        ("a dot segment with a parameter", "/..;x/b", "dot segment"), ("no slash first", "api", "begins with `/`"),
        ("a fragment", "/a#b", ""), ("a broken escape", "/a%2", ""), ("an escape that is none", "/a%zz", ""),
        ("an encoded control character", "/a%0Ab", ""), ("a control character", "/a\x01b", ""),
        ("octets that are not UTF-8", "/a%C3%28", ""), ("an overlong octet", "/a%C0%AF", ""),
        ("a surrogate in UTF-8", "/a%ED%A0%80", ""), ("an empty path", "", ""),
        ("a path of 1025 characters", "/" + "a" * 1024, ""),
    )  # fmt: skip
    for title, text, words in odd:
        for form in ("exact", "prefix"):
            paths.breaks(f"{title}, {form}", f"match[0].path.{form}", words, {form: text})
    for title, text in (
        ("half a segment", "/a{id}/b"), ("an open brace", "/{id"), ("no name", "/{}/b"),
        ("a name with a dot", "/{a.b}"),
        ("a name outside ASCII", "/{é}"), ("a template of one character", "/"),
        ("a template with a query", "/{id}?a"),
        ("a template with a dot segment", "/{id}/.."), ("a template with a broken escape", "/{id}/%f"),
    ):  # fmt: skip
        paths.breaks(title, "match[0].path.template", "", {"template": text})
    for title, text in (
        ("an open group", "/(a"),
        ("a look-ahead", "/(?=a)"),
        ("1001 times", "a{1001}"),
        ("513", "a" * 513),
    ):
        paths.breaks(f"a pattern with {title}", "match[0].path.regex", "", {"regex": text})
    paths.breaks("a star in a prefix", "match[0].path.prefix", "", {"prefix": "/api/*"})
    paths.breaks("a name in an exact path", "match[0].path.exact", "", {"exact": "/users/{id}"})
    paths.breaks("a star in a template", "match[0].path.template", "", {"template": "/*/{id}"})
    for title, form, text, words in (
        ("a name after a colon", "exact", "/users/:id", "`{name}` for a segment"),
        ("a name after a colon", "template", "/users/:id/{order}", "`{name}` for a segment"),
        ("a name in angle brackets", "prefix", "/users/<id>", ""), ("a choice", "prefix", "/a|/b", ""),
        ("a choice", "template", "/a|b/{id}", ""),
        ("a pattern for a part of the path", "regex", "admin/.*", "begins with `/`"),
        ("a pattern whose group is for a part of the path", "regex", "^(?i:(admin|root))/.*", "begins with `/`"),
        ("a pattern with a character outside ASCII", "regex", "/caf\u00e9/.*", "`%C3%A9`"),
        ("a pattern with a space", "regex", "/my files/.*", "`%20`"),
        ("a pattern with an escape in lower case", "regex", "/caf%c3%a9", "upper case"),
    ):  # fmt: skip
        paths.breaks(f"{title}, {form}", f"match[0].path.{form}", words, {form: text})
    paths.holds("a star that is one", {"exact": "/a/%2A"})
    paths.holds("a colon within a segment", {"exact": "/v1/models/m:generate/%3Aid"})
    for text in ("(?i)/caf%c3%a9", "^/[^ ]+/%C3%A9$", "(/a|/b)", "[/]a", ".*[.]php", "(?P<all>/.*)"):
        paths.holds(f"a pattern that fits paths, {text}", {"regex": text})
    paths.breaks("two ways to match a path", "match[0].path", "exactly one of", {"exact": "/a", "prefix": "/b"})
    paths.breaks("no way to match a path", "match[0].path", "exactly one of", {})
    return [*paths.rows, *_heads()]


def _heads() -> list[Row]:
    heads = _RuleRows("match", lambda header: [{"headers": [header], "methods": ["GET", "M-SEARCH"]}])
    heads.holds("a header with a value", {"name": "x-tenant", "exact": "a b"})
    heads.holds("a header that is there", {"name": "x-tenant", "present": True})
    heads.breaks(
        "a header in upper case", "match[0].headers[0].name", "in lower case", {"name": "X-A", "present": True}
    )
    heads.breaks("a value with a space at its end", "match[0].headers[0].exact", "", {"name": "x", "exact": "a "})
    heads.breaks("a header that is not there", "match[0].headers[0].present", "", {"name": "x", "present": False})
    heads.breaks("a header without value", "match[0].headers[0]", "exactly one of", {"name": "x"})
    heads.breaks("the host for a header", "match[0].headers[0]", "in `hosts`", {"name": "host", "exact": "a.example"})
    twice = [{"name": "x", "exact": "a"}, {"name": "x", "exact": "b"}]
    alternatives = _RuleRows("match", lambda headers: [{"headers": headers}])
    alternatives.breaks("a header with two values", "match[0]", "an alternative of `match`", twice)
    alternatives.holds("two headers", [{"name": "x", "exact": "a"}, {"name": "y", "present": True}])
    methods = _RuleRows("match", lambda method: [{"methods": [method]}])
    methods.breaks("a method with a space", "match[0].methods[0]", "", "GET POST")
    methods.breaks("a method in lower case", "match[0].methods[0]", "", "post")
    methods.breaks("a star for a method", "match[0].methods[0]", "", "*")
    methods.breaks("two methods in one", "match[0].methods[0]", "", "GET|POST")
    methods.breaks("a method that is a truth value", "match[0].methods[0]", "", True)
    methods.breaks("a method of 33 characters", "match[0].methods[0]", "", "A" * 33)
    return [*heads.rows, *alternatives.rows, *methods.rows]


def _tokens() -> list[Row]:
    rows = _RuleRows("token", lambda changes: TOKEN | changes)
    rows.holds("a cluster's issuer", {"issuers": [{"kind": "ClusterTokenIssuer", "name": "corp"}]})
    rows.holds("a lifetime", {"maxLifetime": "1h30m"})
    rows.holds("the longest lifetime", {"maxLifetime": "9600h"})
    for slot in ({"header": "x-token"}, {"cookie": "Session"}, {"query": "access_token"}):
        rows.holds(f"a token in {next(iter(slot))}", {"from": slot})
    rows.holds("tokens for nobody else, beside an API key", {"audienceMode": "Exact", "alongside": ["x-api-key"]})
    rows.breaks("an unknown mode of audiences", "token.audienceMode", "", {"audienceMode": "exact"})
    rows.holds("tokens with many groups", {"maxLength": 16_384})
    rows.breaks("tokens longer than any header", "token.maxLength", "", {"maxLength": 32_769})
    rows.breaks("any header beside the token", "token.alongside[0]", "", {"alongside": ["x-token"]})
    rows.breaks("no issuer", "token.issuers", "", {"issuers": []})
    rows.breaks("nine issuers", "token.issuers", "", {"issuers": [{"name": "corp"}] * 9})
    rows.breaks(
        "an issuer of an unknown kind", "token.issuers[0].kind", "", {"issuers": [{"kind": "Issuer", "name": "a"}]}
    )
    rows.breaks("an issuer without a name", "token.issuers[0].name", "", {"issuers": [{"kind": "TokenIssuer"}]})
    rows.breaks(
        "an issuer elsewhere", "token.issuers[0].namespace", "", {"issuers": [{"name": "corp", "namespace": "b"}]}
    )
    rows.breaks("an audience with a line end", "token.audiences[0]", "printable ASCII", {"audiences": ["a\nb"]})
    rows.breaks("an empty audience", "token.audiences[0]", "", {"audiences": [""]})
    rows.breaks("a lifetime of nothing", "token.maxLifetime", "allowed is 1s to 9600h", {"maxLifetime": "0s"})
    rows.breaks("a lifetime too long", "token.maxLifetime", "allowed is 1s to 9600h", {"maxLifetime": "9600h1s"})
    for text in ("10", "1.5h", "-1m", "1d", "1m1h", "", "1h ", "1us", "1234567s"):
        rows.breaks(f"a lifetime written `{text}`", "token.maxLifetime", "", {"maxLifetime": text})
    rows.breaks("a lifetime as a number", "token.maxLifetime", "", {"maxLifetime": 600})
    rows.breaks("two slots", "token.from", "exactly one of", {"from": {"header": "x-token", "query": "t"}})
    rows.breaks("an empty slot", "token.from", "exactly one of", {"from": {}})
    rows.breaks("a cookie with a space", "token.from.cookie", "a cookie name", {"from": {"cookie": "a b"}})
    rows.breaks("a parameter with a sign", "token.from.query", "letters, digits", {"from": {"query": "a&b"}})
    rows.breaks("a slot in upper case", "token.from.header", "in lower case", {"from": {"header": "X-Token"}})
    return rows.rows


def _forms() -> list[Row]:
    """Refresh tokens in token requests."""
    rows = _RuleRows("token", lambda changes: TOKEN | changes)
    form: Spec = {"form": "refresh_token"}
    rows.holds("a refresh token in a form", {"from": form})
    grants = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]
    rows.holds("a form, and grants beside", {"from": {**form, "otherGrants": grants}})
    rows.holds("no grants beside a header", {"from": {"header": "x-token", "otherGrants": []}})
    rows.breaks("another form parameter", "token.from.form", "", {"from": {"form": "token"}})
    slot = {"header": "x-token", "otherGrants": grants}
    rows.breaks("grants beside a header", "token.from", "`otherGrants` goes with `form", {"from": slot})
    twice = {**form, "otherGrants": grants[:1] * 2}
    rows.breaks("a grant twice", "token.from", "`otherGrants` names one grant twice", {"from": twice})
    for grant in ("refresh_token", "password", "urn:ietf:params:oauth:grant-type:token-exchange"):
        beside = {**form, "otherGrants": [grant]}
        rows.breaks(f"the grant {grant} beside", "token.from.otherGrants[0]", "", {"from": beside})
    return rows.rows


def _requirements() -> list[Row]:
    rows = _RuleRows("require")
    rows.holds(
        "all requirements",
        {
            "scopes": ["orders.write"], "roles": ["clerk"], "authentication": {"acrValues": ["gold"], "maxAge": "5m"},
            "claims": [
                {"claim": "tenant", "oneOf": ["acme", "globex"]}, {"claim": "/a/b", "contains": "x"},
                {"claim": "azp", "present": True},
            ],
            "cel": "claims.sub != request.headers['x-on-behalf-of']",
        },
    )  # fmt: skip
    rows.holds("nothing required", {})
    rows.breaks("a scope with a space", "require.scopes[0]", "without spaces", {"scopes": ["a b"]})
    rows.breaks("33 scopes", "require.scopes", "", {"scopes": [f"s{number}" for number in range(33)]})
    rows.breaks("no authentication", "require.authentication", "at least one of `acrValues`", {"authentication": {}})
    rows.breaks(
        "an age too high", "require.authentication.maxAge", "0s to 744h", {"authentication": {"maxAge": "745h"}}
    )
    rows.breaks("a claim without a test", "require.claims[0]", "exactly one of", {"claims": [{"claim": "a"}]})
    rows.breaks(
        "two tests",
        "require.claims[0]",
        "exactly one of",
        {"claims": [{"claim": "a", "contains": "b", "present": True}]},
    )
    rows.breaks("one of none", "require.claims[0].oneOf", "", {"claims": [{"claim": "a", "oneOf": []}]})
    rows.breaks(
        "a claim that is not there", "require.claims[0].present", "", {"claims": [{"claim": "a", "present": False}]}
    )
    rows.breaks("a number for a text", "require.claims[0].contains", "", {"claims": [{"claim": "a", "contains": 1}]})
    rows.breaks("an empty condition", "require.cel", "", {"cel": ""})
    rows.breaks("a condition of 4097 characters", "require.cel", "", {"cel": "true" + " " * 4093})
    return rows.rows


def _counts() -> list[Row]:
    rows = _RuleRows("reuse", lambda changes: {"maxUses": 1} | changes)
    rows.holds("single use", {})
    rows.holds("single use by claim", {"key": "Claim", "claim": "txn"})
    rows.holds("many in a window", {"maxUses": 1_000_000, "window": "744h", "scope": "Global"})
    rows.holds("bound to a header", {"bindTo": ["Header", "SourceAddress"], "bindHeader": "x-caller"})
    rows.holds("a retry", {"bindTo": ["SourcePrincipal"], "retry": {"within": "2s500ms"}})
    rows.breaks("no use", "reuse.maxUses", "", {"maxUses": 0})
    rows.breaks("too many uses", "reuse.maxUses", "", {"maxUses": 1_000_001})
    rows.breaks("uses as a text", "reuse.maxUses", "", {"maxUses": "1"})
    rows.breaks("half a use", "reuse.maxUses", "", {"maxUses": 1.5})
    rows.breaks("uses left out", "reuse.maxUses", "", {"maxUses": None})
    rows.breaks("a window too long", "reuse.window", "allowed is 1s to 744h", {"window": "745h"})
    rows.breaks("a window too short", "reuse.window", "allowed is 1s to 744h", {"window": "999ms"})
    rows.breaks("an unknown key", "reuse.key", "", {"key": "Subject"})
    rows.breaks("key Claim without a claim", "reuse", "`claim` goes with `key: Claim`", {"key": "Claim"})
    rows.breaks("a claim without key Claim", "reuse", "`claim` goes with `key: Claim`", {"claim": "txn"})
    rows.breaks("bindTo Header without one", "reuse", "`bindHeader` goes with", {"bindTo": ["Header"]})
    rows.breaks("a header that is not bound", "reuse", "`bindHeader` goes with", {"bindHeader": "x-caller"})
    rows.breaks("bound twice", "reuse", "`bindTo` names the same thing twice", {"bindTo": ["SourceAddress"] * 2})
    rows.breaks("a retry for everyone", "reuse", "`retry` needs `bindTo`", {"retry": {"within": "1s"}})
    rows.breaks(
        "a retry in a window", "reuse", "`retry` goes with uses counted",
        {"retry": {"within": "1s"}, "bindTo": ["SourceAddress"], "window": "1m"},
    )  # fmt: skip
    retry = {"bindTo": ["SourceAddress"], "retry": {"within": "11s"}}
    rows.breaks("a retry too late", "reuse.retry.within", "allowed is 100ms to 10s", retry)
    rows.holds("a family", {"family": {"claim": "/grant/id"}, "key": "Jti"})
    rows.holds("a family beside another claim", {"family": {"claim": "sid"}, "key": "Claim", "claim": "txn"})
    rows.breaks("a family without its claim", "reuse.family", "", {"family": {}})
    rows.breaks("a family in a window", "reuse", "`family` goes with uses", {"family": {"claim": "a"}, "window": "1m"})
    same = {"family": {"claim": "sid"}, "key": "Claim", "claim": "sid"}
    rows.breaks("a family of one token", "reuse", "`family` needs another claim", same)
    for claim in ("iss", "aud", "exp", "nbf", "iat", "jti", "/iss", "/jti"):
        rows.breaks(f"a family by {claim}", "reuse", "`family` needs a claim", {"family": {"claim": claim}})
    return [*rows.rows, *_retries(), *_own_headers()]


def _own_headers() -> list[Row]:
    """A tie to the header in which the token itself stands, which everybody has who has the token."""
    rows = Rows("AccessPolicy", GOOD)
    slots: list[tuple[str, Spec | None]] = [
        ("authorization", None), ("authorization", {"header": "authorization"}), ("x-api-key", {"header": "x-api-key"}),
        ("cookie", {"cookie": "session"}),
    ]  # fmt: skip

    def rule(header: str, slot: Spec | None) -> Spec:
        token = TOKEN if slot is None else {**TOKEN, "from": slot}
        return _of_rules(
            {"reuse": {"maxUses": 2, "bindTo": ["Header"], "bindHeader": header}}, {**RULE, "token": token}
        )

    for header, slot in slots:
        rows.breaks(
            f"bound to `{header}`, from {slot}", "spec.rules[0]", "where the token stands", **rule(header, slot)
        )
    for header, slot in (("cookie", None), ("authorization", {"query": "t"}), ("x-caller", {"header": "x-api-key"})):
        rows.holds(f"bound to `{header}`, from {slot}", **rule(header, slot))
    return rows.rows


def _retries() -> list[Row]:
    """How long a request may be repeated, by where its token stands."""

    def rule(changes: Spec) -> Spec:
        form = {**RULE, "token": {**TOKEN, "from": {"form": "refresh_token"}}}
        return _of_rules({"reuse": {"maxUses": 1, **changes}}, form)

    rows = Rows("AccessPolicy", GOOD)
    principal: Spec = {"bindTo": ["SourcePrincipal"]}
    plain = _of_rules({"reuse": {"maxUses": 1, **principal, "retry": {"within": "5001ms"}}})
    rows.breaks("a retry of five seconds and more", "spec.rules[0]", "`retry` for longer than 5s", **plain)
    rows.holds(
        "a retry of five seconds", **_of_rules({"reuse": {"maxUses": 1, **principal, "retry": {"within": "5s"}}})
    )
    rows.holds("a retry of a refresh token", **rule({**principal, "retry": {"within": "10s"}}))
    rows.holds("a refresh token bound to an address", **rule({"bindTo": ["SourceAddress"]}))
    other = rule({"bindTo": ["SourceAddress"], "retry": {"within": "1s"}})
    rows.breaks("a retry of a refresh token by address", "spec.rules[0]", "needs `bindTo: [SourcePrincipal]`", **other)
    return rows.rows


def _limits() -> list[Row]:
    rows = _RuleRows(
        "limits", lambda changes: [{"name": "l", "by": ["Subject"], "requests": 60, "window": "1m"} | changes]
    )
    rows.holds(
        "a limit by everything",
        {"by": ["Subject", "Client", "Token", "Issuer", "SourceAddress", "Claim"], "claim": "t"},
    )
    rows.holds("a limit that gives way", {"onStoreError": "Allow", "scope": "Rule"})
    rows.breaks("a limit by nothing", "limits[0].by", "", {"by": []})
    rows.breaks(
        "a limit by one thing twice", "limits[0]", "`by` names the same thing twice", {"by": ["Token", "Token"]}
    )
    rows.breaks("by Claim without a claim", "limits[0]", "`claim` goes with `by: [Claim]`", {"by": ["Claim"]})
    rows.breaks("a claim that does not count", "limits[0]", "`claim` goes with `by: [Claim]`", {"claim": "t"})
    rows.breaks("no requests", "limits[0].requests", "", {"requests": 0})
    rows.breaks("a limit without a window", "limits[0].window", "", {"window": None})
    rows.breaks("an unknown answer to a lost store", "limits[0].onStoreError", "", {"onStoreError": "Ignore"})
    return rows.rows


def _upstreams() -> list[Row]:
    rows = _RuleRows("upstream", lambda headers: {"claimHeaders": headers})
    rows.holds("identity headers", {"x-auth-sub": "sub", "x-auth'~!#$%&*+.^_`|": "/a/b", "a" * 128: "c"})
    for name in (
        "host",
        "authorization",
        "content-length",
        "x-envoy-peer",
        "x-forwarded-for",
        "sec-fetch-site",
        "cookie",
    ):
        rows.breaks(f"a claim for {name}", "upstream", "a claim cannot set a header of Envoy", {name: "sub"})
    for name in (":path", "X-Auth", "x auth", "", "a" * 129, "x-é", "x:y"):
        rows.breaks(f"a header called `{name[:10]}`", "upstream.claimHeaders", "", {name: "sub"})
    for name in ("content_length", "x_request-id", "x_envoy_a", "sec_fetch"):
        words = "choose a name of your own"
        rows.breaks(f"a header like one of the protocol, `{name}`", "upstream", words, {name: "sub"})
    rows.breaks("a header from null", "upstream.claimHeaders", "", {"x-a": None})
    rows.breaks("a header from no claim", "upstream.claimHeaders", "", {"x-a": ""})
    rows.breaks("a header from a number", "upstream.claimHeaders", "", {"x-a": 1})
    rows.breaks("17 headers", "upstream.claimHeaders", "", {f"x-{number}": "sub" for number in range(17)})
    return rows.rows
