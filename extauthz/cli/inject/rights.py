"""What the accounts of injected pods must be allowed to read, as objects of RBAC: from the table that the code has.

Each account has a Role of its own, so that what one workload needs takes nothing from another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from extauthz.cli.inject.sidecar import Json
from extauthz.control.rbac import TABLE, Mode, Rule, Where

_API: Final = "rbac.authorization.k8s.io"
_PREFIX: Final = "extauthz-sidecar"


@dataclass(frozen=True, slots=True)
class Reading:
    """Secrets and ConfigMaps that issuers refer to."""

    secrets: tuple[str, ...] = ()
    configmaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """A ServiceAccount."""

    namespace: str
    name: str


def account_of(manifest: Json, spec: Json, namespace: str) -> Account | None:
    """Whose rights a pod has; None when neither the manifest nor `namespace` tells where it runs."""
    metadata = manifest.get("metadata")
    where = (metadata.get("namespace") if isinstance(metadata, dict) else None) or namespace
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    return Account(str(where), str(name)) if where else None


def rights(account: Account, installed: str, here: Reading, there: Reading) -> Iterator[Json]:
    """Roles and bindings of an account: in its namespace, in the install namespace, and for the whole cluster."""
    whole = f"{_PREFIX}:{account.namespace}:{account.name}"
    served = list(_rules(Where.SERVED, here))
    install = [*_rules(Where.INSTALL, Reading()), *_references(there)]
    yield from _granted(f"{_PREFIX}:{account.name}", account.namespace, served, account)
    yield from _granted(whole, installed, install, account)
    yield from _granted(whole, "", list(_rules(Where.CLUSTER, Reading())), account)


def _rules(where: Where, reading: Reading) -> Iterator[Json]:
    for rule in TABLE[Mode.SIDECAR]:
        if rule.where is where and not rule.named:
            yield rule.as_rule()
        elif rule.where is where:
            yield from _named(rule, reading)


def _references(reading: Reading) -> Iterator[Json]:
    """What ClusterTokenIssuers refer to stands in the install namespace."""
    for rule in TABLE[Mode.SIDECAR]:
        if rule.named:
            yield from _named(rule, reading)


def _named(rule: Rule, reading: Reading) -> Iterator[Json]:
    names = reading.secrets if rule.resources == ("secrets",) else reading.configmaps
    if names:
        yield rule.as_rule(*names)


def _granted(name: str, namespace: str, rules: list[Json], account: Account) -> Iterator[Json]:
    kind = "Role" if namespace else "ClusterRole"
    metadata: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
    yield {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    yield {
        "apiVersion": f"{_API}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
    }
