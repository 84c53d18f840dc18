"""Everything that is fuzzed; what is compiled against its sources only where it is what runs (`make fuzz-native`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from tests.fuzz import builds, check_bytes, credentials, hosts, introspection, key_sets, paths, policy_yaml, tokens
from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = {
    module.TARGET.name: module.TARGET
    for module in (
        *((builds,) if os.environ.get("NATIVE") else ()),
        *(check_bytes, tokens, credentials, paths, hosts, key_sets, introspection, policy_yaml),
    )
}


def shares(inputs: int, targets: Mapping[str, Target] = TARGETS) -> dict[str, int]:
    """How many of so many inputs each target gets."""
    whole = sum(target.share for target in targets.values())
    return {name: -(-inputs * target.share // whole) for name, target in targets.items()}
