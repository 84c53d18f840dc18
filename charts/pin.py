"""Writes into values.yaml which image a released chart runs: by its digest, so that a moved tag changes nothing.

python3 charts/pin.py charts/extauthz/values.yaml ghcr.io/someone/extauthz sha256:…
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def pin(text: str, repository: str, digest: str) -> str:
    """The values with this image as their default. Raises ValueError for what is no digest, or an unknown file."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"`{digest}` is no digest: sha256 and 64 hexadecimal digits")
    for old, new in (
        ("  repository: extauthz\n", f"  repository: {repository}\n"),
        ('  digest: ""\n', f"  digest: {digest}\n"),
    ):
        if text.count(old) != 1:
            raise ValueError(f"`{old.strip()}` stands there {text.count(old)} times, and should once")
        text = text.replace(old, new)
    return text.replace(
        "Where the image is. None is published yet: build it with the Dockerfile of the repository.",
        "Where the image is.",
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(pin(path.read_text(encoding="utf-8"), *sys.argv[2:]), encoding="utf-8")
