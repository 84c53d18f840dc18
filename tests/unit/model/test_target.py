"""The one normaliser: what is matched is what the upstream will serve."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.oddity import PathOddity
from extauthz.model.target import (
    Malformed,
    parse_host,
    parse_method,
    parse_policy_path,
    parse_target,
)


@pytest.mark.parametrize(
    ("sent", "matched"),
    [
        ("/", "/"),
        ("/api/orders", "/api/orders"),
        ("/api/orders/", "/api/orders/"),
        ("/%61pi/%6Frders", "/api/orders"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/users/a%40b", "/users/a@b"),
        ("/a%25zb", "/a%25zb"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a/...", "/a/..."),
        ("/a|b", "/a%7Cb"),
    ],
)
def test_a_path_is_matched_in_one_canonical_form(sent: str, matched: str) -> None:
    target = parse_target(sent)
    assert target.path == matched
    assert not target.oddities


@pytest.mark.parametrize(
    "path",
    [
        "", "*", "api", "http://other.example/a", "/a/../b", "/a/./b", "/..", "/.", "/a/%2e%2e/b", "/a/%2E./b",
        "/a/..;/b", "/a/..;x=1/b", "/..%2fadmin", "/a/..%5cb", "/a\\..\\b", "/a#b", "/a b", "/a\tb", "/a\x00b", "/%00",
        "/a%0d%0ab", "/a%7f", "/a%", "/a%4", "/a%zz", "/a%+1", "/a% 1", "/%c0%ae%c0%ae/b", "/%ff", "/é",
        "/" + "a" * 9000,
    ],
)  # fmt: skip
def test_a_path_that_servers_read_differently_is_refused(path: str) -> None:
    with pytest.raises(Malformed):
        parse_target(path)


@pytest.mark.parametrize(
    ("path", "oddity"),
    [
        ("//a", PathOddity.EMPTY_SEGMENT),
        ("/a//b", PathOddity.EMPTY_SEGMENT),
        ("/a%2fb", PathOddity.ENCODED_SLASH),
        ("/a%2Fb", PathOddity.ENCODED_SLASH),
        ("/a\\b", PathOddity.BACKSLASH),
        ("/a%5cb", PathOddity.BACKSLASH),
        ("/a;v=1/b", PathOddity.PATH_PARAMETER),
        ("/a%3bv", PathOddity.PATH_PARAMETER),
        ("/%2541/a", PathOddity.DOUBLE_ENCODING),
    ],
)
def test_an_odd_path_is_reported_by_name(path: str, oddity: PathOddity) -> None:
    assert parse_target(path).oddities == {oddity}


@pytest.mark.parametrize(
    "path", ["/%252e%252e/a", "/a/.%252E", "/a/..%252fb", "/..%255cb", "/%252e;v/b", "/a%2f%252e%252e"]
)
def test_a_dot_segment_is_refused_in_double_encoding_too(path: str) -> None:
    with pytest.raises(Malformed, match="dot segment"):
        parse_target(path)


def test_the_query_is_split_at_the_first_question_mark() -> None:
    target = parse_target("/a?b=/../c?d#e")
    assert (target.path, target.query) == ("/a", "b=/../c?d#e")


def test_what_authors_write_meets_what_clients_send() -> None:
    assert parse_policy_path("/café/a b") == parse_target("/caf%C3%A9/a%20b").path


def test_a_policy_path_with_a_query_is_refused() -> None:
    with pytest.raises(Malformed, match="query"):
        parse_policy_path("/a?b")


@given(st.text(alphabet="/.%25abAZ;\\2efEF", max_size=30))
def test_a_normalised_path_is_a_fixed_point(text: str) -> None:
    try:
        once = parse_target("/" + text)
    except Malformed:
        return
    again = parse_target(once.path)
    assert again.path == once.path
    assert again.oddities == once.oddities


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        parse_target(text)


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        ("Orders.Shop.example", "orders.shop.example"),
        ("orders.shop.example:8443", "orders.shop.example"),
        ("orders.shop.example.", "orders.shop.example"),
        ("orders.shop.example.:80", "orders.shop.example"),
        ("[::1]:80", "[::1]"),
        ("10.0.0.1", "10.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_is_matched_without_case_port_or_trailing_dot(sent: str, host: str) -> None:
    assert parse_host(sent) == host


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "a..", "user@a", "a:b", "a:", "a:999999", "a b", "*", "*.a", "a/b", "a%2eb", "\uff41.example",
     "\u212a.example", "a\x00", "a,b", "-a", "[::1", "a" * 300],
)  # fmt: skip
def test_a_host_with_no_single_reading_is_refused(host: str) -> None:
    with pytest.raises(Malformed):
        parse_host(host)


@pytest.mark.parametrize("method", ["GET", "M-SEARCH", "PATCH", "FOO_1"])
def test_a_method_stands_as_it_is(method: str) -> None:
    assert parse_method(method) == method


@pytest.mark.parametrize("method", ["post", "Delete", "dELETE", "m-search"])
def test_a_method_with_lower_case_is_refused_since_servers_take_it_for_another(method: str) -> None:
    with pytest.raises(Malformed, match="lower case"):
        parse_method(method)


@pytest.mark.parametrize("method", ["", "GET POST", "GET\r\n", "GÉT", "A" * 33])
def test_a_method_that_is_no_token_is_refused(method: str) -> None:
    with pytest.raises(Malformed):
        parse_method(method)
