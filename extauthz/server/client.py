"""Asking a running server, as Envoy would: for `extauthz check` and for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.model.reason import OK
from extauthz.server.codec import PINNED_POLICY
from extauthz.server.grpcio import METHOD
from extauthz.server.respond import NAMESPACE


class Unanswered(Exception):
    """The server gave no CheckResponse. The message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The request to ask about."""

    method: str
    scheme: str
    host: str
    path: str
    """With its query."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    source_address: str = ""
    source_principal: str = ""
    policy: str = ""
    """Pins a policy, `namespace/name`, as a route's `context_extensions` would."""
    body: bytes = field(default=b"", repr=False)
    """Sent along as with `with_request_body` and `pack_as_bytes`; empty for none."""

    def encode(self) -> bytes:
        """The CheckRequest that Envoy would send with `encode_raw_headers`."""
        message = CheckRequest()
        attributes = message.attributes
        http = attributes.request.http
        http.method, http.scheme, http.host, http.path = self.method, self.scheme, self.host, self.path
        http.protocol = "HTTP/1.1"
        for name, value in self.headers:
            http.header_map.headers.add(key=name.lower(), raw_value=value.encode("latin-1"))
        http.size = len(self.body) if self.body else -1
        http.raw_body = self.body
        if self.source_address:
            attributes.source.address.socket_address.address = self.source_address
        attributes.source.principal = self.source_principal
        if self.policy:
            attributes.context_extensions[PINNED_POLICY] = self.policy
        return message.SerializeToString()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    admitted: bool
    status: int
    """The HTTP status that the client gets, 200 when the request goes upstream."""
    decision: Mapping[str, Any]
    """The dynamic metadata: policy, rule, reason, issuer, subject, remaining."""
    set_headers: tuple[tuple[str, str], ...]
    """On the request when admitted, on the response when denied."""
    remove_headers: tuple[str, ...]
    remove_query: tuple[str, ...]
    body: str


def ask(channel: grpc.Channel, question: Question, timeout: float) -> Answer:
    """Send one Check. Raises Unanswered when no CheckResponse comes back within `timeout` seconds."""
    call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=CheckResponse.FromString)
    try:
        return read_answer(call(question.encode(), timeout=timeout))
    except grpc.RpcError as error:
        raise Unanswered(f"{error.code().name.lower()}: {error.details()}") from error


def read_answer(response: CheckResponse) -> Answer:
    """What a CheckResponse says."""
    told = MessageToDict(response.dynamic_metadata).get(NAMESPACE, {})
    # A Struct knows no whole numbers.
    decision = {
        name: int(each) if isinstance(each, float) and each.is_integer() else each for name, each in told.items()
    }
    if response.status.code == OK:
        changes = response.ok_response
        return Answer(
            admitted=True,
            status=200,
            decision=decision,
            set_headers=tuple((option.header.key, option.header.value) for option in changes.headers),
            remove_headers=tuple(changes.headers_to_remove),
            remove_query=tuple(changes.query_parameters_to_remove),
            body="",
        )
    denied = response.denied_response
    return Answer(
        admitted=False,
        status=int(denied.status.code) or 403,
        decision=decision,
        set_headers=tuple((option.header.key, option.header.value) for option in denied.headers),
        remove_headers=(),
        remove_query=(),
        body=denied.body,
    )


def connect(
    address: str, *, ca: bytes | None = None, key: bytes | None = None, cert: bytes | None = None
) -> grpc.Channel:
    """A channel to `HOST:PORT` or `unix:PATH`: in the clear, or with TLS when a certificate authority is given."""
    if ca is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert))


def as_json(answer: Answer) -> str:
    """The answer for machines."""
    return json.dumps(
        {
            "admitted": answer.admitted,
            "status": answer.status,
            "decision": dict(answer.decision),
            "headers": dict(answer.set_headers),
            "removeHeaders": list(answer.remove_headers),
            "removeQuery": list(answer.remove_query),
            "body": answer.body,
        }
    )
