"""Methods and paths as a Kubernetes API server checks them: what the parser refuses, as patterns.

An API server has regular expressions only. `path.py` reads the same with better words.
"""

from __future__ import annotations

import re
from typing import Final

from extauthz.policy.ruled import ApiServer

_HEX: Final = "[0-9A-Fa-f]"
_MORE: Final = f"%[89ABab]{_HEX}"
_ENCODED: Final = "|".join(
    (
        f"%[2-6]{_HEX}|%7[0-9A-Ea-e]",
        f"%([Cc][2-9A-Fa-f]|[Dd]{_HEX}){_MORE}",
        f"%[Ee](0%[ABab]{_HEX}|[1-9A-Ca-c]{_MORE}|[Dd]%[89]{_HEX}|[EFef]{_MORE}){_MORE}",
        f"%[Ff](0%[9ABab]{_HEX}|[1-3]{_MORE}|4%8{_HEX}){_MORE}{_MORE}",
    )
)
"""Octets that are UTF-8 and no control characters (RFC 3629, section 4), percent-encoded."""
_LITERAL: Final = r"[^\x00-\x1f#%*<>?{|}\x7f]"
_PLAIN: Final = r"[^\x00-\x1f#%*/<>?{|}\x7f]"
_NAME: Final = r"\{[A-Za-z0-9_-]+\}"

_SLASH: Final = r"(/|\\|%2[Ff]|%5[Cc])"
_END: Final = r"(/|\\|;|%2[Ff]|%5[Cc]|%3[Bb]|$)"
_DOT_SEGMENT: Final = rf"{_SLASH}(\.|%2[Ee])(\.|%2[Ee])?{_END}"

METHOD: Final = "^[A-Z0-9_-]+$"
"""A request method: RFC 9110 allows more signs, and no method that is registered has one of them."""

COLON_NAME: Final = re.compile("/:[A-Za-z]")
"""A segment such as `:id`, which stands for any other in the routes of many frameworks."""

_START: Final = r"^(\^|\(\?[A-Za-z]*[:)]|\()*[A-Za-z0-9_%-]"
_OUTSIDE_ASCII: Final = r"[^\x00-\x7f]"
_SPACE: Final = r"^[^\[]* [^\[]*$"
_LOWER_ESCAPE: Final = r"^([^(]|\(+[^?(])*%([a-f][0-9A-Fa-f]|[0-9A-F][a-f])"
PATTERN_BREACHES: Final = tuple(
    (re.compile(pattern, re.ASCII), words)
    for pattern, words in (
        (_START, "the pattern must match the whole path, which begins with `/`; write `/` or `.*` first"),
        (_OUTSIDE_ASCII, "paths are matched percent-encoded: write `%C3%A9` for `é`"),
        (_SPACE, "paths are matched percent-encoded: write `%20` for a space"),
        (_LOWER_ESCAPE, "paths are matched with percent-encoding in upper case, such as `%2F`"),
    )
)
"""What makes a pattern one that fits no path, and how to mend it. A group with flags may let in lower case,
and a class may hold a space."""


def _raw(pattern: str) -> str:
    """A pattern as a CEL literal that takes backslashes as they are."""
    return f"r'{pattern}'"


_RULES: Final = (
    ("!self.contains('?')", "a path is matched without its query: remove `?` and what follows"),
    (
        f"!self.matches({_raw(COLON_NAME.pattern)})",
        "`:` stands for nothing but itself; write `template` with `{name}` for a segment; for the character, `%3A`",
    ),
    (f"!self.matches({_raw(_DOT_SEGMENT)})", "the path holds a dot segment: write the path that it leads to"),
)

LITERAL_PATH: Final = ApiServer(f"^/({_LITERAL}|{_ENCODED})*$", _RULES)
"""A path as an author writes it."""

PATH_TEMPLATE: Final = ApiServer(f"^(/({_NAME}|({_PLAIN}|{_ENCODED})*))+$", _RULES)
"""A path with `{name}` for a segment."""

PATH_PATTERN: Final = ApiServer(
    rules=(
        ("''.matches(self) in [true, false]", "the pattern is not RE2 syntax"),  # one that is not cannot be evaluated
        *((f"!self.matches({_raw(breach.pattern)})", words) for breach, words in PATTERN_BREACHES),
    )
)
"""A regular expression."""
