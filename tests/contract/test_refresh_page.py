"""The how-to page about token endpoints: its objects are taken as they are printed, and requests get what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.policy.parse import Parsed, parse
from extauthz.policy.schema import definitions
from tests import issuing
from tests.building import NOW
from tests.catalogue.guarded import Guarded
from tests.catalogue.token_endpoint import FORM, TokenEndpoint, grant
from tests.checks import Response
from tests.structural import mistakes

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "refresh-tokens.md"
PEER = "spiffe://mesh.example/ns/login/sa/web"


def printed() -> list[dict[str, Any]]:
    """The objects of the page."""
    block = next(found[1] for found in re.finditer(r"```yaml\n([\s\S]*?)```", PAGE.read_text()) if "kind:" in found[1])
    return [*yaml.safe_load_all(block)]


class OnThePage(TokenEndpoint):
    """The page's objects, with keys of our own in place of those that would be fetched."""

    def __init__(self) -> None:
        issuer, policy = printed()
        issuer["spec"]["keys"] = {"inline": issuing.jwks()}
        Guarded.__init__(self, issuer, policy)

    def ask_for(self, body: str, *, path: str = "/token", **more: Any) -> Response:
        """Ask as a client of the page's authorization server."""
        return self.post(body, path=path, host="as.example", **{"principal": PEER, **more})


@pytest.fixture
def endpoint() -> OnThePage:
    return OnThePage()


def token(name: str, grant_id: str) -> str:
    """A refresh token of a grant."""
    said = {"iss": "https://as.example", "aud": "https://as.example", "jti": name, "grant_id": grant_id}
    # As long as the page says that they live.
    return issuing.token(issuing.claims(**said, exp=NOW + 29 * 86400), issuing.header(typ="rt+jwt"))


def told(response: Response) -> str:
    """What the client reads."""
    return "to the server" if response.code == 0 else f"{response.http_status} {json.loads(response.body)['error']}"


def test_the_definitions_take_the_objects_as_they_are_printed() -> None:
    schemas = {each["spec"]["names"]["kind"]: each["spec"]["versions"][0]["schema"] for each in definitions().values()}
    for each in printed():
        schema = schemas[each["kind"]]["openAPIV3Schema"]["properties"]["spec"]
        assert mistakes(schema, each["spec"], "spec") == []
        assert isinstance(parse(each, cluster=True), Parsed)


def test_requests_get_what_the_table_says(endpoint: OnThePage) -> None:
    a, b, c = grant(token("A", "1")), grant(token("B", "1")), grant(token("C", "2"))
    second = token("B", "1")
    asked = [
        endpoint.ask_for(a), endpoint.ask_for(a), endpoint.ask_for(a), endpoint.ask_for(b), endpoint.ask_for(c),
        endpoint.ask_for(f"{a}&refresh_token={second}"), endpoint.ask_for("grant_type=authorization_code&code=c"),
        endpoint.ask_for("grant_type=password&username=u"),
    ]  # fmt: skip
    table = [line.strip("|").split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [re.sub(r"[`]|, once|;.*", "", cell).strip() for cell in table if "to the server" in cell or "400" in cell]
    assert list(map(told, asked)) == rows
    assert told(endpoint.ask_for(a, path=f"/token?refresh_token={second}")) == "400 invalid_request"
    assert told(endpoint.ask_for(a, headers={"content-type": "application/json"})) == "400 invalid_request"


def test_nothing_else_is_open_but_what_the_page_names(endpoint: OnThePage) -> None:
    good = grant(token("A", "1"))
    for path in ("/token/", "/token/x"):
        assert told(endpoint.ask_for(good, path=path, method="GET")) == "400 invalid_request"
    for path in ("/", "/oauth/token", "/TOKEN"):
        assert endpoint.ask_for(good, path=path).http_status == 403
    for path in ("/authorize", "/jwks.json", "/.well-known/openid-configuration"):
        assert endpoint.ask_for("", path=path, method="GET", headers={}).code == 0
    assert told(endpoint.ask_for(grant(issuing.token()), headers=FORM)) == "400 invalid_grant"


def test_a_grace_without_mutual_tls_admits_nothing(endpoint: OnThePage) -> None:
    assert told(endpoint.ask_for(grant(token("A", "1")), principal="")) == "400 invalid_grant"
