"""What a server that has loaded its policies asks of Python's garbage collector."""

from __future__ import annotations

import gc
from typing import Final

_SELDOM: Final = 1000
"""Rounds over what is not new, for each over everything: seven million new objects that stay."""


def leave_alone_what_stays() -> None:
    """Have the collector go through nothing that lives long, or seldom: each time it holds up whatever is decided."""
    gc.collect()
    gc.freeze()
    # The same holds for thousands of remembered tokens. Nothing that dies is left to those rounds: a soak with
    # policies, keys and tokens that change all the time has them find nothing.
    gc.set_threshold(*gc.get_threshold()[:2], _SELDOM)
