"""Keys come over https, and from no host that is this machine or a metadata service."""

from __future__ import annotations

import pytest

from extauthz.keys.address import Address, AddressRefused, check_peer, parse_address, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://login.example/keys", Address(True, "login.example", 443, "/keys")),
        ("HTTPS://Login.Example", Address(True, "login.example", 443, "/")),
        ("https://login.example:8443/a/b?c=d&e=f", Address(True, "login.example", 8443, "/a/b?c=d&e=f")),
        ("https://[2001:db8::1]:8443/k", Address(True, "2001:db8::1", 8443, "/k")),
        ("https://10.0.0.1/k", Address(True, "10.0.0.1", 443, "/k")),
    ],
)
def test_an_https_address_is_split(url: str, expected: Address) -> None:
    assert parse_address(url, allow_loopback=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "login.example/keys",
        "//login.example/keys",
        "http://login.example/keys",
        "http://localhost/keys",
        "file:///etc/passwd",
        "ftp://login.example/keys",
        "unix:///run/keys",
        "https://",
        "https:///keys",
        "https://user@login.example/keys",
        "https://user:secret@login.example/keys",
        "https://@login.example/keys",
        "https://login.example@evil.example/keys",
        "https://login.example/keys#fragment",
        "https://login.example#@evil.example/",
        "https://login.example\\@evil.example/",
        "https://login.example/a b",
        "https://login.example/\r\nHost: evil.example",
        "https://login.example/\x00",
        "https://lögin.example/keys",
        "https://[fe80::1%25eth0]/keys",
        "https://login.example:0/keys",
        "https://login.example:99999/keys",
        "https://login.example:port/keys",
        'https://"login.example"/keys',
    ],
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        parse_address(url, allow_loopback=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_plain_http_is_for_loopback_and_by_permission_only(host: str) -> None:
    assert not parse_address(f"http://{host}:8080/k", allow_loopback=True).secure
    with pytest.raises(AddressRefused, match="over https only"):
        parse_address(f"http://{host}:8080/k", allow_loopback=False)


@pytest.mark.parametrize("host", ["login.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example"])
def test_permission_for_loopback_is_none_for_others(host: str) -> None:
    with pytest.raises(AddressRefused, match="over https only"):
        parse_address(f"http://{host}/k", allow_loopback=True)


@pytest.mark.parametrize("peer", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "203.0.113.7", "fd12::1", "2001:db8::1"])
def test_private_and_public_peers_are_fine(peer: str) -> None:
    check_peer(peer, secure=True, allow_loopback=False)


@pytest.mark.parametrize(
    "peer",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_peers_that_no_issuer_has_are_refused(peer: str, allow_loopback: bool) -> None:
    with pytest.raises(AddressRefused):
        check_peer(peer, secure=True, allow_loopback=allow_loopback)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_peers_need_permission(peer: str) -> None:
    check_peer(peer, secure=True, allow_loopback=True)
    check_peer(peer, secure=False, allow_loopback=True)
    with pytest.raises(AddressRefused, match="this machine"):
        check_peer(peer, secure=True, allow_loopback=False)


def test_plain_http_never_leads_away_from_this_machine() -> None:
    """`localhost` could resolve to anything."""
    with pytest.raises(AddressRefused, match="loopback only"):
        check_peer("203.0.113.7", secure=False, allow_loopback=True)


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    assert shown("https://user:word@login.example/a/b?key=word#x") == "https://login.example/a/b"
    assert shown("https://user:word@login.example/to/https://a@b") == "https://login.example/to/https://a@b"
    assert [shown(text) for text in ("/elsewhere?key=word", "nowhere")] == ["/elsewhere", "nowhere"]
    assert shown("https://login.example/a`b\n\u202ec") == "https://login.example/a?b??c"
    assert len(shown("https://login.example/" + "a" * 5000)) == 200
