"""Rows A: extraction and transport (RFC 6750, section 2; RFC 9110, section 11). Both header forms of Envoy."""

from __future__ import annotations

import pytest

from extauthz.model.token import MAX_TOKEN
from tests.catalogue.guarded import Guarded, api, at
from tests.catalogue.outcomes import INVREQ, INVTOK, NOAUTH, POLICY, UNREAD, USED, admitted, challenge_of, refused
from tests.issuing import claims, token

pytestmark = pytest.mark.parametrize("raw", [False, True], ids=["map", "raw"])
TOKEN = token()


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def authorization(value: str) -> tuple[str, str]:
    return "authorization", value.replace("TOKEN", TOKEN)


def test_A01_without_a_credential(guarded: Guarded, raw: bool) -> None:
    refused(guarded.send(raw=raw), NOAUTH)
    refused(guarded.send(authorization(""), raw=raw), NOAUTH)
    refused(guarded.send(authorization("  "), raw=raw), NOAUTH)
    needed = challenge_of(guarded.send(path="/scoped", raw=raw).headers)
    assert (needed["realm"], needed["scope"]) == ("catalogue", "orders.read orders.admin")


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Negotiate YII=", "Digest username=a, nonce=b", "DPoP TOKEN"])
def test_A02_another_scheme(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), NOAUTH)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer"])
def test_A03_the_scheme_has_no_case(guarded: Guarded, raw: bool, scheme: str) -> None:
    admitted(guarded.send(authorization(f"{scheme} TOKEN"), raw=raw))


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "bearer", "Bearer   "])
def test_A04_a_scheme_without_a_token(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), INVREQ)


@pytest.mark.parametrize("second", ["Bearer TOKEN", "Bearer other", "Basic dXNlcjpwYXNz", "DPoP TOKEN"])
def test_A05_two_headers(guarded: Guarded, raw: bool, second: str) -> None:
    for lines in (("Bearer TOKEN", second), (second, "Bearer TOKEN")):
        refused(guarded.send(*map(authorization, lines), raw=raw), INVREQ)


@pytest.mark.parametrize(
    "value",
    ["Bearer TOKEN, Bearer B", "Bearer TOKEN,Bearer TOKEN", "Bearer TOKEN,DPoP B", "Basic a, Bearer TOKEN", "a,TOKEN"],
)
def test_A06_two_credentials_in_one_header(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), INVREQ)


@pytest.mark.parametrize("value", ["Bearer\tTOKEN", "Bearer \tTOKEN", "Bearer TOKEN\t", "\tBearer TOKEN"])
def test_A07_a_tab_is_no_space(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), INVREQ)


@pytest.mark.parametrize("value", ["Bearer  TOKEN", "Bearer    TOKEN ", " Bearer TOKEN", "Bearer  TOKEN  "])
def test_A07_spaces_may_be_many(guarded: Guarded, raw: bool, value: str) -> None:
    admitted(guarded.send(authorization(value), raw=raw))


@pytest.mark.parametrize("value", ["Bearer TOKEN b", "Bearer a TOKEN", "Bearer TOKEN  TOKEN"])
def test_A08_a_header_that_was_folded(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), INVREQ)


@pytest.mark.parametrize(
    "value",
    [
        "Bearer TOKEN\x01", "Bearer \x1fTOKEN", "Bearer TOKEN\x7f", "Bearer \x00", "Bearer TOKEN\x00",
        "Bearer TOK\r\nEN", "Bearer TOKEN\n", "Bearer TOKEN\xe9", "Bearer TOKEN\xff", "Bearer TOKEN!",
        "Bearer TOKEN\xa0", "Bearer\x0bTOKEN",
    ],
)  # fmt: skip
def test_A09_controls_and_foreign_characters(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization(value), raw=raw), INVREQ)


@pytest.mark.parametrize("value", ["a\x00", "a\r\nb", "a\n"])
def test_A09_line_breaks_and_nul_in_another_header(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(authorization("Bearer TOKEN"), ("x-other", value), raw=raw), UNREAD)


QUERIES = [
    "?access_token=B", "?a=1&access_token=TOKEN", "?a=1;access_token=B", "?access%5Ftoken=B", "?%61ccess_token=B",
    "?+access_token=B", "?access_token=TOKEN&access_token=B", "??access_token=TOKEN&a=1",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_A10_a_header_and_the_query(guarded: Guarded, raw: bool, query: str) -> None:
    path = f"/plain{query.replace('TOKEN', TOKEN)}"
    refused(guarded.send(authorization("Bearer TOKEN"), path=path, raw=raw), INVREQ)


@pytest.mark.parametrize("piece", ["access_tokenx=&", "%61ccess_toke%6ex&", "access_token[&", "access_token%00&"])
def test_A10_a_second_credential_behind_a_flood_of_names_that_begin_alike(
    guarded: Guarded, raw: bool, piece: str
) -> None:
    path = f"/plain?{piece * 1000}access_token={TOKEN}"
    refused(guarded.send(authorization("Bearer TOKEN"), path=path, raw=raw), INVREQ)
    many = f"/plain?{'access_tokenx=1&' * 100}a=b"
    admitted(guarded.send(authorization("Bearer TOKEN"), path=many, raw=raw))


FORMS = ["access_token=TOKEN", "a=1&access_token=x", "access_token=", "access%5Ftoken=TOKEN", "a=1;access_token=TOKEN"]


@pytest.mark.parametrize("body", FORMS)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"]
)
def test_A10_a_header_and_a_form(guarded: Guarded, raw: bool, body: str, kind: str) -> None:
    said = body.replace("TOKEN", TOKEN)
    form = ("content-type", kind)
    refused(guarded.send(authorization("Bearer TOKEN"), form, body=said, method="POST", raw=raw), INVREQ)
    refused(guarded.send(form, body=said, method="POST", raw=raw), NOAUTH)


def test_A10_a_form_without_a_token_and_a_token_in_another_body(guarded: Guarded, raw: bool) -> None:
    form, text = ("content-type", "application/x-www-form-urlencoded"), ("content-type", "text/plain")
    admitted(guarded.send(authorization("Bearer TOKEN"), form, body="a=access_token", method="POST", raw=raw))
    admitted(guarded.send(authorization("Bearer TOKEN"), text, body=f"access_token={TOKEN}", method="POST", raw=raw))


@pytest.mark.parametrize("value", ["Bearer TOKEN", "Bearer other", "Basic dXNlcjpwYXNz", "anything"])
def test_A10_a_header_and_the_cookie_that_is_the_slot(guarded: Guarded, raw: bool, value: str) -> None:
    cookie = ("cookie", f"a=1; session={TOKEN}")
    refused(guarded.send(authorization(value), cookie, path="/cookie", raw=raw), INVREQ)
    admitted(guarded.send(cookie, path="/cookie", raw=raw))


@pytest.mark.parametrize("query", QUERIES)
def test_A11_the_query_alone(guarded: Guarded, raw: bool, query: str) -> None:
    refused(guarded.send(path=f"/plain{query.replace('TOKEN', TOKEN)}", raw=raw), NOAUTH)


@pytest.mark.parametrize("value", ["Bearer TOKEN", "Bearer other", "Basic dXNlcjpwYXNz", "DPoP TOKEN"])
def test_A12_an_api_key_header_and_authorization(guarded: Guarded, raw: bool, value: str) -> None:
    key = ("x-api-key", TOKEN)
    refused(guarded.send(authorization(value), key, path="/key", raw=raw), INVREQ)
    refused(guarded.send(authorization("Bearer TOKEN"), ("x-api-key", "other"), path="/key", raw=raw), INVREQ)
    admitted(guarded.send(key, path="/key", raw=raw))


@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key", "api-key", "X-Api-Key"])
def test_A12_authorization_and_an_api_key_that_the_rule_does_not_expect(raw: bool, name: str) -> None:
    lenient = at("lenient")
    lenient["token"]["alongside"] = [name.lower()]
    guarded = Guarded(api(at("plain"), lenient))
    lines = (authorization("Bearer TOKEN"), (name, "k"))
    refused(guarded.send(*lines, raw=raw), INVREQ)
    refused(guarded.send(lines[1], raw=raw), NOAUTH)
    admitted(guarded.send(lines[0], (name, ""), raw=raw))
    response = guarded.send(*lines, path="/lenient", raw=raw)
    admitted(response)
    assert response.removed == ("authorization",)
    for other in {"x-api-key", "x-goog-api-key", "api-key"} - {name.lower()}:
        refused(guarded.send(*lines, (other, "k"), path="/lenient", raw=raw), INVREQ)


@pytest.mark.parametrize("name", ["x_api_key", "x_api-key", "X-Goog_Api-Key", "api_key"])
def test_A12_a_key_in_a_header_that_many_servers_take_for_another(raw: bool, name: str) -> None:
    guarded = Guarded(api(at("plain"), at("key", slot={"header": "x-api-key"})))
    refused(guarded.send(authorization("Bearer TOKEN"), (name, "k"), raw=raw), INVREQ)
    refused(guarded.send(("x-api-key", TOKEN), (name, "k"), path="/key", raw=raw), INVREQ)
    admitted(guarded.send(authorization("Bearer TOKEN"), (name, ""), raw=raw))


def test_A12_the_other_spelling_of_the_slot_is_a_second_token(raw: bool) -> None:
    rule = at("own", slot={"header": "x-own-token"})
    rule["token"]["alongside"] = ["x-api-key"]
    guarded = Guarded(api(rule))
    own = ("x-own-token", TOKEN)
    refused(guarded.send(own, ("x_own_token", TOKEN), path="/own", raw=raw), INVREQ)
    admitted(guarded.send(own, ("x_api_key", "k"), path="/own", raw=raw))


@pytest.mark.parametrize("slot", [{"cookie": "x-api-key"}, {"query": "x-api-key"}], ids=str)
def test_A12_a_key_beside_a_cookie_or_parameter_of_its_name(raw: bool, slot: dict[str, str]) -> None:
    guarded = Guarded(api(at("named", slot=slot)))
    lines = [("cookie", f"x-api-key={TOKEN}")] if "cookie" in slot else []
    path = "/named" if "cookie" in slot else f"/named?x-api-key={TOKEN}"
    refused(guarded.send(*lines, ("x-api-key", "k"), path=path, raw=raw), INVREQ)
    admitted(guarded.send(*lines, path=path, raw=raw))


@pytest.mark.parametrize("other", ["lang=fran\xe7ais", "a=\x01", "a=\x7f"])
def test_A14_a_cookie_that_cannot_be_written_again(raw: bool, other: str) -> None:
    counted, whole = (
        at("counted", slot={"cookie": "session"}, reuse={"maxUses": 1}),
        at("whole", slot={"cookie": "session"}),
    )
    whole["upstream"] = {"forwardToken": True}
    guarded = Guarded(api(counted, whole))
    cookie = ("cookie", f"{other}; session={TOKEN}")
    refused(guarded.send(cookie, path="/counted", raw=raw), INVREQ)
    admitted(guarded.send(cookie, path="/whole", raw=raw))
    # What was refused has used nothing up.
    admitted(guarded.send(("cookie", f"a=1; session={TOKEN}"), path="/counted", raw=raw))


def test_A13_a_token_beyond_the_bound(guarded: Guarded, raw: bool) -> None:
    for length in (MAX_TOKEN + 1, 16_384, 1 << 20):
        refused(guarded.send(authorization("Bearer " + "a" * length), raw=raw), INVTOK, "token_malformed")


def test_A13_a_rule_may_say_how_long_its_tokens_are(raw: bool) -> None:
    """Some issuers list every group of a user, two hundred of them at most."""
    rules = (at("plain"), at("long"), at("short"), at("cookie", slot={"cookie": "session"}))
    rules[1]["token"]["maxLength"] = rules[3]["token"]["maxLength"] = 16_384
    rules[2]["token"]["maxLength"] = 256
    guarded = Guarded(api(*rules))
    text = token(claims(groups=[f"5d9a7e10-63b2-4e7f-a1c8-7f20d4b6{n:04}" for n in range(200)]))
    assert 11_000 < len(text) < 16_384
    admitted(guarded.present(text, "/long", raw=raw))
    admitted(guarded.send(("cookie", f"session={text}"), path="/cookie", raw=raw))
    refused(guarded.present(text, "/plain", raw=raw), INVTOK, "token_malformed")
    refused(guarded.present(token(), "/short", raw=raw), INVTOK, "token_malformed")
    refused(guarded.send(authorization("Bearer " + "a" * 16_385), path="/long", raw=raw), INVTOK, "token_malformed")


@pytest.mark.parametrize("name", ["x-auth-sub", "X-Auth-Sub", "x_auth_sub", "x-auth_sub", "X_AUTH_SUB"])
def test_A14_our_headers_are_overwritten_or_removed(guarded: Guarded, raw: bool, name: str) -> None:
    response = guarded.send(authorization("Bearer TOKEN"), (name, "admin"), path="/identity", raw=raw)
    admitted(response)
    assert response.headers["x-auth-sub"] == "alice"
    assert name.lower() == "x-auth-sub" or name.lower() in response.removed
    response = guarded.send(authorization("Bearer TOKEN"), (name, "admin"), raw=raw)
    admitted(response)
    assert set(response.removed) == {"authorization", name.lower()}


@pytest.mark.parametrize("xfcc", ["By=spiffe://a;URI=spiffe://shop/web", 'Hash=ab;Subject="";URI=spiffe://shop/web'])
def test_A14_a_certificate_in_a_header_is_nobodys(raw: bool, xfcc: str) -> None:
    guarded = Guarded(api(at("bound", reuse={"maxUses": 9, "bindTo": ["SourcePrincipal"]})))
    good, forged = authorization("Bearer TOKEN"), ("x-forwarded-client-cert", xfcc)
    admitted(guarded.send(good, path="/bound", principal="spiffe://shop/web", raw=raw))
    for principal in ("", "spiffe://shop/thief"):
        response = guarded.send(good, forged, path="/bound", principal=principal, raw=raw)
        assert (response.http_status, response.metadata["reason"]) == (401, "token_bound_elsewhere")


@pytest.mark.parametrize("value", ["false", "true", "", "maybe"])
def test_A15_envoys_word_on_the_body_from_a_client(guarded: Guarded, raw: bool, value: str) -> None:
    told = ("x-envoy-auth-partial-body", value)
    admitted(guarded.send(authorization("Bearer TOKEN"), told, raw=raw))
    refused(guarded.send(told, raw=raw), NOAUTH)


def test_A16_a_request_id_of_the_clients_own_is_no_repetition(guarded: Guarded, raw: bool) -> None:
    lines = (authorization("Bearer TOKEN"), ("x-request-id", "8a2f8bb4-1f2c-4b0e-9f3e-000000000001"))
    admitted(guarded.send(*lines, path="/once", raw=raw))
    refused(guarded.send(*lines, path="/once", raw=raw), USED)


@pytest.mark.parametrize(
    "spoof",
    [
        ("x-forwarded-proto", "https"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "admin.example"),
        ("x-forwarded-host", "api.example"), ("forwarded", "host=api.example;proto=https"),
        ("x-original-url", "/open"), ("x-envoy-original-path", "/open"), ("x-forwarded-port", "443"),
    ],
)  # fmt: skip
def test_A17_what_a_client_says_of_scheme_and_host_changes_nothing(raw: bool, spoof: tuple[str, str]) -> None:
    guarded = Guarded(api(at("plain"), {"name": "open", "match": [{"path": {"exact": "/open"}}], "anonymous": True}))
    good = authorization("Bearer TOKEN")
    admitted(guarded.send(good, spoof, raw=raw))
    refused(guarded.send(spoof, raw=raw), NOAUTH)
    refused(guarded.send(good, spoof, host="admin.example", raw=raw), POLICY, "no_policy")
    refused(guarded.send(good, spoof, host="", raw=raw), UNREAD)


@pytest.mark.parametrize("host", ["other.example", "api.example.evil", "evil-api.example", "api.example.evil:443"])
def test_A18_another_host(guarded: Guarded, raw: bool, host: str) -> None:
    refused(guarded.send(authorization("Bearer TOKEN"), host=host, raw=raw), POLICY, "no_policy")


@pytest.mark.parametrize("target", ["http://other.example/plain", "https://api.example/plain", "//other.example/plain"])
def test_A18_a_target_that_names_a_host_itself(guarded: Guarded, raw: bool, target: str) -> None:
    """Envoy takes the host out of such a target; one that arrives here as it is has no single reading."""
    response = guarded.send(authorization("Bearer TOKEN"), path=target, raw=raw)
    refused(response, POLICY if target.startswith("//") else UNREAD)


@pytest.mark.parametrize("value", ["DPoP TOKEN", "Bearer TOKEN", "Basic dXNlcjpwYXNz"])
def test_A19_proxy_authorization(guarded: Guarded, raw: bool, value: str) -> None:
    refused(guarded.send(("proxy-authorization", value.replace("TOKEN", TOKEN)), raw=raw), NOAUTH)
