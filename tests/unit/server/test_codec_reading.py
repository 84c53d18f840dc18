"""Reading a CheckRequest: both header forms, the source, and everything that has no single reading."""

from __future__ import annotations

import pytest

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.model.reason import Reason
from extauthz.model.request import Glimpse, RequestView
from extauthz.model.verdict import Refusal
from extauthz.server.codec import MAX_HEADERS, glimpse, read_check
from tests.checks import check_request

BOTH_FORMS = pytest.mark.parametrize("raw", [False, True], ids=["map", "raw"])


def view(data: bytes) -> RequestView:
    read = read_check(data)
    assert isinstance(read, RequestView), read
    return read


def detail(data: bytes) -> str:
    read = read_check(data)
    assert isinstance(read, Refusal), read
    assert read.reason is Reason.REQUEST_MALFORMED
    return read.detail


@BOTH_FORMS
def test_a_request_is_read_whole(raw: bool) -> None:
    read = view(
        check_request(
            "POST",
            "/api/orders?page=2",
            "Orders.Shop.Example:8443",
            {"Authorization": "Bearer abc", "x-request-id": "8e6e1b4e"},
            raw=raw,
            principal="spiffe://cluster.local/ns/shop/sa/web",
            extensions={"extauthz.dev/policy": "shop/orders"},
        )
    )
    assert (read.method, read.host, read.target.path, read.target.query) == (
        "POST",
        "orders.shop.example",
        "/api/orders",
        "page=2",
    )
    assert read.headers == {"authorization": ("Bearer abc",), "x-request-id": ("8e6e1b4e",)}
    assert read.source.address == "192.0.2.7"
    assert read.source.principal == "spiffe://cluster.local/ns/shop/sa/web"
    assert (read.stream_id, read.request_id, read.pinned_policy) == ("7331", "8e6e1b4e", "shop/orders")


@BOTH_FORMS
def test_pseudo_headers_are_no_headers_of_the_view(raw: bool) -> None:
    assert view(check_request(headers={":protocol": "websocket", "accept": "*/*"}, raw=raw)).headers == {
        "accept": ("*/*",)
    }


@BOTH_FORMS
def test_a_request_without_pseudo_headers_or_other_headers_is_read(raw: bool) -> None:
    assert view(check_request(raw=raw, pseudo=False)).headers == {}


FORM = {"content-type": "application/x-www-form-urlencoded"}


def sized(size: int, body: str = "a=b", **headers: str) -> RequestView:
    """A form of so many octets, as the message says."""
    named = FORM | {name.replace("_", "-"): value for name, value in headers.items()}
    request = CheckRequest.FromString(check_request("POST", headers=named, raw=True, body=body))
    request.attributes.request.http.size = size
    return view(request.SerializeToString())


def test_a_form_that_came_whole_leaves_no_doubt() -> None:
    for size in (-1, 0, 3):
        assert (sized(size).form, sized(size).form_doubt) == ("a=b", "")
    assert sized(3, content_length="3", x_envoy_auth_partial_body="false").form_doubt == ""


def test_a_form_that_was_cut_short_is_in_doubt_and_still_looked_at() -> None:
    for doubtful in (
        sized(4), sized(-1, x_envoy_auth_partial_body="true"), sized(-1, x_envoy_auth_partial_body="false,true"),
        sized(-1, content_length="4"), sized(-1, content_length="3,3"), sized(-1, content_length=""),
    ):  # fmt: skip
        assert "`allow_partial_message: false`" in doubtful.form_doubt
        assert doubtful.form == "a=b"


def test_a_form_of_which_nobody_says_how_long_it_is_may_go_on() -> None:
    """Envoy may ask when as much has come as it may keep, and says then that the body is whole."""
    for size in (-1, 0, 3):
        doubtful = sized(size, transfer_encoding="chunked")
        assert "`Content-Length`" in doubtful.form_doubt
        assert doubtful.form == "a=b"


def test_a_form_that_did_not_come_is_in_doubt() -> None:
    assert "did not come along" in sized(-1, body="").form_doubt


def test_a_body_both_as_text_and_as_bytes_is_in_doubt() -> None:
    request = CheckRequest.FromString(check_request("POST", headers=FORM, raw=True, body="a=b"))
    request.attributes.request.http.body = "a=b"
    assert "both as text and as bytes" in view(request.SerializeToString()).form_doubt


def test_a_route_without_a_pin_pins_nothing() -> None:
    assert view(check_request(extensions={"tenant": "acme"})).pinned_policy is None


def test_an_empty_pin_is_still_a_pin() -> None:
    assert view(check_request(extensions={"extauthz.dev/policy": ""})).pinned_policy == ""


def test_raw_headers_of_one_name_are_kept_apart() -> None:
    read = view(check_request(headers=[("X-Key", "one"), ("x-key", "two"), ("x-other", "3")], raw=True))
    assert read.headers == {"x-key": ("one", "two"), "x-other": ("3",)}
    assert read.header("x-key") is None


def test_joined_headers_of_the_map_form_stay_one_value() -> None:
    assert view(check_request(headers=[("x-key", "one"), ("x-key", "two")])).headers["x-key"] == ("one,two",)


def test_raw_octets_are_read_as_latin_1() -> None:
    assert view(check_request(headers={"x-name": "J\xfcrgen\xff"}, raw=True)).headers["x-name"] == ("J\xfcrgen\xff",)


def test_the_header_map_may_hold_text_values() -> None:
    request = CheckRequest.FromString(check_request(pseudo=False))
    request.attributes.request.http.header_map.headers.append(HeaderValue(key="accept", value="text/plain"))
    assert view(request.SerializeToString()).headers == {"accept": ("text/plain",)}


def test_a_header_with_both_kinds_of_value_is_refused() -> None:
    request = CheckRequest.FromString(check_request(pseudo=False))
    request.attributes.request.http.header_map.headers.append(HeaderValue(key="accept", value="a", raw_value=b"b"))
    assert detail(request.SerializeToString()) == "a header has both `value` and `raw_value`"


def test_both_header_forms_at_once_are_refused() -> None:
    request = CheckRequest.FromString(check_request(headers={"accept": "a"}))
    request.attributes.request.http.header_map.headers.append(HeaderValue(key="accept", raw_value=b"a"))
    assert detail(request.SerializeToString()) == "the headers came both as `headers` and as `header_map`"


def test_map_names_that_differ_only_in_case_are_refused() -> None:
    assert detail(check_request(headers={"X-Key": "1", "x-key": "1"})) == "two header names differ only in case"


@BOTH_FORMS
@pytest.mark.parametrize("name", [":method", ":path", ":authority", "host"])
def test_a_header_that_disagrees_with_its_attribute_is_refused(name: str, raw: bool) -> None:
    told = {":method": "GET", ":path": "/", ":authority": "api.example", "host": "api.example"}
    view(check_request(headers=told, raw=raw, pseudo=False))
    data = check_request(headers=told | {name: "/other"}, raw=raw, pseudo=False)
    assert detail(data) == f"the header `{name}` disagrees with the request's attributes"


def test_a_repeated_pseudo_header_is_refused() -> None:
    assert "`:path` disagrees" in detail(check_request(headers=[(":path", "/")], raw=True))


@BOTH_FORMS
@pytest.mark.parametrize("name", ["", "a b", "a\tb", "x\n", "na(me", "a:b", ":a:b", "::path", '"x"'])
def test_a_header_name_that_is_no_token_is_refused(name: str, raw: bool) -> None:
    assert detail(check_request(headers={name: "1"}, raw=raw)) == "a header name is not a token"


def test_a_name_that_only_lower_cases_to_ascii_is_refused() -> None:
    assert detail(check_request(headers={"x-to\u212aen": "1"})) == "a header name is not a token"


@BOTH_FORMS
@pytest.mark.parametrize("value", ["a\r\nx-auth-sub: root", "a\nb", "a\0"])
def test_a_header_value_that_could_start_another_header_is_refused(value: str, raw: bool) -> None:
    assert detail(check_request(headers={"x-key": value}, raw=raw)) == "a header value holds CR, LF or NUL"


@BOTH_FORMS
def test_a_thousand_headers_are_read_and_one_more_is_not(raw: bool) -> None:
    headers = {f"x-{number}": "1" for number in range(MAX_HEADERS)}
    assert len(view(check_request(headers=headers, raw=raw, pseudo=False)).headers) == MAX_HEADERS
    data = check_request(headers=headers | {"x": "1"}, raw=raw, pseudo=False)
    assert detail(data) == "the request has more than 1000 headers"


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("", ""),
        ("192.0.2.07", ""),
        ("192.0.2.7:80", ""),
        ("/run/app.sock", ""),
        ("client.example", ""),
        ("fe80::1%" + "z" * 100, ""),
    ],
)
def test_the_source_address_has_one_form_or_none(told: str, read: str) -> None:
    assert view(check_request(source=told)).source.address == read


def test_a_peer_behind_a_unix_socket_has_no_address() -> None:
    request = CheckRequest.FromString(check_request())
    request.attributes.source.address.pipe.path = "192.0.2.7"
    assert view(request.SerializeToString()).source.address == ""


@pytest.mark.parametrize("text", ["x" * 129, "a\tb", "caf\xe9", "\x1b[31m"])
def test_a_request_id_unfit_for_a_log_is_dropped(text: str) -> None:
    read = view(check_request(headers={"x-request-id": text}))
    assert read.request_id == ""


def test_a_repeated_request_id_is_dropped() -> None:
    assert view(check_request(headers=[("x-request-id", "a"), ("x-request-id", "b")], raw=True)).request_id == ""


def test_the_longest_request_id_is_kept() -> None:
    assert view(check_request(headers={"x-request-id": "x" * 128})).request_id == "x" * 128


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no http attributes"),
        (b"\x0a\x00", "no http attributes"),
        (b"\xff\xff\xff\xff", "not a CheckRequest"),
        (b"GET / HTTP/1.1\r\n\r\n", "not a CheckRequest"),
        (check_request()[:-1], "not a CheckRequest"),
        (check_request(path="/\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), "path"),
        (check_request(path="*"), "path"),
        (check_request(path=""), "path"),
        (check_request(path="/a/../b"), "path"),
        (check_request(path="http://other.example/"), "path"),
        (check_request(path="/" + "a" * 10_000), "path"),
        (check_request(host=""), "host"),
        (check_request(host="a@b.example"), "host"),
        (check_request(method=""), "method"),
        (check_request(method="GET /x"), "method"),
    ],
)
def test_what_has_no_single_reading_is_refused_with_its_reason(data: bytes, why: str) -> None:
    assert why in detail(data)


def test_a_check_of_a_plain_tcp_connection_is_refused() -> None:
    request = CheckRequest()
    request.attributes.source.address.socket_address.address = "192.0.2.7"
    request.attributes.request.time.seconds = 1
    assert detail(request.SerializeToString()) == "the CheckRequest has no http attributes"


def test_text_that_is_not_utf_8_is_refused() -> None:
    assert (
        detail(check_request(path="/marker").replace(b"/marker", b"/m\xffrker")) == "the message is not a CheckRequest"
    )


def test_a_query_or_fragment_that_the_path_does_not_show_is_refused() -> None:
    for field, text in (("query", "access_token=x"), ("fragment", "x")):
        request = CheckRequest.FromString(check_request(path="/a?b=1"))
        setattr(request.attributes.request.http, field, text)
        assert "disagrees with the path" in detail(request.SerializeToString())


def test_a_query_that_repeats_the_path_s_is_read() -> None:
    request = CheckRequest.FromString(check_request(path="/a?b=1"))
    request.attributes.request.http.query = "b=1"
    assert view(request.SerializeToString()).target.query == "b=1"


def test_no_detail_quotes_the_request() -> None:
    for data in (
        check_request(path="/secret/../x"),
        check_request(host="secret@x"),
        check_request(headers={"secret name": "1"}),
        check_request(headers={"host": "secret"}),
        check_request(headers={"x": "secret\n"}),
    ):
        assert "secret" not in detail(data)


@BOTH_FORMS
def test_a_glimpse_is_what_can_be_read_of_a_request_that_cannot(raw: bool) -> None:
    data = check_request(method="G T", path="/ ", headers={"x-request-id": "one"}, raw=raw)
    seen = glimpse(data)
    assert (seen.method, seen.host, seen.request_id) == ("", view(check_request()).host, "one")
    assert glimpse(b"\xff") == Glimpse()


def test_two_request_ids_are_none() -> None:
    request = CheckRequest.FromString(check_request(headers={"x-request-id": "one"}))
    request.attributes.request.http.header_map.headers.add(key="X-Request-Id", raw_value=b"two")
    assert glimpse(request.SerializeToString()).request_id == ""
