"""The words of YAML and of our policies, for texts and for trees."""

from __future__ import annotations

from typing import Any, Final

TEXT_WORDS: Final = (
    b": ", b"- ", b"\n", b"\n  ", b"\n    ", b"\t", b"#", b"---\n", b"...\n", b"&a ", b"*a", b"<<: *a", b"<<: ",
    b"!!str ", b"!!binary ", b"!x ", b"? ", b"| ", b"> ", b"|\n", b"'", b'"', b"[", b"]", b"{", b"}", b",",
    b"%YAML 1.1\n", b"@", b"`", b"null", b"~", b"yes", b"on", b"n", b"y", b"010", b"0x1f", b"1_000", b"1e3", b".inf",
    b"2026-01-01", b"1:30", b"=", b"\xef\xbb\xbf", b"\xc3\xa9", b"\xff", b"\x00", b"\x85", b"\xe2\x80\xa8",
    b"kind: AccessPolicy\n", b"kind: List\nitems:\n", b"hosts: [a.example]\n", b"anonymous: true\n", b"match: []\n",
    b"mode: Shadow\n", b"spec:\n", b"rules:\n", b"metadata:\n",
)  # fmt: skip
TREE_WORDS: Final[tuple[Any, ...]] = (
    "AccessPolicy", "TokenIssuer", "accesspolicy", "extauthz.dev/v1", "*", "*.example", "*.api.example", "api.example",
    "API.example", "api.example:443", "api.example.", "a b", "/", "/orders", "/orders/", "/{id}", "/users/{id}/card",
    "/.*", "(", "/a?b", "/a/../b", "//", "GET", "get", "Shadow", "shadow", "Enforce", True, "1m", "1h30m", "-1m", "1x",
    0, 1, 10**9, [], {}, {"exact": "/orders"}, {"prefix": "/"}, {"regex": "/.*"}, {"template": "/{x}"},
    {"prefix": "/", "exact": "/"}, [{"path": {"exact": "/orders"}}], {"name": "x-tier", "exact": "gold"},
    {"name": "x-tier", "present": True}, {"name": "more", "anonymous": True}, {"header": "authorization"},
    {"query": "token"}, {"maxUses": 1}, "claims.sub == 'a'", "claims.", "match", "path", "methods", "headers", "hosts",
    "rules", "anonymous", "token", "spec", "kind", "name",
)  # fmt: skip
