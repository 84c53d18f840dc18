"""Laws of parameters: whoever hides a name from us hides it from every server, and a flood hides nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from extauthz.tokens.parameters import folded, leniently, named_alike

NAMES = st.sampled_from(
    ["access_token", "refresh_token", "grant_type", "key", "session", "__Host-session", "_t", "a.b", "-k-", "1x", "~"]
)
SEPARATORS = st.sampled_from(["&", "&;", ";", ";,"])
_TRIMMED = st.text(st.sampled_from(" +?\t\n\x0b\x1c\x85\xa0\u2003\u3000\ufeff\0.[_%~-="), max_size=3)
_AFTER = st.text(st.sampled_from(" +=&;,[]\0.x%5bB_?\u212a"), max_size=4)


@st.composite
def _spelt(draw: st.DrawFn, name: str) -> str:
    """A name as some server may read it, its signs in any case, folded or encoded, with something around it."""
    signs = []
    for sign in name:
        one = draw(st.sampled_from([sign, sign, sign.upper(), sign.lower(), *("\u212a" if sign in "kK" else "")]))
        one = draw(st.sampled_from([one, one, *(" .[+_" if sign in "_." else "")]))
        encoded = "".join(f"%{octet:02x}" if draw(st.booleans()) else f"%{octet:02X}" for octet in one.encode())
        signs.append(draw(st.sampled_from([one, one, encoded])))
    before = draw(_TRIMMED)
    if draw(st.booleans()):
        before = "".join(f"%{octet:02X}" for octet in before.encode())
    return before + "".join(signs) + draw(_AFTER)


@st.composite
def _texts(draw: st.DrawFn) -> tuple[str, str, str]:
    name, separators = draw(NAMES), draw(SEPARATORS)
    pieces = draw(st.lists(_spelt(name) | st.text(max_size=8), max_size=4))
    return name, separators, draw(st.sampled_from(separators)).join(pieces)


def _plainly(text: str, separators: str, is_named: Callable[[str], bool], name: str) -> list[str]:
    """Piece by piece, each name decoded."""
    pairs = (piece.strip(" ").partition("=") for piece in re.split(f"[{separators}]", text) if len(piece) >= len(name))
    return [value for found, _, value in pairs if is_named(unquote_plus(found))]


@given(_texts())
@example(("key", "&", "%E2%84%AAey=x"))
@example(("__Host-session", ";,", "a=1; __Host-session=x"))
@example(("access_token", "&", "%20%3faccess.token=x"))
def test_a_name_is_found_as_if_each_were_decoded(case: tuple[str, str, str]) -> None:
    name, separators, text = case
    assert leniently(text, separators, name) == _plainly(text, separators, lambda found: found.strip() == name, name)
    alike = _plainly(text, separators, lambda found: folded(found) == folded(name), name)
    assert named_alike(text, separators, name) == alike


@given(NAMES, SEPARATORS, st.integers(0, 300))
def test_no_flood_of_names_that_begin_alike_hides_one(name: str, separators: str, count: int) -> None:
    flood = f"{name}x={separators[0]}" * count
    assert any(named_alike(f"{flood}{name}=here", separators, name))
    assert any(named_alike(flood, separators, name)) is (count > 100)
