"""What the program answered, in a word: its reason and its words, without what they quote of the input."""

from __future__ import annotations

import re
from typing import Final

from extauthz.model.verdict import Refusal

_QUOTED: Final = re.compile(r"`[^`]*`|[0-9][0-9.smh]*|'[^']*'")
_LONGEST: Final = 160


def answer_of(refusal: Refusal) -> str:
    """A refusal as an answer: equal for refusals that were made in one place for one reason."""
    return f"{refusal.reason.label}: {plain(refusal.detail)}"


def plain(words: str) -> str:
    """Words without what they quote."""
    return _QUOTED.sub("_", words)[:_LONGEST]
