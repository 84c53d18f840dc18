"""How we show who we are at an endpoint: RFC 6749, section 2.3.1, and RFC 7662, section 2.1."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus

import pytest

from extauthz.introspection.endpoint import (
    MAX_SECRET,
    BearerToken,
    Client,
    ClientSecretBasic,
    ClientSecretPost,
    Endpoint,
    GivenSecret,
    NoSecret,
    SecretFile,
    introduce,
)
from extauthz.model.token import IssuerRef


def given(value: bytes) -> GivenSecret:
    return GivenSecret(value, "entry `secret` of Secret `client`")


def test_a_basic_client_encodes_id_and_secret_as_a_form_does() -> None:
    headers, body = introduce(ClientSecretBasic("a:b c", given(b"p:%+ 7")), {"token": "t.1"})
    scheme, _, words = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    client, _, secret = b64decode(words).decode().partition(":")
    assert (client, secret) == ("a%3Ab+c", "p%3A%25%2B+7")
    assert (unquote_plus(client), unquote_plus(secret)) == ("a:b c", "p:%+ 7")
    assert body == b"token=t.1"


def test_a_client_that_posts_its_secret_sends_no_authorization() -> None:
    headers, body = introduce(ClientSecretPost("orders", given(b"a&b=c")), {"token": "t/+="})
    assert headers == {}
    assert parse_qs(body.decode()) == {"token": ["t/+="], "client_id": ["orders"], "client_secret": ["a&b=c"]}


def test_a_bearer_token_of_our_own_goes_into_authorization() -> None:
    assert introduce(BearerToken(given(b"abc.def~")), {})[0] == {"Authorization": "Bearer abc.def~"}


@pytest.mark.parametrize("value", [b"a b", b"a,b", b'a"b'])
def test_a_bearer_token_that_no_header_carries_is_not_sent(value: bytes) -> None:
    with pytest.raises(NoSecret, match="no token has") as caught:
        introduce(BearerToken(given(value)), {})
    assert value.decode() not in str(caught.value)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_line_end_that_an_editor_leaves_is_no_part_of_a_secret(end: bytes) -> None:
    assert given(b"s3cret " + end).read() == "s3cret "


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb", "printable ASCII"),
        (b"a\r\nX-Header: b", "printable ASCII"),
        (b"caf\xc3\xa9", "printable ASCII"),
        (b"a\x00", "printable ASCII"),
        (b"s" * (MAX_SECRET + 1), "more than 4096"),
    ],
)
def test_a_secret_that_cannot_be_one_is_refused_and_not_shown(value: bytes, words: str) -> None:
    with pytest.raises(NoSecret, match=words) as caught:
        given(value).read()
    assert "entry `secret` of Secret `client`" in str(caught.value)
    assert "caf" not in str(caught.value)


def test_a_secret_in_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"first\n")
    secret = SecretFile(file)
    assert secret.read() == "first"
    file.write_bytes(b"second\n")
    assert secret.read() == "second"


def test_a_file_that_is_missing_or_no_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(NoSecret, match="cannot be read: no such file"):
        SecretFile(tmp_path / "secret").read()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NoSecret, match="no regular file"):
        SecretFile(tmp_path / "pipe").read()
    (tmp_path / "long").write_bytes(b"s" * (MAX_SECRET + 9))
    with pytest.raises(NoSecret, match="more than 4096"):
        SecretFile(tmp_path / "long").read()


@pytest.mark.parametrize(
    "client",
    [
        ClientSecretBasic("orders", given(b"hidden")),
        ClientSecretPost("orders", given(b"hidden")),
        BearerToken(given(b"hidden")),
    ],
)
def test_no_representation_shows_a_secret(client: Client) -> None:
    endpoint = Endpoint(ref=IssuerRef("TokenIssuer", "shop", "opaque"), url="https://a.example/", client=client)
    assert "hidden" not in repr(endpoint)
