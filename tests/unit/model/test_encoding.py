"""Strict readers: nothing with two readings gets through."""

import base64
import contextlib
import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.encoding import (
    MAX_DEPTH,
    Ambiguous,
    base64url_decode,
    base64url_encode,
    parse_json,
    parse_json_object,
)


@given(st.binary(max_size=100))
def test_base64url_round_trips(data: bytes) -> None:
    assert base64url_decode(base64url_encode(data)) == data


@given(st.text(alphabet="AQgw-_+/=\n a", max_size=12))
def test_two_texts_never_decode_to_the_same_bytes(text: str) -> None:
    try:
        data = base64url_decode(text)
    except Ambiguous:
        return
    assert base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text


@pytest.mark.parametrize("text", ["QQ==", "QQ=", "QR", "Q", "Q+", "Q/", "Q\n", " QQ", "Q!", "é", "QQQQQ"])
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(Ambiguous):
        base64url_decode(text)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":2}}', b"NaN", b"[Infinity]", b"-Infinity", b"1e999",
        b"-1e999", b"9" * 5000, b"0." + b"1" * 5000, b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'{"a":"\xff"}',
        b'"\\ud800"', b'{"\\udc00":1}', b"{} {}", b"{}x", b"", b" ", b"{'a':1}", b'{"a":1,}', b'"\n"', b"[" * 20000,
        b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40,
    ],
)  # fmt: skip
def test_json_with_no_single_reading_is_refused(data: bytes) -> None:
    with pytest.raises(Ambiguous):
        parse_json(data)


@pytest.mark.parametrize("around", ["{}", " {} ", '{{"n":{}}}', '[1, {{"n": -{}}}]', '{{"n":{}.5}}'])
def test_a_number_has_at_most_400_characters(around: str) -> None:
    """Beyond, one reader has a number where another has infinity; with a fraction, already where a double ends."""
    least = around.format("1" * (300 if ".5" in around else 399))
    assert parse_json(least.encode()) == json.loads(least)
    with pytest.raises(Ambiguous, match="a number out of range"):
        parse_json(around.format("1" * 401).encode())


def test_a_text_of_many_digits_is_no_number() -> None:
    assert parse_json(json.dumps({"n": "1" * 1000, "m": 5}).encode()) == {"n": "1" * 1000, "m": 5}


def test_depth_is_bounded_at_the_bound_exactly() -> None:
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(Ambiguous, match="deeper"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(parse_json(b"[" + b"{}," * 1000 + b"{}]")) == 1001  # type: ignore[arg-type]


def test_brackets_inside_text_are_not_depth() -> None:
    assert parse_json(b'["' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"]')


@pytest.mark.parametrize(
    "rest", [b'"' + b'\\"' * 10_000, b'"' + b'\\"[{' * 5_000, b'"' * 20_001, b'"' + b"\\" * 20_001]
)
def test_a_string_that_nothing_ends_is_refused_in_one_pass(rest: bytes) -> None:
    """A quadratic search takes many seconds. Whoever sends a request chooses these octets, without any signature."""
    begun = process_time()
    with pytest.raises(Ambiguous, match="not JSON"):
        parse_json(b"[" + b"[]," * 40 + rest)
    assert process_time() - begun < 1.0


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("data", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_only_an_object_is_an_object(data: bytes) -> None:
    with pytest.raises(Ambiguous, match="object"):
        parse_json_object(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_plain_json_reads_as_the_standard_library_reads_it(value: object) -> None:
    data = json.dumps(value).encode()
    assert parse_json(data) == json.loads(data)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(data: bytes) -> None:
    with contextlib.suppress(Ambiguous):
        parse_json(data)
