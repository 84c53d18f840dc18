"""The words that readers of requests look for: they lead into branches that blind chance would miss."""

from __future__ import annotations

from typing import Final

PATH_WORDS: Final = (
    b"/", b"//", b"/.", b"/..", b"../", b"/../", b"%2e", b"%2E%2e", b"%2f", b"%2F", b"%5c", b"\\", b";", b";a=b",
    b"%3b", b"%25", b"%252e", b"%252f", b"%00", b"%c0%af", b"%e0%80%af", b"%ff", b"%C3%A9", b"?", b"#", b"%23", b"%3f",
    b"*", b"+", b"%", b"%4", b"%g0", b" ", b"\t", b"\x00", b"~", b"%7e", b"%41", b"http://", b"public", b"/public",
    b"orders", b"/orders", b"/orders/new", b"healthz", b"/healthz", b"/users/", b"/card", b"/reports/", b"123", b"key",
    b"/a", b"{", b"}", b"\xc3\xa9",
)  # fmt: skip
HOST_WORDS: Final = (
    b".", b"..", b":", b":443", b":0", b":99999", b":x", b"@", b"user@", b"api.example", b"admin.example",
    b"open.example", b"odd.example", b".shop.example", b"*.", b"[", b"]", b"[::1]", b"::ffff:", b"127.0.0.1", b"%2e",
    b"%00", b"/", b"\\", b"?", b"#", b" ", b"\t", b",", b"-", b"_", b"xn--", b"\xc3\xa9", b"\xe3\x80\x82", b"A",
    b"API", b"a" * 64, b"localhost", b"\x00",
)  # fmt: skip
TOKEN_WORDS: Final = (
    b".", b"..", b"=", b"==", b"-", b"_", b"+", b"/", b" ", b"\n", b"\x00", b"A", b"eyJ", b"e30", b"bnVsbA", b"W10",
    b"{", b"}", b"eyJhbGciOiJub25lIn0", b"a.b.c", b"%2e", b"\xc3\xa9", b"\xff",
)  # fmt: skip
FIELD_WORDS: Final = (
    b"authorization: ", b"cookie: ", b"x-key: ", b"x-api-key: ", b"Bearer ", b"bearer ", b"BEARER  ", b"Bearer\t",
    b"Basic YTpi", b"DPoP ", b",", b", ", b";", b"; ", b"=", b"sid=", b"Sid=", b"s%69d=", b"sid =", b"\"", b"token=",
    b"t%6fken=", b"access_token=", b"&", b"?", b"+", b"%20", b"%2B", b"\n", b" ", b"\t", b"$Version=1;",
    b"one.token.here", b"{}",
    b"Bearer realm=\"a\"", b"\x00", b"\xe9",
)  # fmt: skip
CHECK_WORDS: Final = (
    *PATH_WORDS, *HOST_WORDS, *FIELD_WORDS, b":path", b":method", b":authority", b"host", b"GET", b"POST",
    b"x-auth-sub", b"x_auth_sub", b"X-Auth-Sub", b"x-request-id", b"extauthz.dev/policy", b"shop/open", b"shop/admin",
    b"shop/api",
)  # fmt: skip
