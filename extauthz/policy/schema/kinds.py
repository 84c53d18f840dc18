"""What each CustomResourceDefinition says besides its schema: names, scope, and what `kubectl get` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from extauthz.policy.gateway.target import GROUP
from extauthz.policy.parse import KINDS
from extauthz.policy.status import AccessPolicyStatus, TokenIssuerStatus, TokenRevocationStatus


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    """JSON path."""
    words: str
    kind: str = "string"
    wide: bool = False
    """Shown with `-o wide` only."""


def condition(name: str, words: str) -> Column:
    """A column with a condition's status."""
    return Column(name, f'.status.conditions[?(@.type=="{name}")].status', words)


AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since the object was created.", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object."""

    name: str
    plural: str
    short: str
    clustered: bool = False
    status: type
    columns: tuple[Column, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> type:
        """The dataclass that its `spec` is read into."""
        return KINDS[self.name]


_ISSUER_COLUMNS: Final = (
    condition("Ready", "Whether tokens of this issuer can be verified."),
    condition("KeysFresh", "Whether the keys were fetched lately."),
    Column("Issuer", ".spec.issuer", "The `iss` claim of its tokens."),
    AGE,
)

CUSTOM_KINDS: Final = (
    Kind(
        name="AccessPolicy",
        plural="accesspolicies",
        short="ap",
        status=AccessPolicyStatus,
        columns=(
            condition("Accepted", "Whether the policy has no mistakes."),
            condition("ResolvedRefs", "Whether all that it refers to is there."),
            condition("Programmed", "Whether every replica serves it as it stands now."),
            Column("Mode", ".spec.mode", "Enforce or Shadow."),
            Column("Hosts", ".spec.hosts", "Which hosts it speaks for."),
            Column("Targets", ".spec.targetRefs[*].name", "The objects of Gateway API that say its hosts.", wide=True),
            Column("Active", ".status.active", "How many replicas serve it, of how many."),
            AGE,
        ),
        # By this, tools of Gateway API know a kind that is attached to theirs (GEP-713, "Classes of policies").
        labels={f"{GROUP}/policy": "Inherited"},
    ),
    Kind(
        name="TokenIssuer",
        plural="tokenissuers",
        short="ti",
        status=TokenIssuerStatus,
        columns=_ISSUER_COLUMNS,
    ),
    Kind(
        name="ClusterTokenIssuer",
        plural="clustertokenissuers",
        short="cti",
        clustered=True,
        status=TokenIssuerStatus,
        columns=_ISSUER_COLUMNS,
    ),
    Kind(
        name="TokenRevocation",
        plural="tokenrevocations",
        short="tr",
        status=TokenRevocationStatus,
        columns=(
            condition("Accepted", "Whether the revocation has no mistakes."),
            condition("ResolvedRefs", "Whether its issuer is there."),
            Column("Expires", ".spec.expires", "When it is no longer needed."),
            AGE,
        ),
    ),
)
