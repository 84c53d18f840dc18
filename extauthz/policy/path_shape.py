"""Paths as a Kubernetes API server checks them: what `parse_policy_path` and `template` refuse, as patterns.

An API server has regular expressions only. `path.py` reads the same with better words.
"""

from __future__ import annotations

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
_LITERAL: Final = r"[^\x00-\x1f#%*?{}\x7f]"
_PLAIN: Final = r"[^\x00-\x1f#%*/?{}\x7f]"
_NAME: Final = r"\{[A-Za-z0-9_-]+\}"

_SLASH: Final = r"(/|\\|%2[Ff]|%5[Cc])"
_END: Final = r"(/|\\|;|%2[Ff]|%5[Cc]|%3[Bb]|$)"
_DOT_SEGMENT: Final = rf"{_SLASH}(\.|%2[Ee])(\.|%2[Ee])?{_END}"


def _raw(pattern: str) -> str:
    """A pattern as a CEL literal that takes backslashes as they are."""
    return f"r'{pattern}'"


_RULES: Final = (
    ("!self.contains('?')", "a path is matched without its query: remove `?` and what follows"),
    (f"!self.matches({_raw(_DOT_SEGMENT)})", "the path holds a dot segment: write the path that it leads to"),
)

LITERAL_PATH: Final = ApiServer(f"^/({_LITERAL}|{_ENCODED})*$", _RULES)
"""A path as an author writes it."""

PATH_TEMPLATE: Final = ApiServer(f"^(/({_NAME}|({_PLAIN}|{_ENCODED})*))+$", _RULES)
"""A path with `{name}` for a segment."""

PATH_PATTERN: Final = ApiServer(
    rules=(
        ("''.matches(self) in [true, false]", "the pattern is not RE2 syntax"),
    )  # one that is not cannot be evaluated
)
"""A regular expression."""
