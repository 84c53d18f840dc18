"""Laws of the codec: whatever arrives is read or refused, and only an Allow ever says yes."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.time import Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Challenge, Deny, Ground, Mode, PolicyRef, Refusal
from extauthz.server.challenge import www_authenticate
from extauthz.server.codec import read_check, write_verdict
from tests.checks import check_request, read_response

HEADERS = {"authorization": "Bearer abc.def.ghi", "x-request-id": "8e6e1b4e", "accept": "*/*"}
VALID = tuple(
    check_request("POST", "/a/b?c=d", "api.example:443", HEADERS, raw=raw, extensions={"extauthz.dev/policy": "a/b"})
    for raw in (False, True)
)

octets = st.integers(0, 255)
edits = st.lists(st.tuples(st.sampled_from(["set", "insert", "delete", "cut", "double"]), st.integers(0), octets))
texts = st.text(max_size=40) | st.sampled_from(["", "/", "GET", "api.example", ":path", "authorization", "a\r\nb", '"'])
numbers = st.floats() | st.none()
grounds = st.builds(
    Ground,
    policy=st.none() | st.builds(PolicyRef, texts, texts),
    rule=st.none() | texts,
    mode=st.sampled_from(Mode),
    issuer=st.none() | st.builds(IssuerRef, texts, texts, texts),
    subject=st.none() | texts,
    client=st.none() | texts,
)
challenges = st.builds(
    Challenge,
    realm=texts,
    scopes=st.lists(texts, max_size=4).map(tuple),
    resource_metadata=st.none() | texts,
    acr_values=st.lists(texts, max_size=3).map(tuple),
    max_age=numbers,
)
denials = st.builds(
    Deny,
    refusal=st.builds(Refusal, st.sampled_from(Reason), texts, retry_after=numbers),
    ground=grounds,
    challenge=challenges,
)
names = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z")
allows = st.builds(
    Allow,
    ground=grounds,
    set_headers=st.dictionaries(names, st.from_regex(r"\A[ -~]{0,20}\Z"), max_size=4).map(lambda d: tuple(d.items())),
    remove_headers=st.lists(names, max_size=4).map(tuple),
    remove_query=st.lists(texts, max_size=3).map(tuple),
    remaining=st.none() | st.integers(0, 2**40),
    shadowed=st.none() | denials,
)

PARAMETER = r'([a-z_]+)="([\x20-\x21\x23-\x5b\x5d-\x7e]*)"'


def edited(data: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    octets = bytearray(data)
    for kind, position, octet in changes:
        at = position % (len(octets) + 1)
        match kind:
            case "set":
                octets[at : at + 1] = bytes([octet])
            case "insert":
                octets[at:at] = bytes([octet])
            case "delete":
                del octets[at : at + 1]
            case "cut":
                del octets[at:]
            case _:
                octets += octets[at : at + 64]
    return bytes(octets)


def assert_read_or_refused(data: bytes) -> None:
    read = read_check(data)
    if isinstance(read, Refusal):
        assert read.reason in {Reason.REQUEST_MALFORMED, Reason.CREDENTIAL_MALFORMED}
        assert read.detail
    else:
        assert isinstance(read, RequestView)
        assert not [name for name in read.headers if ":" in name or name != name.lower()]


@given(st.binary(max_size=400))
@example(b"")
def test_no_octets_make_the_reader_raise(data: bytes) -> None:
    assert_read_or_refused(data)


@given(st.sampled_from(VALID), edits)
def test_a_damaged_request_is_read_or_refused(data: bytes, changes: list[tuple[str, int, int]]) -> None:
    assert_read_or_refused(edited(data, changes))


@given(
    texts,
    texts,
    texts,
    st.lists(st.tuples(texts, st.text(st.characters(max_codepoint=255), max_size=20)), max_size=6),
    st.booleans(),
    texts,
)
def test_a_well_formed_message_of_any_content_is_read_or_refused(
    method: str, path: str, host: str, headers: list[tuple[str, str]], raw: bool, source: str
) -> None:
    data = check_request(method, path, host, headers, raw=raw, pseudo=not raw, source=source)
    assert CheckRequest.FromString(data).attributes.request.http.path == path
    assert_read_or_refused(data)


@given(st.lists(st.tuples(names, st.from_regex(r"\A[!-~]{1,20}\Z")), max_size=8, unique_by=lambda pair: pair[0]))
def test_both_header_forms_tell_the_same(headers: list[tuple[str, str]]) -> None:
    pairs = [(name, value) for name, value in headers if name != "host"]
    plain, raw = read_check(check_request(headers=pairs)), read_check(check_request(headers=pairs, raw=True))
    assert isinstance(plain, RequestView)
    assert plain == raw


@given(allows | denials)
def test_only_an_allow_encodes_to_status_0(verdict: Allow | Deny) -> None:
    assert (read_response(write_verdict(verdict)).code == 0) == isinstance(verdict, Allow)


@given(denials)
def test_a_denial_reads_back_as_its_reason(deny: Deny) -> None:
    response = read_response(write_verdict(deny))
    assert response.metadata["reason"] == deny.reason.label
    assert (response.code, response.http_status) == (deny.reason.grpc_code, deny.reason.http_status)


@given(denials)
def test_nothing_in_a_denial_breaks_out_of_its_header(deny: Deny) -> None:
    for value in read_response(write_verdict(deny)).headers.values():
        assert re.fullmatch(r"[\x20-\x7e]+", value)


@given(st.sampled_from([reason for reason in Reason if reason.error is not None]), challenges)
def test_a_challenge_is_a_list_of_parameters_none_of_them_twice(reason: Reason, challenge: Challenge) -> None:
    value = www_authenticate(reason, challenge)
    assert value is not None
    assert re.fullmatch(rf"Bearer {PARAMETER}(, {PARAMETER})*", value)
    found = [name for name, _ in re.findall(PARAMETER, value)]
    assert len(found) == len(set(found))


@given(st.floats(0, 1e9))
def test_nobody_is_told_to_come_back_too_early(seconds: float) -> None:
    refusal = Refusal(Reason.RATE_EXCEEDED, "", retry_after=Seconds(seconds))
    told = int(read_response(write_verdict(Deny(refusal=refusal))).headers["retry-after"])
    assert seconds <= told <= max(1, seconds + 1)
