"""References to entries of Secrets and ConfigMaps, as issuers write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from extauthz.policy.words import STRICT, DataKey, ObjectName


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRefSpec:
    """One entry of a Secret or ConfigMap in the issuer's namespace; for a ClusterTokenIssuer, in the one extauthz is
    installed in."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: ObjectName
    """The Secret or ConfigMap."""
    key: DataKey
    """The entry in it."""
