"""The steps of a decision up to its counts, told one by one: the same functions are asked as `decide` asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from extauthz.decide import NOT_LOADED, World, refuse_unserved, serving
from extauthz.explain.introspected import tell_introspected
from extauthz.explain.requirements import step_of, tell_changes, tell_clause
from extauthz.explain.story import Outcome, ToldStep
from extauthz.explain.token import STEPS, tell_token
from extauthz.explain.told import skipped, told, told_in_order
from extauthz.model.question import Answered, Ask
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import Demand, VerifiedToken
from extauthz.model.verdict import Mode, Refusal
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.upstream import changes_of
from extauthz.replay.plan import Owner, plan_spends
from extauthz.tokens.credential import find_credential, place_of


def tell_steps(view: RequestView, world: World, now: Instant, answered: Answered | None = None) -> Iterator[ToldStep]:
    """Every step up to the counts. `answered` is what an issuer's endpoint said of the token, where one was asked."""
    yield told(Step.REQUEST, None, found=f"{view.method} {view.host}{view.target.path}")
    snapshot = world.snapshot
    if snapshot is None:
        yield told(Step.POLICIES, NOT_LOADED)
        return
    yield told(Step.POLICIES, None, found=f"version {snapshot.version}")
    pin = view.pinned_policy
    wanted = "" if pin is None else f"one of the policy `{pin[:200]}`, which the route pins"
    rule = snapshot.choose(view)
    if isinstance(rule, Refusal):
        yield told(Step.RULE, rule, wanted=wanted)
        return
    yield told(Step.RULE, rule, found=f"rule `{rule.name}` of {rule.policy}", wanted=wanted)
    yield from _Case(view, serving(rule, view), snapshot, world, now, answered).tell()


@dataclass(frozen=True, slots=True)
class _Case:
    """A request before its rule."""

    view: RequestView
    rule: Rule
    snapshot: Snapshot
    world: World
    now: Instant
    answered: Answered | None

    def tell(self) -> Iterator[ToldStep]:
        refusal = refuse_unserved(self.view, self.rule)
        yield from told_in_order(tuple(self._serving()), refusal)
        if refusal is not None:
            yield from self._unreached()
        elif self.rule.demand is None:
            yield skipped(Step.CREDENTIAL, "the rule admits this request without a token")
            yield from self._changes(None)
        else:
            yield from self._credential(self.rule.demand)

    def _serving(self) -> Iterator[ToldStep]:
        yield told(Step.POLICY, None, found="good" if self.rule.broken is None else "broken")
        odd = ", ".join(sorted(oddity.value for oddity in self.view.target.oddities))
        allowed = ", ".join(sorted(oddity.value for oddity in self.rule.odd_paths))
        yield told(Step.PATH, None, found=odd or "nothing odd", wanted=f"at most {allowed}" if allowed else "")

    def _credential(self, demand: Demand) -> Iterator[ToldStep]:
        credential = find_credential(self.view, demand.slot, demand.alongside, demand.max_length)
        wanted = f"one bearer token in {place_of(demand.slot)}"
        if isinstance(credential, Refusal):
            yield told(Step.CREDENTIAL, credential, wanted=wanted)
            yield from self._unreached(*STEPS)
            return
        found = f"a token of {len(credential.token)} characters"
        yield told(Step.CREDENTIAL, credential, found=found, wanted=wanted)
        verified: VerifiedToken | Refusal | Ask | None = None
        if demand.introspector is not None:
            verified = self.world.verifier.introspect(credential, demand, self.answered, self.now)
            yield from tell_introspected(credential.token, demand, self.answered, self.now)
        if verified is None:
            verified = self.world.verifier.verify(credential, demand, self.world.keys, self.now)
            yield from tell_token(credential.token, demand, self.world.keys, verified, self.now)
        if isinstance(verified, VerifiedToken):
            yield from self._verified(verified)
        else:
            yield from self._unreached()

    def _verified(self, token: VerifiedToken) -> Iterator[ToldStep]:
        revocations = self.snapshot.revocations
        refusal = None if revocations is None else revocations.refuse(token, self.rule.policy.namespace, self.now)
        count = 0 if revocations is None else revocations.count
        yield told(Step.REVOCATION, refusal, found=f"{count} TokenRevocation{'s are' if count != 1 else ' is'} loaded")
        if isinstance(refusal, Refusal):
            yield from self._clauses_unreached()
        else:
            yield from self._clauses(token)

    def _clauses(self, token: VerifiedToken) -> Iterator[ToldStep]:
        for at, clause in enumerate(self.rule.clauses, 1):
            step = tell_clause(clause, token, self.view, self.now)
            yield step
            if step.outcome is Outcome.REFUSED:
                yield from map(skipped, (*map(step_of, self.rule.clauses[at:]), Step.UPSTREAM, *self._counted()))
                return
        yield from self._changes(token)

    def _changes(self, token: VerifiedToken | None) -> Iterator[ToldStep]:
        rule, view = self.rule, self.view
        changes = changes_of(rule, token, view, self.snapshot.ours(view.headers))
        yield tell_changes(rule, changes)
        if isinstance(changes, Refusal):
            yield from map(skipped, self._counted())
        elif rule.counts:
            owner = Owner(rule.policy, rule.name, rule.mode is Mode.SHADOW)
            plan = plan_spends(rule.reuse, rule.limits, token, view, owner, self.world.grants.pepper, self.now)
            if isinstance(plan, Refusal):
                yield told(plan.step, plan)

    def _unreached(self, *before: Step) -> Iterator[ToldStep]:
        """The steps of the rule that come after a refused credential or token."""
        revocation = () if self.rule.demand is None else (Step.REVOCATION,)
        return itertools.chain(map(skipped, (*before, *revocation)), self._clauses_unreached())

    def _clauses_unreached(self) -> Iterator[ToldStep]:
        return map(skipped, (*map(step_of, self.rule.clauses), Step.UPSTREAM, *self._counted()))

    def _counted(self) -> tuple[Step, ...]:
        reuse = self.rule.reuse
        family = () if reuse is None or reuse.family is None else (Step.REUSE,)
        uses = () if reuse is None else (*family, *(Step.BINDING for _ in reuse.bind_to), Step.REUSE)
        return (*uses, *(Step.LIMITS for _ in self.rule.limits))
