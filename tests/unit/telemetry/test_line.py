"""Lines: whatever a client wrote, one bounded line of ASCII."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.time import Instant
from extauthz.telemetry.line import Form, quoted, timestamp

HEADER = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9"
PAYLOAD = "eyJzdWIiOiJhbGljZSIsImp0aSI6IjEyMzQ1Njc4In0"
SIGNATURE = "c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl"
TOKEN = f"{HEADER}.{PAYLOAD}.{SIGNATURE}"
ANY_TEXT = st.text(st.characters(codec=None), max_size=600)


@given(ANY_TEXT, st.integers(6, 600))
def test_any_text_stays_ascii_on_one_line_within_its_limit(text: str, limit: int) -> None:
    string = quoted(text, limit)
    assert len(string) - 2 <= limit
    assert re.fullmatch(r"[ -~]*", string)


@given(ANY_TEXT, st.integers(6, 600))
def test_a_text_is_whole_or_a_prefix_of_whole_characters_that_is_marked(text: str, limit: int) -> None:
    read = json.loads(quoted(text, limit))
    clean = re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert read == clean or (read.endswith("…") and clean.startswith(read[:-1]))


@given(ANY_TEXT)
def test_no_text_leaves_a_lone_surrogate_for_strict_readers(text: str) -> None:
    json.loads(quoted(text, 50)).encode("utf-8", "strict")


@pytest.mark.parametrize(("character", "cost"), [("é", 6), ("😀", 12), ("\n", 2), ("\x00", 6), ('"', 2), ("\\", 2)])
def test_as_much_of_a_text_is_kept_as_fits(character: str, cost: int) -> None:
    read = json.loads(quoted(character * 100, 66))
    assert read == character * (60 // cost) + "…"


def test_a_text_that_just_fits_is_whole() -> None:
    assert quoted("a" * 64, 64) == f'"{"a" * 64}"'
    assert quoted("a" * 65, 64) == f'"{"a" * 58}\\u2026"'


@pytest.mark.parametrize("text", ["\n", "\r", "\x1b[2J", "\u2028", "\u2029", "\x85", "\x7f", "\x00", "\u202e"])
def test_what_ends_lines_or_moves_cursors_is_escaped(text: str) -> None:
    line = Form({"path": 99}).line([f"a{text}b"])
    assert re.fullmatch(rb"[ -~]*\n", line)
    assert json.loads(line) == {"path": f"a{text}b"}


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"/download/{TOKEN}/file",
        f"x{TOKEN}",
        f"{HEADER}.{PAYLOAD}",
        PAYLOAD,
        TOKEN[:200] + "~" * 200,
        "ewogImFsZyI6ICJFUzI1NiJ9." + PAYLOAD,
    ],
)
def test_what_looks_like_a_token_is_blotted_out(text: str) -> None:
    line = Form({"path": 512}).line([text])
    assert b"[token]" in line
    for part in (HEADER, PAYLOAD, SIGNATURE):
        assert part[8:24].encode() not in line


@pytest.mark.parametrize(
    "text", ["/keys/eyJ", "renew0-production-europe.example-company.com", "eyewitness", "ewok.example"]
)
def test_what_only_begins_like_a_token_is_left_alone(text: str) -> None:
    assert json.loads(Form({"host": 99}).line([text])) == {"host": text}


def test_what_is_not_known_is_left_out_and_zero_is_known() -> None:
    assert Form({"a": 9, "b": 9, "c": 9}).line(["x", "", "y"], {"d": 0}) == b'{"a":"x","c":"y","d":0}\n'


@given(st.lists(ANY_TEXT, min_size=2, max_size=2), st.integers(6, 600))
def test_the_texts_of_a_line_are_each_as_they_would_be_alone(texts: list[str], limit: int) -> None:
    form = Form({"first": 9, "a": limit, "b": limit})
    whole = json.loads(form.line(["x", *texts]))
    alone = [json.loads(form.line(["x", *pair])) for pair in ([texts[0], ""], ["", texts[1]])]
    assert whole == alone[0] | alone[1]


def test_a_line_has_a_text_for_each_name() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Form({"a": 9, "b": 9}).line(["x"])


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert timestamp(Instant(1_790_000_000.123)) == "2026-09-21T14:13:20.123Z"
    assert timestamp(Instant(1_790_000_000.0)) == "2026-09-21T14:13:20.000Z"
