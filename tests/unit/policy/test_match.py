"""Choosing a rule follows HTTPRoute's precedence, whatever the order and number of the routes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.request import RequestView
from extauthz.model.verdict import PolicyRef
from extauthz.policy.condition import HeaderMatch
from extauthz.policy.match import HostTable, MatchKey, Route
from extauthz.policy.path import EVERY_PATH, PathKind, PathMatch, compile_regex, exact, prefix, regex, template
from extauthz.policy.rule import Rule
from tests.building import view


def route(
    name: str,
    path: PathMatch = EVERY_PATH,
    *,
    host: str = "api.example",
    method: str | None = None,
    headers: tuple[HeaderMatch, ...] = (),
    age: float = 0.0,
) -> Route:
    """A route that leads to a rule of the given name."""
    return Route(
        MatchKey(host, path, method, headers),
        Rule(policy=PolicyRef("shop", name), name=name),
        (age, "shop", name),
        (0, 0),
    )


def chosen(request: RequestView, *routes: Route) -> str | None:
    """The name of the rule that takes a request, the same for every order of the routes."""
    found = {
        rule.name if (rule := HostTable(order).find(request)) is not None else None for order in (routes, routes[::-1])
    }
    assert len(found) == 1
    return found.pop()


def test_an_empty_table_takes_nothing() -> None:
    assert chosen(view("/")) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "exact"),
        ("/a/b/", "prefix-ab"),
        ("/a/b/c", "prefix-ab"),
        ("/a/bc", "prefix-a"),
        ("/a", "prefix-a"),
        ("/ab", "pattern"),
        ("/users/7/orders", "template"),
        ("/users//orders", "pattern"),
        ("/users/7/orders/x", "pattern"),
        ("/", None),
    ],
)
def test_exact_beats_prefix_beats_patterns(path: str, expected: str | None) -> None:
    routes = [
        route("pattern", regex("/.+")), route("template", template("/users/{id}/orders")),
        route("prefix-a", prefix("/a/")), route("prefix-ab", prefix("/a/b")), route("exact", exact("/a/b")),
    ]  # fmt: skip
    assert chosen(view(path), *routes) == expected


def test_a_pattern_must_match_the_whole_path() -> None:
    assert chosen(view("/public/x"), route("r", regex("/public"))) is None
    assert chosen(view("/a/public"), route("r", regex("/public"))) is None


def test_the_template_with_more_literals_is_chosen() -> None:
    routes = [route("wide", template("/users/{a}/{b}")), route("narrow", template("/users/{a}/orders"))]
    assert chosen(view("/users/7/orders"), *routes) == "narrow"
    assert chosen(view("/users/7/carts"), *routes) == "wide"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.shop.example", "exact"),
        ("b.shop.example", "near"),
        ("x.y.shop.example", "near"),
        ("shop.example", "far"),
        ("other", "any"),
    ],
)
def test_the_host_that_says_most_is_chosen(host: str, expected: str) -> None:
    routes = [
        route("any", host="*"), route("far", host="*.example"), route("near", host="*.shop.example"),
        route("exact", host="a.shop.example"),
    ]  # fmt: skip
    assert chosen(view("/", host=host), *routes) == expected


def test_a_less_specific_host_serves_what_the_specific_one_leaves() -> None:
    routes = [route("any", prefix("/healthz"), host="*"), route("mine", prefix("/api"), host="api.example")]
    assert chosen(view("/healthz"), *routes) == "any"


def test_a_route_that_asks_for_more_is_chosen() -> None:
    header = HeaderMatch("x-a", "1")
    routes = [
        route("plain"), route("method", method="POST"), route("header", headers=(header,)),
        route("both", method="POST", headers=(header,)),
    ]  # fmt: skip
    assert chosen(view("/"), *routes) == "plain"
    assert chosen(view("/", method="POST"), *routes) == "method"
    assert chosen(view("/", headers={"x-a": "1"}), *routes) == "header"
    assert chosen(view("/", method="POST", headers={"x-a": "1"}), *routes) == "both"


def test_methods_differ_by_case() -> None:
    assert chosen(view("/", method="post"), route("r", method="POST")) is None


def test_the_older_policy_is_chosen_then_the_name() -> None:
    assert chosen(view("/"), route("young", age=2.0), route("old", age=1.0)) == "old"
    assert chosen(view("/"), route("b"), route("a")) == "a"


_PATHS = ("/", "/a", "/a/b", "/a/b/c", "/b", "/b/a", "/a/", "/a/c")
_MATCHES = st.sampled_from(_PATHS).flatmap(lambda p: st.sampled_from([exact(p), prefix(p)])) | st.sampled_from(
    [template("/a/{x}"), template("/{x}/b"), template("/{x}/{y}"), regex("/a.*"), regex("/.*b"), regex("/[ab]/[abc]")]
)
_HOSTS = ("api.example", "*.example", "*.api.example", "*")


@st.composite
def _routes(draw: st.DrawFn) -> list[Route]:
    return [
        route(
            f"r{index}",
            draw(_MATCHES),
            host=draw(st.sampled_from(_HOSTS)),
            method=draw(st.sampled_from([None, "GET", "POST"])),
            headers=draw(st.sampled_from([(), (HeaderMatch("x-a"),), (HeaderMatch("x-a", "1"),)])),
            age=draw(st.sampled_from([0.0, 1.0])),
        )
        for index in range(draw(st.integers(0, 12)))
    ]


def _naive(request: RequestView, routes: list[Route]) -> str | None:
    """The precedence as the standard tells it, by looking at every route."""

    def host_fits(pattern: str) -> bool:
        return pattern in {"*", request.host} or (pattern[0] == "*" and request.host.endswith(pattern[1:]))

    def path_fits(match: PathMatch) -> bool:
        path, text = request.target.path, match.text
        match match.kind:
            case PathKind.EXACT:
                return path == text
            case PathKind.PREFIX:
                return text in {"/", path} or path.startswith(text + "/")
            case PathKind.TEMPLATE:
                parts, wanted = path.split("/"), text.split("/")
                return len(parts) == len(wanted) and all(
                    w == p or (w == "{}" and p) for p, w in zip(parts, wanted, strict=True)
                )
            case _:
                return compile_regex(text).fullmatch(path) is not None

    def order(each: Route) -> tuple[object, ...]:
        host, match = each.key.host, each.key.path
        length = -len(match.text.replace("{}", "")) if match.kind is not PathKind.EXACT else 0
        return (host == "*", host[0] == "*", -len(host), match.kind, length, *each.rank)

    fitting = [r for r in routes if host_fits(r.key.host) and path_fits(r.key.path) and r.misses(request) is None]
    return min(fitting, key=order).rule.name if fitting else None


@given(
    _routes(),
    st.sampled_from(_PATHS),
    st.sampled_from(["api.example", "x.api.example", "other"]),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from([{}, {"x-a": "1"}, {"x-a": "2"}]),
)
def test_the_tables_choose_as_a_look_at_every_route_would(
    routes: list[Route], path: str, host: str, method: str, headers: dict[str, str]
) -> None:
    request = view(path, host=host, method=method, headers=headers)
    expected = _naive(request, routes)
    found = chosen(request, *routes)
    if found != expected:
        # Patterns of one length have no order of their own in the standard; ours must still fall to the same rank.
        by_name = {r.rule.name: r for r in routes}
        assert found is not None
        assert expected is not None
        assert by_name[found].key.path.kind >= PathKind.TEMPLATE
        assert by_name[found].key.path.kind == by_name[expected].key.path.kind
