"""What each mode must be allowed to do at the API server, and why: the one table that the chart and the page read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from extauthz.control.resources import PLURALS, TARGETS
from extauthz.policy.gateway.target import GROUP as GATEWAY_API
from extauthz.policy.parse import API_VERSION, CLUSTER_KINDS


class Mode(Enum):
    """What runs."""

    SIDECAR = "sidecar"
    """`extauthz serve --kubernetes --namespace NS`."""
    CENTRAL = "central"
    """`extauthz serve --kubernetes`."""
    CONTROLLER = "controller"
    """`extauthz controller`."""
    CONTROLLER_OF_ONE = "controller of one namespace"
    """`extauthz controller --namespace NS`."""
    CONTROLLER_OF_INSTALL = "controller of the install namespace"
    """`extauthz controller --namespace NS --install-namespace NS`."""


class Where(Enum):
    """Where a rule is granted."""

    SERVED = "the served namespaces"
    """By a Role in the one namespace, or by a ClusterRole where all are served."""
    INSTALL = "the install namespace"
    """By a Role there."""
    HOME = "the namespaces of the objects, and `default`"
    """Where Events are kept; by a ClusterRole where all namespaces are served."""
    CLUSTER = "everywhere"
    """By a ClusterRole: the objects belong to no namespace."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of RBAC."""

    group: str
    """API group; empty for the core."""
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    where: Where
    why: str
    named: str = ""
    """Which names it is limited to (`resourceNames`); empty for no limit."""
    needs: str = ""
    """The flag without which it is not used; empty where it always is."""

    def as_rule(self, *names: str) -> dict[str, Any]:
        """As RBAC writes it, limited to `names` if there are any."""
        limit = {"resourceNames": list(names)} if names else {}
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs), **limit}


_GROUP: Final = API_VERSION.partition("/")[0]
_OURS: Final = tuple(plural for kind, plural in PLURALS.items() if kind not in CLUSTER_KINDS)
_CLUSTERED: Final = tuple(PLURALS[kind] for kind in sorted(CLUSTER_KINDS))
_FOLLOW: Final = ("list", "watch")
_LEASES: Final = "coordination.k8s.io"

_READ: Final = (
    Rule(_GROUP, _OURS, _FOLLOW, Where.SERVED, "policies, issuers and revocations"),
    Rule(_GROUP, _CLUSTERED, _FOLLOW, Where.CLUSTER, "issuers for every namespace"),
    Rule("", ("secrets",), _FOLLOW, Where.SERVED, "key sets", "the Secrets that issuers refer to"),
    Rule("", ("configmaps",), _FOLLOW, Where.SERVED, "key sets and CA bundles", "the ConfigMaps that issuers refer to"),
)
_GRANTS: Final = Rule(
    "", ("namespaces",), _FOLLOW, Where.CLUSTER, "which hosts each namespace may claim, and its labels"
)
_TARGETS: Final = Rule(
    GATEWAY_API, tuple(each.plural for each in TARGETS.values()), _FOLLOW, Where.CLUSTER, "what `targetRefs` name"
)
_REVOKED: Final = Rule(_GROUP, ("tokenrevocations",), _FOLLOW, Where.INSTALL, "what is revoked for every namespace")
_WRITE: Final = (
    Rule(_GROUP, tuple(f"{name}/status" for name in _OURS), ("patch",), Where.SERVED, "status"),
    Rule(_GROUP, ("tokenrevocations",), ("get", "delete"), Where.SERVED, "deleting what has expired"),
    Rule(_GROUP, ("tokenrevocations",), ("create",), Where.SERVED, "what a logout ends", needs="--events"),
    Rule("events.k8s.io", ("events",), ("create",), Where.HOME, "Events when a condition turns"),
    Rule(_LEASES, ("leases",), ("create",), Where.INSTALL, "the election"),
    Rule(_LEASES, ("leases",), ("get", "patch"), Where.INSTALL, "the election", "`--lease-name`"),
)
_WRITE_CLUSTERED: Final = Rule(
    _GROUP, tuple(f"{name}/status" for name in _CLUSTERED), ("patch",), Where.CLUSTER, "status"
)
_TELL: Final = (Rule(_LEASES, ("leases",), ("create", "patch", "delete"), Where.INSTALL, "the replica's own Lease"),)
_FLEET: Final = (
    Rule(_LEASES, ("leases",), _FOLLOW, Where.INSTALL, "which replicas serve which snapshot"),
    Rule(_LEASES, ("leases",), ("delete",), Where.INSTALL, "Leases that lost replicas left behind"),
)

TABLE: Final[Mapping[Mode, tuple[Rule, ...]]] = {
    Mode.SIDECAR: (*_READ, _REVOKED),
    Mode.CENTRAL: (*_READ, _GRANTS, _TARGETS, *_TELL),
    Mode.CONTROLLER: (*_READ, _GRANTS, _TARGETS, *_WRITE, _WRITE_CLUSTERED, *_FLEET),
    Mode.CONTROLLER_OF_ONE: (*_READ, _REVOKED, *_WRITE),
    Mode.CONTROLLER_OF_INSTALL: (*_READ, *_WRITE, _WRITE_CLUSTERED),
}
"""Every verb that is used, and none that is not."""
