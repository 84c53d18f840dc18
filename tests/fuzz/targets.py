"""Everything that is fuzzed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.fuzz import check_bytes, credentials, hosts, introspection, key_sets, paths, policy_yaml, tokens
from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = {
    module.TARGET.name: module.TARGET
    for module in (check_bytes, tokens, credentials, paths, hosts, key_sets, introspection, policy_yaml)
}


def shares(inputs: int, targets: Mapping[str, Target] = TARGETS) -> dict[str, int]:
    """How many of so many inputs each target gets."""
    whole = sum(target.share for target in targets.values())
    return {name: -(-inputs * target.share // whole) for name, target in targets.items()}
