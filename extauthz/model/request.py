"""The request that Envoy asks about, as the core sees it: normalised, and free of protobuf types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from extauthz.model.target import Host, Target


class Source(NamedTuple):
    """The peer that sent the request, as Envoy vouches for it (`attributes.source`)."""

    address: str = ""
    """IP address without port, or the empty text when Envoy gave none."""
    principal: str = ""
    """Authenticated identity of the peer, such as a SPIFFE ID; empty without mutual TLS."""


class Glimpse(NamedTuple):
    """What can be told of a request that was refused unread: for logs only. Empty where that cannot be read either."""

    method: str = ""
    host: str = ""
    source: Source = Source()
    stream_id: str = ""
    request_id: str = ""


PREFLIGHT: Final = (
    "; it is a CORS preflight, which never carries a token: a rule that is `anonymous` may take `OPTIONS`"
)
"""For operators, where such a request is denied."""


class RequestView(NamedTuple):
    """One HTTP request, read once. Header names are in lower case; a value that was repeated is repeated here when
    Envoy sent raw headers, and joined by commas when it sent the map form.

    A named tuple: one is made for every Check, and nothing else that cannot be changed is made as fast.
    """

    method: str
    host: Host
    target: Target
    headers: Mapping[str, tuple[str, ...]]
    source: Source
    stream_id: str
    """`attributes.request.http.id`: made by Envoy, the same when it repeats a Check. Empty when absent."""
    request_id: str
    """The client-visible `x-request-id`: for logs only, a client can choose it."""
    pinned_policy: str | None
    """`namespace/name` from the route's `context_extensions`, which beats the host."""
    form: str = ""
    """The body of a form (`application/x-www-form-urlencoded`), as far as Envoy sent it along; it may hold a token."""
    form_doubt: str = ""
    """Why the upstream may read another form than this one, for the operator; empty where there is no doubt."""

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks what it may send (Fetch standard, "CORS-preflight request"): never with a token."""
        return self.method == "OPTIONS" and "access-control-request-method" in self.headers

    def header(self, name: str) -> str | None:
        """The one value of a header, or None when it is absent or was sent more than once as raw entries."""
        values = self.headers.get(name)
        return values[0] if values is not None and len(values) == 1 else None
