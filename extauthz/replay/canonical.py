"""One text for equal JSON values, so that they are counted as one."""

from __future__ import annotations

import json

from extauthz.model.encoding import Json


def canonical(value: Json) -> bytes:
    """One text for equal JSON values: names sorted, no white space, `1.0` as `1` (RFC 8785, section 3.2, in spirit)."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Json) -> Json:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case _:
            return value
