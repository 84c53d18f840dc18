"""The edge of `extauthz explain`: from a CheckRequest, in JSON or in bytes, to its story with the response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.decide import World
from extauthz.explain.story import Story, ToldResponse
from extauthz.explain.telling import begin, finish, hide_credentials, not_asked
from extauthz.model.encoding import Ambiguous, parse_json_object
from extauthz.model.question import Answer, Question
from extauthz.model.time import Instant
from extauthz.model.verdict import Verdict
from extauthz.replay.store import Store
from extauthz.server.client import read_answer
from extauthz.server.codec import PINNED_POLICY, read_check
from extauthz.server.respond import write_verdict

JSON: Final = "application/json"
BINARY: Final = "application/x-protobuf"


class NoCheckRequest(ValueError):
    """The text is no CheckRequest. The message says why and quotes nothing of it."""


def explain_check(
    data: bytes,
    world: World,
    store: Store,
    now: Instant,
    notes: tuple[str, ...] = (),
    *,
    ask: Callable[[Question], Answer] = not_asked,
) -> Story:
    """The story of a serialised CheckRequest. Counts and remembers nothing; `ask` may ask an issuer's endpoint."""
    read = read_check(data)
    draft = begin(read, world, now, ask)
    story, verdict = finish(draft, store.look(draft.spends) if draft.spends else (), notes)
    return hide_credentials(replace(story, response=_response(verdict)), read)


def from_json(text: bytes) -> bytes:
    """A CheckRequest in the JSON form of protobuf, serialised. Raises NoCheckRequest.

    Fields that Envoy has and we do not read are passed over. Both forms of headers are taken; `rawValue` is base64.
    """
    try:
        value = parse_json_object(text)
    except Ambiguous as problem:
        raise NoCheckRequest(f"the JSON of a CheckRequest is {problem}") from problem
    if not isinstance(value.get("attributes"), dict):
        raise NoCheckRequest("the JSON is no CheckRequest: it has no object `attributes`")
    try:
        return Parse(text, CheckRequest(), ignore_unknown_fields=True).SerializeToString()
    except ParseError as error:
        # Its words may quote a value, which may be a token.
        raise NoCheckRequest("the JSON is no CheckRequest: a field has a value of another kind") from error


def amended(data: bytes, *, source_address: str = "", source_principal: str = "", policy: str = "") -> bytes:
    """The same CheckRequest from another peer, or with a policy that the route pins. Raises NoCheckRequest."""
    try:
        message = CheckRequest.FromString(data)
    except DecodeError as error:
        raise NoCheckRequest("the bytes are no CheckRequest") from error
    if source_address:
        message.attributes.source.address.socket_address.address = source_address
    if source_principal:
        message.attributes.source.principal = source_principal
    if policy:
        message.attributes.context_extensions[PINNED_POLICY] = policy
    return message.SerializeToString()


def _response(verdict: Verdict) -> ToldResponse:
    """What Envoy is told, as it would be. Of an admission the names alone: values are the token's."""
    answer = read_answer(CheckResponse.FromString(write_verdict(verdict)))
    return ToldResponse(
        status=answer.status,
        headers={} if answer.admitted else dict(answer.set_headers),
        body=answer.body,
        set_headers=tuple(name for name, _ in answer.set_headers) if answer.admitted else (),
        remove_headers=answer.remove_headers,
        remove_query=answer.remove_query,
    )
