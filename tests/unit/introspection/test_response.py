"""What an endpoint may answer, and what is made of it: RFC 7662, section 2.2."""

from __future__ import annotations

import json
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict

from extauthz.introspection.response import MAX_ANSWER, read_answer
from extauthz.model.question import Active, Answer, Inactive, Unanswered

JSON = {"Content-Type": "application/json"}


def read(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, HTTPHeaderDict(JSON if headers is None else headers), data)


def test_an_active_token_is_told_with_its_claims_and_without_the_word_active() -> None:
    answer = read({"active": True, "sub": "alice", "exp": 5})
    assert isinstance(answer, Active)
    assert answer.claims == {"sub": "alice", "exp": 5}


def test_a_charset_beside_the_content_type_changes_nothing() -> None:
    assert isinstance(read({"active": True}, headers={"Content-Type": "Application/JSON; charset=utf-8"}), Active)


def test_an_inactive_token_is_inactive_whatever_else_is_said() -> None:
    assert isinstance(read({"active": False, "sub": "alice", "exp": "soon"}), Inactive)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"active": "true"}, "without `active: true`"),
        ({"active": 1}, "without `active: true`"),
        ({"active": "false"}, "without `active: true`"),
        ({"active": 0}, "without `active: true`"),
        ({"active": None}, "without `active: true`"),
        ({"active": [True]}, "without `active: true`"),
        ({"Active": True}, "without `active: true`"),
        ({}, "without `active: true`"),
        ([True], "not a JSON object"),
        (b"true", "not a JSON object"),
        (b"", "not JSON"),
        (b"<html>active</html>", "not JSON"),
        (b'{"active": true} {"active": true}', "not JSON"),
        (b'{"active": false, "active": true}', "a name occurs twice"),
        (b'{"active": true, "sub": "a", "sub": "b"}', "a name occurs twice"),
        (b'{"active": true, "exp": 1e999}', "out of range"),
        (b'{"active": true, "exp": NaN}', "not finite"),
        (b'\xef\xbb\xbf{"active": true}', "byte order mark"),
        (b'{"active": true, "sub": "\xff"}', "not UTF-8"),
        (b'{"active": true, "sub": "\\ud800"}', "lone surrogate"),
        (b'{"active": true, "a": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper"),
        ({"active": True, "exp": "1790000300"}, "`exp`"),
        ({"active": True, "exp": True}, "`exp`"),
        ({"active": True, "exp": None}, "`exp`"),
        ({"active": True, "iat": [1]}, "`iat`"),
        ({"active": True, "nbf": "now"}, "`nbf`"),
        ({"active": True, "sub": 17}, "`sub`"),
        ({"active": True, "iss": ["https://opaque.example"]}, "`iss`"),
        ({"active": True, "client_id": {"id": "web"}}, "`client_id`"),
        ({"active": True, "username": 1}, "`username`"),
        ({"active": True, "token_type": ["Bearer"]}, "`token_type`"),
        ({"active": True, "jti": 5}, "`jti`"),
        ({"active": True, "scope": {"a": 1}}, "`scope`"),
        ({"active": True, "scope": ["a", 1]}, "`scope`"),
        ({"active": True, "aud": 7}, "`aud`"),
        ({"active": True, "aud": ["a", None]}, "`aud`"),
    ],
)
def test_an_answer_that_is_not_understood_is_none_and_may_be_about_one_token(body: Any, words: str) -> None:
    answer = read(body)
    assert isinstance(answer, Unanswered)
    assert words in answer.detail
    assert answer.of_this_token


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "another content type"),
        ({"Content-Type": "text/html"}, "another content type"),
        ({"Content-Type": "application/json, text/html"}, "another content type"),
        ({"Content-Type": "application/jsonp"}, "another content type"),
        ({"Content-Type": "application/token-introspection+jwt"}, "RFC 9701"),
    ],
)
def test_only_plain_json_is_read(headers: dict[str, str], words: str) -> None:
    answer = read({"active": True}, headers=headers)
    assert isinstance(answer, Unanswered)
    assert words in answer.detail


def test_two_content_types_are_none() -> None:
    headers = HTTPHeaderDict(JSON)
    headers.add("Content-Type", "application/json")
    assert isinstance(read_answer(200, headers, b'{"active": true}'), Unanswered)


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 403, 404, 429, 500, 503])
def test_an_active_token_in_another_status_than_200_is_no_answer(status: int) -> None:
    answer = read({"active": True}, status)
    assert isinstance(answer, Unanswered)
    assert str(status) in answer.detail
    assert answer.of_this_token == (status == 400)


def test_a_refusal_of_our_own_credentials_is_told_as_that() -> None:
    answer = read({}, 401)
    assert isinstance(answer, Unanswered)
    assert "our own credentials" in answer.detail


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), ("999999", 60.0), ("soon", None), ("-1", None), ("1.5", None), ("", None)]
)
def test_the_servers_wish_to_be_left_alone_is_kept_within_reason(said: str, seconds: float | None) -> None:
    answer = read({}, 503, {**JSON, "Retry-After": said})
    assert isinstance(answer, Unanswered)
    assert answer.retry_after == seconds


def test_a_list_of_scopes_is_common_enough_to_be_taken() -> None:
    assert isinstance(read({"active": True, "scope": ["a", "b"]}), Active)


def test_the_bound_of_an_answer_leaves_room_for_real_ones() -> None:
    assert MAX_ANSWER == 16384
