"""Ways into an API server: the official client, kubectl, and ServiceAccounts that may do only what a test grants."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from kubernetes import client

_TOKEN_SECONDS: Final = 3600
_PATIENCE: Final = 30.0

Rule: TypeAlias = Mapping[str, Sequence[str]]
"""One rule of RBAC as it is written: `apiGroups`, `resources`, `verbs`, and `resourceNames` where wanted."""


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount of a test's own."""

    namespace: str
    name: str
    token: str = field(repr=False)

    @property
    def user(self) -> str:
        """What the API server calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class Access:
    """Clients of one API server; as admin unless another token is given."""

    def __init__(self, url: str, certificate: Path, admin_token: str, kubectl: str, folder: Path) -> None:
        self.url: Final = url
        self.certificate: Final = certificate
        self._admin = admin_token
        self._kubectl = kubectl
        self._folder = folder
        self._clients: dict[str, client.ApiClient] = {}

    def client(self, token: str | None = None) -> client.ApiClient:
        """The official client, one for each caller, which belongs to this access and is closed with it."""
        token = token or self._admin
        if token not in self._clients:
            settings = client.Configuration()
            settings.host = self.url
            settings.ssl_ca_cert = str(self.certificate)
            settings.api_key["BearerToken"] = f"Bearer {token}"
            settings.retries = False  # a test wants to see each fault
            self._clients[token] = client.ApiClient(settings)
        return self._clients[token]

    def kubeconfig(self, token: str | None = None, namespace: str = "default") -> Path:
        """A file for everything that reads a kubeconfig."""
        path = self._folder / f"kubeconfig-{secrets.token_hex(4)}"
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        context = {"cluster": "tests", "user": "tests", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": {"token": token or self._admin}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))  # JSON is YAML
        return path

    def kubectl(
        self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end; its exit code is the caller's to look at."""
        config = kubeconfig or self.kubeconfig()
        command = [self._kubectl, f"--kubeconfig={config}", f"--cache-dir={self._folder / 'kubectl'}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_PATIENCE, check=False)

    def new_namespace(self, prefix: str = "test") -> str:
        """A namespace with a name of its own. It is left behind: nothing here finishes deleting one."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        client.CoreV1Api(self.client()).create_namespace(client.V1Namespace(metadata=_named(name)))
        return name

    def service_account(self, namespace: str, *rules: Rule, everywhere: bool = False) -> Account:
        """A new ServiceAccount, which may do what the rules say, in its namespace or everywhere, and nothing else."""
        name = f"account-{secrets.token_hex(4)}"
        core = client.CoreV1Api(self.client())
        core.create_namespaced_service_account(namespace, client.V1ServiceAccount(metadata=_named(name)))
        asked = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=_TOKEN_SECONDS)
        )
        answer = core.create_namespaced_service_account_token(name, namespace, asked)
        assert answer.status is not None
        assert answer.status.token
        account = Account(namespace, name, answer.status.token)
        if rules:
            self.grant(account, *rules, everywhere=everywhere)
        return account

    def grant(self, account: Account, *rules: Rule, everywhere: bool = False, namespace: str | None = None) -> None:
        """Let an account do more, in its own namespace unless another is named."""
        namespace = namespace or account.namespace
        rbac = client.RbacAuthorizationV1Api(self.client())
        named = _named(f"{account.name}-{secrets.token_hex(4)}")
        allowed = [client.V1PolicyRule.model_validate(dict(rule)) for rule in rules]
        kind = "ClusterRole" if everywhere else "Role"
        role = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind=kind, name=str(named.name))
        subjects = [client.RbacV1Subject(kind="ServiceAccount", namespace=account.namespace, name=account.name)]
        if everywhere:
            rbac.create_cluster_role(client.V1ClusterRole(metadata=named, rules=allowed))
            rbac.create_cluster_role_binding(
                client.V1ClusterRoleBinding(metadata=named, role_ref=role, subjects=subjects)
            )
        else:
            rbac.create_namespaced_role(namespace, client.V1Role(metadata=named, rules=allowed))
            rbac.create_namespaced_role_binding(
                namespace, client.V1RoleBinding(metadata=named, role_ref=role, subjects=subjects)
            )

    def close(self) -> None:
        """Close every client that was handed out."""
        while self._clients:
            self._clients.popitem()[1].close()


def _named(name: str) -> client.V1ObjectMeta:
    return client.V1ObjectMeta(name=name)
