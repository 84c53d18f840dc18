"""`extauthz inject --rbac`: which accounts are granted what, from the table that the code has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from extauthz.cli.main import main
from extauthz.control.rbac import TABLE, Mode, Rule, Where

POD = "{serviceAccountName: orders, containers: [{name: envoy, image: e}]}"
ORDERS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: shop}, "
    f"spec: {{template: {{spec: {POD}}}}}}}"
)
BARE = "{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: envoy, image: e}]}}"
LEFT_ALONE = (
    "{apiVersion: v1, kind: Pod, metadata: {namespace: x, labels: {extauthz.dev/inject: 'false'}}, "
    "spec: {containers: []}}"
)
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: s}}"


def run(text: str, *options: str) -> Result:
    return CliRunner().invoke(main, ("inject", "--rbac", *options, "-"), input=text)


def granted(text: str, *options: str) -> list[Any]:
    done = run(text, *options)
    assert done.exit_code == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def rules(found: list[Any]) -> set[tuple[str, str, str, str, tuple[str, ...]]]:
    """Namespace, group, resource, verb and names of all that is granted."""
    return {
        (each["metadata"].get("namespace", ""), group, resource, verb, tuple(rule.get("resourceNames", ())))
        for each in found
        for rule in each.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def in_table(where: Where, namespace: str, *, names: tuple[str, ...] = ()) -> set[Any]:
    def of(rule: Rule) -> set[Any]:
        return {(namespace, rule.group, name, verb, names) for name in rule.resources for verb in rule.verbs}

    chosen = [rule for rule in TABLE[Mode.SIDECAR] if rule.where is where and bool(rule.named) == bool(names)]
    return set().union(*map(of, chosen))


def test_an_account_is_granted_what_the_table_says_and_no_more() -> None:
    wanted = in_table(Where.SERVED, "shop") | in_table(Where.INSTALL, "extauthz-system") | in_table(Where.CLUSTER, "")
    assert rules(granted(ORDERS)) == wanted


def test_secrets_and_config_maps_are_readable_by_their_names_alone() -> None:
    more = ("--read", "secret/keys", "--read", "configmap/ca", "--read-installed", "secret/corp")
    added = rules(granted(ORDERS, *more)) - rules(granted(ORDERS))
    assert {each for each in added if each[0] == "shop"} == {
        ("shop", "", kind, verb, (name,))
        for kind, name in (("secrets", "keys"), ("configmaps", "ca"))
        for verb in ("list", "watch")
    }
    assert {each[0::2] for each in added if each[0] != "shop"} == {("extauthz-system", "secrets", ("corp",))}


def test_every_binding_is_for_the_account_alone() -> None:
    bindings = [each for each in granted(ORDERS) if each["kind"].endswith("Binding")]
    assert len(bindings) == 3
    for each in bindings:
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": "orders", "namespace": "shop"}]
        assert each["roleRef"]["name"] == each["metadata"]["name"]


def test_accounts_of_different_names_share_no_object() -> None:
    """Not even `c` in `a-b` and `b-c` in `a`."""
    one = granted(BARE.replace("name: b}, spec: {", "name: b, namespace: a-b}, spec: {serviceAccountName: c, "))
    two = granted(BARE.replace("name: b}, spec: {", "name: b, namespace: a}, spec: {serviceAccountName: b-c, "))
    names = [{(e["kind"], e["metadata"].get("namespace"), e["metadata"]["name"]) for e in each} for each in (one, two)]
    assert not names[0] & names[1]


def test_an_account_is_granted_once_however_many_pods_have_it() -> None:
    assert granted("\n---\n".join([ORDERS, SERVICE, ORDERS, LEFT_ALONE])) == granted(ORDERS)


def test_a_pod_without_an_account_has_the_default_one_where_it_goes() -> None:
    (subject,) = {tuple(each["subjects"][0].values()) for each in granted(BARE, "--namespace", "shop")[1::2]}
    assert subject == ("ServiceAccount", "default", "shop")


def test_the_install_namespace_is_the_one_of_the_sidecars() -> None:
    found = granted(ORDERS, "--arg=--install-namespace=platform")
    assert {each["metadata"].get("namespace") for each in found} == {"shop", "platform", None}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (BARE, (), "-:1: Pod: has no namespace; name it by --namespace"),
        (ORDERS, ("--read", "keys"), "--read: `keys` is not `secret/NAME` or `configmap/NAME`"),
        (ORDERS, ("--read-installed", "pod/a"), "--read-installed: `pod/a` is not"),
        (ORDERS, ("--arg=--thread=1",), "did you mean `threads`?"),
        ("{apiVersion: v1, kind: Pod, spec: 7}", (), "-:1: Pod: `spec` is no mapping"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, options: tuple[str, ...], words: str) -> None:
    done = run(text, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_its_options_are_for_it_alone() -> None:
    done = CliRunner().invoke(main, ("inject", "--image", "i", "--read", "secret/a", "-"), input=ORDERS)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", "--read: is for --rbac\n")
