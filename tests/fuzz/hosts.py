"""Fuzzes the host: whoever reads an authority that is admitted must end at the same policy (RFC 9110, section 4.2)."""

from __future__ import annotations

from typing import Final

from extauthz.model.target import Malformed, parse_host
from extauthz.model.verdict import Refusal
from tests.building import view
from tests.fuzz.octets import mutate_text, percent_encoded
from tests.fuzz.reading import hosts_read
from tests.fuzz.target import Target, insist
from tests.fuzz.words import HOST_WORDS
from tests.fuzz.world import Loaded, policy_for

_LOADED: Final = Loaded()
_EDIT: Final = mutate_text(HOST_WORDS)


def judge(data: bytes) -> str:
    """Read the authority, choose a rule for it, and see where others would end."""
    text = data.decode("utf-8", "replace")
    try:
        host = parse_host(text)
    except Malformed as problem:
        return str(problem)
    insist(parse_host(host) == host, "the form in which a host is matched has another such form")
    snapshot = _LOADED.world.snapshot
    assert snapshot is not None
    # Some policies have a rule for one of these paths only.
    rules = [snapshot.choose(view(path, host=text)) for path in ("/healthz", "/a")]
    chosen = next((str(rule.policy) for rule in rules if not isinstance(rule, Refusal)), None)
    for other in hosts_read(text):
        insist(policy_for(other) == chosen, f"a host leads to {chosen}, and read otherwise to {policy_for(other)}")
    return f"{chosen} {'port' if ':' in text else ''}"


TARGET: Final = Target(
    name="hosts",
    mutate=lambda data, other, chance: (percent_encoded if chance.random() < 0.1 else _EDIT)(data, other, chance),
    judge=judge,
    share=25,
)
