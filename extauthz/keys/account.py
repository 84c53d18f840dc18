"""The program's own Kubernetes ServiceAccount, for key sets that the API server shows only to callers it knows.

INVARIANT: the account's token goes to the API server and nowhere else. The hosts that count are fixed when the program
starts, so a policy author cannot have it sent elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAMES: Final = frozenset({"kubernetes", "kubernetes.default", "kubernetes.default.svc"})
_CLUSTER_DOMAIN: Final = "kubernetes.default.svc.cluster.local"
_MAX_TOKEN: Final = 16_384


class NoAccount(ValueError):
    """The account cannot be used. The message says why and how to mend it, and holds no token."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A mounted ServiceAccount."""

    folder: Path
    """Where the files `token` and `ca.crt` are mounted."""
    hosts: frozenset[str]
    """Names and addresses of the API server."""

    @classmethod
    def mounted(cls, environment: Mapping[str, str], folder: Path) -> ServiceAccount:
        """The account of this pod; the API server's address is in `KUBERNETES_SERVICE_HOST`."""
        host = environment.get("KUBERNETES_SERVICE_HOST", "").strip("[]")
        return cls(folder, _NAMES | {_CLUSTER_DOMAIN} | ({host} if host else set()))

    def authorization(self, host: str) -> str:
        """The value of `Authorization` for a request to this host. Read anew each time, because the token rotates.

        Raises NoAccount for another host than the API server, and when there is no token.
        """
        if host.lower() not in self.hosts:
            raise NoAccount(
                f"`{host}` is not the API server, and `authentication: OwnServiceAccountToken` is for that alone"
            )
        token = self._read("token").strip()
        if not token or len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise NoAccount(f"the file `{self.folder / 'token'}` holds no token")
        return f"Bearer {token}"

    def ca_pem(self) -> str:
        """The cluster's authority, in PEM. Raises NoAccount when there is none."""
        return self._read("ca.crt")

    def _read(self, name: str) -> str:
        path = self.folder / name
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            words = f"the file `{path}` of the service account cannot be read; mount the account's token"
            raise NoAccount(words) from error
