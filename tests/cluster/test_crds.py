"""A real API server takes the definitions, and judges objects as `extauthz lint` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from extauthz.cli.demo.process import poll_until
from extauthz.control.files import lint
from extauthz.policy.parse import Broken, parse
from extauthz.policy.schema import definitions
from tests.building import anonymous, obj, policy
from tests.cluster.access import Access
from tests.parity.altered import altered
from tests.parity.row import Row
from tests.parity.table import COMPANIONS, ROWS

GROUP, VERSION = "extauthz.dev", "v1alpha1"
NAMES = {
    definition["spec"]["names"]["kind"]: definition["spec"]["names"] | {"scope": definition["spec"]["scope"]}
    for definition in definitions().values()
}


def named(row: Row) -> str:
    return f"{row.object['kind']}: {row.title}"


def listed(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


@pytest.fixture(scope="module")
def shop(access: Access) -> str:
    """A namespace of an API server with our definitions, which `extauthz crds` printed."""
    printed = subprocess.run([sys.executable, "-m", "extauthz.cli", "crds"], capture_output=True, text=True, check=True)
    applied = access.kubectl("apply", "--server-side", "-f", "-", stdin=printed.stdout)
    assert applied.returncode == 0, applied.stderr
    poll_until(lambda: all(_served(access, names) for names in NAMES.values()), None, "our kinds being served")
    return access.new_namespace("shop")


def _served(access: Access, names: dict[str, Any]) -> bool:
    return access.kubectl("get", f"{names['plural']}.{GROUP}", "-A").returncode == 0


def tried(access: Access, namespace: str, raw: dict[str, Any]) -> list[tuple[str, str]]:
    """What an API server says against creating an object, by field; nothing when it would take it."""
    names, api = NAMES[raw["kind"]], client.CustomObjectsApi(access.client())
    strict: Any = {"dry_run": "All", "field_validation": "Strict"}
    try:
        if names["scope"] == "Cluster":
            api.create_cluster_custom_object(GROUP, VERSION, names["plural"], raw, **strict)
        else:
            raw = {**raw, "metadata": {**raw["metadata"], "namespace": namespace}}
            api.create_namespaced_custom_object(GROUP, VERSION, namespace, names["plural"], raw, **strict)
    except client.ApiException as error:
        return _causes(json.loads(str(error.body)))
    return []


def _causes(status: dict[str, Any]) -> list[tuple[str, str]]:
    causes = status.get("details", {}).get("causes")
    if causes:
        return [(cause["field"], cause["message"]) for cause in causes]
    # A field that is not known is told in the text alone.
    return [(part.split('"')[1], part) for part in status["message"].split("unknown field ")[1:]] or [
        ("", status["message"])
    ]


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_the_api_server_judges_as_the_table_says(access: Access, shop: str, row: Row) -> None:
    found = tried(access, shop, dict(row.object))
    if row.field is None:
        assert found == []
    else:
        assert any(_within(field, row.field) and row.words in message for field, message in found), found


def _within(field: str, wanted: str) -> bool:
    return field == wanted or field.startswith((f"{wanted}.", f"{wanted}["))


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_lint_judges_as_the_table_says(tmp_path: Path, row: Row) -> None:
    others = [each for each in COMPANIONS if each["metadata"]["name"] != row.object["metadata"]["name"]]
    (tmp_path / "row.yaml").write_text(json.dumps(row.object, ensure_ascii=False), "utf-8")
    (tmp_path / "others.yaml").write_text(json.dumps(listed(*others)), "utf-8")
    _, found, _ = lint(tmp_path, cluster=True)
    assert all(mistake.file == "row.yaml" for mistake in found)
    if row.field is None:
        assert found == ()
    else:
        assert any(mistake.field.startswith(row.field) and row.words in mistake.message for mistake in found), found


def test_the_api_server_and_the_parser_agree_on_objects_that_nobody_thought_of(access: Access, shop: str) -> None:
    apart = []
    for raw in altered(seed=8, count=600):
        refused, found = tried(access, shop, raw), parse(raw, cluster=True)
        if bool(refused) != isinstance(found, Broken):
            apart.append((raw["spec"], refused, found))
    assert apart == []


TYPO = policy("typo", anonymous("r", path={"exact": "/x"}, methds=["GET"]))


@pytest.mark.parametrize(
    "command",
    [
        ("apply",),
        ("create",),
        ("apply", "--server-side"),
        ("apply", "--server-side", "--validate=false"),
    ],
    ids=" ".join,
)
def test_kubectl_refuses_a_mistyped_field_as_the_page_says(access: Access, shop: str, command: tuple[str, ...]) -> None:
    done = access.kubectl(*command, "-f", "-", stdin=json.dumps(_in(shop, TYPO)))
    assert done.returncode == 1
    assert "methds" in done.stderr


@pytest.mark.parametrize(("command", "warned"), [("false", False), ("warn", True)])
def test_a_mistyped_field_is_dropped_where_the_page_says(
    access: Access, shop: str, tmp_path: Path, command: str, warned: bool
) -> None:
    done = access.kubectl("apply", f"--validate={command}", "-f", "-", stdin=json.dumps(_in(shop, TYPO)))
    assert (done.returncode, "methds" in done.stderr) == (0, warned)
    kept = json.loads(access.kubectl("get", "accesspolicy", "typo", "-n", shop, "-o", "json").stdout)
    assert kept["spec"]["rules"][0]["match"] == [{"path": {"exact": "/x"}}]
    (tmp_path / "typo.yaml").write_text(json.dumps(TYPO))
    [mistake] = lint(tmp_path, cluster=True).mistakes
    assert "did you mean `methods`?" in mistake.message


def test_a_patch_drops_a_mistyped_field_with_a_warning_as_the_page_says(access: Access, shop: str) -> None:
    good = policy("patched", anonymous("r", path={"exact": "/x"}, methods=["GET"]))
    done = access.kubectl("apply", "-f", "-", stdin=json.dumps(_in(shop, good)))
    assert done.returncode == 0, done.stderr
    patch = json.dumps({"spec": {"rules": TYPO["spec"]["rules"]}})
    done = access.kubectl("patch", "accesspolicy", "patched", "-n", shop, "--type=merge", "-p", patch)
    assert (done.returncode, "methds" in done.stderr) == (0, True)
    kept = json.loads(access.kubectl("get", "accesspolicy", "patched", "-n", shop, "-o", "json").stdout)
    assert kept["spec"]["rules"][0]["match"] == [{"path": {"exact": "/x"}}]


def _in(namespace: str, raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "metadata": {**raw["metadata"], "namespace": namespace}}


def test_the_largest_policy_is_within_the_budget_of_cel(access: Access, shop: str) -> None:
    """An API server counts what rules cost when they are asked, too."""
    match = {
        "path": {"exact": "/" + "a" * 900},
        "headers": [{"name": "x" * 128, "present": True}],
        "methods": ["GET"] * 16,
    }
    headers = {f"{'x' * 126}{number:02}": "c" for number in range(16)}
    limits = [{"name": f"l{number}", "by": ["Subject", "Client"], "requests": 1, "window": "1m"} for number in range(8)]
    rules = [
        {
            "name": f"{'r' * 60}-{number:02}",
            "match": [match] * 16,
            "upstream": {"claimHeaders": headers},
            "limits": limits,
        }
        | {"token": {"issuers": [{"name": "i" * 253}] * 8}, "reuse": {"maxUses": 1}}
        for number in range(64)
    ]
    raw = obj("AccessPolicy", "largest", {"hosts": [f"{'h' * 250}{number:02}" for number in range(64)], "rules": rules})
    assert len(json.dumps(raw)) > 1_000_000
    assert tried(access, shop, raw) == []


def test_an_object_that_was_taken_is_read_as_it_was_written(access: Access, shop: str) -> None:
    """Defaults are filled in, and the whole of it is good when it is sent again."""
    rule = {"name": "r", "token": {"issuers": [{"name": "corp"}]}, "reuse": {"maxUses": 1}}
    raw = obj("AccessPolicy", "kept", {"hosts": ["a.example"], "rules": [rule]}, namespace=shop)
    applied = access.kubectl("apply", "-f", "-", stdin=json.dumps(raw))
    assert applied.returncode == 0, applied.stderr
    held = json.loads(access.kubectl("get", "ap", "kept", "-n", shop, "-o", "json").stdout)
    (read,) = held["spec"]["rules"]
    assert held["spec"]["mode"] == "Enforce"
    assert read["token"]["from"] == {"header": "authorization"}
    assert read["reuse"] == {"maxUses": 1, "key": "Token", "scope": "Policy"}
    assert tried(access, shop, {**raw, "metadata": {"name": "again"}, "spec": held["spec"]}) == []


def test_get_shows_the_columns_and_all_kinds_at_once(access: Access, shop: str) -> None:
    issuer = obj("TokenIssuer", "idp", {"issuer": "https://a.example", "keys": {"discovery": {}}}, namespace=shop)
    spec = {"issuer": {"name": "idp"}, "subject": "alice", "expires": "2031-01-01T00:00:00Z"}
    both = (issuer, obj("TokenRevocation", "alice", spec, namespace=shop))
    assert access.kubectl("apply", "-f", "-", stdin=json.dumps(listed(*both))).returncode == 0
    shown = access.kubectl("get", "extauthz", "-n", shop).stdout
    assert "tokenissuer.extauthz.dev/idp" in shown
    assert "tokenrevocation.extauthz.dev/alice" in shown
    assert access.kubectl("get", "ti", "-n", shop).stdout.split("\n")[0].split() == [
        "NAME", "READY", "KEYSFRESH", "ISSUER", "AGE",
    ]  # fmt: skip
    assert "2031-01-01T00:00:00Z" in access.kubectl("get", "tr", "-n", shop).stdout


def test_a_condition_is_written_to_status_alone_and_shown(access: Access, shop: str) -> None:
    raw = obj("AccessPolicy", "told", {"hosts": ["b.example"], "rules": [{"name": "r", "anonymous": True}]}, shop)
    assert access.kubectl("apply", "-f", "-", stdin=json.dumps(raw)).returncode == 0
    accepted = {
        "type": "Accepted", "status": "True", "observedGeneration": 1, "reason": "Accepted", "message": "",
        "lastTransitionTime": "2031-01-01T00:00:00Z",
    }  # fmt: skip
    patch = json.dumps({"status": {"conditions": [accepted], "active": "3/3"}, "spec": {"mode": "Shadow"}})
    arguments = ("patch", "ap", "told", "-n", shop, "--type=merge", "--subresource=status", "-p")
    assert access.kubectl(*arguments, patch).returncode == 0
    row = access.kubectl("get", "ap", "told", "-n", shop).stdout.split("\n")[1].split()
    assert row[:5] == ["told", "True", "Enforce", '["b.example"]', "3/3"]
    twice = json.dumps({"status": {"conditions": [accepted, accepted]}})
    assert "Duplicate value" in access.kubectl(*arguments, twice).stderr


def test_explain_tells_what_every_field_is_for(access: Access, shop: str) -> None:
    told = access.kubectl("explain", "accesspolicy.spec.rules.reuse").stdout
    assert "How often one token may be reused" in told
    assert "What counts as the same token" in told
