"""Accounts that may do exactly what the table says, for a mode of the product, and nothing else."""

from __future__ import annotations

from extauthz.control.rbac import TABLE, Mode, Where
from tests.cluster.access import Access, Account

_NAMES = {"`--lease-name`": "extauthz-controller"}
_SERVES_ONE = {Mode.SIDECAR, Mode.CONTROLLER_OF_ONE, Mode.CONTROLLER_OF_INSTALL}


def may(
    access: Access, namespace: str, mode: Mode, *, install: str = "", held: str = "keys", events: bool = True
) -> Account:
    """An account of `namespace`, the one that is served where one is. `held` names the Secrets and ConfigMaps that it
    may read; without `events`, what that flag needs is left out."""
    account = access.service_account(namespace)
    for rule in TABLE[mode]:
        if rule.needs and not events:
            continue
        found = rule.as_rule(*([_NAMES.get(rule.named, held)] if rule.named else []))
        if rule.where is Where.INSTALL:
            access.grant(account, found, namespace=install or namespace)
        elif rule.where is Where.CLUSTER or mode not in _SERVES_ONE:
            access.grant(account, found, everywhere=True)
        else:
            access.grant(account, found)
    return account
