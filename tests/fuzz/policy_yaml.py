"""Fuzzes policy files: what a mistake makes of one never lets a request in that it kept out.

Beside the file stand two lax policies, which would take every request that it gives up. An input is the file; its
first line says in a comment which seed it began as.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import yaml

from extauthz.control.files import Listing, list_folder, load
from extauthz.control.located import LocatedProblem
from extauthz.model.verdict import Refusal
from extauthz.policy.parse import Broken, parse
from extauthz.policy.snapshot import Snapshot
from tests.building import anonymous, policy, view
from tests.fuzz.answers import plain
from tests.fuzz.octets import mutate_text
from tests.fuzz.target import SEEDS, Target, insist
from tests.fuzz.trees import mutate_tree
from tests.fuzz.yaml_words import TEXT_WORDS, TREE_WORDS

_LAX: Final = (
    policy("lax", anonymous("all"), hosts=("*",), namespace="lax"),
    policy("laxer", anonymous("all", path={"regex": "/.*"}), hosts=("*.example",), namespace="lax"),
)
_HEADERS: Final[tuple[Mapping[str, str], ...]] = ({}, {"x-tier": "gold"})
_REQUESTS: Final = [
    view(path, method=method, host=host, headers=headers)
    for host, path, method, headers in product(
        ("api.example", "sub.api.example", "other.example"),
        ("/", "/orders", "/orders/7", "/users/1/card", "/reports/9", "/files/a/b"),
        ("GET", "POST"),
        _HEADERS,
    )
]
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_SEED: Final = re.compile(rb"# (?:seed )?([a-z-]+)\n")


_SLIP: Final = 100
_KIND: Final = re.compile(rb"^ *(?:- )?kind: *AccessPolicy *$", re.MULTILINE)
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII | re.IGNORECASE)
_HOSTS: Final = re.compile(r"^ *hosts:.*\n(?: *- .*\n)*", re.MULTILINE)


class _Folder:
    """A folder with the lax policies and one more file."""

    def __init__(self) -> None:
        # In memory where there is such a folder: a disk takes longer than the program.
        memory = Path("/dev/shm")
        self._held = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self._held.name)
        (self.path / "lax.yaml").write_text(yaml.safe_dump_all(_LAX))

    def read(self, data: bytes) -> tuple[Listing, Snapshot, tuple[LocatedProblem, ...]]:
        """The program's reading of it all."""
        (self.path / "strict.yaml").write_bytes(data)
        listing = list_folder(self.path)
        return listing, *load(listing)


@cache
def _folder() -> _Folder:
    return _Folder()


@cache
def _unbroken(seed: str) -> tuple[frozenset[int], str]:
    """Which requests the seed takes, by number, and its text."""
    text = (SEEDS / "policy_yaml" / f"{seed}.yaml").read_bytes()
    _, snapshot, _ = _folder().read(text)
    return frozenset(index for index, rule in enumerate(_rules(snapshot)) if rule != "lax"), text.decode()


def _rules(snapshot: Snapshot) -> Iterator[str]:
    """For each request `lax` when a lax policy admits it, `refused` or the rule's name in every other case."""
    for request in _REQUESTS:
        rule = snapshot.choose(request)
        if isinstance(rule, Refusal) or rule.broken is not None:
            yield "refused"
        else:
            yield "lax" if rule.policy.namespace == "lax" else f"rule {rule.name}"


def judge(data: bytes) -> str:
    """Load the folder; when nothing in the file is sound, hold what it admits against the unbroken seed."""
    listing, snapshot, problems = _folder().read(data)
    insist(all(str(problem).isprintable() for problem in problems), "a mistake is told in more than one line")
    answer = str(sorted({plain(problem.message) for problem in problems}))
    if listing.blind:
        return f"blind {answer}"
    rules = list(_rules(snapshot))
    parsed = [parse(placed.document.raw) for placed in listing.placed if placed.file == "strict.yaml"]
    if listing.faults or (parsed and all(isinstance(each, Broken) for each in parsed)):
        insist(all(rule in {"lax", "refused"} for rule in rules) or _some_sound(parsed), "a broken policy admits")
        _hold(data, rules, bool(listing.faults))
    return f"{rules.count('lax')} {rules.count('refused')} {answer}"


def _some_sound(parsed: list[Any]) -> bool:
    return not all(isinstance(each, Broken) for each in parsed)


def _hold(data: bytes, rules: list[str], unread: bool) -> None:
    found = _SEED.match(data)
    if found is None or not (SEEDS / "policy_yaml" / f"{found[1].decode()}.yaml").exists():
        return
    taken, text = _unbroken(found[1].decode())
    if _is_still_said(data, text) if unread else _is_one_step(data, text):
        given_up = [_REQUESTS[index] for index in sorted(taken) if rules[index] == "lax"]
        insist(not given_up, f"a broken policy gives requests to a lax one ({'unread' if unread else 'one mistake'})")


def _is_still_said(data: bytes, text: str) -> bool:
    """Whether a file that cannot be read has the lines of the seed that name hosts, and its policy once."""
    hosts = _HOSTS.findall(text)
    if b"extauthz.dev/v1alpha1" not in data:
        return False
    said = _HOSTS.findall(data.decode("utf-8", "replace"))
    return (
        said == hosts
        and data.count(b"hosts") == len(hosts)
        and len(_KIND.findall(data)) == data.count(b"AccessPolicy") == 1
    )


def _is_one_step(data: bytes, text: str) -> bool:
    """Whether the seed and the input hold trees that differ in one node: then nothing but that node can be doubted."""
    try:
        changed = list(yaml.load_all(data.decode(), _LOADER))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        return False
    # With nothing left of it, the policy is not mistaken but taken away.
    if len(changed) != 1 or not _is_there(changed[0]):
        return False
    seed = yaml.load(text, _LOADER)
    return _steps(seed, changed[0]) == 1 and _hosts(changed[0]) in (None, _hosts(seed))


def _is_there(tree: Any) -> bool:
    """Whether some part of it is a policy by its kind, or by what it says."""
    if isinstance(tree, list):
        return any(map(_is_there, tree))
    if not isinstance(tree, dict):
        return False
    spec = tree.get("spec")
    known = tree.get("kind") == "AccessPolicy" or (isinstance(spec, dict) and "hosts" in spec and "metadata" in tree)
    return known or any(map(_is_there, tree.values()))


def _hosts(tree: Any) -> list[str] | None:
    """The hosts that a policy names, where each can be read: other ones are no mistake in these, but other hosts."""
    spec = tree.get("spec") if isinstance(tree, dict) else None
    hosts = spec.get("hosts") if isinstance(spec, dict) else None
    if not isinstance(hosts, list) or not all(isinstance(host, str) and _HOST.fullmatch(host) for host in hosts):
        return None
    return [host.lower() for host in hosts]


def _steps(one: Any, other: Any) -> int:
    """In how many nodes two trees differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        lost, new = (
            [one[name] for name in one.keys() - other.keys()],
            [other[name] for name in other.keys() - one.keys()],
        )
        renamed = len(lost) == len(new) == 1 and lost == new
        own = 1 if renamed else len(lost) + len(new)
        return own + sum(_steps(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        if len(one) == len(other):
            return sum(map(_steps, one, other))
        return abs(len(one) - len(other)) if one[: len(other)] == other or other[: len(one)] == one else 9
    if type(one) is type(other) and one == other:
        return 0
    # A large part of another kind is no slip but another text.
    return 1 if len(repr(other)) < _SLIP else 9


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to the text, or to one node of what it holds. The first line stays."""
    first, line, rest = data.partition(b"\n")
    if chance.random() < 0.5:
        return first + line + _EDIT(rest, other.partition(b"\n")[2], chance)
    try:
        trees = list(yaml.load_all(rest.decode(), _LOADER))
        at = chance.randrange(len(trees))
        trees[at] = mutate_tree(trees[at], TREE_WORDS, chance)
        style = chance.choice((None, False, False, True))
        return first + line + yaml.dump_all(trees, None, _DUMPER, default_flow_style=style, sort_keys=False).encode()
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError, TypeError):
        return first + line + _EDIT(rest, other.partition(b"\n")[2], chance)


_EDIT: Final = mutate_text(TEXT_WORDS)
TARGET: Final = Target(name="policy_yaml", mutate=mutate, judge=judge, share=2)
