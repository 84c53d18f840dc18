"""Discovery believes a document only when it names the issuer that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from extauthz.keys.discovery import find_jwks_uri, well_known
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.jwk import KeyRules
from extauthz.keys.source import Discovery, load
from tests.unit.keys.servers import Site, serving

OIDC = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
FETCHER = Fetcher(allow_loopback=True)
RULES = KeyRules(algorithms=frozenset({"ES256"}))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


def metadata(issuer: Any, **more: Any) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": "https://login.example/keys"} | more).encode()


def find(site: Site, issuer: str | None = None, url: str | None = None) -> str:
    return find_jwks_uri(FETCHER, issuer or site.url, url, None)


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        ("https://a.example", f"https://a.example{OIDC}", f"https://a.example{OAUTH}"),
        ("https://a.example/", f"https://a.example{OIDC}", f"https://a.example{OAUTH}"),
        ("https://a.example/t/v2", f"https://a.example/t/v2{OIDC}", f"https://a.example{OAUTH}/t/v2"),
        ("https://a.example:8443/t/", f"https://a.example:8443/t{OIDC}", f"https://a.example:8443{OAUTH}/t"),
    ],
)
def test_the_well_known_places_follow_from_the_issuer(issuer: str, first: str, second: str) -> None:
    assert well_known(issuer) == (first, second)


@pytest.mark.parametrize("issuer", ["accounts.example", "stytch.example/project", "https://", "https://a.example?b"])
def test_an_issuer_that_is_no_url_has_no_well_known_place(issuer: str) -> None:
    with pytest.raises(FetchFailed, match=r"keys\.discovery\.url"):
        well_known(issuer)


def test_the_key_set_is_found_at_the_first_place(site: Site) -> None:
    site.answers[OIDC] = metadata(site.url)
    assert find(site) == "https://login.example/keys"
    assert site.asked == [OIDC]


def test_the_second_place_is_asked_when_the_first_has_nothing(site: Site) -> None:
    site.answers[OAUTH + "/tenant"] = metadata(f"{site.url}/tenant")
    assert find(site, f"{site.url}/tenant") == "https://login.example/keys"
    assert site.asked == ["/tenant" + OIDC, OAUTH + "/tenant"]


@pytest.mark.parametrize("status", [301, 403, 500, 503])
def test_the_second_place_is_not_asked_for_another_reason(site: Site, status: int) -> None:
    site.answers[OIDC] = (status, {}, b"")
    site.answers[OAUTH] = metadata(site.url)
    with pytest.raises(FetchFailed):
        find(site)
    assert site.asked == [OIDC]


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", "", None, 7, ["x"], "https://login.example/{tenantid}/v2.0"]
)
def test_metadata_of_another_issuer_is_refused(site: Site, issuer: Any) -> None:
    site.answers[OIDC] = metadata(issuer)
    with pytest.raises(FetchFailed, match=r"names the issuer .*, not `http.*keys\.jwksUri"):
        find(site)


def test_metadata_for_many_tenants_says_how_to_write_them(site: Site) -> None:
    site.answers[OIDC] = metadata("https://login.example/{tenantid}/v2.0")
    with pytest.raises(FetchFailed, match=r"for many tenants: .*`issuerTemplate` and `tenants`"):
        find(site)


@pytest.mark.parametrize("change", [lambda i: i + "/", str.upper, lambda i: i.replace("localhost", "127.0.0.1")])
def test_the_issuer_is_compared_byte_for_byte(site: Site, change: Any) -> None:
    site.answers[OIDC] = metadata(change(site.url))
    with pytest.raises(FetchFailed, match="names the issuer"):
        find(site)


def test_an_issuer_without_metadata_is_told_where_it_was_looked_for_and_what_to_set(site: Site) -> None:
    with pytest.raises(FetchFailed) as failed:
        find_jwks_uri(FETCHER, f"{site.url}/a", None, None)
    for words in ("/a/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a", "`keys.jwksUri`"):
        assert words in str(failed.value)
    assert failed.value.status == 404


@pytest.mark.parametrize(("status", "told"), [(401, True), (403, True), (500, False)])
def test_an_issuer_that_keeps_its_metadata_from_us_may_have_it_elsewhere(site: Site, status: int, told: bool) -> None:
    site.answers["/.well-known/openid-configuration"] = (status, {}, b"")
    with pytest.raises(FetchFailed) as failed:
        find_jwks_uri(FETCHER, site.url, None, None)
    assert ("`keys.discovery.url`" in str(failed.value)) is told


def test_an_address_of_its_own_is_asked_alone_and_held_to_the_same_issuer(site: Site) -> None:
    site.answers["/meta"] = metadata("https://sts.example/tenant/")
    assert find(site, "https://sts.example/tenant/", f"{site.url}/meta") == "https://login.example/keys"
    with pytest.raises(FetchFailed, match="names the issuer"):
        find(site, "https://sts.example/tenant", f"{site.url}/meta")
    with pytest.raises(FetchFailed, match="404"):
        find(site, "https://sts.example/tenant", f"{site.url}/none")
    assert site.asked == ["/meta", "/meta", "/none"]


@pytest.mark.parametrize("jwks_uri", [None, 7, ["https://login.example/keys"]])
def test_metadata_without_a_key_set_is_refused(site: Site, jwks_uri: Any) -> None:
    site.answers[OIDC] = metadata(site.url, jwks_uri=jwks_uri)
    with pytest.raises(FetchFailed, match="has no `jwks_uri`"):
        find(site)


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"[]", b'{"issuer":1,"issuer":2}'])
def test_metadata_that_is_no_json_object_is_refused(site: Site, body: bytes) -> None:
    site.answers[OIDC] = body
    with pytest.raises(FetchFailed, match="is no JSON object"):
        find(site)


@pytest.mark.parametrize(
    "jwks_uri",
    ["http://login.example/keys", "file:///etc/passwd", "https://u:p@login.example/k", '"https://login.example/k"', ""],
)
def test_a_key_set_that_is_not_on_https_is_not_fetched(site: Site, jwks_uri: str) -> None:
    site.answers[OIDC] = metadata(site.url, jwks_uri=jwks_uri)
    with pytest.raises(FetchFailed, match=r"is not fetched: .*names it as `jwks_uri`, and `keys\.jwksUri` can"):
        load(Discovery(site.url), FETCHER)


def test_a_key_set_that_cannot_be_reached_from_here_is_told_as_the_metadatas(site: Site) -> None:
    site.answers[OIDC] = metadata(site.url, jwks_uri=f"{site.url}/none")
    with pytest.raises(FetchFailed, match=r"404; the issuer's metadata names it as `jwks_uri`") as failed:
        load(Discovery(site.url), FETCHER)
    assert failed.value.status == 404


def test_the_key_set_may_stand_on_another_host(site: Site) -> None:
    with serving() as other:
        other.answers["/keys"] = b'{"keys":[]}'
        site.answers[OIDC] = metadata(site.url, jwks_uri=f"{other.url}/keys")
        loaded = load(Discovery(site.url), FETCHER)
    assert loaded.document == b'{"keys":[]}'
    assert loaded.place == f"the key set at `{other.url}/keys`"
