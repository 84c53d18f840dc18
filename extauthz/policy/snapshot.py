"""All that is loaded, as one immutable value: published by one assignment, read by every Check."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Final

from extauthz.introspection.endpoint import Endpoint
from extauthz.keys.jwks import IssuerKeys
from extauthz.model.reason import Reason
from extauthz.model.request import PREFLIGHT, RequestView
from extauthz.model.step import Step
from extauthz.model.target import Malformed, readings
from extauthz.model.token import IssuerRef, Trust
from extauthz.model.verdict import Mode, PolicyRef, Refusal
from extauthz.policy.match import HostTable, PathTable, Route
from extauthz.policy.problem import ObjectRef, Problem
from extauthz.policy.revocations import Revocations
from extauthz.policy.rule import Rule

_MOST_METHODS: Final = 8
"""That a denial tells."""
_AS_DASH: Final = str.maketrans(dict.fromkeys("!#$%&'*+.^_`|~", "-"))
"""The signs of a header name beside letters and digits (RFC 9110, section 5.6.2)."""


class Routing:
    """All policies, arranged for finding the rule that takes a request. Immutable by convention, like the snapshot."""

    def __init__(self, policies: Mapping[PolicyRef, tuple[Route, ...]], last: Routing | None = None) -> None:
        """What is the same as in `last` need not be arranged again."""
        self.policies = policies
        before: Mapping[PolicyRef, tuple[Route, ...]] = {} if last is None else last.policies
        # INVARIANT: a host's table is that of its routes alone, so where no policy of a host changed, it stays.
        changed = [routes for ref, routes in policies.items() if routes is not before.get(ref)]
        changed += [routes for ref, routes in before.items() if routes is not policies.get(ref)]
        touched = {route.key.host for routes in changed for route in routes}
        every = (route for routes in policies.values() for route in routes if route.key.host in touched)
        self.hosts: HostTable = HostTable(every, None if last is None else last.hosts, touched)
        self._headers: dict[PolicyRef, frozenset[str]] = {
            ref: last._headers[ref] if last is not None and routes is before.get(ref) else _headers(routes)  # noqa: SLF001
            for ref, routes in policies.items()
        }
        self.asserted = frozenset[str]().union(*set(self._headers.values()))

    @cached_property
    def by_policy(self) -> dict[str, PathTable]:
        """For routes that pin a policy."""
        return {str(ref): PathTable(routes) for ref, routes in self.policies.items()}


class Snapshot:
    """The compiled policies and issuers. Immutable by convention: nothing is assigned after construction."""

    def __init__(  # noqa: PLR0913 - all that is loaded
        self,
        *,
        version: str,
        routing: Routing,
        issuers: Mapping[IssuerRef, Trust],
        issuer_keys: tuple[IssuerKeys, ...],
        endpoints: tuple[Endpoint, ...] = (),
        revocations: Revocations | None,
        problems: tuple[Problem, ...],
        contents: Mapping[ObjectRef, bytes],
    ) -> None:
        self.version = version
        """A digest of the content: equal content, equal version."""
        self.policies = routing.policies
        self.issuers = issuers
        """What the tokens of each issuer must look like."""
        self.issuer_keys = issuer_keys
        """Where the keys of each issuer come from."""
        self.endpoints = endpoints
        """Where the tokens of issuers without keys are asked about."""
        self.revocations = revocations
        """Which tokens are revoked; None when no TokenRevocation counts."""
        self.problems = problems
        """Every mistake in every object."""
        self.contents = contents
        """A digest of each object but the TokenRevocations: tells what an edit changed."""
        self._routing = routing

    @cached_property
    def mistaken(self) -> Mapping[PolicyRef, str]:
        """The policies that do not serve as they are written, each with its first mistake."""
        found: dict[PolicyRef, str] = {}
        for ref, routes in self.policies.items():
            broken = next((route.rule.broken for route in routes if route.rule.broken is not None), None)
            if broken is not None:
                found[ref] = broken
        # A rule that another policy has taken, or a host that is not granted, leaves no rule behind that is broken.
        for problem in self.problems:
            if problem.object.kind == "AccessPolicy":
                found.setdefault(PolicyRef(problem.object.namespace, problem.object.name), problem.message)
        return {ref: words for ref, words in found.items() if ref in self.policies}

    def choose(self, view: RequestView) -> Rule | Refusal:
        """The rule that takes the request: of the pinned policy when the route names one, else by host."""
        if view.pinned_policy is not None:
            return self._choose_pinned(view, view.pinned_policy)
        rule = self._routing.hosts.find(view)
        if rule is None:
            return Refusal(Reason.NO_POLICY, self._untaken(view))
        if view.target.oddities:
            return self._choose_odd(view, rule)
        return rule if rule.refuses is None else rule.refuses

    def tables(self, view: RequestView) -> Iterable[PathTable]:
        """Where `choose` looks for a rule, in falling precedence: the hosts that fit, or the pinned policy."""
        if view.pinned_policy is None:
            return self._routing.hosts.candidates(view.host)
        table = self._routing.by_policy.get(view.pinned_policy)
        return () if table is None else (table,)

    def ours(self, names: Collection[str]) -> tuple[str, ...]:
        """Which of these header names some policy sets from claims; any other sign is taken for `-`, as servers do that
        hand headers on as variables (RFC 3875, section 4.1.18): `_` by many, `.` and the like by some."""
        asserted = self._routing.asserted
        if asserted.isdisjoint(names) and "".join(names).replace("-", "").isalnum():
            return ()
        return tuple(name for name in names if _fold(name) in asserted)

    def _untaken(self, view: RequestView) -> str:
        """Why no rule takes the request, for the operator: a host that nobody names, or less."""
        tables = tuple(self.tables(view))
        if not tables:
            return "no policy is for this host"
        routes = [each for table in tables for found in table.candidates(view.target.path) for each in found]
        if not routes:
            return "policies are for this host, and none of their rules takes this path"
        missed = {each.misses(view) for each in routes}
        methods = sorted(each for each in missed if isinstance(each, str))
        if len(methods) == len(missed):
            shown = ", ".join(f"`{each}`" for each in methods[:_MOST_METHODS])
            preflight = PREFLIGHT if view.is_preflight else ""
            return f"rules take this path, and none of them with this method, but {shown}{preflight}"
        return "rules take this path with this method, and none of them with these headers or this query"

    def _choose_odd(self, view: RequestView, rule: Rule) -> Rule | Refusal:
        """INVARIANT: no policy admits a path that a server may take for one that another policy enforces.

        One that is not let in is refused by the policy itself, except in Shadow.
        """
        others = frozenset[PolicyRef]().union(*(table.enforcing for table in self.tables(view))) - {rule.policy}
        let_in = view.target.oddities <= rule.odd_paths
        if others and (self._taken_by_another(view, rule) if let_in else rule.mode is Mode.SHADOW):
            words = (
                f"servers read the path differently, and for some of them it may be another policy's than {rule.policy}"
            )
            return Refusal(Reason.REQUEST_MALFORMED, words, at=Step.RULE)
        return rule if rule.refuses is None else rule.refuses

    def _taken_by_another(self, view: RequestView, rule: Rule) -> bool:
        try:
            for path in readings(view.target.path):
                found = self._routing.hosts.find(view._replace(target=view.target._replace(path=path)))
                if found is not None and found.policy != rule.policy and found.mode is Mode.ENFORCE:
                    return True
        except Malformed:
            return True
        return False

    def _choose_pinned(self, view: RequestView, pinned: str) -> Rule | Refusal:
        table = self._routing.by_policy.get(pinned)
        if table is None:
            return Refusal(Reason.NO_POLICY, f"the route pins the policy `{pinned[:200]}`, which is not loaded")
        rule = table.find(view)
        if rule is None:
            return Refusal(
                Reason.NO_POLICY, f"no rule of the pinned policy `{pinned[:200]}` takes this path and method"
            )
        return rule if rule.refuses is None else rule.refuses


def _headers(routes: Iterable[Route]) -> frozenset[str]:
    return frozenset(_fold(name) for route in routes for name, _ in route.rule.claim_headers)


def _fold(name: str) -> str:
    return name.translate(_AS_DASH)
