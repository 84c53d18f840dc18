"""Policies with `targetRefs`, attached: their rules within what each target takes, on hosts that are theirs.

Only what a target takes is claimed, and all of it: what no rule of the policy takes there is refused, and so is every
request of which it cannot be told whether the target takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.policy.condition import Part
from extauthz.policy.gateway.hostnames import clipped
from extauthz.policy.gateway.match import RouteMatch
from extauthz.policy.gateway.surface import Surface, Surfaces
from extauthz.policy.gateway.target import TargetRef
from extauthz.policy.grants import HOSTS_ANNOTATION, Grants, granted
from extauthz.policy.match import MatchKey, Route
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.path import PathKind, PathMatch
from extauthz.policy.problem import Cause, FieldPath, ObjectRef, Problem
from extauthz.policy.rule import Rule
from extauthz.policy.spec import AccessPolicySpec
from extauthz.policy.targets import salvage_targets, target_of
from extauthz.policy.within import Inner, Stage, Within

MAX_ROUTES: Final = 65_536
"""The most atomic matches that the targets of one policy may come to."""
_NOBODY: Final = (
    "`targetRefs` is for a central service (`extauthz serve --kubernetes` without `--namespace`); write `hosts` here"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One alternative of one rule, before it is known for which hosts."""

    rule: Rule
    inner: Inner
    place: tuple[int, int]
    greedy: bool = False
    """It could not be read: it might be for anything."""


@dataclass(frozen=True, slots=True)
class Targeting:
    """What a policy says its targets are for."""

    refs: tuple[TargetRef, ...]
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Attached:
    """What became of a policy's targets."""

    routes: tuple[Route, ...]
    problems: tuple[Problem, ...]


Age = tuple[float, str, str]


def attach(
    policy: ObjectRef, age: Age, targeting: Targeting, surfaces: Surfaces | None, grants: Grants | None
) -> Attached:
    """The routes of a policy, and what is wrong with its targets.

    With None for `surfaces` nobody here serves targets; those that are not among them were not looked at.
    """
    if surfaces is None:
        return Attached((), (Problem(policy, ("spec", "targetRefs"), _NOBODY),))
    problems: list[Problem] = []
    routes: list[Route] = []
    for index, ref in enumerate(targeting.refs):
        if ref not in surfaces:
            continue
        where: FieldPath = ("spec", "targetRefs", index)
        surface = surfaces.get(ref)
        problems += (Problem(policy, where, words, cause) for cause, words in _wrong(ref, surface, policy, grants))
        if surface is not None:
            hosts = _hosts(surface, policy.namespace, grants)
            routes += _routes(_Attachment(policy, age, surface, hosts), targeting.drafts, MAX_ROUTES - len(routes))
    if len(routes) > MAX_ROUTES:
        words = (
            f"its targets and rules come to more than {MAX_ROUTES} matches; its hosts are denied. Name fewer of either"
        )
        problems.append(Problem(policy, ("spec", "targetRefs"), words))
        routes = list(_too_many(policy, age, routes, words))
    return Attached(tuple(routes), tuple(problems))


def _wrong(
    ref: TargetRef, surface: Surface | None, policy: ObjectRef, grants: Grants | None
) -> Iterator[tuple[Cause, str]]:
    """What is wrong with one target."""
    if surface is None or surface.gone:
        yield Cause.TARGET_NOT_FOUND, _lost(ref, gone=surface is not None)
        return
    namespace = policy.namespace
    mine = _hosts(surface, namespace, grants)
    foreign = [host for host in surface.hosts if not granted(grants, namespace, host)]
    if foreign and (surface.written or not mine):
        named = ", ".join(f"`{host}`" for host in foreign[:5])
        words = (
            f"namespace `{namespace}` may not claim {named} of {ref}; its annotation `{HOSTS_ANNOTATION}` grants hosts"
        )
        yield Cause.HOST_NOT_GRANTED, words
    doubts = dict.fromkeys(doubt for doubt in (surface.doubt, *(each.doubt for each in surface.matches)) if doubt)
    if doubts:
        yield Cause.INVALID, _unclear(ref, next(iter(doubts)))


def _lost(ref: TargetRef, *, gone: bool) -> str:
    place = ref.place
    what = f"there is no {place.kind} `{place.name}` in namespace `{place.namespace}`"
    if ref.section:
        section = "a listener for HTTP" if place.kind == "Gateway" else "a rule"
        what += f" with {section} named `{ref.section}`"
    elif place.kind == "Gateway":
        what += " with a listener for HTTP"
    then = "; the requests that it took are denied until it is back or is no longer named here" if gone else ""
    return f"{what}{then}: create it, or name another"


def _unclear(ref: TargetRef, doubt: str) -> str:
    return (
        f"{ref} says something that is not understood here ({doubt}); the requests that this could be about are denied"
    )


def _hosts(surface: Surface, namespace: str, grants: Grants | None) -> tuple[str, ...]:
    found = (mine for host in (*surface.hosts, *surface.kept) for mine in clipped(grants, namespace, host))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Attachment:
    """One target of one policy, and its hosts."""

    policy: ObjectRef
    age: Age
    surface: Surface
    hosts: tuple[str, ...]

    @property
    def ref(self) -> PolicyRef:
        return PolicyRef(self.policy.namespace, self.policy.name)

    def route(self, host: str, match: RouteMatch, draft: Draft, stage: Stage) -> Route:
        conditions = match.conditions
        within = Within(self.surface.ref, self.surface.created, conditions, draft.inner, stage)
        key = MatchKey(host, match.path, match.method, (), within)
        return Route(key, draft.rule, self.age, draft.place, draft.greedy)


def _routes(attachment: _Attachment, drafts: tuple[Draft, ...], room: int) -> Iterator[Route]:
    """All routes of one target, or one more than there is room for."""
    surface, count = attachment.surface, 0
    for match in surface.matches:
        every = [*_of_match(attachment, match, drafts)]
        for host in attachment.hosts:
            for draft, stage in every:
                yield attachment.route(host, match, draft, stage)
                count += 1
                if count > room:
                    return


def _of_match(attachment: _Attachment, match: RouteMatch, drafts: tuple[Draft, ...]) -> Iterator[tuple[Draft, Stage]]:
    """What stands for one match of the target."""
    surface = attachment.surface
    if surface.gone:
        lost = _denying(attachment, _lost(surface.ref, gone=True))
        yield lost, Stage.GONE
        yield from _still_said(drafts, lost.rule)
        return
    doubt = surface.doubt or match.doubt
    if doubt:
        unclear = _denying(attachment, _unclear(surface.ref, doubt))
        yield replace(unclear, greedy=True), Stage.RULE
        yield from _still_said(drafts, unclear.rule)
        return
    if any(condition.part is Part.QUERY for condition in match.conditions):
        words = f"a query parameter that {surface.ref} goes by has more than one reading"
        yield _refusing(attachment, Refusal(Reason.REQUEST_MALFORMED, words, at=Step.RULE)), Stage.DOUBT
    yield from ((draft, Stage.RULE) for draft in drafts)
    if not any(draft.greedy or draft.inner == Inner() for draft in drafts):
        words = f"{surface.ref} takes it, and no rule of {attachment.ref} does"
        yield _refusing(attachment, Refusal(Reason.NO_POLICY, words)), Stage.CLOSING


def _still_said(drafts: Iterable[Draft], rule: Rule) -> Iterator[tuple[Draft, Stage]]:
    """INVARIANT: a policy that says the same as one of these was conflicted. It stays so: it is not to serve now."""
    yield from ((replace(draft, rule=rule), Stage.RULE) for draft in drafts)


def _denying(attachment: _Attachment, words: str) -> Draft:
    return Draft(Rule(policy=attachment.ref, name="no-target", broken=words), Inner(), (0, 0))


def _refusing(attachment: _Attachment, refusal: Refusal) -> Draft:
    return Draft(Rule(policy=attachment.ref, name="no-rule", refuses=refusal), Inner(), (0, 0))


def _too_many(policy: ObjectRef, age: Age, routes: Iterable[Route], words: str) -> Iterator[Route]:
    rule = Rule(policy=PolicyRef(policy.namespace, policy.name), name="too-many", broken=words)
    for host in dict.fromkeys(route.key.host for route in routes):
        yield Route(MatchKey(host, PathMatch(PathKind.UNKNOWN), None, ()), rule, age, (0, 0), greedy=True)


def targets_of(items: Iterable[Parsed | Broken]) -> tuple[TargetRef, ...]:
    """All targets that policies name, as far as they can be read."""
    found: dict[TargetRef, None] = {}
    for item in items:
        match item:
            case Parsed(spec=AccessPolicySpec(target_refs=tuple() as refs)):
                found |= dict.fromkeys(target_of(ref, item.ref.namespace) for ref in refs)
            case Broken() if item.ref.kind == "AccessPolicy":
                found |= dict.fromkeys(salvage_targets(item.raw_spec, item.ref.namespace))
            case _:
                pass
    return tuple(found)
