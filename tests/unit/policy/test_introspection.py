"""From an issuer with `introspection` to its endpoint, and to rules that ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.control.files import list_folder, load
from extauthz.control.objects import references
from extauthz.introspection.endpoint import BearerToken, ClientSecretBasic, ClientSecretPost, SecretFile
from extauthz.model.token import IssuerRef, TokenForms
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.policy.problem import Cause, ObjectRef
from extauthz.policy.snapshot import Snapshot
from tests.building import obj, policy, view
from tests.introspecting import ISSUER, SECRET, issuer
from tests.worlds import CORP

URL = "https://opaque.example/introspect"
REF = IssuerRef("TokenIssuer", "shop", "opaque")


def rule(*names: str, **more: Any) -> dict[str, Any]:
    return {"name": "r", "token": {"issuers": [{"name": n} for n in names], "audiences": ["a"]}, **more}


def compiled(*raw: dict[str, Any]) -> Snapshot:
    return compile_snapshot([parse(each) for each in raw])


def test_every_setting_reaches_the_endpoint_and_the_trust() -> None:
    snapshot = compiled(
        SECRET,
        issuer(URL, tokens="Any", prefixes=["ory_at_"], cacheFor="3s", timeout="2s", maxConcurrent=4, maxPerSecond=9),
    )
    (endpoint,) = snapshot.endpoints
    assert (endpoint.ref, endpoint.url, endpoint.cache_for, endpoint.timeout) == (REF, URL, 3.0, 2.0)
    assert (endpoint.most_at_once, endpoint.most_per_second) == (4, 9)
    assert isinstance(endpoint.client, ClientSecretBasic)
    assert (endpoint.client.client_id, endpoint.client.secret.read()) == ("orders client", "s3cr:t/+ value")
    trust = snapshot.issuers[REF]
    assert trust.introspected is not None
    assert (trust.introspected.endpoint, trust.introspected.forms) == (URL, TokenForms.ANY)
    assert trust.introspected.prefixes == ("ory_at_",)
    assert snapshot.issuer_keys == ()
    assert "s3cr" not in repr(endpoint)


def test_each_way_to_show_who_we_are_is_compiled() -> None:
    ref = {"secretRef": {"name": "client", "key": "secret"}}
    for client, kind in (
        ({"clientSecretPost": {"clientId": "a", **ref}}, ClientSecretPost),
        ({"bearer": ref}, BearerToken),
    ):
        made = obj("TokenIssuer", "opaque", {"issuer": ISSUER, "introspection": {"url": URL, **client}})
        (endpoint,) = compiled(SECRET, made).endpoints
        assert isinstance(endpoint.client, kind)


@pytest.mark.parametrize(
    ("secret", "words", "cause"),
    [
        (None, "there is no Secret `client`", Cause.REF_NOT_FOUND),
        ({"stringData": {"other": "x"}}, "has no entry `secret`", Cause.REF_NOT_FOUND),
        ({"stringData": {"secret": ""}}, "is empty", Cause.INVALID),
        ({"stringData": {"secret": "a\nb"}}, "printable ASCII", Cause.INVALID),
    ],
)
def test_a_secret_that_is_missing_or_unfit_denies_the_rules_that_need_it(
    secret: dict[str, Any] | None, words: str, cause: Cause
) -> None:
    held = [] if secret is None else [{k: v for k, v in SECRET.items() if k != "stringData"} | secret]
    snapshot = compiled(*held, issuer(URL), policy("p", rule("opaque")))
    problem = next(each for each in snapshot.problems if each.object.kind == "TokenIssuer")
    assert problem.field == ("spec", "introspection")
    assert problem.cause is cause
    assert words in problem.message
    found = snapshot.choose(view())
    assert getattr(found, "broken", None) is not None
    assert snapshot.endpoints == ()


def test_a_secret_of_another_namespace_is_no_secret_of_ours() -> None:
    elsewhere = {**SECRET, "metadata": {"name": "client", "namespace": "bank"}}
    assert compiled(elsewhere, issuer(URL)).endpoints == ()


def test_a_cluster_wide_issuers_secret_stands_in_the_install_namespace() -> None:
    spec = issuer(URL)["spec"]
    wide = obj("ClusterTokenIssuer", "opaque", spec)
    assert compiled(SECRET, wide).endpoints == ()
    ours = {**SECRET, "metadata": {"name": "client", "namespace": "extauthz-system"}}
    (endpoint,) = compiled(ours, wide).endpoints
    assert endpoint.ref == IssuerRef("ClusterTokenIssuer", "", "opaque")
    wanted = references([parse(wide)], "extauthz-system")
    assert wanted == {ObjectRef("Secret", "extauthz-system", "client")}


def test_a_rule_may_ask_one_endpoint_and_trust_signatures_besides() -> None:
    snapshot = compiled(SECRET, CORP, issuer(URL), policy("p", rule("corp", "opaque")))
    found: Any = snapshot.choose(view())
    assert [each.ref.name for each in found.demand.issuers] == ["corp"]
    assert found.demand.introspector.ref == REF


def test_a_rule_that_would_ask_two_endpoints_is_refused_since_a_token_does_not_say_whose_it_is() -> None:
    snapshot = compiled(SECRET, issuer(URL), issuer(URL + "/b", "other"), policy("p", rule("opaque", "other")))
    (problem,) = snapshot.problems
    assert problem.field == ("spec", "rules", 0, "token", "issuers", 1)
    assert "does not say whose it is" in problem.message
    found: Any = snapshot.choose(view())
    assert found.broken is not None


def test_a_rule_that_counts_by_id_needs_an_endpoint_that_tells_one() -> None:
    spec: dict[str, Any] = {"mapping": {"tokenId": []}}
    one = rule("opaque", reuse={"maxUses": 1, "key": "Jti"})
    snapshot = compiled(SECRET, issuer(URL, spec=spec), policy("p", one))
    assert "gives no token id" in snapshot.problems[0].message


def test_a_new_secret_is_a_new_version_and_a_new_endpoint() -> None:
    renewed = {**SECRET, "stringData": {"secret": "renewed"}}
    before, after = compiled(SECRET, issuer(URL)), compiled(renewed, issuer(URL))
    assert before.version != after.version
    assert before.endpoints != after.endpoints


def test_a_secrets_file_stands_beside_the_policy_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "issuer.yaml").write_text(
        """
apiVersion: extauthz.dev/v1alpha1
kind: TokenIssuer
metadata: {name: opaque, namespace: shop}
spec:
  issuer: https://opaque.example
  introspection:
    url: https://opaque.example/introspect
    clientSecretBasic: {clientId: orders, file: secrets/client}
"""
    )
    snapshot, problems = load(list_folder(tmp_path))
    assert problems == ()
    (endpoint,) = snapshot.endpoints
    assert isinstance(endpoint.client, ClientSecretBasic)
    assert endpoint.client.secret == SecretFile(tmp_path / "secrets" / "client")
