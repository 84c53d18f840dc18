"""TokenIssuers for known providers: whole once filled in, strict, and right for the tokens that the providers issue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from extauthz.cli.issuer import command
from extauthz.cli.issuer.providers import PROVIDERS, Provider
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.parse import Parsed, parse
from tests import issuing
from tests.unit.keys.servers import Site, serving

ALL = pytest.mark.parametrize("known", PROVIDERS.values(), ids=PROVIDERS.keys())


def scaffold(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["scaffold", *arguments])


def written(known: Provider, *more: str) -> dict[str, Any]:
    """The object for the provider's own example, filled in."""
    done = scaffold(known.name, "--url", known.example, "--audience", known.audience_example, "--offline", *more)
    assert done.exit_code == 0, done.stderr
    loaded: dict[str, Any] = yaml.safe_load(done.stdout.replace("FILL-IN-", ""))
    return loaded


@ALL
def test_a_scaffold_that_is_filled_in_has_no_mistakes(known: Provider) -> None:
    for more in ((), ("--cluster",), ("--name", "mine", "--namespace", "shop")):
        parsed = parse(written(known, *more))
        assert isinstance(parsed, Parsed), list(map(str, parsed.problems))


@ALL
def test_a_scaffold_names_algorithms_and_a_lifetime(known: Provider) -> None:
    spec = written(known)["spec"]
    assert ("introspection" in spec) != ("algorithms" in spec)
    assert set(spec.get("algorithms", ())) <= {"RS256", "ES256", "ES384", "EdDSA"}
    assert spec["audiences"]
    assert {"maxLifetime"} <= spec.keys()


@ALL
def test_lists_are_written_as_lists(known: Provider) -> None:
    mapping = written(known)["spec"].get("mapping", {})
    assert all(isinstance(value, list) for value in mapping.values())


@ALL
def test_what_is_missing_is_said(known: Provider) -> None:
    done = scaffold(known.name, "--url", known.example, "--offline")
    assert done.exit_code == 0
    unfilled = [line for line in done.stdout.splitlines() if "FILL-IN" in line]
    assert all(any(line.strip().split(":")[0] in said for said in done.stderr.splitlines()) for line in unfilled)
    for todo in known.fill:
        assert todo in done.stderr


@ALL
def test_a_url_of_another_provider_is_refused_with_an_example(known: Provider) -> None:
    done = scaffold(known.name, "--url", "ftp://nowhere", "--offline")
    assert done.exit_code == 2
    assert known.example in done.stderr


@pytest.mark.parametrize("audience", ['a"b', "a b", "a\nb: c", "", "\\", "é"])
def test_an_audience_cannot_change_the_object(audience: str) -> None:
    done = scaffold("keycloak", "--url", "https://a/realms/b", "--audience", audience, "--offline")
    assert done.exit_code == 2
    assert "printable ASCII" in done.stderr


def test_a_token_type_of_another_kind_is_let_in_only_where_the_provider_issues_it() -> None:
    specs = {name: written(known)["spec"] for name, known in PROVIDERS.items()}
    strict = {name for name, spec in specs.items() if "tokenTypes" not in spec and "keys" in spec}
    assert strict == {"auth0-rfc9068", "duende", "logto", "openiddict", "wso2"}


def test_an_endpoint_that_calls_refresh_tokens_active_is_not_believed_by_default() -> None:
    for known in PROVIDERS.values():
        spec = written(known)["spec"]
        assert "keys" in spec or spec["claimEquals"], known.name


def test_an_issuer_that_is_asked_about_tokens_has_no_keys_to_look_at() -> None:
    done = scaffold("okta-org", "--url", "https://acme.okta.com")
    assert done.exit_code == 0
    assert "its endpoint is asked" in done.stderr
    assert "FILL-IN-client" in done.stderr


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


def _look(site: Site, issuer: str) -> Result:
    site.answers["/realms/shop/.well-known/openid-configuration"] = json.dumps(
        {"issuer": issuer, "jwks_uri": f"{site.url}/keys"}
    ).encode()
    encryption = {**issuing.jwk("rsa-2"), "use": "enc", "alg": "RSA-OAEP"}
    site.answers["/keys"] = json.dumps({"keys": [issuing.jwk("rsa"), encryption]}).encode()
    url = f"{site.url}/realms/shop"
    return scaffold("keycloak", "--url", url, "--audience", "orders-api", "--allow-http-loopback")


@pytest.fixture
def keycloak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the expression of Keycloak's URLs take one on this machine."""
    monkeypatch.setitem(PROVIDERS, "keycloak", _anywhere(PROVIDERS["keycloak"]))


def _anywhere(known: Provider) -> Provider:
    return Provider(
        name=known.name,
        title=known.title,
        url=r"https?://.+/realms/[^/]+",
        example=known.example,
        spec=known.spec,
        audience=known.audience,
    )


def test_the_issuers_keys_are_looked_at(site: Site, keycloak: None) -> None:
    done = _look(site, f"{site.url}/realms/shop")
    assert "has 1 usable: `rsa` (RS256)" in done.stderr
    assert "`rsa-2` is skipped: its `use` is `enc`" in done.stderr
    parsed = parse(yaml.safe_load(done.stdout))
    assert isinstance(parsed, Parsed)
    assert isinstance(parsed.spec, TokenIssuerSpec)
    assert parsed.spec.issuer == f"{site.url}/realms/shop"


def test_an_issuer_that_calls_itself_otherwise_is_named(site: Site, keycloak: None) -> None:
    done = _look(site, "https://other.example")
    assert done.exit_code == 0
    assert "names the issuer `https://other.example`" in done.stderr


def test_offline_nothing_is_fetched(site: Site, keycloak: None) -> None:
    scaffold("keycloak", "--url", f"{site.url}/realms/shop", "--offline", "--allow-http-loopback")
    assert site.asked == []
