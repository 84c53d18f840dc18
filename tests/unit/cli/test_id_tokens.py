"""Notes on TokenIssuers that take ID tokens: told of what is beyond doubt, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from extauthz.cli.issuer.id_tokens import id_tokens_let_in
from extauthz.cli.issuer.providers import PROVIDERS, Provider
from extauthz.policy.parse import Parsed, parse
from tests.building import obj, policy

WRITTEN = pytest.mark.parametrize("known", PROVIDERS.values(), ids=PROVIDERS.keys())
KNOWN = [known for known in PROVIDERS.values() if known.id_tokens is not None]
FENCES = {
    "entra": "`claimPresent: [azp]`",
    "entra-v1": "`claimPresent: [appid]`",
    "entra-multitenant": "`claimPresent: [azp]`",
    "entra-b2c": "`claimPresent: [azp, scp]`",
    "entra-b2c-tfp": "`claimPresent: [azp, scp]`",
    "cognito": "`claimEquals: {token_use: access}`",
    "keycloak": "`claimEquals: {typ: Bearer}`",
    "zitadel": "`claimPresent: [jti]`",
    "stytch": "`claimPresent: [client_id, scope]`",
    "fusionauth": "`claimEquals: {tty: at}`",
}
CLIENT = {"entra-v1": "5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35", "stytch": "connected-app-live-example"}
"""A client's id, where the audience of the scaffold's example is none."""
SECRET = {"secretRef": {"name": "a", "key": "b"}}
TENANT = "3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21"
ENTRA: dict[str, Any] = {
    "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "keys": {"discovery": {}},
    "audiences": ["5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35"],
    "tokenTypes": ["JWT"],
    "mapping": {"scope": ["scp"]},
    "claimEquals": {"ver": "2.0", "tid": TENANT},
}


def notes(*objects: dict[str, Any]) -> list[str]:
    parsed = [parse(each) for each in objects]
    assert all(isinstance(each, Parsed) for each in parsed), parsed
    return list(map(str, id_tokens_let_in([each for each in parsed if isinstance(each, Parsed)])))


def scaffold(known: Provider, audience: str | None = None) -> dict[str, Any]:
    text = known.write(known.example, audience or known.audience_example).replace("FILL-IN-", "")
    spec: dict[str, Any] = yaml.safe_load(text)
    return spec


def entra(**more: Any) -> dict[str, Any]:
    spec = {name: value for name, value in {**ENTRA, **more}.items() if value is not ...}
    return obj("TokenIssuer", "entra", spec)


def rule(name: str = "r", **more: Any) -> dict[str, Any]:
    token = {"issuers": [{"name": "entra"}], **more.pop("token", {})}
    return {"name": name, "match": [{"path": {"exact": f"/{name}"}}], "token": token, **more}


@WRITTEN
def test_nothing_is_noted_of_what_scaffold_writes(known: Provider) -> None:
    assert notes(obj("TokenIssuer", "corp", scaffold(known, CLIENT.get(known.name)))) == []


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_without_what_keeps_id_tokens_out_it_is_noted_and_what_is_missing_is_named(known: Provider) -> None:
    spec = scaffold(known, CLIENT.get(known.name))
    spec.pop("claimPresent", None)
    spec["claimEquals"] = {
        claim: said for claim, said in spec.get("claimEquals", {}).items() if claim in {"ver", "tid"}
    }
    [note] = notes(obj("TokenIssuer", "corp", spec))
    assert FENCES[known.name] in note
    [note] = notes({**obj("ClusterTokenIssuer", "corp", spec), "metadata": {"name": "corp"}})
    assert note.startswith("ClusterTokenIssuer corp: spec.claim")


@pytest.mark.parametrize(
    "more",
    [
        {"claimPresent": ["azp"]},
        {"requiredClaims": ["scp"]},
        {"claimEquals": {"idtyp": "app"}},
        {"claimFlags": {"trusted": True}},
        {"subjectPattern": "app-*"},
        {"tokenTypes": ["at+jwt"]},
        {"audiences": ["api://orders"]},
        {"audiences": ...},
        {"issuer": "https://login.corp.example"},
        {"claimPresent": ["nonce"]},
        {"keys": ..., "introspection": {"url": "https://corp.example/i", "bearer": SECRET}},
    ],
    ids=lambda more: str(more)[:40],
)  # fmt: skip
def test_what_may_keep_them_out_or_wants_them_is_not_noted(more: dict[str, Any]) -> None:
    assert notes(entra()) != []
    assert notes(entra(**more)) == []


@pytest.mark.parametrize(
    "required",
    [
        {"scopes": ["read"]},
        {"claims": [{"claim": "scp", "present": True}]},
        {"cel": "claims.scp != ''"},
    ],
)
def test_rules_may_keep_them_out_each_by_itself(required: dict[str, Any]) -> None:
    kept = rule("kept", require=required)
    assert notes(entra(), policy("p", kept)) == []
    assert len(notes(entra(), policy("p", kept, rule("open")))) == 1
    assert (
        len(notes(entra(), policy("p", kept, rule("open", require={"claims": [{"claim": "tid", "present": True}]}))))
        == 1
    )
    assert len(notes(entra(mapping={"scope": ["scp", "roles"]}), policy("p", rule(require={"scopes": ["read"]})))) == 1


def test_the_audience_that_a_rule_names_counts() -> None:
    ours = {"audiences": ENTRA["audiences"]}
    assert len(notes(entra(audiences=["api://orders"]), policy("p", rule(token=ours)))) == 1
    assert notes(entra(), policy("p", rule(token={"audiences": ["api://orders"]}))) == []
    another = {**policy("p", rule(token=ours)), "metadata": {"name": "p", "namespace": "elsewhere"}}
    assert notes(entra(audiences=["api://orders"]), another) == []


def test_an_alias_tells_whose_tokens_they_are_too() -> None:
    assert len(notes(entra(issuer="https://corp.example", issuerAliases=[ENTRA["issuer"]]))) == 1
