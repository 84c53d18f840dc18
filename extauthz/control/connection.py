"""The way to the API server: from inside a cluster with the mounted ServiceAccount, from outside with a kubeconfig."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config

from extauthz.keys.account import NoAccount, ServiceAccount

Api: TypeAlias = ApiClient
"""A way to an API server, for who only hands it on."""

_PORT: Final = "443"
_CONNECTIONS: Final = 16
"""Each kind that is watched holds one."""


class NoConnection(Exception):
    """There is no way to an API server. The message says how to mend it, and holds no credential."""


def connect(environment: Mapping[str, str], account: ServiceAccount) -> ApiClient:
    """A client of the cluster that we run in, else of the one that the kubeconfig names. Raises NoConnection."""
    settings = Configuration()
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    if host:
        _mounted(settings, host, environment.get("KUBERNETES_SERVICE_PORT", _PORT), account)
    else:
        _from_file(settings, environment)
    # A redirect, or a silent second try, would hide what the API server answers: we retry by rules of our own.
    settings.retries = False
    # Notices a machine that is gone; a process that hangs shows by its silence.
    settings.keep_alive = True
    settings.connection_pool_maxsize = _CONNECTIONS
    return ApiClient(settings)


def _mounted(settings: Configuration, host: str, port: str, account: ServiceAccount) -> None:
    """The account's token is read anew for each request, because the kubelet rotates it."""
    bare = host.strip("[]")

    def refresh(current: Configuration) -> None:
        current.api_key["BearerToken"] = account.authorization(bare)

    try:
        refresh(settings)
        account.ca_pem()
    except NoAccount as error:
        raise NoConnection(str(error)) from error
    settings.host = f"https://[{bare}]:{port}" if ":" in bare else f"https://{bare}:{port}"
    settings.ssl_ca_cert = str(account.folder / "ca.crt")
    setattr(settings, "refresh_api_key_hook", refresh)  # noqa: B010  # annotated as if it could only be None


def _from_file(settings: Configuration, environment: Mapping[str, str]) -> None:
    path = environment.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    try:
        load_kube_config(config_file=path, client_configuration=settings, persist_config=False)
    except Exception:  # noqa: BLE001  # a file of another shape brings about any of them; their texts may quote it
        words = f"the kubeconfig `{path}` cannot be used; name another in KUBECONFIG, or run in a cluster"
        raise NoConnection(words) from None
