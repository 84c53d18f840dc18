"""What many policies cost: building a snapshot of 2,000, and choosing a rule among 10 and among 10,000."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import yaml

from bench.measure import CPU, Effort, Reading, Report, Target, Variant, interleave, milliseconds, ratio, timed
from bench.requests import issuer
from extauthz.control.files import list_folder, load
from extauthz.model.request import RequestView
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from tests.building import anonymous, policy, view, with_token

FEW: Final = 10
MANY: Final = 10_000
GROWTH: Final = 3.0
"""A choice among many rules may cost this many times one among few."""
_POLICIES: Final = 2000
_RULES: Final = 50
"""In one policy."""
_CALLS: Final = 5000
_VIEWS: Final = 500
"""Different requests, spread over all rules."""


def build_report(effort: Effort) -> Report:
    """The benchmark `build`."""
    count = effort.of(_POLICIES)
    with tempfile.TemporaryDirectory(prefix="extauthz-") as name:
        folder = Path(name)
        write_policies(folder, count)
        listing = list_folder(folder)
        rows = interleave(
            [
                Variant("read the YAML", lambda: milliseconds(timed(lambda: list_folder(folder), 1))),
                Variant("parse and compile", lambda: milliseconds(timed(lambda: load(listing), 1))),
            ],
            effort.rounds,
        )
    return Report("build", f"a snapshot of {count:,} policies with two rules each, from a folder", rows)


def write_policies(folder: Path, count: int) -> None:
    """An issuer, and so many policies that differ in host, one file each."""
    # JSON is YAML, too, and quotes every name: `n` and `y` of a key would else be read as truth values.
    (folder / "issuer.yaml").write_text(json.dumps(issuer()))
    for number in range(count):
        (folder / f"policy-{number}.yaml").write_text(yaml.safe_dump(typical(number)))


def typical(number: int) -> dict[str, Any]:
    """A policy as many have it, by its number."""
    return policy(
        f"service-{number}",
        anonymous("health", path={"exact": "/healthz"}),
        with_token(
            "orders",
            match={"methods": ["GET", "POST"], "path": {"prefix": "/api/orders"}},
            require={"scopes": ["orders.write"], "claims": [{"claim": "tenant", "oneOf": ["acme", "globex"]}]},
            reuse={"maxUses": 100, "window": "1m"},
            upstream={"claimHeaders": {"x-auth-sub": "sub"}},
        ),
        hosts=(f"service-{number}.example",),
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which rules differ from each other."""

    name: str
    match: Callable[[int], Mapping[str, Any]]
    """The match of a rule, by its number; nothing where the host decides."""
    ask: Callable[[int], RequestView]
    """A request that this rule takes."""
    host: Callable[[int], str] | None = None
    """Where the host decides, the host of a rule's own policy."""
    bound: float | None = GROWTH
    many: int = MANY
    calls: int = _CALLS

    def snapshot(self, count: int) -> Snapshot:
        """So many rules."""
        per = 1 if self.host is not None else min(_RULES, count)
        objects = [
            policy(
                f"p{first}",
                *(anonymous(f"r{number}", **self.match(number)) for number in range(first, min(first + per, count))),
                hosts=("api.example" if self.host is None else self.host(first),),
            )
            for first in range(0, count, per)
        ]
        return compile_snapshot([parse(each) for each in objects])

    def views(self, count: int) -> list[RequestView]:
        """Requests whose rules lie all over the table."""
        return [self.ask(number * 7919 % count) for number in range(_VIEWS)]


def _path(number: int) -> str:
    return f"/api/v1/group-{number // _RULES}/thing-{number}"


LAYOUTS: Final = (
    Layout("exact path", lambda n: {"path": {"exact": _path(n)}}, lambda n: view(_path(n))),
    Layout("prefix", lambda n: {"path": {"prefix": _path(n)}}, lambda n: view(f"{_path(n)}/a/b")),
    Layout("template", lambda n: {"path": {"template": _path(n) + "/{id}/b"}}, lambda n: view(f"{_path(n)}/7/b")),
    Layout("host", lambda _: {}, lambda n: view(host=f"h{n}.example"), lambda n: f"h{n}.example"),
    Layout("wildcard host", lambda _: {}, lambda n: view(host=f"a.h{n}.example"), lambda n: f"*.h{n}.example"),
    Layout(
        "regex",
        lambda n: {"path": {"regex": f"/r{n}/[0-9]+"}},
        lambda n: view(f"/r{n}/7"),
        bound=None,
        many=1000,
        calls=200,
    ),
)


def choose_report(effort: Effort) -> Report:
    """The benchmark `choose`."""
    variants = [
        Variant(f"{layout.name}, {count:,}", partial(_choose, layout.snapshot(count), layout, count, effort))
        for layout in LAYOUTS
        for count in _counts(layout, effort)
    ]
    rows = interleave(variants, effort.rounds)
    costs = {row.name: row.figures[CPU].values for row in rows}
    targets = []
    for layout in LAYOUTS:
        few, many = (costs[f"{layout.name}, {count:,}"] for count in _counts(layout, effort))
        if layout.bound is not None:
            targets.append(Target(f"{layout.name}, many rules / few", layout.bound, ratio(many, few)))
    note = "regular expressions are tried one by one: keep them few on one host"
    return Report("choose", "choosing a rule", rows, tuple(targets), notes=(note,))


def _counts(layout: Layout, effort: Effort) -> tuple[int, int]:
    return FEW, max(FEW + 1, effort.of(layout.many))


def _choose(snapshot: Snapshot, layout: Layout, count: int, effort: Effort) -> Reading:
    calls = effort.of(layout.calls)
    views = list(islice(cycle(layout.views(count)), calls))
    chosen: list[object] = []

    def work() -> None:
        for each in views:
            chosen.append(snapshot.choose(each))  # noqa: PERF401 - as a server would: one call at a time

    reading = timed(work, calls)
    if not all(isinstance(rule, Rule) for rule in chosen):
        raise RuntimeError(f"`{layout.name}` among {count} rules took no rule")
    return reading
