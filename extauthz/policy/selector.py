"""Label selectors, as Kubernetes has them (`metav1.LabelSelector`): by labels that are equal, and by expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, ClassVar, Final, TypeAlias, assert_never

from pydantic import ConfigDict, Field

from extauthz.policy.claim_words import map_names
from extauthz.policy.ruled import CelRule, Ruled
from extauthz.policy.words import STRICT, shaped

Labels: TypeAlias = Mapping[str, Mapping[str, str]]
"""The labels of each Namespace whose labels are known."""

NAMESPACE: Final = "Namespace"
NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""The label that a cluster gives every Namespace: its name."""

_LONGEST_KEY: Final = 317
_KEY_SIGNS: Final = "sign >= 'a' && sign <= 'z' || sign >= 'A' && sign <= 'Z' || sign >= '0' && sign <= '9'"
_KEY_WORDS: Final = "letters, digits and `-_./`"
LabelKey: TypeAlias = Annotated[str, shaped(r"^[-A-Za-z0-9_./]+$", _KEY_WORDS, high=_LONGEST_KEY)]
"""The name of a label."""
LabelValue: TypeAlias = Annotated[
    str,
    shaped(
        r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "letters, digits and `-_.`, with a letter or digit at both ends",
        low=0,
        high=63,
    ),
]
"""What a label says; it may be empty."""
_MatchLabels: TypeAlias = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=16),
    map_names(
        f"({_KEY_SIGNS} || sign in ['-', '_', '.', '/'])",
        _LONGEST_KEY,
        f"the name of a label has 1 to {_LONGEST_KEY} characters: {_KEY_WORDS}",
    ),
]


class Operator(Enum):
    """What an expression asks of a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_WITH_VALUES: Final = frozenset({Operator.IN, Operator.NOT_IN})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionSpec(Ruled):
    """One demand on a label."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "`In` and `NotIn` need `values`, and the others have none",
            lambda spec: (spec.operator in _WITH_VALUES) != bool(spec.values),
        ),
    )
    key: LabelKey
    """The label."""
    operator: Operator
    """`In` and `NotIn` compare it with `values`; a label that is not there is in none of them."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32)] = ()
    """What it is compared with."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are as demanded."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
            case _:
                assert_never(self.operator)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorSpec(Ruled):
    """Which labels match: those for which all of this holds."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "(has(self.matchLabels) && self.matchLabels.size() > 0) "
            "|| (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
            "a selector that demands nothing would match everything; say `matchLabels` or `matchExpressions`",
            lambda spec: not spec.match_labels and not spec.match_expressions,
        ),
    )
    match_labels: _MatchLabels = field(default_factory=dict)
    """Labels and what each must say."""
    match_expressions: Annotated[tuple[ExpressionSpec, ...], Field(max_length=16)] = ()
    """Further demands."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels match."""
        equal = all(labels.get(key) == value for key, value in self.match_labels.items())
        return equal and all(each.matches(labels) for each in self.match_expressions)


@dataclass(frozen=True, slots=True)
class NamespaceLabels:
    """What is read of a Namespace in a folder."""

    labels: Mapping[str, str]


def read_labels(metadata: object, name: str) -> NamespaceLabels | None:
    """The labels of a Namespace, with the one that a cluster adds; None when they are no texts."""
    said = metadata.get("labels") if isinstance(metadata, dict) else None
    found = {} if said is None else said
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    return NamespaceLabels({**found, NAME_LABEL: name})
