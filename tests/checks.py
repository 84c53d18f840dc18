"""CheckRequests and CheckResponses for tests: one is built as Envoy builds it, the other read as Envoy reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def check_request(
    method: str = "GET",
    path: str = "/",
    host: str = "api.example",
    headers: Headers = (),
    *,
    raw: bool = False,
    pseudo: bool = True,
    source: str = "192.0.2.7",
    principal: str = "",
    stream_id: str = "7331",
    extensions: Mapping[str, str] | None = None,
    body: str = "",
) -> bytes:
    """A serialised CheckRequest.

    `headers` may be pairs, for names that are repeated: joined by commas in the map form, kept apart with `raw`
    (values encoded in latin-1), and so is the body, whose length clients say unless they send it in chunks. `pseudo`
    adds `:method`, `:path`, `:authority` and `:scheme`, as Envoy does.
    """
    request = CheckRequest()
    attributes = request.attributes
    attributes.source.address.socket_address.address = source
    attributes.source.address.socket_address.port_value = 40_000
    attributes.source.principal = principal
    attributes.context_extensions.update(extensions or {})
    http = attributes.request.http
    http.id, http.method, http.path, http.host = stream_id, method, path, host
    http.scheme, http.protocol, http.size = "https", "HTTP/2", -1
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if body and {"content-length", "transfer-encoding"}.isdisjoint(name.lower() for name, _ in pairs):
        pairs.append(("content-length", str(len(body.encode()))))
    if pseudo:
        pairs = [(":authority", host), (":path", path), (":method", method), (":scheme", "https"), *pairs]
    _add_headers(http, pairs, raw=raw)
    if raw:
        # As with `with_request_body.pack_as_bytes`.
        http.raw_body = body.encode()
    else:
        http.body = body
    return request.SerializeToString()


def _add_headers(http: AttributeContext.HttpRequest, pairs: list[tuple[str, str]], *, raw: bool) -> None:
    for name, value in pairs:
        if raw:
            http.header_map.headers.append(HeaderValue(key=name, raw_value=value.encode("latin-1")))
        else:
            http.headers[name] = f"{http.headers[name]},{value}" if name in http.headers else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A CheckResponse, as far as tests look at it."""

    code: int
    """gRPC status: 0 admits."""
    http_status: int
    """What the client gets; 0 for an allow."""
    headers: dict[str, str]
    """Names in lower case: for the upstream in an allow, for the client in a denial."""
    removed: tuple[str, ...]
    query_removed: tuple[str, ...]
    metadata: dict[str, Any]
    """The dynamic metadata below `extauthz`."""
    body: str


def read_response(data: bytes) -> Response:
    """Read a serialised CheckResponse, and insist on what must hold of every one of them."""
    response = CheckResponse.FromString(data)
    assert response.HasField("status"), "the status is left to its default"
    allowed, denied = response.ok_response, response.denied_response
    wanted = "ok_response" if response.status.code == 0 else "denied_response"
    assert response.WhichOneof("http_response") == wanted
    return Response(
        code=response.status.code,
        http_status=denied.status.code,
        headers=_headers(allowed.headers or denied.headers),
        removed=tuple(allowed.headers_to_remove),
        query_removed=tuple(allowed.query_parameters_to_remove),
        metadata=MessageToDict(response.dynamic_metadata).get("extauthz", {}),
        body=denied.body,
    )


def _headers(options: Iterable[HeaderValueOption]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for option in options:
        name = option.header.key.lower()
        assert name not in headers, f"`{name}` is set twice"
        assert option.HasField("append"), f"`{name}` leaves `append` to a default"
        assert option.append.value is False, f"`{name}` appends"
        assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD, f"`{name}` does not overwrite"
        assert option.keep_empty_value, f"`{name}` would let the client's own value stand when it is empty"
        headers[name] = option.header.value
    return headers
