"""Fuzzes the path: every server that reads an admitted one must end at the same rule (RFC 3986, section 6.2.2)."""

from __future__ import annotations

from itertools import islice
from typing import Final

from extauthz.decide import Admission, decide
from extauthz.model.target import Malformed, parse_target
from extauthz.model.target import Target as Read
from extauthz.model.verdict import Deny
from tests.building import view
from tests.fuzz.octets import mutate_text, percent_encoded
from tests.fuzz.reading import paths_read
from tests.fuzz.target import Target, insist
from tests.fuzz.words import PATH_WORDS
from tests.fuzz.world import Loaded, rule_for

_LOADED: Final = Loaded()
_EDIT: Final = mutate_text(PATH_WORDS)
_HOSTS: Final = {"api.example": "shop/api", "odd.example": "shop/odd"}


def judge(data: bytes) -> str:
    """Read the target, decide on it without a token, and see where others would end."""
    text = data.decode("utf-8", "replace")
    try:
        read = parse_target(text)
    except Malformed as problem:
        return str(problem)
    insist(_is_settled(read), "the form in which a path is matched has another such form")
    return " ".join(_decided(text, host) for host in _HOSTS) + f" {sorted(odd.value for odd in read.oddities)}"


def _is_settled(read: Read) -> bool:
    # What was encoded once more for being a percent sign is not to be decoded again.
    again = parse_target(read.path)
    return again.path == read.path and again.oddities == read.oddities


def _decided(text: str, host: str) -> str:
    decided = decide(view(text, host=host), _LOADED.world, _LOADED.clock.now())
    if isinstance(decided, Deny):
        return decided.reason.label
    assert isinstance(decided, Admission), "nobody is asked about a path"
    rule = decided.allow.ground.rule
    # A policy that lets odd paths through says that its upstream takes them as they stand.
    for path in islice(paths_read(text), 1 if host == "odd.example" else None):
        other = rule_for(_HOSTS[host], path, "GET")
        insist(other == rule, f"a path is admitted by the rule {rule}, and read otherwise leads to {other}")
    return f"allow {rule}"


TARGET: Final = Target(
    name="paths",
    mutate=lambda data, other, chance: (percent_encoded if chance.random() < 0.25 else _EDIT)(data, other, chance),
    judge=judge,
    share=25,
)
