"""From a request to its story, in two halves as the decision itself: before the store is looked at, and after.

Pure but for `ask`, which is the caller's: no I/O, no clock. The edge looks into the store between `begin` and `finish`,
where `answer` would commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from extauthz.decide import Admission, Grants, World, decide, settle
from extauthz.explain.counts import Looked, tell_counts, tell_spends
from extauthz.explain.hiding import Hider, credentials_in
from extauthz.explain.rules import tell_rules
from extauthz.explain.steps import tell_steps
from extauthz.explain.story import Story, ToldRequest, ToldResponse, ToldRule, ToldStep, ToldVerdict
from extauthz.explain.told import told
from extauthz.keys.address import shown
from extauthz.model.question import Answer, Answered, Ask, Question, Unanswered
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.verdict import Allow, Deny, Refusal, Verdict
from extauthz.policy.snapshot import Snapshot
from extauthz.replay.spend import Spend
from extauthz.replay.store import foreseen
from extauthz.telemetry.line import timestamp
from extauthz.telemetry.observation import judged
from extauthz.tokens.verify import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A story up to its counts."""

    view: RequestView | None
    snapshot: Snapshot | None
    now: Instant
    decided: Deny | Admission
    rules: tuple[ToldRule, ...] = ()
    more_rules: int = 0
    steps: tuple[ToldStep, ...]

    @property
    def spends(self) -> tuple[Spend, ...]:
        """What the store must be asked about."""
        return self.decided.spends if isinstance(self.decided, Admission) else ()


def not_asked(question: Question) -> Unanswered:
    """The answer of who asks nobody: telling a story sends no token anywhere unless it is told to."""
    return Unanswered(f"`{shown(question.endpoint)}` would be asked about it, and was not")


def begin(
    view: RequestView | Refusal, world: World, now: Instant, ask: Callable[[Question], Answer] = not_asked
) -> Draft:
    """The story up to the counts; of a request that could not be read, only why. `ask` may ask an endpoint."""
    snapshot = world.snapshot
    if isinstance(view, Refusal):
        return Draft(
            view=None, snapshot=snapshot, now=now, decided=Deny(refusal=view), steps=(told(Step.REQUEST, view),)
        )
    # Neither this token nor what follows from it is remembered: telling must not change what is answered, or measured.
    apart = world._replace(verifier=Verifier(0), grants=Grants(world.grants.pepper, 0, world.grants.quotas))
    answered: Answered | None = None
    decided = decide(view, apart, now)
    if isinstance(decided, Ask):
        answered = Answered(decided.question, ask(decided.question))
        decided = decide(view, apart, now, answered)
    if isinstance(decided, Ask):
        raise AssertionError("a decision asks once, and asks the same each time")
    rules, more = ((), 0) if snapshot is None else tell_rules(view, snapshot)
    return Draft(
        view=view,
        snapshot=snapshot,
        now=now,
        decided=decided,
        rules=rules,
        more_rules=more,
        steps=tuple(tell_steps(view, apart, now, answered)),
    )


def finish(draft: Draft, looked: Looked, notes: tuple[str, ...] = ()) -> tuple[Story, Verdict]:
    """The whole story but for the response, and the verdict to make that of."""
    decided = draft.decided
    verdict = decided if isinstance(decided, Deny) else settle(decided, foreseen(looked))
    denial = judged(verdict)[1]
    counts = tell_counts(draft.spends, looked, None if denial is None else denial.refusal) if draft.spends else ()
    story = Story(
        at=timestamp(draft.now),
        snapshot="" if draft.snapshot is None else draft.snapshot.version,
        request=None if draft.view is None else _request(draft.view),
        rules=draft.rules,
        more_rules=draft.more_rules,
        steps=(*draft.steps, *counts),
        spends=tell_spends(draft.spends, looked),
        verdict=_verdict(verdict),
        response=ToldResponse(status=0, headers={}),
        notes=notes,
    )
    return story, verdict


def hide_credentials(story: Story, view: RequestView | Refusal) -> Story:
    """The story without any piece of a credential of the request."""
    return Hider(() if isinstance(view, Refusal) else credentials_in(view)).hide(story)


def _request(view: RequestView) -> ToldRequest:
    return ToldRequest(
        method=view.method,
        host=view.host,
        path=view.target.path,
        headers=tuple(sorted(view.headers)),
        source_address=view.source.address,
        source_principal=view.source.principal,
        pinned_policy=(view.pinned_policy or "")[:400],
    )


def _verdict(verdict: Verdict) -> ToldVerdict:
    decision, denial = judged(verdict)
    refusal = None if denial is None else denial.refusal
    ground = verdict.ground if denial is None else denial.ground
    issuer = ground.issuer or (None if refusal is None else refusal.issuer)
    return ToldVerdict(
        decision=decision.value,
        reason="" if refusal is None else refusal.reason.label,
        step=None if refusal is None else refusal.step,
        detail="" if refusal is None else refusal.detail,
        mode=ground.mode.value,
        policy="" if ground.policy is None else str(ground.policy),
        rule=ground.rule or "",
        issuer="" if issuer is None else str(issuer),
        subject=ground.subject or "",
        client=ground.client or "",
        token=ground.token_hash or "",
        remaining=verdict.remaining if isinstance(verdict, Allow) else None,
    )
