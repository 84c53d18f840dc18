"""The counts of a story, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.explain.story import Outcome, Story, ToldSpend
from extauthz.model.time import Seconds, format_duration


def in_words(story: Story) -> str:
    """Which rule counts, and what is left of each count."""
    return "\n".join(_lines(story)).encode("ascii", "backslashreplace").decode("ascii")


def _lines(story: Story) -> Iterator[str]:
    verdict = story.verdict
    rule = f"policy {verdict.policy}, rule {verdict.rule}" if verdict.policy else "no rule"
    shadow = ", in Shadow mode" if verdict.mode == "Shadow" else ""
    yield f"{rule}{f', token {verdict.token}' if verdict.token else ''}{shadow}"
    yield from (f"  {note}" for note in story.notes)
    yield from (f"  {spend.label}: {_spend(spend)}" for spend in story.spends)
    if story.spends and all(spend.outcome is Outcome.SKIPPED for spend in story.spends):
        yield f"  the store cannot tell: {verdict.detail}"
    if not story.spends:
        denied = f"denied before anything is counted: {verdict.reason}: {verdict.detail}"
        yield f"  {denied if verdict.decision == 'deny' else 'nothing is counted here'}"


def _spend(spend: ToldSpend) -> str:
    match spend:
        case ToldSpend(outcome=Outcome.SKIPPED):
            return "not told"
        case ToldSpend(kind="bind", outcome=Outcome.REFUSED):
            return "tied to another caller"
        case ToldSpend(kind="bind"):
            return "free, or tied to this caller"
        case ToldSpend(kind="mark", outcome=Outcome.REFUSED):
            return "revoked: a token of it was used again"
        case ToldSpend(kind="mark"):
            return "not revoked"
        case ToldSpend(window=float(window)):
            wait = f", the next in {format_duration(_up(spend.retry_after))}" if spend.retry_after is not None else ""
            return f"{spend.left} of {spend.limit} left in any {format_duration(Seconds(window))}{wait}"
        case ToldSpend(kind="room"):
            return f"{spend.left} of {spend.limit} keys in the store left"
        case _:
            return f"{spend.left} of {spend.limit} left in the token's whole life"


def _up(seconds: float) -> Seconds:
    """Whole milliseconds, rounded up: that much is enough to wait."""
    return Seconds(-(-seconds * 1000 // 1) / 1000)
