"""Forms that Envoy sent along, and why the upstream may read another one (RFC 6749, appendix B).

A form may hold a second credential, which is looked for however oddly it is written. It may also be where a rule takes
its token from: then each doubt denies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext

_TYPE: Final = "application/x-www-form-urlencoded"
_PLAIN: Final = re.compile(rf'[ \t]*{_TYPE}[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.ASCII | re.IGNORECASE)
# With the signs of JSON and XML, a body could be a form to one reader and another document to the next.
_FOREIGN: Final = re.compile(r'[^\x21-\x7e]|["<>\\^`{|}]')
_PARTIAL: Final = "x-envoy-auth-partial-body"
"""Envoy's own header, which says whether the body is cut short."""

_HOW: Final = "let Envoy's filter send it whole: `with_request_body` with `allow_partial_message: false`"
_ABSENT: Final = f"the body of the form did not come along, or is empty; {_HOW}"
_CUT: Final = f"the body of the form came cut short, or longer than the request says; {_HOW}"
_UNSIZED: Final = (
    "the request does not say how long its form is (`Content-Length`), so that more may follow than Envoy sent along"
)
_REPLACED: Final = "the form holds a `!`, which may stand for an octet that Envoy replaced; set `pack_as_bytes: true`"
_TYPED: Final = f"`Content-Type` says more than `{_TYPE}`, so that servers may read the body differently"
_CODED: Final = "the form has a `Content-Encoding`; it cannot be read before it is decoded"
_ENCODED: Final = "the form holds a blank, a quote, a brace or the like, which a form has percent-encoded"
_TWICE: Final = "the body came both as text and as bytes"

_Headers = Mapping[str, tuple[str, ...]]


def read_form(http: AttributeContext.HttpRequest, headers: _Headers) -> tuple[str, str]:
    """The body, where any of the content types given is that of a form; servers compare it without regard to case. And
    why the upstream may read another one, for the operator; empty where it cannot."""
    if not any(_TYPE in value.lower() for value in headers["content-type"]):
        return "", ""
    text = http.body or http.raw_body.decode("latin-1")
    return text, _doubt(http, headers, text)


def _doubt(http: AttributeContext.HttpRequest, headers: _Headers, text: str) -> str:
    types = headers["content-type"]
    if len(types) != 1 or _PLAIN.fullmatch(types[0]) is None:
        return _TYPED
    if any(value.strip().lower() not in {"", "identity"} for value in headers.get("content-encoding", ())):
        return _CODED
    if http.body and http.raw_body:
        return _TWICE
    if not text:
        return _ABSENT
    if _is_cut(http, headers):
        return _CUT
    # INVARIANT: of a body in chunks Envoy says that it is whole when as much has come as it may keep, and no more yet.
    if "content-length" not in headers:
        return _UNSIZED
    if _FOREIGN.search(text) is not None:
        return _ENCODED
    # Where the body is sent as text, Envoy writes `!` for what is no UTF-8.
    return _REPLACED if http.body and "!" in text else ""


def _is_cut(http: AttributeContext.HttpRequest, headers: _Headers) -> bool:
    came = len(http.raw_body) or len(http.body.encode())
    if any(value != "false" for value in headers.get(_PARTIAL, ())):
        return True
    return http.size > came or any(value.strip() != str(came) for value in headers.get("content-length", ()))
