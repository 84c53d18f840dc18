"""From the bytes of a CheckRequest to the bytes of a CheckResponse: the edge that commits, answers and tells.

INVARIANT: `answer` never raises. An RPC error would let the request through an Envoy that fails open, so a bug, too,
is answered with an explicit denial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Final, Protocol, TypeAlias

from extauthz.decide import Admission, World, decide, settle
from extauthz.model.question import Active, Answer, Answered, Ask, Inactive, Question, Unanswered
from extauthz.model.reason import Reason
from extauthz.model.request import Glimpse, RequestView
from extauthz.model.time import Clock, Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import Allow, Deny, Refusal, Verdict
from extauthz.replay.family import marks_after
from extauthz.replay.spend import Spend
from extauthz.replay.store import Committed, Outcome, PatientStore, Refused, Store, Unavailable
from extauthz.server.calls import Later, Leave
from extauthz.server.codec import INTERNAL_DENIAL, glimpse, read_check, write_verdict
from extauthz.telemetry.log import frames_of
from extauthz.telemetry.observation import FamilyOutcome, Observation, SpendOutcome
from extauthz.tokens.cache import GenerationalCache

_LOG: Final = logging.getLogger(__name__)
_LATE: Final = Deny(refusal=Refusal(Reason.OVERLOADED, "the time for this Check was over before its uses were counted"))
_CHANGED: Final = Deny(
    refusal=Refusal(Reason.INTROSPECTION_UNAVAILABLE, "the policies changed while the endpoint was asked")
)
_SHARE: Final = 0.9
_TOO_LATE: Final = Unavailable("the time for this Check was over")

_Thought: TypeAlias = tuple[Verdict, SpendOutcome]
_Think: TypeAlias = "Callable[[_Check], _Thought | _Wait]"
_Wait: TypeAlias = Callable[[Callable[[_Think], None], Leave], None]
"""Has the thinking go on, once, when somebody has answered."""
_Settled: TypeAlias = "Callable[[Outcome, _Check], _Thought | _Wait]"
"""What is made of the store's answer."""


class Asking(Protocol):
    """Who asks the endpoints of issuers."""

    def recall(self, question: Question) -> Active | Inactive | None:
        """The answer, when it is remembered; at once."""

    def ask(self, question: Question, until: float) -> Answer:
        """The answer, waiting for it until then on the monotonic clock. Never raises."""


class NobodyAsks:
    """Stands where no endpoint can be asked."""

    def recall(self, question: Question) -> None:
        """Nothing is remembered."""

    def ask(self, question: Question, until: float) -> Unanswered:
        """Nobody answers."""
        return Unanswered("introspection endpoints are not asked here")


NOBODY: Final = NobodyAsks()


class _Check:
    """One Check on its way to its verdict."""

    __slots__ = ("asked", "deadline", "family", "now", "started", "view", "waited", "world")

    def __init__(self, started: float, now: Instant, budget: Seconds) -> None:
        self.started = started
        self.now = now
        self.deadline = started + budget
        self.asked = started
        """When the store was asked last."""
        self.waited = 0.0
        """How long it took to answer, in all."""
        self.world: World | None = None
        self.view: RequestView | Glimpse | None = None
        self.family = FamilyOutcome.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """Answers Checks, from any number of threads."""

    world: Callable[[], World]
    """What is loaded right now; one read of a published value."""
    store: Store
    clock: Clock
    observe: Callable[[Observation], None]
    """Is told of every answer; must not wait."""
    want_keys: Callable[[IssuerRef], None]
    """Is told when a token names a key that its issuer's set lacks; must not wait."""
    desk: Asking = NOBODY
    """Who asks the endpoints of issuers."""
    patient: PatientStore | None = None
    """The same store, where a commit would wait for it."""
    _written: GenerationalCache[int, tuple[Allow, bytes]] = field(
        default_factory=lambda: GenerationalCache(10_000), init=False, repr=False
    )
    """Answers that last, in bytes; each with the value that it was written for."""

    def answer(self, data: bytes, budget: Seconds) -> bytes:
        """Answer one serialised CheckRequest, within `budget` seconds from now, waiting for whom it must."""
        begun = self.begin(data, budget)
        if isinstance(begun, bytes):
            return begun
        told: SimpleQueue[bytes] = SimpleQueue()
        begun(told.put, lambda work: work())
        return told.get()

    def begin(self, data: bytes, budget: Seconds) -> bytes | Later:
        """The same without waiting for anybody: the answer, or what brings it about."""
        return self._respond(_Check(self.clock.monotonic(), self.clock.now(), budget), partial(self._decide, data))

    def refuse(self, refusal: Refusal) -> bytes:
        """The recorded denial of a request that is not even read, and for which no policy is asked."""
        verdict = Deny(refusal=refusal)
        self._tell(verdict, SpendOutcome.NONE, _Check(self.clock.monotonic(), self.clock.now(), Seconds(0.0)))
        return write_verdict(verdict)

    def _respond(self, check: _Check, think: _Think) -> bytes | Later:
        """The bytes of a verdict, which is recorded; or what brings them about."""
        try:
            thought = think(check)
            if callable(thought):
                return partial(self._later, check, thought)
            verdict, outcome = thought
            response = write_verdict(verdict) if isinstance(verdict, Deny) else self._write(verdict)
        except Exception as error:  # noqa: BLE001  # INVARIANT: the one broad except: a bug denies
            _LOG.error("a bug denied a request: %s", _where(error))
            verdict, outcome = Deny(refusal=Refusal(Reason.INTERNAL, type(error).__name__)), SpendOutcome.NONE
            response = INTERNAL_DENIAL
        self._tell(verdict, outcome, check)
        return response

    def _later(self, check: _Check, wait: _Wait, send: Callable[[bytes], None], leave: Leave) -> None:
        def go_on(think: _Think) -> None:
            response = self._respond(check, think)
            if isinstance(response, bytes):
                send(response)
            else:
                response(send, leave)

        wait(go_on, leave)

    def _decide(self, data: bytes, check: _Check) -> _Thought | _Wait:
        """The verdict, or the wait for somebody who must be asked first."""
        world = check.world = self.world()
        view = read_check(data)
        if isinstance(view, Refusal):
            check.view = glimpse(data)
            return Deny(refusal=view), SpendOutcome.NONE
        check.view = view
        decided = decide(view, world, check.now)
        if isinstance(decided, Ask):
            answer = self.desk.recall(decided.question)
            if answer is None:
                question = decided.question
                return lambda go_on, leave: leave(lambda: go_on(partial(self._ask, view, question)))
            decided = self._informed(view, decided.question, answer)
        return self._commit(decided, check)

    def _ask(self, view: RequestView, question: Question, check: _Check) -> _Thought | _Wait:
        """The verdict with the answer of an issuer's endpoint."""
        now = self.clock.monotonic()
        # Something is left of the time for what comes after.
        answer = self.desk.ask(question, now + _SHARE * (check.deadline - now))
        return self._commit(self._informed(view, question, answer), check)

    def _informed(self, view: RequestView, question: Question, answer: Answer) -> Deny | Admission:
        """Decide with this answer, by what is loaded, and the time it is, when it has come."""
        decided = decide(view, self.world(), self.clock.now(), Answered(question, answer))
        return _CHANGED if isinstance(decided, Ask) else decided

    def _commit(self, decided: Deny | Admission, check: _Check) -> _Thought | _Wait:
        """The verdict, once what the request spends is counted."""
        if isinstance(decided, Deny):
            issuer = decided.refusal.issuer
            if decided.reason is Reason.KEY_UNKNOWN and issuer is not None:
                self.want_keys(issuer)
            return decided, SpendOutcome.NONE
        if not decided.spends:
            return decided.allow, SpendOutcome.NONE
        return self._count(decided.spends, decided.attempt, partial(self._settled, decided), check) or (
            _LATE,
            SpendOutcome.NONE,
        )

    def _count(
        self, spends: tuple[Spend, ...], attempt: bytes | None, settled: _Settled, check: _Check
    ) -> _Thought | _Wait | None:
        """What is made of the store's answer; None where there is no time left to ask."""
        check.asked = self.clock.monotonic()
        if check.asked >= check.deadline:
            return None
        if self.patient is not None:
            return partial(_commit_later, self.patient, spends, attempt, settled, self.clock)
        outcome = self.store.commit(spends, attempt)
        check.waited += self.clock.monotonic() - check.asked
        return settled(outcome, check)

    def _settled(self, admission: Admission, outcome: Outcome, check: _Check) -> _Thought | _Wait:
        """The verdict, once it is marked, too, whose family is to end."""
        marks = marks_after(admission.spends, outcome)
        if not marks:
            return settle(admission, outcome), _told(outcome)
        marked = partial(_marked, admission, outcome)
        return self._count(marks, None, marked, check) or marked(_TOO_LATE, check)

    def _write(self, allow: Allow) -> bytes:
        if not allow.lasting:
            return write_verdict(allow)
        known = self._written.get(id(allow))
        # INVARIANT: the bytes of one value never answer for another that took its place in memory.
        if known is None or known[0] is not allow:
            known = (allow, write_verdict(allow))
            self._written.put(id(allow), known)
        return known[1]

    def _tell(
        self,
        verdict: Verdict,
        outcome: SpendOutcome,
        check: _Check,
    ) -> None:
        world = check.world
        try:
            self.observe(
                Observation.of(
                    verdict,
                    check.view,
                    spends=outcome,
                    seconds=Seconds(self.clock.monotonic() - check.started),
                    at=check.now,
                    snapshot_version="" if world is None or world.snapshot is None else world.snapshot.version,
                    family=check.family,
                    waited=Seconds(check.waited),
                )
            )
        except Exception as error:  # noqa: BLE001  # a decision never fails for a log or a metric
            _LOG.error("an answer could not be recorded: %s", _where(error))


def _commit_later(
    store: PatientStore,
    spends: tuple[Spend, ...],
    attempt: bytes | None,
    settled: _Settled,
    clock: Clock,
    go_on: Callable[[_Think], None],
    _leave: Leave,
) -> None:
    def then(outcome: Callable[[], Outcome]) -> None:
        arrived = clock.monotonic()

        def think(check: _Check) -> _Thought | _Wait:
            check.waited += arrived - check.asked
            return settled(outcome(), check)

        go_on(think)

    store.commit_later(spends, attempt, then)


def _marked(admission: Admission, outcome: Outcome, marked: Outcome, check: _Check) -> _Thought:
    """The denial of who came too often, however its family's mark went."""
    check.family = FamilyOutcome.REVOKED if isinstance(marked, Committed) else FamilyOutcome.FAILED
    return settle(admission, outcome, marked), _told(outcome)


def _told(outcome: Outcome) -> SpendOutcome:
    match outcome:
        case Committed():
            return SpendOutcome.COMMITTED
        case Refused():
            return SpendOutcome.REFUSED
        case Unavailable():
            return SpendOutcome.UNAVAILABLE


def _where(error: Exception) -> str:
    """The kind of an exception and where it came from. Its message may quote a token, so it is left out."""
    return f"{type(error).__name__} at {frames_of(error)}"
