"""Requests as people have them: HTTP text, curl commands, JSON; and what is said of those that cannot be read."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.cli.explain.request import NotUnderstood, read_request
from extauthz.model.request import RequestView
from extauthz.server.codec import read_check

PEER = {"source_address": "", "source_principal": "", "policy": ""}
JSON = '{"attributes": {"request": {"http": {"method": "GET", "host": "a.example", "path": "/x"}}}}'
SECRET = "secret-token-0123456789"


def seen(text: str, form: str = "auto", **peer: str) -> RequestView:
    """What the core sees of a request."""
    peer = {"source_address": "", "source_principal": "", "policy": "", **peer}
    view = read_check(read_request(text.encode("latin-1"), form, **peer))
    assert isinstance(view, RequestView)
    return view


def mistake(text: str, form: str = "auto") -> str:
    """Why a text cannot be read; no word of it is repeated."""
    with pytest.raises(NotUnderstood) as raised:
        read_request(text.encode(), form, source_address="", source_principal="", policy="")
    assert SECRET not in str(raised.value)
    return str(raised.value)


# HTTP text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_http_text_is_read_with_its_headers_and_without_its_body(end: str) -> None:
    lines = ["POST /api/orders?a=b HTTP/1.1", "Host: Orders.Example:8443", "X-A: 1", "x-a:2", "", "Not: a header"]
    view = seen(end.join(lines))
    assert (view.method, view.host, view.target.path, view.target.query) == (
        "POST",
        "orders.example",
        "/api/orders",
        "a=b",
    )
    assert view.headers == {"x-a": ("1", "2"), "content-length": ("13",)}


def test_the_address_in_the_request_line_beats_the_host_header() -> None:
    assert seen("GET https://a.example/x HTTP/1.1\nHost: b.example\n").host == "a.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"GET /{SECRET} HTTP/1.1\n", "exactly one `Host`"),
        (f"GET / HTTP/1.1\nHost: a\nHost: {SECRET}\n", "exactly one `Host`"),
        (f"GET / HTTP/1.1\nHost: a\n{SECRET}\n", "line 3 is no header"),
        (f"GET / HTTP/1.1\nHost: a\n x: {SECRET}\n", "line 3 is no header"),
        (SECRET, "neither HTTP text"),
        ("", "neither HTTP text"),
        ('fetch("https://a/", {"headers": {"authorization": "x"}});', "`Copy as cURL`"),
        ('Invoke-WebRequest -Uri "https://a/" -Headers @{"authorization"="x"}', "`Copy as cURL`"),
        (f"GET {SECRET} HTTP/1.1\nHost: a\n", "no URL"),
    ],
)
def test_http_text_that_is_wrong_says_where(text: str, words: str) -> None:
    assert words in mistake(text)


# curl


@pytest.mark.parametrize(
    ("command", "method", "path", "headers"),
    [
        ("curl https://a.example", "GET", "/", {}),
        ("curl a.example/x", "GET", "/x", {}),
        ("curl -sSkLv 'https://a.example/x?y=1#z'", "GET", "/x", {}),
        ("curl --request DELETE --url https://a.example/x", "DELETE", "/x", {}),
        ("curl -XPUT https://a.example/x", "PUT", "/x", {}),
        ("curl -I https://a.example/x", "HEAD", "/x", {}),
        ("curl -H'X-A: 1' -H 'x-a: 2' https://a.example", "GET", "/", {"x-a": ("1", "2")}),
        ("curl -H 'x-none:' -H 'x-empty;' https://a.example", "GET", "/", {"x-empty": ("",)}),
        ("curl -b 'a=b; c=d' https://a.example", "GET", "/", {"cookie": ("a=b; c=d",)}),
        ("curl -A me -e https://b.example https://a.example", "GET", "/",
         {"user-agent": ("me",), "referer": ("https://b.example",)}),
        ("curl -d a=b https://a.example/x", "POST", "/x",
         {"content-type": ("application/x-www-form-urlencoded",), "content-length": ("3",)}),
        ("curl --json '{}' -H 'accept: */*' https://a.example/x", "POST", "/x",
         {"content-type": ("application/json",), "accept": ("*/*",), "content-length": ("2",)}),
        ("curl -u me:pass https://a.example", "GET", "/",
         {"authorization": (f"Basic {b64encode(b'me:pass').decode()}",)}),
        ("curl --oauth2-bearer t https://a.example", "GET", "/", {"authorization": ("Bearer t",)}),
        (r"curl -H $'x-a: it\'s \u0021\x21\41 \u00e9' --data-raw $'\n' https://a.example/x", "POST", "/x",
         {"x-a": ("it's !!! é".encode().decode("latin-1"),), "content-type": ("application/x-www-form-urlencoded",),
          "content-length": ("1",)}),
        ('curl ^"https://a.example/x?y=^%^7B^" ^\r\n  -X ^"PUT^" ^\r\n  -H ^"x-a: ^\\^"1^\\^" ^& 2^"', "PUT", "/x",
         {"x-a": ('"1" & 2',)}),
        ("$ curl https://a.example/x", "GET", "/x", {}),
        ("curl https://a.example/w/../x", "GET", "/x", {}),
        ("curl https://a.example/w/./../../x/y/..", "GET", "/x/", {}),
        ("curl \\\n  -X PATCH \\\r\n  -- https://a.example/x", "PATCH", "/x", {}),
    ],
)  # fmt: skip
def test_a_curl_command_is_read_as_curl_would(
    command: str, method: str, path: str, headers: dict[str, tuple[str, ...]]
) -> None:
    view = seen(command)
    assert (view.method, view.host, view.target.path) == (method, "a.example", path)
    assert view.headers == headers


@pytest.mark.parametrize(
    "text",
    [
        "curl -d a=b --data-urlencode 'c=d e' https://a.example/x",
        "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=b&c=d%20e\n",
    ],
)
def test_a_form_is_sent_along(text: str) -> None:
    view = seen(text)
    assert (view.method, view.form, view.form_doubt) == ("POST", "a=b&c=d%20e", "")


def test_a_form_in_a_file_is_not_read() -> None:
    assert "did not come along" in seen("curl -d @secrets https://a.example/x").form_doubt


def test_curl_leaves_a_path_as_it_is_on_demand() -> None:
    data = read_request(b"curl --path-as-is https://a.example/w/../x", "auto", **PEER)
    assert CheckRequest.FromString(data).attributes.request.http.path == "/w/../x"


def test_curl_moves_data_into_the_query_on_demand() -> None:
    view = seen("curl -G -d a=b --data-urlencode 'c=d e' 'https://a.example/x?y=1'")
    assert (view.method, view.target.query, view.headers) == ("GET", "y=1&a=b&c=d%20e", {})


def test_a_host_header_of_curl_beats_the_url_and_its_port() -> None:
    assert seen("curl -H 'Host: b.example' https://user@a.example:8443/x").host == "b.example"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"curl --proxy {SECRET} https://a.example", "`--proxy` of curl is not understood"),
        (f"curl -x {SECRET} https://a.example", "`-x` of curl is not understood"),
        (f"curl --{SECRET} https://a.example", "of curl is not understood"),
        (f"curl -H '{SECRET}' https://a.example", "not written as `name: value`"),
        ('curl -H "authorization: Bearer $TOKEN" https://a.example', "variables of a shell are not filled in"),
        ("curl -H 'Authorization: Bearer ${TOKEN}' https://a.example", "variables of a shell are not filled in"),
        (f"curl -H @{SECRET} https://a.example", "headers from a file"),
        (f"curl -b {SECRET} https://a.example", "cookies from a file"),
        (f"curl -G -d @{SECRET} https://a.example", "data from a file"),
        (f"curl -H 'authorization: {SECRET}", "not closed"),
        ('curl --oauth2-bearer "$TOKEN" https://a.example', "variables of a shell are not filled in"),
        ("curl https://$HOST/x", "put the host itself"),
        (f"curl -H $'authorization: {SECRET}", "not closed"),
        (f"curl -H $'authorization: {SECRET}\\Uffffffff' https://a.example", "stands for no character"),
        (f"curl https://a.example | jq .{SECRET}", "nothing behind it"),
        ("curl https://a.example -X", "`-X` of curl lacks its value"),
        (f"curl -H 'x-a: {SECRET}'", "exactly one URL"),
        (f"curl https://a.example https://{SECRET}", "exactly one URL"),
        (f"curl ftp://{SECRET}", "no URL"),
    ],
)
def test_a_curl_command_that_is_not_understood_says_which_part(command: str, words: str) -> None:
    assert words in mistake(command)


@pytest.mark.parametrize("text", ["GET /x HTTP/1.1\nHost: a.example\n", "curl a.example/x", JSON])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_mark_of_an_encoding_is_no_part_of_the_request(text: str, encoding: str) -> None:
    view = read_check(read_request(text.encode(encoding), "auto", **PEER))
    assert isinstance(view, RequestView)
    assert (view.method, view.host, view.target.path) == ("GET", "a.example", "/x")


# JSON


def test_json_is_read_with_either_form_of_headers_and_fields_of_envoy_that_we_do_not_read() -> None:
    http = {"id": "7", "method": "GET", "host": "a.example", "path": "/x", "protocol": "HTTP/2", "size": "-1"}
    as_map = {"headers": {"x-a": "1"}}
    as_list = {"headerMap": {"headers": [{"key": "x-a", "rawValue": b64encode(b"1").decode()}]}}
    for form in (as_map, as_list):
        text = json.dumps({"attributes": {"request": {"http": {**http, **form}}, "tlsSession": {"sni": "s"}}})
        view = seen(text)
        assert (view.method, view.target.path, view.stream_id, view.headers) == ("GET", "/x", "7", {"x-a": ("1",)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"attributes":', "not JSON"),
        ('{"a": 1, "a": 2}', "a name occurs twice"),
        (f'{{"token": "{SECRET}"}}', "no object `attributes`"),
        (f'{{"attributes": {{"request": {{"http": {{"headers": "{SECRET}"}}}}}}}}', "a value of another kind"),
    ],
)
def test_json_that_is_wrong_says_why(text: str, words: str) -> None:
    assert words in mistake(text)


# All


WITH_PEER = """{"attributes": {
    "request": {"http": {"method": "GET", "host": "a.example", "path": "/"}},
    "source": {"principal": "p"}, "contextExtensions": {"extauthz.dev/policy": "a/b"}
}}"""


@pytest.mark.parametrize("text", ["GET / HTTP/1.1\nHost: a.example\n", "curl https://a.example", WITH_PEER])
def test_the_peer_and_the_pinned_policy_are_added_to_every_form(text: str) -> None:
    view = seen(text, source_address="192.0.2.1", source_principal="spiffe://a/b", policy="shop/p")
    assert view.source == ("192.0.2.1", "spiffe://a/b")
    assert view.pinned_policy == "shop/p"


def test_a_form_that_is_named_is_not_guessed() -> None:
    assert "no request line" in mistake("curl https://a.example", "http")
